"""`moe-dashboard doctor`: is this installation able to do its work? Configuration, sources, metrics, and a verdict per rule.

Exit status 1 when something is wrong. What is not configured is said and is no fault; a metric nobody exports is neither.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from collectors import health
from collectors.unavailable import Unavailable
from dashboard.alerts import rule_doctor
from dashboard.alerts.rules import Rule, RuleFileError, from_file, from_prometheus, from_text
from dashboard.export.rules import rules as exported
from dashboard.export.rules import runbook_url
from dashboard.feed import Availability, Window
from dashboard.runbooks import coverage, names
from dashboard.settings import PREFIX, Settings
from dashboard.sources import Sources

State = Literal["ok", "warn", "bad", "off"]
_MARKS = {"ok": "ok  ", "warn": "warn", "bad": "BAD ", "off": "off "}
_SEEN_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at. `off` is not configured, which is no fault."""

    what: str
    state: State
    words: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the doctor found."""

    configuration: tuple[tuple[str, str, str], ...]  # setting, value (secrets hidden), environment variable
    sources: tuple[Line, ...]
    metrics: tuple[Availability, ...]
    rules_from: str
    rules: tuple[rule_doctor.Verdict, ...]
    runbooks: tuple[Line, ...]

    @property
    def healthy(self) -> bool:
        """Nothing is wrong: what is configured answers, and every rule can work."""
        answers = all(line.state != "bad" for line in (*self.sources, *self.runbooks))
        return answers and all(verdict.healthy for verdict in self.rules)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor`."""
    about = "check configuration, sources, metrics and rules"
    parser = subparsers.add_parser("doctor", help=about, description=about)
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="examine this rule file; else the rules Prometheus has loaded, else ours",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Look and print; 1 where something is wrong."""
    try:
        report = examine(settings, rules_file=arguments.rules)
    except RuleFileError as why:
        print(f"moe-dashboard: {why}", file=sys.stderr)
        return 1
    print(json.dumps(_document(report), indent=2) if arguments.json else _text(report))
    return 0 if report.healthy else 1


def examine(settings: Settings, *, rules_file: Path | None = None) -> Report:
    """Look at everything.

    Raises:
        RuleFileError: the rule file cannot be read.
    """
    given = (
        from_file(rules_file) if rules_file else None
    )  # a wrong file is said before anything is waited for
    sources = Sources(settings)
    lines = list(_sources(sources))
    reachable = sources.prometheus is not None and not any(
        line.what == "Prometheus" and line.state == "bad" for line in lines
    )
    metrics: tuple[Availability, ...] = ()
    if reachable:
        metrics = sources.feed.availability()
    if given is None:
        verdicts, origin = examine_rules(sources, reachable=reachable)
    else:
        verdicts, origin = rule_doctor.examine(given, _known(sources, reachable=reachable)), str(rules_file)
    return Report(
        configuration=tuple(_configuration(settings)),
        sources=tuple(lines),
        metrics=metrics,
        rules_from=origin,
        rules=verdicts,
        runbooks=tuple(_runbooks(settings)),
    )


def examine_rules(sources: Sources, *, reachable: bool = True) -> tuple[tuple[rule_doctor.Verdict, ...], str]:
    """A verdict on each rule that Prometheus has loaded, else on each of ours; and where they are from, in words."""
    rules, origin = _rules(sources, reachable=reachable)
    return rule_doctor.examine(rules, _known(sources, reachable=reachable)), origin


def _configuration(settings: Settings) -> list[tuple[str, str, str]]:
    """The settings that differ from their defaults."""
    plain = Settings()
    found = []
    for knob in fields(settings):
        value = getattr(settings, knob.name)
        if value == getattr(plain, knob.name):
            continue
        shown = "(set)" if knob.metadata["secret"] else _without_password(str(value))
        found.append((knob.name, shown, PREFIX + knob.name.upper()))
    return found


def _sources(sources: Sources) -> list[Line]:
    settings = sources.settings
    lines = [_asked("Prometheus", sources.prometheus, _prometheus, "MOE_DASHBOARD_PROMETHEUS_URL")]
    lines += [
        _asked(f"Alertmanager {replica.url}", replica, _alertmanager, "") for replica in sources.alertmanagers
    ]
    if not sources.alertmanagers:
        lines.append(Line("Alertmanager", "off", "Not configured.", "Set MOE_DASHBOARD_ALERTMANAGER_URL."))
    lines.append(_asked("runs directory", sources.runs, _runs, "MOE_DASHBOARD_RUNS_DIR"))
    lines.append(
        _asked(
            "Loki",
            sources.loki,
            lambda loki: _done(lambda: loki.tail(limit=1), "answers a query."),
            "MOE_DASHBOARD_LOKI_URL",
        )
    )
    lines.append(_asked("trace store", sources.traces, _traces, "MOE_DASHBOARD_TRACE_URL"))
    lines += [_asked(f"health of {name}", url, _watched, "") for name, url in settings.health_urls.items()]
    if sources.prometheus is None and sources.runs is None:
        lines.append(
            Line(
                "numbers",
                "warn",
                "Neither Prometheus nor a runs directory is configured: every page will be empty.",
                "Set MOE_DASHBOARD_PROMETHEUS_URL or MOE_DASHBOARD_RUNS_DIR.",
            )
        )
    lines.append(
        _asked("store", sources.store, lambda store: _done(store.probe, f"{store.where} can be written."), "")
    )
    for folder in settings.runbooks_dirs:
        there = Path(folder).expanduser().is_dir()
        words = "is there." if there else "is no folder."
        lines.append(Line("runbooks", "ok" if there else "bad", f"{folder} {words}"))
    return lines


def _asked(what: str, source: Any, ask: Callable[[Any], str], variable: str) -> Line:
    if source is None:
        return Line(what, "off", "Not configured.", f"Set {variable}.")
    try:
        return Line(what, "ok", ask(source))
    except Unavailable as why:
        return Line(what, "bad", why.reason, why.advice)


def _prometheus(prometheus: Any) -> str:
    began = time.monotonic()
    prometheus.instant("vector(1)")
    seconds = time.monotonic() - began
    try:
        version = prometheus.buildinfo().get("version") or "of unknown version"
    except Unavailable:
        version = "of unknown version"
    return f"{prometheus.url}, version {version}, answered in {1000 * seconds:.0f} ms."


def _alertmanager(replica: Any) -> str:
    status = replica.status()
    version = (status.get("versionInfo") or {}).get("version", "of unknown version")
    cluster = status.get("cluster") or {}
    peers = len(cluster.get("peers") or ())
    return f"version {version}, cluster {cluster.get('status')}, {peers} peers."


def _runs(runs: Any) -> str:
    return f"{len(runs.runs())} runs in {runs.path}."


def _traces(traces: Any) -> str:
    looked = traces.search(Window.parse("now-1h", "now"), limit=1)
    if looked.unavailable is not None:
        raise looked.unavailable
    found = "has traces" if looked.value else "has no trace"
    return f"answers; it {found} of {traces.service} in the last hour."


def _watched(url: str) -> str:
    found = health.read(url)
    if found.state == "fail":
        raise Unavailable(f"It is not well, or says so: {found.said}", kind="unhealthy")
    return f"well{', with a warning: ' + found.said if found.state == 'warn' else ''} (HTTP {found.status})."


def _done(do: Callable[[], object], words: str) -> str:
    do()
    return words


def _rules(sources: Sources, *, reachable: bool) -> tuple[tuple[Rule, ...], str]:
    """The rules Prometheus has loaded; ours where it has none or there is no Prometheus."""
    if reachable and sources.prometheus is not None:
        try:
            loaded = from_prometheus(sources.prometheus.rules())
        except Unavailable:
            loaded = ()
        if loaded:
            return loaded, f"loaded in {sources.prometheus.url}"
    return from_text(exported(sources.settings)), "the catalogue"


def _known(sources: Sources, *, reachable: bool) -> rule_doctor.Known:
    settings, prometheus = sources.settings, sources.prometheus
    prefixes = (
        f"{settings.dashboard_url.rstrip('/')}/runbooks",
        runbook_url("", settings).removesuffix(".md"),
    )
    offline = rule_doctor.Known(
        job=settings.job,
        runbooks=frozenset(names(settings.runbooks_dirs)),
        own_runbook_urls=tuple(dict.fromkeys(prefix.partition("?")[0] for prefix in prefixes)),
    )
    if not reachable or prometheus is None:
        return offline
    now = time.time()
    try:
        seen = frozenset(prometheus.label_values("__name__", (), now - _SEEN_SECONDS, now))
        kinds = {
            name: str(items[0].get("type", "")) for name, items in prometheus.metadata().items() if items
        }
    except Unavailable:
        return offline

    def matched(selector: str) -> bool:
        try:
            return bool(prometheus.series([selector], now - _SEEN_SECONDS, now))
        except Unavailable:
            return True  # not asked is not held against a rule

    return rule_doctor.Known(
        job=offline.job,
        runbooks=offline.runbooks,
        own_runbook_urls=offline.own_runbook_urls,
        seen=seen,
        matched=matched,
        kinds=kinds,
    )


def _runbooks(settings: Settings) -> list[Line]:
    """The operator's own pages that have something to mend; the shipped ones are tested."""
    return [
        Line(f"runbook {row.alert}", "warn", "; ".join(row.problems))
        for row in coverage(names(settings.runbooks_dirs), settings.runbooks_dirs)
        if row.problems
    ]


