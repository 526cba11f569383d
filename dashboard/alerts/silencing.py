"""Writing to several replicas of Alertmanager: one that takes it is enough, they tell each other."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from collectors.alertmanager import Alertmanager
from collectors.unavailable import Unavailable

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
