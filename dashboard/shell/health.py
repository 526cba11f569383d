"""Blocks of the Health page."""


def checks(_: object) -> None:
    """Being written."""


def targets(_: object) -> None:
    """Being written."""


def metrics(_: object) -> None:
    """Being written."""


def observer(_: object) -> None:
    """Being written."""
