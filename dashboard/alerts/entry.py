"""One alert as a person sees it, and the list of them. Pure: no source, no clock."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from collectors.alertmanager import Matcher, Silence
from collectors.unavailable import Unavailable
from dashboard.alerts import matchers as expressions
from dashboard.alerts.rules import Rule
from dashboard.store import Acknowledgement

State = Literal[
    "firing", "acknowledged", "pending", "inhibited", "silenced", "source gone", "unknown"
]  # fmt: skip
STATES: tuple[State, ...] = (
    "firing", "unknown", "source gone", "acknowledged", "pending", "inhibited", "silenced",
)  # fmt: skip
"""In the order in which they want attention."""

SEVERITIES = ("critical", "warning", "info", "none")


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert. Times are unix seconds; None is unknown.

    `state` is the one word for it. `said` is what each source calls it, where a person may want to see that they
    disagree: Prometheus after a restart says pending while Alertmanager still says active. `since` is when its
    condition became true, `fired_at` when it began to fire. `silenced` is None where no Alertmanager could be asked.
    """

    name: str
    state: State
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    fingerprint: str
    since: float | None = None
    fired_at: float | None = None
    value: float | None = None
    query: str = ""  # the rule's expression; "" where only Alertmanager knows the alert
    said: Mapping[str, str] = field(default_factory=dict)
    silenced: bool | None = None
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    acknowledgement: Acknowledgement | None = None
    note: str = ""  # why the state is what it is, where that is not plain

    @property
    def severity(self) -> str:
        """The rule's severity; "" where it has none."""
        return self.labels.get("severity", "")

    @property
    def episode(self) -> str:
        """The key of this occurrence, for ticks: the alert and when its condition became true."""
        return f"{self.fingerprint}@{round(self.since or self.fired_at or 0)}"

    def runbook(self, known: Collection[str]) -> str:
        """The name of its page: the one its runbook_url means where that is a known one, else the alert's own."""
        try:
            parts = urlsplit(self.annotations.get("runbook_url", ""))
        except ValueError:
            return self.name
        asked = parse_qs(parts.query).get("alert", [""])[0] or parts.path.rpartition("/")[2].removesuffix(
            ".md"
        )
        return asked if asked in known else self.name

    @property
    def active(self) -> bool:
        """Whether it is firing for somebody: silenced and acknowledged alerts fire too."""
        return self.state not in {"pending", "source gone"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the way alerts take, in words. `kind` is stable for tests and links."""

    kind: str
    level: Literal["bad", "warn", "info"]
    words: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class AlertList:
    """Everything known at one look.

    `prometheus_at` is the unix time of the last good look at Prometheus: where it lies behind `looked_at`, the
    entries are the last ones known and `unavailable` says why. `silences` is None where no Alertmanager answered.
    """

    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    looked_at: float
    prometheus_at: float | None
    silences: tuple[Silence, ...] | None
    unavailable: tuple[Unavailable, ...] = ()
    rules: tuple[Rule, ...] = ()  # the alerting rules, as Prometheus has them loaded

    @property
    def counts(self) -> dict[State, int]:
        """How many there are in each state, states without one left out. Alerts of severity none do not count."""
        counted = Counter(entry.state for entry in self.entries if entry.severity != "none")
        return {state: counted[state] for state in STATES if counted[state]}

    @property
    def quiet(self) -> bool:
        """Nothing fires, and that can be believed: the way alerts take is sound."""
        return not self.counts and not any(finding.level == "bad" for finding in self.findings)

    def chosen(
        self,
        filter_text: str = "",
        *,
        not_silenced: bool = False,
        not_acknowledged: bool = False,
        states: frozenset[str] = frozenset(),
    ) -> tuple[Entry, ...]:
        """The entries that pass a filter in Alertmanager's syntax and the one-click filters.

        Beside its labels an entry may be asked for `state`.

        Raises:
            MatcherError: the text is no filter.
        """
        wanted = expressions.parse(filter_text)
        return tuple(
            entry
            for entry in self.entries
            if not (not_silenced and (entry.silenced_by or entry.state == "silenced"))
            and not (not_acknowledged and entry.acknowledgement)
            and not (states and entry.state not in states)
            and _passes(wanted, entry)
        )

    def muted_by(self, wanted: tuple[Matcher, ...]) -> tuple[Entry, ...]:
        """What a silence with these matchers would mute now."""
        return tuple(entry for entry in self.entries if expressions.matches(wanted, entry.labels))


def _passes(wanted: tuple[Matcher, ...], entry: Entry) -> bool:
    labels = entry.labels if "state" in entry.labels else {**entry.labels, "state": entry.state}
    return expressions.matches(wanted, labels)


def attention(entry: Entry) -> tuple[int, int, float, str]:
    """Sort key: what wants attention first; within that by severity, then the newest."""
    severity = SEVERITIES.index(entry.severity) if entry.severity in SEVERITIES else len(SEVERITIES)
    return (STATES.index(entry.state), severity, -(entry.since or entry.fired_at or 0.0), entry.name)