def _without_password(text: str) -> str:
    """A URL's password is a secret wherever it stands."""
    try:
        password = urlsplit(text).password
    except ValueError:
        return text
    return text.replace(f":{password}@", ":…@") if password else text


def _text(report: Report) -> str:
    lines = ["Configuration (what differs from the defaults)"]
    lines += [f"  {name} = {value}" for name, value, _ in report.configuration] or ["  nothing"]
    lines += ["", "Sources", *_lines(report.sources)]
    if report.metrics:
        there = [one for one in report.metrics if one.state == "present"]
        lines += ["", f"Metrics: {len(there)} of {len(report.metrics)} of the catalogue are there"]
        for state, words in (("gone", "gone"), ("never", "never seen"), ("unknown", "unknown")):
            missing = [one.metric.name for one in report.metrics if one.state == state]
            if missing:
                lines.append(f"  {words}: {', '.join(missing)}")
    lines += ["", f"Rules ({report.rules_from})"]
    sound = sum(verdict.healthy for verdict in report.rules)
    lines.append(f"  {sound} of {len(report.rules)} rules are sound")
    for verdict in report.rules:
        if verdict.symptoms:
            lines.append(f"  {verdict.rule.name}")
            for symptom in verdict.symptoms:
                lines.append(f"    {_MARKS[symptom.level]} {symptom.kind}: {symptom.reason}")
                lines.append(f"         {symptom.fix}")
    if report.runbooks:
        lines += ["", "Runbooks", *_lines(report.runbooks)]
    lines += ["", "Nothing is wrong." if report.healthy else "Something is wrong: see above."]
    return "\n".join(lines)


def _lines(lines: Sequence[Line]) -> list[str]:
    return [
        f"  {_MARKS[line.state]} {line.what}: {line.words}{' ' + line.advice if line.advice else ''}"
        for line in lines
    ]


def _document(report: Report) -> dict[str, Any]:
    return {
        "healthy": report.healthy,
        "configuration": {name: value for name, value, _ in report.configuration},
        "sources": [asdict(line) for line in report.sources],
        "metrics": [
            {
                "name": one.metric.name,
                "state": one.state,
                "series": one.series,
                "jobs": list(one.jobs),
                "last_seen": one.last_seen,
                "stand_in": one.stand_in,
                "note": one.note,
            }
            for one in report.metrics
        ],
        "rules_from": report.rules_from,
        "rules": [
            {
                "name": verdict.rule.name,
                "group": verdict.rule.group,
                "kind": verdict.rule.kind,
                "healthy": verdict.healthy,
                "symptoms": [asdict(symptom) for symptom in verdict.symptoms],
            }
            for verdict in report.rules
        ],
        "runbooks": [asdict(line) for line in report.runbooks],
    }
