"""The things people say and do here, as they are kept. Times are unix seconds; knows no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, and from where: what the audit log keeps beside what was done."""

    name: str
    address: str = ""  # of the client, as far as the server knows; empty: not known
    session: str = ""  # a mark of the browser session, never its identifier
    account: str = (
        ""  # the login's own identifier; empty: nobody logged in, and the name is what somebody typed
    )


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has it. Not a silence; ends when the alert ends or somebody takes it back."""

    fingerprint: str
    alert: str
    who: str
    comment: str
    at: float
    ended_at: float | None
    ended_by: str | None  # a name, or None where the alert ended by itself


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote on an alert."""

    fingerprint: str
    alert: str
    who: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A step of a runbook that somebody did, in one episode of an alert."""

    episode: str
    step: str
    who: str
    note: str
    at: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """The run that others are measured against: pinned by one, for everybody."""

    run_id: str
    who: str
    at: float


@dataclass(frozen=True, slots=True)
class Action:
    """A line of the audit log."""

    id: int
    at: float
    who: str  # empty: nobody, the dashboard itself did it
    action: str
    subject: str
    detail: Mapping[str, Any]
    address: str = ""
    session: str = ""
    account: str = ""
