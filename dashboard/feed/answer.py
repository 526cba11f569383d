"""What the feed hands to a page: a frame, how old it is, and why it may be old. Frozen and shared: never write into one."""

from dataclasses import dataclass, field

import pandas as pd

from collectors.prometheus import Sample
from collectors.unavailable import Unavailable


@dataclass(frozen=True, slots=True)
class Asked:
    """One query that an answer stands on, as it can be repeated by hand."""

    promql: str
    step_seconds: float | None  # None: an instant query
    samples: int  # numbers in the answer, holes not counted
    seconds: float  # how long the last fetch took
    warnings: tuple[str, ...] = ()


def no_frame() -> pd.DataFrame:
    """An empty frame of the right kind."""
    return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"), dtype="float64")


@dataclass(frozen=True, slots=True)
class Answer:
    """A panel's numbers.

    `frame` has a UTC DatetimeIndex and one float64 column per series, named by its legend; NaN is a hole.
    `labels[i]` belongs to column i. When the newest look failed, `unavailable` says why and the frame is the last
    good one, or empty. The same object is handed out until a number changes, so identity tells whether to redraw.
    """

    frame: pd.DataFrame = field(default_factory=no_frame)
    labels: tuple[dict[str, str], ...] = ()
    step_seconds: float = 0.0
    looked_at: float | None = None  # unix time of the last good look
    unavailable: Unavailable | None = None
    asked: tuple[Asked, ...] = ()

    @property
    def empty(self) -> bool:
        """No series, or nothing but holes."""
        return self.frame.shape[1] == 0 or bool(self.frame.isna().to_numpy().all())

    @property
    def stale(self) -> bool:
        """Something is shown although the newest look failed."""
        return self.unavailable is not None and self.frame.shape[1] > 0


@dataclass(frozen=True, slots=True)
class Reading:
    """An instant answer. When the newest look failed, the samples are the last good ones."""

    samples: tuple[Sample, ...] = ()
    looked_at: float | None = None
    unavailable: Unavailable | None = None
    asked: tuple[Asked, ...] = ()
