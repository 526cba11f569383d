"""Findings about the way alerts take: each in words, each only when it is so."""

from collectors.unavailable import Unavailable
from dashboard.alerts.pipeline import of_alertmanagers, of_prometheus, of_rules, of_targets

NOW = 1_795_418_440.0
DOG = {"name": "Watchdog", "state": "firing", "health": "ok"}


def group(*rules, evaluated="2026-11-23T07:20:40Z", interval=15):
    return {"name": "g", "interval": interval, "lastEvaluation": evaluated, "rules": list(rules)}


def kinds(findings):
    return [finding.kind for finding in findings]


def test_a_sound_pipeline_has_no_findings():
    assert of_rules([group(DOG)], NOW) == []
    assert of_targets([{"health": "up", "labels": {}}], NOW) == []
    assert of_alertmanagers([{"cluster": {"status": "ready", "peers": [1]}}], [{"alertname": "Watchdog"}], rules_fire=True) == []  # fmt: skip
    assert of_prometheus(None, configured=True, seconds_old=0.0) == []


def test_no_rules_means_an_empty_list_means_nothing():
    """VictoriaMetrics answers success and an empty list unless it knows its vmalert."""
    [finding] = of_rules([], NOW)
    assert (finding.kind, finding.level) == ("no-rules", "bad")
    assert of_rules([{"name": "recordings", "rules": []}], NOW)[0].kind == "no-rules"


def test_a_watchdog_that_does_not_bark():
    assert kinds(of_rules([group({**DOG, "state": "inactive"})], NOW)) == ["watchdog-missing"]
    assert kinds(of_rules([group({"name": "Other", "health": "ok"})], NOW)) == ["no-watchdog"]
    [started] = of_rules([group({**DOG, "state": "inactive", "health": "unknown"})], NOW)
    assert started.level == "warn"


def test_rules_that_fail_or_are_late():
    failing = {"name": "Broken", "health": "err", "lastError": "many-to-many matching not allowed"}
    [finding] = of_rules([group(DOG, failing)], NOW)
    assert "Broken" in finding.words
    assert "many-to-many" in finding.advice
    assert kinds(of_rules([group(DOG, evaluated="2026-11-23T07:19:00Z")], NOW)) == ["rules-late"]
    assert of_rules([group(DOG, evaluated="2026-11-23T07:20:00Z")], NOW) == []
    assert of_rules([group(DOG, evaluated="0001-01-01T00:00:00Z")], NOW) == []


def test_targets_that_are_down_are_named():
    down = {"health": "down", "labels": {"job": "moe-router", "instance": "r:9100"}, "lastError": "refused"}
    [finding] = of_targets([down, {"health": "up"}], NOW)
    assert "moe-router/r:9100" in finding.words
    assert "not resolved" in finding.words


def test_a_target_that_is_up_but_was_not_scraped_for_long_is_named():
    old = {"health": "up", "labels": {"job": "j", "instance": "i"}, "lastScrape": "2026-11-23T07:20:00.123456789Z", "scrapeInterval": "5s"}  # fmt: skip
    [finding] = of_targets([old], NOW)
    assert (finding.kind, finding.level) == ("scrape-old", "warn")
    assert "for up to 40 s: j/i" in finding.words
    assert of_targets([{**old, "scrapeInterval": "15s"}], NOW) == []
    assert of_targets([{**old, "lastScrape": "0001-01-01T00:00:00Z"}], NOW) == []
    assert kinds(of_targets([{**old, "health": "down"}], NOW)) == ["target-down"]


def test_replicas():
    gone = Unavailable("a refused the connection.", kind="refused")
    alone = {"cluster": {"status": "ready", "peers": [1]}}
    assert of_alertmanagers([gone], None, rules_fire=True)[0].level == "bad"
    assert [f.level for f in of_alertmanagers([gone, {"cluster": {"status": "disabled"}}], None, rules_fire=False)] == ["warn"]  # fmt: skip
    assert kinds(of_alertmanagers([alone, alone], None, rules_fire=False)) == ["alertmanager-cluster"] * 2
    assert kinds(of_alertmanagers([{"cluster": {"status": "settling"}}], None, rules_fire=False)) == ["alertmanager-cluster"]  # fmt: skip
    assert kinds(of_alertmanagers([{"cluster": {"status": "disabled"}}], [], rules_fire=True)) == ["watchdog-not-arrived"]  # fmt: skip


def test_prometheus_that_cannot_be_asked_has_an_age():
    why = Unavailable("http://p refused the connection.", advice="Is it running?")
    assert "from 42 s ago" in of_prometheus(why, configured=True, seconds_old=42.0)[0].words
    assert "ever read" in of_prometheus(why, configured=True, seconds_old=None)[0].words
