"""A server's writes without its pages: says each one and confirms it, again and again, until it is killed.

    python -m tests.faults.writer DATABASE DATA_DIR NUMBER [ALERTMANAGER_URL]

Prints `asked KIND KEY` before and `kept KIND KEY [what it got]` after each write, as a page shows its confirmation.
"""

import random
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from collectors.alertmanager import Alertmanager
from dashboard.alerts.silencing import mute
from dashboard.benchmark import spec
from dashboard.benchmark.directory import RunDirectory
from dashboard.benchmark.index import Index, RunSummary
from dashboard.store import Author, Store


def main(database: str, data: Path, number: str, alertmanager: str = "") -> None:
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(0)
    )  # as the server: an exception in the middle of whatever it does
    store = Store(database if "://" in database else Path(database))
    who = Author(f"w{number}", "127.0.0.1", "5e55")
    replicas = [Alertmanager(alertmanager)] if alertmanager else []
    chance = random.Random(number)
    at = 0

    def record() -> str:
        store.record(who=who, action="end silence", subject=key)
        return ""

    def silence() -> str:
        return mute(
            replicas, store, who=who, alert=key, matchers=f'alertname="{key}"', seconds=3600, comment=key
        )

    def index() -> str:
        now = datetime.now(UTC)
        Index(data / "index.sqlite").write(
            RunSummary(
                run_id=key, target="t", profile="quick", device="cpu", device_name="", owner=who.name, state="done", sentence="",
                created_at=now, started_at=now, ended_at=now, p50_seconds=0.1, samples_per_second=1.0, headline="h",
                spec_hash="s", env_key="e", failed_cells=0,
            )
        )  # fmt: skip
        return ""

    def benchmark() -> str:
        asked = spec.Spec(
            run_id=key, target="t", factory="p:f", profile=spec.PROFILES["quick"], device=spec.Device(kind="cpu"), cells=None,
            created_at=datetime.now(UTC).isoformat(), mark="m", lease_directory=str(data), working_directory=str(data),
        )  # fmt: skip
        RunDirectory(data / "benchmarks" / key).create(asked)
        store.record(who=who, action="start benchmark", subject=key)
        return ""

    writes = {
        "acknowledge": lambda: store.acknowledge(f"f{at % 3}", alert=key, who=who, comment=key) and "",
        "release": lambda: store.release(f"f{at % 3}", alert=key, who=who) or "",
        "note": lambda: store.note("f", alert="A", who=who, text=key) and "",
        "tick": lambda: store.tick(f"e{at % 3}", "step", who=who, note=key) and "",
        "untick": lambda: store.untick(f"e{at % 3}", "step", who=who) or "",
        "record": record,
        "index": index,
        "benchmark": benchmark,
        **({"silence": silence} if alertmanager else {}),
    }
    print("ready", flush=True)
    while True:
        kind = chance.choice([*writes])
        key = f"k{number}x{at}"
        print(f"asked {kind} {key}", flush=True)
        print(f"kept {kind} {key} {writes[kind]()}", flush=True)
        at += 1


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
