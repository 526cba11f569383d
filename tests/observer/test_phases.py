"""The parts of a generation's time: what a loop says around its phases, as metric and in the run's log."""

import json
import threading
import time

import pytest

from dashboard.observer import Observer


def lines(observer: Observer, run) -> list[dict]:
    return [json.loads(line) for line in (run.directory / "generations.jsonl").read_text().splitlines()]


def busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_phases_of_a_generation_are_exported_and_written_down_without_tracing(observer, look):
    run = observer.run()
    for generation in (1, 2):
        with observer.span("fitness_evaluation"):
            busy(0.03)
        for _ in range(2):
            with observer.span("selection"):
                busy(0.01)
        observer.log({"fitness_best": 0.5}, step=generation)
    parts = look(observer).all("evolution_phase_duration_seconds", "phase")
    assert set(parts) == {"fitness_evaluation", "selection"}
    first, second = lines(observer, run)
    assert second["evolution_phase_duration_seconds"] == parts
    assert first["evolution_phase_duration_seconds"]["fitness_evaluation"] >= 0.03
    assert parts["selection"] >= 0.02
    assert sum(parts.values()) <= second["evolution_generation_duration_seconds"]


def test_a_phase_in_a_phase_is_counted_once_and_another_threads_phase_not_at_all(observer, look):
    observer.run()

    def elsewhere() -> None:
        with observer.span("prefetch"):
            busy(0.01)

    worker = threading.Thread(target=elsewhere)
    with observer.span("evolution_step"), observer.span("reproduction"):
        worker.start()
        with observer.span("mutation"):
            busy(0.01)
        worker.join()
    observer.log({"fitness_best": 0.5}, step=1)
    assert set(look(observer).all("evolution_phase_duration_seconds", "phase")) == {"reproduction"}


def test_a_phase_that_ran_no_more_is_gone_from_the_metric(observer, look):
    observer.run()
    with observer.span("training"):
        pass
    observer.log({"fitness_best": 0.5}, step=1)
    with observer.span("selection"):
        pass
    observer.log({"fitness_best": 0.5}, step=2)
    assert set(look(observer).all("evolution_phase_duration_seconds", "phase")) == {"selection"}


def test_an_error_of_the_loop_passes_through_a_phase_and_its_time_counts(observer, look):
    observer.run()

    def evaluate() -> None:
        with observer.span("fitness_evaluation"):
            busy(0.01)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate()
    observer.log({"fitness_best": 0.5}, step=1)
    assert look(observer).value("evolution_phase_duration_seconds", phase="fitness_evaluation") >= 0.01


def test_names_without_end_do_not_become_series_without_end(observer, look):
    observer.run()
    for number in range(100):
        with observer.span(f"individual {number}"):
            pass
    observer.log({"fitness_best": 0.5}, step=1)
    assert len(look(observer).all("evolution_phase_duration_seconds", "phase")) == 16


def test_what_the_loop_says_itself_wins(observer, look):
    observer.run()
    with observer.span("selection"):
        pass
    observer.log({"evolution_phase_duration_seconds": {"selection": 1.5}}, step=1)
    assert look(observer).all("evolution_phase_duration_seconds", "phase") == {"selection": 1.5}
