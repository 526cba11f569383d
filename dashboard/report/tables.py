"""Numbers to take away: CSV files, each with a first line that says what it is, in which units and for when."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard.spreadsheet import tame


@dataclass(frozen=True, slots=True)
class Table:
    """One CSV file. Times in `frame` are UTC and its columns carry their units; `about` is what the first line says."""

    name: str  # of the file, without .csv
    frame: pd.DataFrame
    about: Mapping[str, Any] = field(default_factory=dict)

    def csv(self) -> str:
        """The file's text."""
        head = json.dumps({"table": self.name, **self.about, "times": "UTC"}, default=str)
        text: str = tamed(self.frame).to_csv(
            index=False, lineterminator="\n", date_format="%Y-%m-%dT%H:%M:%S.%fZ"
        )
        return f"# {head}\n{text}"


def tamed(frame: pd.DataFrame) -> pd.DataFrame:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it: names and labels come from outside."""
    columns = {name: frame[name].map(tame) for name in frame.columns if frame[name].dtype.kind not in "fiubM"}
    return frame.assign(**columns).rename(columns=tame) if columns else frame.rename(columns=tame)


def utc(moment: float | None) -> str | None:
    """A unix time as ISO 8601 in UTC, for a cell; None is not known."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """Write each table into a folder, made where missing.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        path = folder / f"{table.name}.csv"
        path.write_text(table.csv(), encoding="utf-8")
        written.append(path)
    return written


def zipped(page: str, tables: Sequence[Table]) -> bytes:
    """The document and its tables in one archive; the same content gives the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("report.html", page), *((f"{table.name}.csv", table.csv()) for table in tables)):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return out.getvalue()
