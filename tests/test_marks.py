"""What nobody sees and what changes the reading is written out, on pages and in files alike."""

import pytest

from dashboard.marks import visible
from dashboard.report.document import shown
from dashboard.shell.text import plain


@pytest.mark.parametrize(
    "mark", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x1b", "\x00", "\r", "\x9b", "\ud800"]
)
def test_a_mark_is_letters_wherever_outside_text_is_shown(mark: str):
    letters = f"\\u{ord(mark):04x}"
    assert visible(f"a{mark}b") == shown(f"a{mark}b") == f"a{letters}b"
    assert mark not in plain(f"a{mark}b")
    assert letters[1:] in plain(f"a{mark}b")
    visible(f"a{mark}b").encode()


@pytest.mark.parametrize("text", ["Zürich 東京 שלום", "two\nlines\tand a tab", "", "😀"])
def test_what_can_be_seen_stays_as_it_is(text: str):
    assert visible(text) == text
