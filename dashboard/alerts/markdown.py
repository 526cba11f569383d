"""Text from outside as Markdown: plain, whatever it says."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")  # Markdown's, and Streamlit's colon and dollar
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def escape(text: str) -> str:
    """One line of Markdown that reads as `text`: no letter keeps a meaning, no new line begins."""
    return _SPECIAL.sub(r"\\\1", _CONTROL.sub(" ", text))
