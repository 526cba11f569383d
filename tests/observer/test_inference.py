"""Requests timed from inside."""

import json
import threading
import time

import pytest

from dashboard.observer.inference import Throughput


def test_a_request_is_in_both_histograms_and_counted(observer, look):
    with observer.inference(batch_size=32):
        time.sleep(0.011)  # the request's own work: something that surely takes longer than a bucket bound
    found = look(observer)
    assert found.value("inference_latency_seconds_count") == 1
    assert found.value("inference_latency_seconds_bucket", le="0.01") == 0
    assert found.value("inference_latency_seconds_sum") >= 0.011
    assert found.value("inference_batch_size_bucket", le="16.0") == 0
    assert found.value("inference_batch_size_bucket", le="32.0") == 1
    assert found.value("inference_requests_total", outcome="ok") == 1


def test_a_failed_request_is_an_error_not_a_fast_request_and_its_exception_goes_on_up(observer, look):
    with pytest.raises(RuntimeError, match="no memory"), observer.inference(batch_size=4):
        raise RuntimeError("no memory")
    found = look(observer)
    assert found.value("inference_requests_total", outcome="error") == 1
    assert "inference_latency_seconds_count" not in found
    assert "inference_throughput_samples" not in found


def test_requests_of_many_threads_are_all_counted(observer, look):
    def work():
        for _ in range(200):
            with observer.inference(batch_size=2):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = look(observer)
    assert found.value("inference_requests_total", outcome="ok") == 1600
    assert found.value("inference_batch_size_sum") == 3200


def test_throughput_is_samples_over_the_last_ten_seconds_then_zero():
    now = [1000.0]
    throughput = Throughput(clock=lambda: now[0])
    assert throughput.read() is None
    for _ in range(40):  # 8 samples twice a second
        now[0] += 0.5
        throughput.add(8, latency_seconds=0.01)
    assert throughput.read() == pytest.approx(16, rel=0.1)
    now[0] += 5
    assert 5 < throughput.read() < 11
    now[0] += 10
    assert throughput.read() == 0


def test_the_first_request_does_not_read_as_a_burst():
    throughput = Throughput()
    throughput.add(32, latency_seconds=0.001)
    assert throughput.read() <= 32


def test_throughput_is_measured_at_the_scrape_not_at_the_last_generation(observer, look):
    with observer.inference(batch_size=8):
        pass
    observer.log({"fitness_best": 1}, step=1)
    for _ in range(9):
        with observer.inference(batch_size=8):
            pass
    assert look(observer).value("inference_throughput_samples") == 80


def test_events_hold_at_most_one_sampled_request_a_second_in_the_guides_words(observer):
    with observer.run() as run:
        for _ in range(50):
            with observer.inference(batch_size=8):
                pass
    events = [json.loads(line) for line in (run.directory / "events.jsonl").read_text().splitlines()]
    samples = [event for event in events if event["event"] == "Inference completed"]
    assert 1 <= len(samples) <= 2
    assert samples[0].keys() >= {
        "batch_size",
        "latency_ms",
        "throughput_samples_per_sec",
        "run_id",
        "timestamp",
        "level",
    }
