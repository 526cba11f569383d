"""What one session worked out, another does not work out again."""

import threading

from dashboard.shell.kept import kept


def test_the_same_source_is_worked_out_once_for_all_sessions():
    source, made = object(), []
    answers = [kept(("test", "once"), (source,), lambda: made.append(1) or object()) for _ in range(3)]
    assert len(made) == 1
    assert answers[0] is answers[1] is answers[2]


def test_another_source_or_another_option_is_worked_out_anew():
    source = object()
    first = kept(("test", 1), (source,), object)
    assert kept(("test", 2), (source,), object) is not first
    assert kept(("test", 1), (object(),), object) is not first


def test_a_source_is_held_so_that_its_id_cannot_come_to_mean_another():
    kept(("test", "held"), ([1],), object)
    again = kept(("test", "held"), ([1],), object)
    assert kept(("test", "held"), ([1],), object) is not again


def test_many_sessions_at_once_get_one_of_the_drawings_and_no_error():
    source, seen = object(), []
    threads = [
        threading.Thread(target=lambda: seen.append(kept(("test", "many"), (source,), object)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 16
    assert kept(("test", "many"), (source,), object) in seen


def test_what_newer_numbers_have_replaced_is_let_go_and_other_kinds_are_not():
    let_go = []

    class Numbers:
        def __del__(self) -> None:
            let_go.append(1)

    other = object()
    drawing = kept(("test", "other kind"), (other,), object)
    for _ in range(40):
        kept(("test", "grows"), (Numbers(),), object)
    assert len(let_go) >= 30
    assert kept(("test", "other kind"), (other,), object) is drawing
