"""Blocks of the Alerts page."""


def filters(_: object) -> None:
    """Being written."""


def now(_: object) -> None:
    """Being written."""


def listed(_: object) -> None:
    """Being written."""


def history(_: object) -> None:
    """Being written."""
