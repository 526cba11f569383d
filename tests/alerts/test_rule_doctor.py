"""The rule doctor: it finds in the guide's rules what is wrong with them, in ours nothing, and each symptom only where it is."""

from pathlib import Path

import pytest

from dashboard.alerts import bounds, promql
from dashboard.alerts.rule_doctor import Known, Verdict, examine
from dashboard.alerts.rules import Rule, RuleFileError, from_file, from_prometheus, from_text
from dashboard.export.rules import rules as exported
from dashboard.runbooks import names
from dashboard.settings import Settings

PAGE = "https://moe.example.org/runbooks?alert=ExpertDead"
KNOWN = Known(runbooks=frozenset(names()), own_runbook_urls=("https://moe.example.org/runbooks",))

# The monitoring guide's six rules, letter for letter.
GUIDE = """
groups:
- name: evolution.rules
  rules:
  - alert: EvolutionStagnation
    expr: (evolution_fitness_best - evolution_fitness_best offset 10m) < 0.001
    for: 5m
    labels:
      severity: warning
    annotations:
      summary: "Evolution showing no improvement"
      description: "Best fitness has not improved in the last 10 minutes"

  - alert: LowPopulationDiversity
    expr: evolution_diversity_score < 0.1
    for: 2m
    labels:
      severity: warning
    annotations:
      summary: "Low population diversity detected"
      description: "Population diversity is {{ $value }}, indicating potential premature convergence"

  - alert: ExpertImbalance
    expr: expert_load_balance_variance > 0.5
    for: 5m
    labels:
      severity: warning
    annotations:
      summary: "Expert load imbalance detected"
      description: "Load variance across experts is {{ $value }}, indicating poor load balancing"

  - alert: HighInferenceLatency
    expr: histogram_quantile(0.95, inference_latency_seconds_bucket) > 0.1
    for: 1m
    labels:
      severity: critical
    annotations:
      summary: "High inference latency"
      description: "95th percentile inference latency is {{ $value }}s"

  - alert: GPUMemoryHigh
    expr: gpu_memory_usage_percent > 90
    for: 2m
    labels:
      severity: warning
    annotations:
      summary: "High GPU memory usage"
      description: "GPU memory usage is {{ $value }}%"

  - alert: ApplicationDown
    expr: up{job="moe-router"} == 0
    for: 1m
    labels:
      severity: critical
    annotations:
      summary: "MoE Router application is down"
      description: "The MoE Router application has been down for more than 1 minute"
"""


def _kinds(query: str, *, known: Known = KNOWN, kind: str = "alert", url: str = PAGE) -> set[str]:
    rule = Rule("A", "g", query, kind, annotations={"runbook_url": url} if url else {})
    [verdict] = examine([rule], known)
    return {symptom.kind for symptom in verdict.symptoms}


def test_the_guide_s_own_rules_are_seen_through():
    verdicts = {
        verdict.rule.name: verdict for verdict in examine(from_text(GUIDE), Known(job="terragon-moe"))
    }
    found = {name: {symptom.kind for symptom in verdict.symptoms} for name, verdict in verdicts.items()}
    assert found == {
        "EvolutionStagnation": {"offset-at-series-start", "restart-reads-as-no-gain", "finished-run", "nan-is-silent", "no-runbook"},
        "LowPopulationDiversity": {"finished-run", "start-of-a-run", "nan-is-silent", "no-runbook"},
        "ExpertImbalance": {"cannot-fire", "finished-run", "nan-is-silent", "no-runbook"},
        "HighInferenceLatency": {"bucket-without-rate", "no-runbook"},
        "GPUMemoryHigh": {"metric-not-of-the-guide", "no-runbook"},
        "ApplicationDown": {"other-job", "target-that-vanishes", "no-runbook"},
    }  # fmt: skip
    assert "0.25" in _words(verdicts["ExpertImbalance"], "cannot-fire")


def _words(verdict: Verdict, kind: str) -> str:
    return next(symptom.reason for symptom in verdict.symptoms if symptom.kind == kind)


