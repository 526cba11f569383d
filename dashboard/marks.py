"""Marks that nobody sees and that change what a text seems to say: control, direction, zero width. They are written out.

For everything that shows text from outside, on a page or in a file. What a reader then needs beside it, escaping for
Markdown or HTML, is the business of who draws.
"""

import re

# Also halves of surrogate pairs, which no file and no browser takes.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: object) -> str:
    """The text with such marks as escapes: "\\u202e" in letters."""
    return _INVISIBLE.sub(lambda mark: f"\\u{ord(mark.group()):04x}", str(text))
