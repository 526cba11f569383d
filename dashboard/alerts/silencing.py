"""Writing to several replicas of Alertmanager: one that takes it is enough, they tell each other."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from collectors.alertmanager import Alertmanager
from collectors.unavailable import Unavailable
from dashboard.alerts.matchers import parse
from dashboard.store import Author, Store

_Done = TypeVar("_Done")


def in_turn(replicas: Sequence[Alertmanager], write: Callable[[Alertmanager], _Done]) -> _Done:
    """What the first replica that takes it answers; the others are asked only where it cannot be reached or refuses.

    Raises:
        Unavailable: no replica took it; every reason is in the message.
    """
    refused: list[Unavailable] = []
    for replica in replicas:
        try:
            return write(replica)
        except Unavailable as why:
            refused.append(why)
    if not refused:
        raise Unavailable(
            "No Alertmanager is configured.",
            advice="Set MOE_DASHBOARD_ALERTMANAGER_URL.",
            kind="not-configured",
        )
    last = refused[-1]
    raise Unavailable(" ".join(why.reason for why in refused), advice=last.advice, kind=last.kind)


def mute(
    replicas: Sequence[Alertmanager],
    store: Store,
    *,
    who: Author,
    alert: str,
    matchers: str,
    seconds: int,
    comment: str,
) -> str:
    """Silence what these matchers fit from now on, and write it into the audit log; the silence's id.

    Raises:
        MatcherError: the text is no matcher.
        Unavailable: no replica took it; or the store, after one did.
    """
    wanted, start = parse(matchers), time.time()
    made = in_turn(
        replicas,
        lambda replica: replica.create_silence(
            wanted, starts_at=start, ends_at=start + seconds, created_by=who.name, comment=comment
        ),
    )
    store.record(
        who=who, action="silence", subject=alert, silence=made, matchers=matchers, seconds=seconds, comment=comment
    )  # fmt: skip
    return made
