"""The three kinds of nothing on screen: a source that is off, an answer that is empty, an answer that is old."""

import streamlit as st

from collectors.unavailable import Unavailable
from dashboard.shell.text import ago, clock, plain


def unavailable(why: Unavailable) -> None:
    """A source cannot be read: the reason and what to do about it."""
    st.warning(f"{plain(why.reason)} {plain(why.advice)}".strip(), icon=":material/cloud_off:")


def empty(words: str) -> None:
    """The source answered, and there was nothing."""
    st.info(plain(words), icon=":material/inbox:")


def stale(why: Unavailable, looked_at: float | None, now: float, zone: str) -> None:
    """What is shown is the last good answer; since when, and why it is not newer."""
    st.warning(
        f"These are the last good values, from {clock(looked_at, zone)} ({ago(looked_at, now)}). {plain(why.reason)} {plain(why.advice)}",
        icon=":material/history:",
    )


def failed(reference: str) -> None:
    """Our own mistake: no traceback on screen, a reference to find it in the log."""
    st.error(
        f"This part of the page could not be drawn. The dashboard's log has the details under reference {reference}.",
        icon=":material/error:",
    )


def quiet(words: str) -> None:
    """Something that is missing and need not be: said once, in small letters."""
    st.caption(plain(words))
