"""Which runbooks there are: the shipped pages, and the operator's folders that add to them and override them.

A page is found by its alert's name alone, and the name is checked before the disk is touched.
"""

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dashboard.runbooks.reader import HEADINGS, Runbook, read

SHIPPED = Path(__file__).parent / "pages"
MAX_BYTES = 1_000_000

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


class NoRunbook(LookupError):
    """There is no page of this name; the message says where one would be looked for."""


@dataclass(frozen=True, slots=True)
class Covered:
    """One alert and its page, for the coverage table. `runbook` is None where there is no page."""

    alert: str
    runbook: Runbook | None
    problems: tuple[str, ...]


def load(name: str, folders: Iterable[str | Path] = ()) -> Runbook:
    """The page of an alert: from the first of the operator's folders that has it, else the shipped one.

    Raises:
        NoRunbook: the name is no alert's name, there is no such page, or it cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise NoRunbook(f"{name[:70]!r} is not the name of an alert (a letter, then letters and digits).")
    for folder, site in _shelf(folders):
        path = folder / f"{name}.md"
        try:
            known = path.stat()
            if known.st_size > MAX_BYTES:
                raise NoRunbook(f"{path} has {known.st_size} bytes; a runbook has at most {MAX_BYTES}.")
            return _read(name, path, site, known.st_mtime_ns, known.st_size)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as why:
            raise NoRunbook(f"{path} cannot be read ({why}).") from why
    looked = ", ".join(str(folder) for folder, _ in _shelf(folders))
    raise NoRunbook(f"No page {name}.md in {looked}.")


def names(folders: Iterable[str | Path] = ()) -> tuple[str, ...]:
    """The names of all pages, sorted."""
    found = {
        path.stem
        for folder, _ in _shelf(folders)
        if folder.is_dir()
        for path in folder.glob("*.md")
        if _NAME.fullmatch(path.stem)
    }
    return tuple(sorted(found))


def coverage(
    alerts: Iterable[str], folders: Sequence[str | Path] = (), *, today: dt.date | None = None
) -> tuple[Covered, ...]:
    """A row for every alert and for every page without an alert, by name, with what is wrong with each.

    With `today`, a page that was last reviewed more than a year before is a problem too.
    """
    wanted = set(alerts)
    rows = []
    for name in sorted(wanted | set(names(folders))):
        try:
            runbook = load(name, folders)
        except NoRunbook as why:
            rows.append(Covered(name, None, (str(why),)))
            continue
        problems = list(runbook.problems)
        if name not in wanted:
            problems.append("no alert of this name")
        if today and (runbook.reviewed is None or (today - runbook.reviewed).days > 365):
            problems.append(f"last reviewed: {runbook.reviewed or 'never'}")
        rows.append(Covered(name, runbook, tuple(problems)))
    return tuple(rows)


def blank(name: str, *, expression: str = "", severity: str = "warning", component: str = "") -> str:
    """A page to copy for an alert that has none: its rule's own expression as the first check.

    Raises:
        ValueError: the name is no alert's name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:70]!r} is not the name of an alert (a letter, then letters and digits).")
    query = expression.strip() or f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    parts = {
        "Meaning": "What the alert says, in a sentence a tired person understands, and what it does not say.",
        "Impact": "Who or what suffers, how soon, and what still works.",
        "Diagnosis": "\n".join(
            (
                "- [ ] **Does it still hold?**",
                "",
                "  ```promql id=holds range=30m",
                *(f"  {line}" for line in query.splitlines()),
                "  ```",
                "",
                "  | value | verdict | means |",
                "  |---|---|---|",
                "  | `else` | bad | the condition still holds |",
                "  | `none` | ok | the condition no longer holds |",
            )
        ),
        "Mitigation": "- [ ] The quickest thing that helps, with the command to copy.",
        "Prevention": "What would have kept this from happening.",
    }
    front = f"---\nalert: {name}\ntitle: {name}\nseverity: {severity}\ncomponent: {component or 'unknown'}\nowner: your team\n---\n"
    return front + "".join(f"\n## {heading}\n\n{parts[heading]}\n" for heading in HEADINGS)


def _shelf(folders: Iterable[str | Path]) -> list[tuple[Path, bool]]:
    return [*((Path(folder).expanduser(), True) for folder in folders), (SHIPPED, False)]


@lru_cache(maxsize=256)
def _read(name: str, path: Path, site: bool, _changed_ns: int, _size: int) -> Runbook:  # noqa: FBT001  # private; the stamp is the cache's key
    return read(name, path.read_text(encoding="utf-8"), path=path, site=site)
