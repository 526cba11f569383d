"""The latency objective of the settings in the exported rules: they fire at it and not at the guide's, as promtool plays them."""

import json
import math
from pathlib import Path

import pytest
import yaml

from dashboard.catalogue import inference
from dashboard.catalogue.objective import Objective
from dashboard.export.rules import rules
from dashboard.settings import Settings
from tests.alerts import playing
from tests.alerts.story import ROUTER, Case, histogram

BURN, LATE = "InferenceLatencySLOBurn", "HighInferenceLatency"


@pytest.mark.parametrize(
    ("seconds", "bound", "le", "words"),
    [
        (0.1, 0.1, "0.1", ""),
        (0.08, 0.1, "0.1", "The objective of 80 ms is no bound of the histogram: it is measured at the next one, 100 ms."),
        (0.2, 0.5, "0.5", "The objective of 200 ms is no bound of the histogram: it is measured at the next one, 500 ms."),
        (1.0, 1.0, "1|1.0", ""),
        (9.0, 5.0, "5|5.0", "The objective of 9 s lies above the histogram's last bound: it is measured at 5 s."),
    ],
)  # fmt: skip
def test_an_objective_is_measured_at_the_nearest_bound_at_or_above_it_and_says_so(seconds, bound, le, words):
    found = Objective.among(seconds, 0.99, [math.inf, *reversed(inference.BOUNDS)])
    assert (found.bound, found.le, found.moved) == (bound, le, words)


def test_a_histogram_without_bounds_tells_nothing():
    with pytest.raises(ValueError, match="finite bound"):
        Objective.among(0.1, 0.99, [math.inf])


def _fires(folder: Path, alert: str, series: dict[str, str], settings: Settings, at: str) -> int:
    """How many alerts of this name fire at a moment of a story."""
    case = Case(alert, "as it comes", series, fires_at=at)
    query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    [[found]] = playing.answers(case, folder, rules(settings), [query])
    return int(found.value)


def slow(steps: int, part: float, labels: str = ROUTER) -> dict[str, str]:
    """`part` of the requests takes between 100 and 500 ms, for so many minutes."""
    return histogram(labels, 100 * (1 - part), 100 * part, steps)


@pytest.mark.parametrize(
    ("settings", "part", "late", "burns"),
    [
        (Settings(), 0.5, 1, 4),
        (Settings(latency_objective_seconds=0.08), 0.5, 1, 4),
        (Settings(latency_objective_seconds=0.2), 0.5, 0, 0),
        (Settings(latency_objective_seconds=0.5), 0.5, 0, 0),
        (Settings(), 0.005, 0, 0),
        (Settings(latency_objective_ratio=0.999), 0.005, 0, 2),
        (Settings(latency_objective_ratio=0.9), 0.7, 1, 3),
    ],
    ids=lambda value: "" if isinstance(value, Settings) else str(value),
)
def test_the_rules_follow_the_settings(tmp_path, settings, part, late, burns):
    """Two hours of a constant share of slow requests: every pair whose speed lies below it fires, and no other."""
    series = slow(120, part)
    assert _fires(tmp_path, LATE, series, settings, "2h") == late
    assert _fires(tmp_path, BURN, series, settings, "2h") == burns


@pytest.mark.parametrize(
    ("window", "minutes", "every"), [("1h", 60, 1), ("6h", 360, 5), ("1d", 1440, 20), ("3d", 4320, 60)]
)
def test_every_pair_of_windows_fires_at_its_own_speed_and_not_below_it(tmp_path, window, minutes, every):
    """Just above and just below the threshold of each pair, for as long as its long window."""
    settings = Settings(latency_objective_seconds=0.1, latency_objective_ratio=0.995)
    [factor] = [pair[0] for pair in inference.BURNS if pair[1] == window]
    text = rules(settings)
    steps = minutes // every + 4
    query = f'count(ALERTS{{alertname="{BURN}",alertstate="firing",window="{window}"}}) or vector(0)'
    for part, fires in ((1.1 * factor * 0.005, 1), (0.9 * factor * 0.005, 0)):
        case = Case(
            BURN, "at its speed", slow(steps, part),
            fires_at=f"{steps * every}m", interval=f"{every}m", evaluation=f"{every}m",
        )  # fmt: skip
        [[found]] = playing.answers(case, tmp_path, text, [query])
        assert int(found.value) == fires, (window, part)


def test_the_words_of_the_rules_say_what_is_measured():
    text = rules(Settings(latency_objective_seconds=0.2, latency_objective_ratio=0.999))
    assert "# The latency objective is 99.9 % within 500 ms" in text
    assert "# The objective of 200 ms is no bound of the histogram" in text
    document = yaml.safe_load(text)
    said = [
        rule["annotations"]["description"]
        for group in document["groups"]
        for rule in group["rules"]
        if rule.get("alert") in {BURN, LATE}
    ]
    assert len(said) == 5
    assert all("500 ms" in words and "it is measured at the next one" in words for words in said)
    assert "100 ms" not in json.dumps(said)


def test_a_pair_that_no_share_of_requests_could_reach_is_left_out():
    windows = [
        dict(alert.labels)["window"] for alert in inference.burns(Objective.among(0.1, 0.9, inference.BOUNDS))
    ]
    assert windows == ["6h", "1d", "3d"]
    assert len(inference.burns(inference.OBJECTIVE)) == 4
