"""Choices of one page that stand in its address: a filter, a chosen alert, two runs to compare. The address alone holds them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import streamlit as st


def held(name: str) -> str:
    """What the address says; empty where it does not."""
    return st.query_params.get(name, "")


def hold(name: str, value: str) -> None:
    """Write it into the address; an empty value is taken out."""
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)


def several(name: str) -> tuple[str, ...]:
    """Every value of a parameter that may stand in the address more than once, each once."""
    return tuple(dict.fromkeys(filter(None, st.query_params.get_all(name))))


def hold_several(name: str, values: Sequence[str]) -> None:
    """Write them into the address, in order; none are taken out."""
    if values:
        st.query_params[name] = list(values)
    else:
        st.query_params.pop(name, None)


def select(
    label: str,
    options: Mapping[str, str],
    name: str,
    *,
    width: int | Literal["stretch"] = "stretch",
    why: str | None = None,
) -> str:
    """A selectbox over value → words. A value of the address that is no option is kept as one: it may have gone meanwhile."""
    shown = dict(options)
    asked = held(name)
    shown.setdefault(asked, asked)
    key = f"address-{name}"
    st.session_state[key] = asked
    st.selectbox(
        label, list(shown), format_func=lambda value: shown.get(value, value), key=key, width=width, help=why,
        on_change=lambda: hold(name, st.session_state[key]),
    )  # fmt: skip
    return asked


def text(
    label: str,
    name: str,
    *,
    placeholder: str = "any",
    width: int | Literal["stretch"] = "stretch",
    why: str | None = None,
) -> str:
    """A text field."""
    return str(
        st.text_input(label, key=name, bind="query-params", placeholder=placeholder, width=width, help=why)
        or ""
    )


def switch(label: str, name: str) -> bool:
    """An on-off choice; the address holds 1 or nothing."""
    key = f"address-{name}"
    st.session_state[key] = held(name) == "1"
    st.toggle(label, key=key, on_change=lambda: hold(name, "1" if st.session_state[key] else ""))
    return held(name) == "1"


def moment(label: str, name: str, zone: str, *, width: int = 220, why: str | None = None) -> float | None:
    """A time of the viewer's clock as unix seconds; None where none is chosen. The address holds epoch milliseconds."""
    key, viewer = f"address-{name}", ZoneInfo(zone)
    chosen = at(name)
    st.session_state[key] = (
        None if chosen is None else datetime.fromtimestamp(chosen, viewer).replace(tzinfo=None, microsecond=0)
    )

    def keep() -> None:
        typed = st.session_state[key]
        hold(name, "" if typed is None else str(round(typed.replace(tzinfo=viewer).timestamp() * 1000)))

    st.datetime_input(label, key=key, on_change=keep, step=60, width=width, help=why)
    return chosen


def page(name: str, pages: int) -> int:
    """The page of a long list that the address asks for: 1 to `pages`."""
    asked = held(name)
    return min(max(1, int(asked)), max(1, pages)) if asked.isdecimal() and len(asked) < 10 else 1


def pages(name: str, count: int, label: str) -> None:
    """A way to the other pages of a long list; nothing where there is one."""
    if count < 2:
        return
    shown = page(name, count)
    key = f"address-{name}-{count}-{shown}"  # another list, or a page the address chose, is another widget
    with st.container(key=f"pages-{name}", width="content"):
        st.caption(label, width="content")
        st.pagination(
            count,
            default=shown,
            key=key,
            on_change=lambda: hold(name, "" if st.session_state[key] == 1 else str(st.session_state[key])),
        )


def at(name: str) -> float | None:
    """The moment the address holds in unix seconds; None where it holds none, or nothing that is one."""
    try:
        seconds = int(held(name)) / 1000
        datetime.fromtimestamp(seconds, ZoneInfo("UTC"))
    except (ValueError, OverflowError, OSError):
        return None
    return seconds