@pytest.mark.parametrize("settings", [Settings(), Settings(job="other", dashboard_url="https://x.example")])
def test_our_own_rules_have_nothing(settings):
    known = Known(
        job=settings.job,
        runbooks=frozenset(names()),
        own_runbook_urls=(f"{settings.dashboard_url}/runbooks",),
    )
    for verdict in examine(from_text(exported(settings)), known):
        assert verdict.symptoms == (), verdict.rule.name


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("sum(", "does-not-parse"),
        ("evolution_fitness_bset > 1", "unknown-metric"),
        ("histogram_quantile(0.9, inference_latency_seconds_bucket) > 1", "bucket-without-rate"),
        ("histogram_quantile(0.9, sum by (le) (inference_latency_seconds_bucket)) > 1", "bucket-without-rate"),
        ("histogram_quantile(0.9, sum(rate(inference_latency_seconds_bucket[5m]))) > 1", "quantile-without-le"),
        ("histogram_quantile(0.9, sum without (le, job) (rate(inference_latency_seconds_bucket[5m]))) > 1", "quantile-without-le"),
        ("increase(evolution_generation_current[30m]) == 0", "rate-of-a-gauge"),
        ("rate(evolution_fitness_best[5m:1m]) > 0", "rate-of-a-gauge"),
        ("deriv(evolution_evaluations_total[5m]) < 0", "slope-of-a-counter"),
        ("(evolution_diversity_score < 0.2) + (evolution_fitness_best < 0.1) >= 2", "comparison-without-bool"),
        ("(up > 0) / 2 > 1", "comparison-without-bool"),
        ("expert_load_balance_variance > 0.5", "cannot-fire"),
        ("avg_over_time(expert_load_balance_variance[5m]) * 2 > 0.5", "cannot-fire"),
        ("max by (job) (gpu_utilization_percent) > 100", "cannot-fire"),
        ("gpu_memory_used_bytes < 0", "cannot-fire"),
        ("up == 2", "cannot-fire"),
        ("rate(evolution_evaluations_total[5m]) < 0", "cannot-fire"),
        ("expert_load_balance_variance > 0.5 and on (run_id) evolution_run_active == 1", "cannot-fire"),
        ("gpu_utilization_percent > 101 or cpu_utilization_percent > 200", "cannot-fire"),
        ("training_loss < 0.5", "finished-run"),
        ("evolution_diversity_score < 0.1", "start-of-a-run"),
        ("up{job=\"moe-router\"} == 0", "target-that-vanishes"),
        ("up{job=\"x\"} == 0", "other-job"),
    ],
)  # fmt: skip
def test_a_symptom_is_found(query, kind):
    assert kind in _kinds(query)


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("histogram_quantile(0.9, sum by (le, job) (rate(inference_latency_seconds_bucket[5m]))) > 1", "quantile-without-le"),
        ("histogram_quantile(0.9, sum without (job) (rate(inference_latency_seconds_bucket[5m]))) > 1", "quantile-without-le"),
        ("histogram_quantile(0.9, sum(rate(native[5m]))) > 1", "quantile-without-le"),
        ("changes(evolution_generation_current[30m]) == 0", "rate-of-a-gauge"),
        ("delta(evolution_fitness_best[5m]) < 0.1", "rate-of-a-gauge"),
        ("increase(evolution_evaluations_total[30m]) == 0", "rate-of-a-gauge"),
        ("increase(inference_latency_seconds_count[30m]) == 0", "rate-of-a-gauge"),
        ("(evolution_diversity_score < bool 0.2) + (evolution_fitness_best < bool 0.1) >= 2", "comparison-without-bool"),
        ("gpu_memory_used_bytes / (gpu_memory_total_bytes > 0) > 0.9", "comparison-without-bool"),
        ("expert_load_balance_variance > 0.2", "cannot-fire"),
        ("expert_load_balance_variance > 0.5 or gpu_utilization_percent > 50", "cannot-fire"),
        ("evolution_fitness_best > 100", "cannot-fire"),
        ("gpu_utilization_percent unless expert_load_balance_variance > 0.5", "cannot-fire"),
        ("training_loss < 0.5 and on (run_id) evolution_run_active == 1", "finished-run"),
        ("evolution_diversity_score < 0.1 and on (run_id) evolution_generation_current >= 1", "start-of-a-run"),
        ("up{job=\"moe-router\"} == 0 or absent(up{job=\"moe-router\"})", "target-that-vanishes"),
        ("up == 1", "target-that-vanishes"),
        ("(evolution_fitness_best - evolution_fitness_best offset 10m) > 5", "offset-at-series-start"),
    ],
)  # fmt: skip
def test_what_is_sound_is_left_alone(query, kind):
    assert kind not in _kinds(query)


