"""Reports of recorded runs, of a run whose every text is hostile, and the Chromium that opens them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.settings import Settings
from dashboard.sources import Sources
from dashboard.store import Store
from tests.verdict.recorded import RUNS

HOSTILE = (
    "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    "<svg onload=alert(1)> javascript:alert(1) \u202e\x1b[31m {{7*7}} 'quoted' \"twice\" <!-- ]]>"
)


@pytest.fixture
def hostile(tmp_path: Path) -> Settings:
    """A recorded run whose name, configuration, experts and log lines are hostile, with a note and an action like it."""
    folder = tmp_path / "runs" / "bad"
    shutil.copytree(RUNS / "nan", folder)
    about = json.loads((folder / "run.json").read_text())
    about |= {"run_id": "bad", "run_name": HOSTILE, "error": HOSTILE, "state": "failed", "git_sha": HOSTILE}
    about["config"][HOSTILE] = HOSTILE
    (folder / "run.json").write_text(json.dumps(about))
    written = (folder / "generations.jsonl").read_text()
    first = '"expert_utilization_ratio":{'
    renamed = written.replace(f'{first}"0":', f"{first}{json.dumps(HOSTILE)}:")
    assert renamed != written
    (folder / "generations.jsonl").write_text(renamed)
    times = [json.loads(line)["timestamp"] for line in written.splitlines()]
    error = {
        "event": HOSTILE,
        "level": "error",
        "timestamp": times[5],
        "run_id": "bad",
        "error_message": HOSTILE,
        HOSTILE: [HOSTILE],
    }
    (folder / "events.jsonl").write_text(json.dumps(error) + "\n")
    return Settings(
        data_dir=tmp_path / "data", runs_dir=tmp_path / "runs", dashboard_url=f"http://127.0.0.1:1/{HOSTILE}"
    )


@pytest.fixture
def sources(hostile: Settings) -> Iterator[Sources]:
    built = Sources(hostile)
    yield built
    built.feed.close()
    built.store.close()


@pytest.fixture
def store(hostile: Settings) -> Iterator[Store]:
    kept = Store(hostile.data_dir / "store.sqlite")
    yield kept
    kept.close()
