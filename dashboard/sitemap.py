"""Which pages there are: Streamlit's main script, and one table that tests walk."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.shell import person
from dashboard.sources import current


@dataclass(frozen=True, slots=True)
class Entry:
    """A page: the script of that name in pages/, the title in the menu, its URL and its place in the menu."""

    script: str
    title: str
    url: str  # "" is the start page
    icon: str
    section: str


# Streamlit leaves more room around a page than a page of figures has.
STYLE = "<style>[data-testid=stMainBlockContainer] {padding: 2.5rem clamp(1rem, 3vw, 3rem) 4rem;}</style>"
ICON = (
    Path(__file__).with_name("shell") / "browser" / "icon.svg"
)  # a named icon would be fetched from a font server

ENTRIES = (
    Entry("overview", "Overview", "", ":material/monitoring:", "Now"),
    Entry("alerts", "Alerts", "alerts", ":material/notifications:", "Now"),
    Entry("runbooks", "Runbooks", "runbooks", ":material/menu_book:", "Now"),
    Entry("evolution", "Evolution", "evolution", ":material/trending_up:", "Run"),
    Entry("experts", "Experts", "experts", ":material/grid_on:", "Run"),
    Entry("training", "Training", "training", ":material/model_training:", "Run"),
    Entry("logs", "Logs", "logs", ":material/subject:", "Run"),
    Entry("traces", "Traces", "traces", ":material/account_tree:", "Run"),
    Entry("inference", "Inference", "inference", ":material/speed:", "Machine"),
    Entry("hardware", "Hardware", "hardware", ":material/memory:", "Machine"),
    Entry("benchmark", "Benchmark", "benchmark", ":material/timer:", "Machine"),
    Entry("health", "Health", "health-checks", ":material/health_and_safety:", "Machine"),
    Entry("audit", "Audit", "audit", ":material/history_edu:", "Machine"),
)


def script(entry: Entry) -> str:
    """The page's script, as Streamlit wants it."""
    return str(Path(__file__).resolve().parents[1] / "pages" / f"{entry.script}.py")


def main() -> None:
    """Draw the menu and run the chosen page."""
    st.set_page_config(page_title="MoE router dashboard", page_icon=str(ICON), layout="wide")
    st.html(STYLE)
    menu: dict[str, list[object]] = {}
    for entry in ENTRIES:
        menu.setdefault(entry.section, []).append(
            st.Page(
                script(entry),
                title=entry.title,
                icon=entry.icon,
                url_path=entry.url or None,
                default=not entry.url,
            )
        )
    chosen = st.navigation(menu)  # type: ignore[arg-type]  # lists of pages by section
    if person.login(current()):
        chosen.run()


if __name__ == "__main__":
    main()
