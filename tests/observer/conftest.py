"""What the observer's tests share: an observer on a free port, and what a scraper finds there."""

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from dashboard.observer import Observer

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[Observer]:
    observer = Observer(port=0, run_name="test", runs_dir=tmp_path / "runs")
    yield observer
    observer.close()


def scrape_text(observer: Observer, accept: str = "text/plain") -> tuple[str, str]:
    """Content type and body of one scrape."""
    request = urllib.request.Request(f"http://127.0.0.1:{observer.port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def scrape(observer: Observer, accept: str = "text/plain") -> "Scrape":
    kind, text = scrape_text(observer, accept)
    parse = openmetrics if "openmetrics" in kind else plain
    return Scrape(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in parse(text)
            for sample in family.samples
        }
    )


class Scrape:
    """Samples of one scrape; ask by name and labels, `run_id` left out unless asked for."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __contains__(self, name: str) -> bool:
        return any(sample == name for sample, _ in self.samples)

    def all(self, name: str, label: str) -> dict[str, float]:
        return {
            dict(labels).get(label, ""): value
            for (sample, labels), value in self.samples.items()
            if sample == name
        }

    def value(self, name: str, **labels: str) -> float | None:
        found = [
            value
            for (sample, have), value in self.samples.items()
            if sample == name and {k: v for k, v in have if k in labels or k != "run_id"} == labels
        ]
        assert len(found) < 2, f"{name}{labels} is ambiguous"
        return found[0] if found else None

    def labels(self, name: str) -> dict[str, str]:
        [labels] = [dict(labels) for sample, labels in self.samples if sample == name]
        return labels


Look = Callable[[Observer], Scrape]


@pytest.fixture
def look() -> Look:
    return scrape


@pytest.fixture
def look_text() -> Callable[..., tuple[str, str]]:
    return scrape_text
