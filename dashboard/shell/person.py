"""Who writes, and whether anybody may: a name for everything that is kept, and the read-only switch."""

import streamlit as st

from dashboard.shell.text import plain
from dashboard.sources import Sources

MOST_CHARACTERS = 80
READ_ONLY = "This dashboard is read-only (MOE_DASHBOARD_READ_ONLY): nothing can be started or written here."


def may_write(sources: Sources) -> bool:
    """Whether this dashboard takes what people say; says so where it does not."""
    if sources.settings.read_only:
        st.caption(READ_ONLY)
        return False
    return True


def name(place: str) -> str:
    """Who is writing: of the login where there is one, else what the person calls themselves, asked once a session.

    `place` keeps the fields of several forms apart.
    """
    known = logged_in()
    if known:
        st.caption(plain(f"as {known}"))
        return known
    return str(
        st.text_input(
            "Your name", value=st.session_state.get("person", ""), key=f"person-{place}", max_chars=MOST_CHARACTERS, autocomplete="name",
            help="Kept with what you write, and shown to everybody.",
        )
        or ""
    ).strip()  # fmt: skip


def typed(place: str) -> str:
    """The name in that place's field, or of the login; may be empty."""
    return logged_in() or str(st.session_state.get(f"person-{place}", "")).strip()


def remember(who: str) -> None:
    """Fill the name in next time."""
    st.session_state["person"] = who


def logged_in() -> str:
    """The name of the login; empty without one."""
    if not getattr(st.user, "is_logged_in", False):
        return ""
    return str(st.user.get("email") or st.user.get("name") or "")