def test_a_rule_that_looks_for_nan_speaks_for_all():
    blind = Rule("A", "g", "evolution_diversity_score < 0.1")
    seeing = Rule("B", "g", "evolution_diversity_score != evolution_diversity_score")
    [first, _] = examine([blind, seeing], KNOWN)
    assert "nan-is-silent" not in {symptom.kind for symptom in first.symptoms}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("", "no-runbook"),
        ("javascript:alert(1)", "dead-runbook"),
        ("/runbooks?alert=ExpertDead", "dead-runbook"),
        ("https://moe.example.org/runbooks?alert=NoSuchPage", "dead-runbook"),
        ("https://moe.example.org/runbooks/NoSuchPage.md", "dead-runbook"),
    ],
)
def test_a_runbook_that_is_missing_or_dead(url, kind):
    assert kind in _kinds("vector(1)", url=url)


@pytest.mark.parametrize("url", [PAGE, "https://wiki.example.org/anything", "https://moe.example.org/runbooks/ExpertDead.md"])  # fmt: skip
def test_a_runbook_that_is_there_or_elsewhere(url):
    assert _kinds("vector(1)", url=url) == set()


def test_what_prometheus_has_seen_counts_for_more_than_what_is_declared():
    query, seen = "somebody_elses_metric > 1", frozenset({"somebody_elses_metric"})
    assert "unknown-metric" in _kinds(query)
    assert _kinds(query, known=Known(seen=seen)) == set()
    assert _kinds("gpu_memory_usage_percent > 90", known=Known(seen=frozenset())) == {
        "metric-not-of-the-guide"
    }
    assert "never-seen" in _kinds("training_loss > 90", known=Known(seen=frozenset()))


def test_a_label_that_never_matches():
    known = Known(seen=frozenset({"up"}), matched=lambda selector: "moe-router" in selector)
    assert "label-never-matches" in _kinds('up{job="typo"} == 1', known=known)
    assert "label-never-matches" not in _kinds('up{job="moe-router"} == 1', known=known)
    assert "label-never-matches" not in _kinds('up{job=~"typo"} == 1', known=known)


def test_a_gauge_is_known_from_the_targets_own_word():
    known = Known(seen=frozenset({"queue_length"}), kinds={"queue_length": "gauge"})
    assert "rate-of-a-gauge" in _kinds("rate(queue_length[5m]) > 1", known=known)


def test_a_recording_may_name_what_it_will():
    rules = (
        Rule("a:b:rate5m", "g", "rate(inference_latency_seconds_count[5m])", "record"),
        Rule("A", "g", "a:b:rate5m > 1", annotations={"runbook_url": PAGE}),
    )
    assert all(verdict.healthy for verdict in examine(rules, KNOWN))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("groups: [", "not YAML"),
        ("- a", "no list called groups"),
        ("groups: [{name: g}]", "rules"),
        ("groups: [{name: g, rules: [{expr: up}]}]", "no alert or record"),
    ],
)
def test_a_file_that_is_no_rule_file_is_said(tmp_path: Path, text, words):
    (tmp_path / "rules.yml").write_text(text)
    with pytest.raises(RuleFileError, match=words):
        from_file(tmp_path / "rules.yml")
    with pytest.raises(RuleFileError, match="cannot be read"):
        from_file(tmp_path / "missing.yml")


def test_the_rules_of_prometheus_are_read():
    answer = [{"name": "g", "rules": [{"name": "A", "type": "alerting", "query": "up == 0", "labels": {"severity": "x"}, "annotations": {}, "lastError": "odd"}]}]  # fmt: skip
    [rule] = from_prometheus(answer)
    assert (rule.name, rule.kind, rule.query, rule.error) == ("A", "alert", "up == 0", "odd")
    assert "fails" in {symptom.kind for symptom in examine([rule], KNOWN)[0].symptoms}


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ("-3", -3, -3),
        ("expert_load_balance_variance * 4", 0, 1),
        ("1 - up", 0, 1),
        ("-up", -1, 0),
        ("abs(-up)", 0, 1),
        ("up > bool 3", 0, 1),
        ("gpu_utilization_percent / 100", 0, 1),
        ("up or gpu_utilization_percent", 0, 100),
        ("evolution_fitness_best", float("-inf"), float("inf")),
        ("sum(up)", float("-inf"), float("inf")),
    ],
)
def test_bounds_of_an_expression(query, low, high):
    assert bounds.of(promql.parse(query)) == (low, high)
