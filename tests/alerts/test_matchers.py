"""The filter reads Alertmanager's syntax: what it writes it reads back, and what is wrong is said with its place."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.alertmanager import Matcher
from dashboard.alerts.matchers import MatcherError, matches, parse, written
from tests import services

LABELS = {"alertname": "ExpertDead", "run_id": "r1", "severity": "warning"}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
matchers = st.builds(
    Matcher,
    name=st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,10}", fullmatch=True),
    value=texts,
    is_regex=st.just(False),
    is_equal=st.booleans(),
)


@given(st.lists(matchers, max_size=5))
def test_what_is_written_is_read_back(chosen):
    assert parse(written(chosen)) == tuple(chosen)


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_a_sentence(text):
    with contextlib.suppress(MatcherError):  # anything else is a traceback on somebody's screen
        parse(text)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("{}", True),
        ("alertname=ExpertDead", True),
        ('{alertname="ExpertDead", severity="warning"}', True),
        ('alertname="ExpertDead" severity="critical"', False),
        ('alertname=~"Expert.*"', True),
        ('alertname=~"Expert"', False),
        ('alertname!~"GPU.*"', True),
        ('severity!="none",run_id=~"r[12]"', True),
        ('layer=""', True),
        ('layer!=""', False),
        ('layer!="3"', True),
        ('"run_id"="r1"', True),
    ],
)
def test_a_filter_chooses_by_labels(text, passes):
    assert matches(parse(text), LABELS) is passes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alertname", "Expected name"),
        ("{alertname=x", "brace"),
        ("a==b", "Expected"),
        ('a="b', "Expected"),
        ('a=~"("', "regular expression"),
        ('a=~"(?=x)"', "RE2"),
        ('a=~"(x)\\\\1"', "RE2"),
        ("1a=b", "letter 1"),
        ("a=b c", "letter 5"),
        ("a" * 3000, "at most"),
    ],
)
def test_what_is_wrong_is_said(text, words):
    with pytest.raises(MatcherError, match=words):
        parse(text)


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    with services.alertmanager(tmp_path_factory.mktemp("alertmanager")) as server:
        yield server


@pytest.mark.services
def test_alertmanager_chooses_what_the_filter_chooses(alertmanager):
    values = ["r1", "r2", 'quo"te', "back\\slash", "two words", "new\nline", "a,b", "{x}", "é", "a=b", "R1"]
    posted = [{"alertname": "A", "run_id": value} for value in values] + [{"alertname": "A"}]
    body = json.dumps([{"labels": labels} for labels in posted]).encode()
    alertmanager.post("/api/v2/alerts", body, **{"Content-Type": "application/json"})
    services.wait_until(lambda: len(alertmanager.get("/api/v2/alerts")) == len(posted))
    filters = [
        *(written([Matcher("run_id", value)]) for value in values),
        *(written([Matcher("run_id", value, is_equal=False)]) for value in values),
        '{run_id=~"r[12]"}', '{run_id!~"r.*"}', '{run_id=~".*"}', '{run_id=""}', '{run_id!=""}', '{run_id=~"(?i)r1"}',
    ]  # fmt: skip
    for text in filters:
        [matcher] = parse(text)
        theirs = {
            one["labels"].get("run_id") for one in alertmanager.get("/api/v2/alerts", filter=str(matcher))
        }
        ours = {labels.get("run_id") for labels in posted if matches([matcher], labels)}
        assert theirs == ours, text
