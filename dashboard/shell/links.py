"""Links between pages: they keep what the viewer chose, and change only what they are about."""

from pathlib import Path

import streamlit as st

from dashboard.shell import view

_PAGES = Path(__file__).resolve().parents[2] / "pages"


def to(page: str, label: str, *, icon: str | None = None, **query: str) -> None:
    """A link to pages/`page`.py with the current window, run and axis; `query` is added or replaces."""
    st.page_link(str(_PAGES / f"{page}.py"), label=label, icon=icon, query_params=view.address(**query))
