"""Blocks of the Runbooks page."""


def choose(_: object) -> None:
    """Being written."""


def read(_: object) -> None:
    """Being written."""
