"""What a page shows, as a test reads it."""

import re

from streamlit.testing.v1 import AppTest

# Text that must be shown letter for letter, whatever shows it.
HOSTILE = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) :red[x] :material/bug_report: $x^2$ **b** \u202eevil"


def unescaped(markdown: str) -> str:
    """Markdown without its backslashes and word joiners: the letters a person reads."""
    return re.sub(r"\\(.)", r"\1", markdown).replace("\u2060", "")


def words(app: AppTest) -> str:
    """Everything a page says in prose, as letters."""
    elements = [
        *app.markdown,
        *app.caption,
        *app.info,
        *app.warning,
        *app.error,
        *app.success,
        *app.text,
        *app.title,
    ]
    return "\n".join(unescaped(str(element.value)) for element in elements)
