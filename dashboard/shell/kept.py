"""What was worked out once and is shared by all sessions: drawings and derived tables, by what they stand on.

The feed hands out the same object until a number changes, so identity tells whether the work must be done again. What
newer numbers have replaced is let go soon: a wall screen that draws a long run every five seconds must not grow with it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar, cast

_Made = TypeVar("_Made")
_MOST = 400
_MOST_OF_A_KIND = 8  # several runs and windows may be looked at, and sessions refresh at different moments

_lock = threading.Lock()
_kept: OrderedDict[tuple[object, ...], tuple[tuple[object, ...], object]] = OrderedDict()


def kept(key: tuple[object, ...], sources: tuple[object, ...], make: Callable[[], _Made]) -> _Made:
    """What `make` gives, made by the first session that asks.

    Args:
        key: what it is, and every option it depends on.
        sources: the objects it stands on, compared by identity. They are held with it, so that an id stays their own.
        make: called only where it is not known yet.
    """
    whole = (*key, *map(id, sources))
    with _lock:
        if whole in _kept:
            _kept.move_to_end(whole)
            return cast("_Made", _kept[whole][1])
    made = make()
    with _lock:
        _kept[whole] = (sources, made)
        alike = [one for one in _kept if one[: len(key)] == key and len(one) == len(whole)]
        for older in alike[:-_MOST_OF_A_KIND]:
            del _kept[older]
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
    return made
