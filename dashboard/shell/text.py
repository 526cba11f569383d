"""Text from outside becomes text on screen and nothing else: no Markdown, no HTML, no remote image, no script link."""

import re
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dashboard.catalogue.units import SECONDS
from dashboard.marks import visible as visible  # for table cells, st.text and st.code

# Every character Streamlit's Markdown gives a meaning to: emphasis, code, links, images, colours (:red[…]),
# maths ($…$), tables, headings, lists, HTML, autolinks and entities.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=@\"'])")
# What Streamlit replaces in the finished text, where no backslash protects it: icons (:material/x:), emoji (:x:),
# addresses (a@b.c, www.x), arrows and dashes. A word joiner inside is not seen and keeps the letters as they are.
_REPLACED = re.compile(
    r"(?<=:)(?=material/|(?!\d\d:)[\w+-]+:)|(?<=@)(?=\w)|(?<=www)(?=\.)|(?<=[<>~=-])(?=[>=-])", re.IGNORECASE
)


def short(text: object, most: int = 500) -> str:
    """Outside text as `visible` shows it, at most so many letters and how many more there are: for what may be huge."""
    words = str(text)
    more = len(words) - most
    return visible(words) if more <= 0 else f"{visible(words[:most])}… ({more:,} more letters)"


def plain(text: object, most: int = 2000) -> str:
    """Outside text for use inside Markdown, shown letter for letter; control and direction marks as visible escapes."""
    words = str(text)
    words = visible(words[:most]) + "…" if len(words) > most else visible(words)
    return _MARKDOWN.sub(r"\\\1", _REPLACED.sub("\u2060", words)).replace("\n", " ")


def is_link(url: str) -> bool:
    """Only http and https are links; javascript:, data: and the rest stay text."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def clock(moment: float | None, zone: str, *, seconds: bool = True) -> str:
    """A unix time as the viewer's clock shows it, e.g. "23 Nov 21:28:38"."""
    if moment is None:
        return "never"
    form = "%d %b %H:%M:%S" if seconds else "%d %b %H:%M"
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime(form)


def ago(moment: float | None, now: float) -> str:
    """How long ago, in words."""
    if moment is None:
        return "never"
    return "just now" if now - moment < 1 else f"{SECONDS.format(float(round(now - moment)))} ago"
