"""Every fault while a browser watches: the page says in words what is wrong and what to do, shows no traceback and no false
quiet, and goes on by itself when it is over; nothing that was said is lost.

`make test` breaks one thing at a time and then everything at once; FAULTS=all (`make faults`) every one and every pair.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator

import pytest

from dashboard.sitemap import ENTRIES
from tests.browser.screen import Screen, screen
from tests.faults.site import FAULTS, QUICK, Site, site

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(900)]

EVERY = os.environ.get("FAULTS") == "all"


def _source(name: str) -> str:
    """What a fault is about: two of one source are one."""
    return next(word for word in ("prometheus", "alertmanager", "store", "disk") if word in name)


PATIENCE = 120.0  # seconds for a state to show or to go; a quiet machine needs three
QUIET = re.compile(r"Nothing is pending or firing|No alerts")
PAIRS = [(one, other) for one, other in itertools.combinations(FAULTS, 2) if _source(one) != _source(other)]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("faults")) as running:
        with contextlib.closing(running.said()) as store:
            store.acknowledge("kept", alert="A", who="ada", comment="before")
        yield running


@pytest.fixture(scope="module")
def watching(browser, broken: Site) -> Iterator[dict[str, Screen]]:
    """Pages that stay open all the time, as on a wall: nobody presses reload."""
    with contextlib.ExitStack() as stack:
        pages = {}
        for path in ("/alerts", "/health-checks", "/inference?from=now-5m&to=now"):
            shown = stack.enter_context(screen(browser, broken.dashboard.url))
            shown.open(path, seconds=2 * PATIENCE)
            pages[path.partition("?")[0]] = shown
        yield pages


def sound(shown: Screen) -> None:
    """Whatever is broken, this is not on the screen."""
    text = shown.text()
    assert "Traceback" not in text, text
    assert "could not be drawn" not in text, text
    assert not shown.page.locator("[data-testid='stException']").count()
    assert not [error for error in shown.errors if "uncaught" in error], shown.errors


def healthy(broken: Site, watching: dict[str, Screen]) -> None:
    """The list of alerts is complete again, with no bad news about the way alerts take; figures are fresh."""
    bad = (
        broken.to_prometheus.url,
        broken.to_alertmanager.url,
        "The store",
        "As last known",
        "last good values",
    )
    for path, expected in (("/alerts", "LowPopulationDiversity"), ("/inference", "p95")):
        shown = watching[path]

        def well(shown: Screen = shown, expected: str = expected) -> bool:
            text = shown.text()
            return expected in text and not any(words in text for words in bad)

        shown.wait_for(well, PATIENCE, f"{path} to be well again")


def nothing_lost(broken: Site, name: str) -> None:
    with contextlib.closing(broken.said()) as store:
        assert [one.comment for one in store.acknowledgements(fingerprint="kept", ended=True)] == ["before"]
        store.note("n", alert="A", who="ada", text=name)
        notes = [note.text for note in store.notes("n")]
        assert notes == [
            line.detail["text"] for line in reversed(store.audit(limit=10_000)) if line.action == "note"
        ]
        assert notes[-1] == name


def break_and_mend(broken: Site, watching: dict[str, Screen], names: tuple[str, ...]) -> None:
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(FAULTS[name][0](broken))
        for name in names:
            _, path, words = FAULTS[name]
            shown = watching[path]

            def told(shown: Screen = shown, words: str = words) -> object:
                return re.search(words, shown.text(), re.DOTALL)

            shown.wait_for(told, PATIENCE, f"{name}: {words}")
        for shown in watching.values():
            sound(shown)
        if any("prometheus" in name for name in names):
            assert not QUIET.search(watching["/alerts"].text()), "no source, no quiet"
    healthy(broken, watching)
    for shown in watching.values():
        sound(shown)
    nothing_lost(broken, " and ".join(names))


@pytest.mark.parametrize("name", FAULTS if EVERY else QUICK)
def test_one_thing_breaks_while_pages_are_watched(name, broken, watching):
    break_and_mend(broken, watching, (name,))


@pytest.mark.skipif(not EVERY, reason="every pair takes many minutes: make faults")
@pytest.mark.parametrize("names", PAIRS, ids=" + ".join)
def test_two_things_break_together(names, broken, watching):
    break_and_mend(broken, watching, names)


def test_everything_is_broken_and_every_page_still_says_so(browser, broken, watching):
    """Prometheus, Alertmanager and the disk at once; somebody opens page after page."""
    with contextlib.ExitStack() as stack:
        for name in ("a login page for prometheus", "alertmanager stopped", "the disk full"):
            stack.enter_context(FAULTS[name][0](broken))
        visitor = stack.enter_context(screen(browser, broken.dashboard.url))
        for entry in ENTRIES:
            visitor.open(f"/{entry.url}", seconds=PATIENCE)
            sound(visitor)
            assert not QUIET.search(visitor.text()), entry.url
            assert len(visitor.text()) > 80, f"/{entry.url} says nothing"
    healthy(broken, watching)
    nothing_lost(broken, "everything")


def test_what_somebody_typed_survives_a_full_disk_and_is_kept_when_there_is_room(browser, broken):
    with screen(browser, broken.dashboard.url) as shown:
        shown.open("/alerts", seconds=PATIENCE)
        shown.page.get_by_text("Details", exact=True).first.click()
        name = shown.page.get_by_role("textbox", name="Your name").first
        name.fill("Grace")
        name.press("Enter")
        comment = shown.page.get_by_role("textbox", name="Comment").first
        comment.fill("mine, whatever the disk says " * 20)
        comment.press("Tab")
        shown.wait_until_idle()
        with FAULTS["the disk full"][0](broken):
            button = shown.page.get_by_role("button", name="Acknowledge", exact=True).first
            for _ in range(40):  # the write-ahead log has some room of its own left
                button.click()
                shown.wait_until_idle()
                if "make room" in shown.text():
                    break
                shown.wait_for(
                    lambda: re.search("Acknowledged|has it|make room", shown.text()), PATIENCE, "an answer"
                )
                if "make room" in shown.text():
                    break
                button = shown.page.get_by_role("button", name=re.compile("Acknowledge|Take over|Take")).first
            assert "make room" in shown.text()
            assert shown.page.get_by_role("textbox", name="Comment").first.input_value().startswith("mine")
            sound(shown)
        shown.page.get_by_role("button", name="Acknowledge", exact=True).first.click()
        shown.wait_for(lambda: "Grace has it" in shown.text(), PATIENCE, "the acknowledgement")
    with contextlib.closing(broken.said()) as store:
        assert store.acknowledgements()[-1].who == "Grace"
