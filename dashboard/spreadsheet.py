"""Text that a spreadsheet would run as a formula, made harmless: names, labels and messages in a CSV come from outside."""

from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def tame(value: Any) -> Any:
    """Text that begins like a formula, with an apostrophe before it; numbers, also those written as text, as they are.

    -1.5 is a number, and -1+cmd|'/C calc'!A0 is not: it is the whole text that must be one.
    """
    if not (isinstance(value, str) and value.startswith(_FORMULA)):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
