"""Text from outside as Markdown: plain, whatever it says."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")  # Markdown's, and Streamlit's colon and dollar
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HIDDEN = re.compile(
    "[\x80-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)  # turns or hides what stands beside it


def escape(text: str) -> str:
    """One line of Markdown that reads as `text`: no letter keeps a meaning, no new line begins, nothing is hidden."""
    shown = _HIDDEN.sub(lambda mark: f"\\u{ord(mark.group()):04x}", _CONTROL.sub(" ", text))
    return _SPECIAL.sub(r"\\\1", shown)
