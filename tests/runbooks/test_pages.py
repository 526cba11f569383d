"""The shipped pages: one for every alert, whole, and with checks that see the alert when it really fires."""

import re
from collections.abc import Iterable
from pathlib import Path

import promql_parser
import pytest

from dashboard import catalogue
from dashboard.alerts import promql
from dashboard.catalogue.monitoring import FOREIGN
from dashboard.export.rules import rules
from dashboard.runbooks import (
    Action,
    Check,
    Context,
    Piece,
    Query,
    Runbook,
    Text,
    evaluate,
    fill_markdown,
    fill_promql,
    load,
    names,
)
from dashboard.runbooks.reader import UNITS
from dashboard.runbooks.template import holes
from dashboard.settings import Settings
from tests.alerts import playing
from tests.alerts.cases import CASES

SUFFIXES = {"gauge": ("",), "counter": ("",), "histogram": ("_bucket", "_sum", "_count")}
DECLARED = {
    *(metric.name + suffix for metric in catalogue.METRICS for suffix in SUFFIXES[metric.kind]),
    *(rule.name for rule in catalogue.RECORDINGS),
    *FOREIGN,
}
ALERTS = {alert.name: alert for alert in catalogue.ALERTS}
TOLD = {case.alert: case for case in reversed(CASES) if case.says[0]}


def _queries(runbook: Runbook) -> list[tuple[Check, Query]]:
    return [(check, check.asks) for check in runbook.checks if isinstance(check.asks, Query)]


def _is_selector(tree: promql.Tree) -> bool:
    return isinstance(tree, promql_parser.VectorSelector)


def _templates(piece: Piece) -> Iterable[str]:
    """Everything in a piece that may hold a placeholder."""
    if isinstance(piece, Check):
        return [piece.asks.promql] if isinstance(piece.asks, Query) else piece.asks.given.values()
    return piece.given.values() if isinstance(piece, Action) else [piece.markdown]


def test_every_alert_has_its_runbook_and_every_runbook_its_alert():
    assert set(ALERTS) == set(names())


@pytest.mark.parametrize("name", ALERTS)
def test_a_page_is_whole(name: str):
    """Five headings, none empty, every check with verdicts; severity and component are the rule's."""
    runbook = load(name)
    assert runbook.problems == ()
    assert runbook.checks
    assert runbook.steps
    assert runbook.reviewed is not None
    severities = {alert.severity for alert in catalogue.ALERTS if alert.name == name}
    assert runbook.severity in severities
    assert runbook.component == ALERTS[name].component


@pytest.mark.parametrize("name", ALERTS)
def test_checks_stand_under_diagnosis_and_actions_under_mitigation(name: str):
    for section in load(name).sections:
        for piece in section.pieces:
            assert not isinstance(piece, Check) or section.title == "Diagnosis"
            assert not isinstance(piece, Action) or section.title == "Mitigation"


@pytest.mark.parametrize("name", ALERTS)
def test_every_query_of_a_page_reads_declared_metrics(name: str):
    for check, query in _queries(load(name)):
        filled = fill_promql(query.promql, Context(labels=dict.fromkeys(holes(query.promql), "x")))
        assert promql.names(filled) <= DECLARED, check.id


@pytest.mark.parametrize("name", ALERTS)
def test_a_query_that_reads_a_metric_as_it_is_carries_that_metric_s_unit(name: str):
    for check, query in _queries(load(name)):
        filled = fill_promql(query.promql, Context(labels=dict.fromkeys(holes(query.promql), "x")))
        tree = promql.bare(promql.parse(filled))
        metric = catalogue.BY_NAME.get(promql.name(tree) or "") if _is_selector(tree) else None
        if metric is not None and metric.unit in UNITS.values():
            assert check.unit is metric.unit, check.id


@pytest.mark.parametrize("name", ALERTS)
def test_every_check_can_say_more_than_one_thing_and_knows_what_no_sample_means(name: str):
    for check in load(name).checks:
        assert len(check.rows) > 1, check.id


@pytest.mark.parametrize("name", ALERTS)
def test_every_link_of_a_page_leads_to_a_page_of_the_dashboard_or_another_runbook(name: str):
    pages = {"/", "/evolution", "/experts", "/training", "/inference", "/hardware", "/alerts", "/runbooks", "/benchmark", "/logs", "/health-checks"}  # fmt: skip
    for piece in load(name).pieces:
        if not hasattr(piece, "markdown"):
            continue
        for target in re.findall(r"\]\(([^)]*)\)", piece.markdown):
            path, _, query = target.partition("?")
            assert path in pages
            if path == "/runbooks":
                assert query.removeprefix("alert=") in ALERTS
        words = re.findall(r"\bsee ([A-Z]\w+[A-Z]\w+)", piece.markdown)
        assert set(words) <= set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_a_page_asks_only_for_labels_its_alert_can_carry(name: str, fired: dict[str, dict[str, str]]):
    runbook = load(name)
    carried = {*fired[name], "run_id", "instance", "job", "layer"}
    for piece in runbook.pieces:
        for text in _templates(piece):
            assert holes(text) <= carried
        if isinstance(piece, Text):
            assert "{{" not in fill_markdown(piece.markdown, Context(labels=fired[name]))


@pytest.fixture(scope="module")
def fired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Alert -> the labels it carries when it fires in its story."""
    folder, text = tmp_path_factory.mktemp("fired"), rules(Settings())
    annotations = {"summary", "description", "runbook_url", "dashboard"}
    return {
        name: {
            key: value
            for key, value in playing.rendered(case, folder, text)[0].items()
            if key not in annotations
        }
        for name, case in TOLD.items()
    }


@pytest.mark.parametrize("name", ALERTS)
def test_when_the_alert_fires_a_check_of_its_page_returns_data_and_says_so(
    name: str, fired: dict[str, dict[str, str]], tmp_path: Path
):
    """Each check is asked of the very series that fire the alert, with the alert's own labels filled in."""
    runbook = load(name)
    asked = _queries(runbook)
    queries = [fill_promql(query.promql, Context(labels=fired[name])) for _, query in asked]
    answers = playing.answers(TOLD[name], tmp_path, rules(Settings()), queries)
    said = {
        evaluate(check.rows, samples).level
        for (check, _), samples in zip(asked, answers, strict=True)
        if samples
    }
    assert said & ({"ok"} if name == "Watchdog" else {"warn", "bad"})
