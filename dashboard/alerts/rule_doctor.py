"""The rule doctor: can this rule work, and if not, why not and what would help? One verdict a rule.

Looks at the PromQL tree and at what is known of metrics, labels and runbooks; what was never asked (`None` in `Known`)
is not held against a rule. Every symptom is one that Prometheus accepts without a word.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import promql_parser as p

from dashboard import catalogue
from dashboard.alerts import bounds, promql
from dashboard.alerts.promql import Node, Tree, bare
from dashboard.alerts.rules import Rule, recordings
from dashboard.catalogue import evolution, experts, monitoring, training
from dashboard.catalogue.spec import Metric

Level = Literal["bad", "warn"]

_RATES = {"rate", "irate", "increase"}
_SLOPES = {"delta", "idelta", "deriv", "predict_linear"}
_PARTS = ("_bucket", "_sum", "_count")
_COMPARISONS = {">", "<", ">=", "<=", "==", "!="}
_OF_RUNS = frozenset(
    metric.name for domain in (evolution, experts, training) for metric in domain.METRICS
) - {evolution.RUN_ACTIVE.name, evolution.RUN_STATE.name, evolution.RUN_INFO.name}
_GATES = frozenset(
    {evolution.RUN_ACTIVE.name, evolution.RUN_STATE.name}
    | {rule.name for rule in catalogue.RECORDINGS if rule.name.startswith("moe:run_")}
)


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing wrong with a rule: a stable word, the reason, and the fix."""

    kind: str
    level: Level
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the doctor says of one rule."""

    rule: Rule
    symptoms: tuple[Symptom, ...]

    @property
    def healthy(self) -> bool:
        """Nothing was found."""
        return not self.symptoms


@dataclass(frozen=True, slots=True)
class Known:
    """What the doctor may ask. `seen` and `matched` are None without a Prometheus."""

    job: str = "moe-router"
    runbooks: frozenset[str] | None = None  # names of the pages there are; None: not asked
    own_runbook_urls: tuple[str, ...] = ()  # prefixes of runbook URLs that mean pages of ours
    seen: frozenset[str] | None = None  # metric names Prometheus has
    matched: Callable[[str], bool] | None = None  # whether a selector finds any series
    kinds: Mapping[str, str] = field(default_factory=dict)  # type by metric name, as Prometheus's targets say


def examine(rules: Sequence[Rule], known: Known) -> tuple[Verdict, ...]:
    """A verdict for every rule, in the order given."""
    made = recordings(rules) | {rule.name for rule in catalogue.RECORDINGS}
    nan_is_seen = any(_sees_nan(rule.query) for rule in rules)
    return tuple(
        Verdict(rule, tuple(dict.fromkeys(_symptoms(rule, known, made, nan_is_seen=nan_is_seen))))
        for rule in rules
    )


def _symptoms(rule: Rule, known: Known, made: frozenset[str], *, nan_is_seen: bool) -> Iterator[Symptom]:
    try:
        tree = promql.parse(rule.query)
    except promql.PromQLError as why:
        yield Symptom(
            "does-not-parse",
            "bad",
            f"The expression is no PromQL: {why}.",
            "Correct it; Prometheus will not load it.",
        )
        return
    if rule.error:
        yield Symptom(
            "fails", "bad", f"Prometheus cannot evaluate it: {rule.error}.", "Correct the expression."
        )
    nodes = list(promql.walk(tree))
    selected = [(name, node) for node in promql.selectors(tree) if (name := promql.name(node.tree))]
    yield from _existence(selected, known, made, alerts=rule.kind == "alert")
    yield from _labels(selected, known)
    yield from _rates(selected, known)
    yield from _quantiles(nodes)
    yield from _arithmetic(nodes)
    yield from _reach(tree)
    if rule.kind == "alert":
        names = frozenset(name for name, _ in selected)
        yield from _over_a_run(nodes, names, nan_is_seen=nan_is_seen)
        yield from _targets(nodes, names)
        yield from _runbook(rule, known)


def _existence(
    selected: Sequence[tuple[str, Node]], known: Known, made: frozenset[str], *, alerts: bool
) -> Iterator[Symptom]:
    names = dict.fromkeys(name for name, _ in selected)
    alone = alerts and len(names) == 1
    for name in names:
        declared = _declared(name)
        if name in made or name in monitoring.FOREIGN:
            continue
        if known.seen is not None and name in known.seen:
            continue
        if declared is None:
            seen = (
                "and Prometheus has never seen it"
                if known.seen is not None
                else "and no Prometheus was asked"
            )
            yield Symptom(
                "unknown-metric", "bad", f"{name} is declared nowhere, {seen}: the rule can never fire.",
                "Correct the name, or declare the metric in the catalogue.",
            )  # fmt: skip
        elif alone and not declared.guide:
            seen = "Prometheus has never seen it" if known.seen is not None else "it is an addition of ours"
            yield Symptom(
                "metric-not-of-the-guide", "warn",
                f"{name} is the only metric of the rule and none of the guide's; {seen}: without our exporter the rule never fires.",
                "Run `moe-dashboard exporter` where it is measured, or add what your exporter says with `or`.",
            )  # fmt: skip
        elif alone and known.seen is not None:
            yield Symptom(
                "never-seen", "warn", f"{name} is the only metric of the rule, and Prometheus has never seen it.",
                "Is the router scraped, and does it say this metric? See `moe-dashboard doctor` under metrics.",
            )  # fmt: skip


def _labels(selected: Sequence[tuple[str, Node]], known: Known) -> Iterator[Symptom]:
    for name, node in selected:
        selector = node.tree
        assert isinstance(selector, p.VectorSelector)  # noqa: S101  # what `selectors` returns
        jobs = [one for one in selector.matchers.matchers if one.name == "job" and one.op == p.MatchOp.Equal]
        for matcher in jobs:
            if name == "up" and matcher.value != known.job:
                yield Symptom(
                    "other-job", "warn",
                    f'up{{job="{matcher.value}"}} is asked for, but the router\'s scrape job is {known.job!r} here.',
                    "Set the job label of the rule, or the setting `job`, to the scrape job's name.",
                )  # fmt: skip
        # a rare value is no mistake: only labels that are asked for by one whole value are held against the rule
        exact = [
            one
            for one in selector.matchers.matchers
            if one.op == p.MatchOp.Equal and one.value and one.name != "__name__"
        ]
        if known.matched is None or known.seen is None or name not in known.seen or not exact:
            continue
        wanted = ",".join(str(one) for one in exact)
        if not known.matched(f"{name}{{{wanted}}}"):
            yield Symptom(
                "label-never-matches", "bad", f"{name} is there, but never with {{{wanted}}}.",
                "Look at the labels the metric really has.",
            )  # fmt: skip


def _rates(selected: Sequence[tuple[str, Node]], known: Known) -> Iterator[Symptom]:
    for name, node in selected:
        kind = _kind(name, known)
        if node.call in _RATES and kind == "gauge":
            yield Symptom(
                "rate-of-a-gauge", "bad",
                f"{node.call}() of {name}, a gauge: every fall counts as a restart of a counter and adds.",
                "Use delta(), deriv() or changes() for a gauge.",
            )  # fmt: skip
        if node.call in _SLOPES and kind == "counter":
            yield Symptom(
                "slope-of-a-counter", "warn", f"{node.call}() of {name}, a counter: a restart reads as a fall.",
                "Use rate() or increase() for a counter.",
            )  # fmt: skip


def _quantiles(nodes: Sequence[Node]) -> Iterator[Symptom]:
    for node in nodes:
        call = node.tree
        if not isinstance(call, p.Call) or call.func.name != "histogram_quantile":
            continue
        inner = list(promql.walk(call.args[1]))
        buckets = [
            one
            for one in inner
            if isinstance(one.tree, p.VectorSelector) and (promql.name(one.tree) or "").endswith("_bucket")
        ]
        for bucket in buckets:
            if bucket.call not in _RATES:
                yield Symptom(
                    "bucket-without-rate", "bad",
                    f"The quantile is taken over {promql.name(bucket.tree)} since the process began: an outage hides behind healthy hours, and a bad hour sticks.",
                    "histogram_quantile(q, sum by (le) (rate(…_bucket[5m])))",
                )  # fmt: skip
        if buckets and any(
            isinstance(one.tree, p.AggregateExpr) and not _keeps_le(one.tree) for one in inner
        ):
            yield Symptom(
                "quantile-without-le", "bad",
                "The label le is lost before histogram_quantile sees it: the answer is always empty.",
                "Keep it: sum by (le) (…).",
            )  # fmt: skip


def _arithmetic(nodes: Sequence[Node]) -> Iterator[Symptom]:
    for node in nodes:
        tree = node.tree
        if not isinstance(tree, p.BinaryExpr) or promql.operator(tree) not in {"+", "-", "*", "/", "%", "^"}:
            continue
        # x / (y > 0) is the usual guard of a divisor and means what it says
        operands = [tree.lhs] if promql.operator(tree) == "/" else [tree.lhs, tree.rhs]
        if any(_is_filter(operand) for operand in operands):
            yield Symptom(
                "comparison-without-bool", "bad",
                "A comparison stands in arithmetic: it passes on the value, not 1 or 0, and nothing at all where it is false.",
                "Write `> bool`, or combine conditions with and/or.",
            )  # fmt: skip
            return


def _reach(tree: Tree) -> Iterator[Symptom]:
    comparison = bounds.impossible(tree)
    if comparison is None:
        return
    low, high = bounds.of(comparison.lhs)
    names = [name for node in promql.selectors(comparison.lhs) if (name := promql.name(node.tree))]
    why = next((words for name in names if (words := bounds.of_metric(name)[1])), "its bounds say so")
    yield Symptom(
        "cannot-fire", "bad",
        f"{comparison.prettify()} can never be true: the left side lies between {low:g} and {high:g} ({why}).",
        "Choose a bound that can be reached, or a measure without such a bound, e.g. the coefficient of variation.",
    )  # fmt: skip


def _over_a_run(nodes: Sequence[Node], names: frozenset[str], *, nan_is_seen: bool) -> Iterator[Symptom]:
    """A metric of a run has a beginning, restarts and an end, and a rule should know."""
    compared = [
        node.tree
        for node in nodes
        if isinstance(node.tree, p.BinaryExpr) and promql.operator(node.tree) in _COMPARISONS
    ]
    of_run = any(
        promql.name(inner.tree) in _OF_RUNS for tree in compared for inner in promql.selectors(tree.lhs)
    )
    guarded = any(isinstance(node.tree, p.Call) and node.tree.func.name == "resets" for node in nodes)
    for tree in compared:
        if promql.operator(tree) in {"<", "<="} and (seconds := _difference(tree.lhs)) and not guarded:
            yield Symptom(
                "offset-at-series-start", "bad",
                f"There is nothing to compare with for the first {seconds / 60:g} minutes of every new series, so what is stuck from birth fires late.",
                "Add a form that works from the start, e.g. a count of generations since the last improvement.",
            )  # fmt: skip
            yield Symptom(
                "restart-reads-as-no-gain", "bad",
                "A run that starts again lower under the same labels has a negative difference, however fast it improves; and one jitter upwards resets a plateau.",
                "Compare maxima over windows, and leave out restarts: unless resets(generation[…]) > 0.",
            )  # fmt: skip
    if of_run and not names & _GATES:
        yield Symptom(
            "finished-run", "warn",
            "Nothing asks whether the run still evolves: the last value of a finished run keeps the alert firing.",
            f"and on (job, instance, run_id) moe:run_evolving:bool, which stands on {evolution.RUN_ACTIVE}.",
        )  # fmt: skip
    if of_run and not nan_is_seen:
        yield Symptom(
            "nan-is-silent", "warn",
            "NaN compares false, so a run that diverged keeps this alert quiet, and no other rule looks for NaN.",
            f"Add a rule: x != x, and {evolution.NONFINITE} > 0.",
        )  # fmt: skip
    if evolution.GENERATION.name not in names and any(_low_gauge(tree) for tree in compared):
        yield Symptom(
            "start-of-a-run", "warn",
            "A gauge that was never set reads 0 in most client libraries, so the rule is true before the first generation.",
            f"and on (job, instance, run_id) {evolution.GENERATION} >= 1",
        )  # fmt: skip


def _targets(nodes: Sequence[Node], names: frozenset[str]) -> Iterator[Symptom]:
    if "up" not in names:
        return
    if any(_is_up_zero(node.tree) for node in nodes) and not any(
        isinstance(node.tree, p.Call) and node.tree.func.name == "absent" for node in nodes
    ):
        yield Symptom(
            "target-that-vanishes", "warn",
            "A target that leaves service discovery takes `up` with it: the alert resolves where it should fire.",
            "Add: or absent(up{…}).",
        )  # fmt: skip


def _runbook(rule: Rule, known: Known) -> Iterator[Symptom]:
    url = rule.annotations.get("runbook_url", "")
    if not url:
        there = known.runbooks is not None and rule.name in known.runbooks
        words = (
            f"There is a page {rule.name}, but nothing links to it."
            if there
            else "Nobody is told what to do."
        )
        yield Symptom(
            "no-runbook", "warn", f"The rule has no runbook_url. {words}",
            f"Add the annotation runbook_url, ending in {rule.name}.md or /runbooks?alert={rule.name}.",
        )  # fmt: skip
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"}:
        yield Symptom(
            "dead-runbook",
            "bad",
            f"runbook_url is no http or https link: {url[:100]!r}.",
            "Write the whole URL.",
        )
        return
    page = _page_of(url, known)
    if page is not None and known.runbooks is not None and page not in known.runbooks:
        yield Symptom(
            "dead-runbook", "bad", f"runbook_url means the page {page}, and there is none.",
            "Write the page (the Runbooks page has a template to copy), or correct the link.",
        )  # fmt: skip


def _page_of(url: str, known: Known) -> str | None:
    """The page of ours that a URL means; None where it leads elsewhere, which nobody follows."""
    if not any(prefix and url.startswith(prefix) for prefix in known.own_runbook_urls):
        return None
    asked = parse_qs(urlsplit(url).query).get("alert")
    return asked[0] if asked else urlsplit(url).path.rpartition("/")[2].removesuffix(".md")


def _sees_nan(query: str) -> bool:
    """Whether a rule is true for NaN: x != x, or a count of what is not finite."""
    try:
        tree = promql.parse(query)
    except promql.PromQLError:
        return False
    if any(promql.name(node.tree) == evolution.NONFINITE.name for node in promql.selectors(tree)):
        return True
    return any(
        isinstance(node.tree, p.BinaryExpr)
        and promql.operator(node.tree) == "!="
        and bare(node.tree.lhs).prettify() == bare(node.tree.rhs).prettify()
        for node in promql.walk(tree)
    )


def _declared(name: str) -> Metric | None:
    found = catalogue.BY_NAME.get(name)
    if found is not None:
        return found
    for part in _PARTS:
        stem = catalogue.BY_NAME.get(name.removesuffix(part))
        if name.endswith(part) and stem is not None and stem.kind == "histogram":
            return stem
    return None


def _kind(name: str, known: Known) -> str:
    declared = _declared(name)
    if declared is not None:
        return "counter" if declared.kind == "histogram" else declared.kind
    return known.kinds.get(name, "")


def _keeps_le(tree: p.AggregateExpr) -> bool:
    modifier = tree.modifier
    if modifier is None:
        return False
    by = modifier.type == p.AggModifierType.By
    return ("le" in modifier.labels) is by


def _is_filter(tree: Tree) -> bool:
    tree = bare(tree)
    return (
        isinstance(tree, p.BinaryExpr)
        and promql.operator(tree) in _COMPARISONS
        and not (tree.modifier and tree.modifier.return_bool)
        and not isinstance(bare(tree.lhs), p.NumberLiteral)
    )


def _difference(tree: Tree) -> float | None:
    """Seconds of the offset where the tree is x - x offset d; None where it is not."""
    tree = bare(tree)
    if not isinstance(tree, p.BinaryExpr) or promql.operator(tree) != "-":
        return None
    now, then = bare(tree.lhs), bare(tree.rhs)
    if not (isinstance(now, p.VectorSelector) and isinstance(then, p.VectorSelector)):
        return None
    if now.offset is not None or then.offset is None or promql.name(now) != promql.name(then):
        return None
    return float(then.offset.total_seconds())


def _is_up_zero(tree: Tree) -> bool:
    """up == 0"""
    if not isinstance(tree, p.BinaryExpr) or promql.operator(tree) != "==":
        return False
    left, right = bare(tree.lhs), bare(tree.rhs)
    return (
        isinstance(left, p.VectorSelector)
        and promql.name(left) == "up"
        and isinstance(right, p.NumberLiteral)
        and right.val == 0
    )


def _low_gauge(tree: p.BinaryExpr) -> bool:
    """x < c with a plain gauge of the evolution and c above 0."""
    left, right = bare(tree.lhs), bare(tree.rhs)
    return (
        promql.operator(tree) in {"<", "<="}
        and isinstance(left, p.VectorSelector)
        and promql.name(left) in {metric.name for metric in evolution.METRICS}
        and isinstance(right, p.NumberLiteral)
        and right.val > 0
    )
