"""Everything that only a GPU can answer, in one command: `python -m tests.benchmark.gpu_job -o FOLDER [--device cpu] [--minutes 8]`.

Needs torch, numpy, pynvml and this repository; triton and transformers are compared with where they are installed. It writes
one JSON file for each of six parts, what the machine is, and `table.md`: eight files. A part that fails or for which no time
is left says so in its file and in the table; nothing in either was not measured by the command that wrote it. With
`--device cpu` the same code runs at small sizes and what needs a GPU says "needs a GPU".
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

NEEDS_GPU = "needs a GPU"


@dataclass(frozen=True)
class Ask:
    """What every part is told."""

    kind: str  # "cuda" or "cpu"
    folder: Path
    until: float  # CLOCK_MONOTONIC
    launches: int  # of each arm

    @property
    def left(self) -> float:
        return self.until - time.monotonic()

    @property
    def seconds(self) -> float:
        """For one pass of one cell."""
        return 0.5 if self.kind == "cuda" else 0.05


Part = dict[str, Any]


# --- 1: what NVML answers


def census(ask: Ask) -> Part:
    """Every getter that takes the device alone, and those we use with their argument: answer or return code, and its cost."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    except pynvml.NVMLError as why:
        return {"missing": f"{NEEDS_GPU}: NVML does not answer ({why})"}
    with_argument = {
        "nvmlDeviceGetClockInfo": pynvml.NVML_CLOCK_SM,
        "nvmlDeviceGetMaxClockInfo": pynvml.NVML_CLOCK_SM,
        "nvmlDeviceGetApplicationsClock": pynvml.NVML_CLOCK_SM,
        "nvmlDeviceGetTemperature": pynvml.NVML_TEMPERATURE_GPU,
        "nvmlDeviceGetPcieThroughput": pynvml.NVML_PCIE_UTIL_TX_BYTES,
    }
    answers: dict[str, Any] = {}
    for name in sorted(n for n in dir(pynvml) if n.startswith("nvmlDeviceGet") and "HandleBy" not in n):
        getter = getattr(pynvml, name)
        arguments = (handle, with_argument[name]) if name in with_argument else (handle,)
        began = time.perf_counter()
        try:
            said: Any = getter(*arguments)
        except pynvml.NVMLError as why:
            answers[name] = {"return_code": why.value, "says": str(why)}
            continue
        except TypeError:
            continue  # it wants more than the device
        except Exception as why:
            answers[name] = {"binding": f"{type(why).__name__}: {why}"[:200]}
            continue
        first = time.perf_counter() - began
        costs = []
        for _ in range(5 if first > 0.001 else 50):
            began = time.perf_counter()
            getter(*arguments)
            costs.append(time.perf_counter() - began)
        answers[name] = {"value": _shown(said), "median_us": round(1e6 * float(np.median(costs)), 2),
                         "worst_us": round(1e6 * max(costs), 2), "first_us": round(1e6 * first, 2)}  # fmt: skip
    return {"driver": str(pynvml.nvmlSystemGetDriverVersion()), "answers": answers}


def _shown(value: Any) -> Any:
    if isinstance(value, (int, float, str)) or value is None:
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    fields = [name for name, *_ in getattr(value, "_fields_", [])]
    if fields:
        return {name: _shown(getattr(value, name)) for name in fields}
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else str(value)[:100]


def census_table(found: Part) -> list[str]:
    answers = found["answers"]
    known = {n: a for n, a in answers.items() if "median_us" in a}
    slow = sorted((a["median_us"], n) for n, a in known.items() if a["median_us"] > 1000)
    return [
        f"Driver {found['driver']}: {len(known)} getters answer, {len(answers) - len(known)} do not.",
        "Slower than 1 ms: " + (", ".join(f"{n} {us / 1000:.1f} ms" for us, n in slow) or "none") + ".",
    ]


# --- 2: launches of their own, in the order A B I A B I …


def launches(ask: Ask) -> Part:
    """Processes with equal code (two arms, A and B) and with a really injected 3 % in one cell, one after the other."""
    environment = dict(os.environ)
    if ask.kind == "cpu":  # as a run's worker: one thread is the most comparable
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    found: list[Part] = []
    longest = 0.0
    planned = [arm for _ in range(ask.launches) for arm in ("A", "B", "injected")]
    planned += ["A"] * max(0, 20 - len(planned)) if ask.kind == "cuda" else []
    for arm in planned:
        if ask.left < 1.2 * longest:
            break
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.benchmark.gpu_launch", "--device", ask.kind,
                   "--seconds", str(ask.seconds), "--inject", "0.03" if arm == "injected" else "0"]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, env=environment
        )
        if done.returncode != 0:
            raise RuntimeError(f"a launch ended with exit code {done.returncode}: {done.stderr[-800:]}")
        longest = max(longest, time.monotonic() - began)
        found.append(
            {"arm": arm, "seconds": time.monotonic() - began, **json.loads(done.stdout.splitlines()[-1])}
        )
    spread = {
        name: _sigma([one["canary"][name]["p50_seconds"] for one in found]) for name in found[0]["canary"]
    }
    for key in found[0]["cells"]:
        spread[key] = _sigma([one["cells"][key]["p50_seconds"] for one in found if one["arm"] != "injected"])
    return {"planned": len(planned), "launches": found, "between_launches": spread}


def _sigma(seconds: list[float]) -> Part:
    """Standard deviation of the logarithms; nothing can be said of a single one."""
    return {
        "launches": len(seconds),
        "sigma": float(np.std(np.log(seconds), ddof=1)) if len(seconds) > 1 else None,
    }


def launches_table(found: Part) -> list[str]:
    lines = [f"{len(found['launches'])} of {found['planned']} planned launches.", "", "| | launches | σ between launches |", "|---|---|---|"]  # fmt: skip
    for name, one in found["between_launches"].items():
        sigma = "–" if one["sigma"] is None else f"{one['sigma']:.2%}"
        lines.append(f"| {name} | {one['launches']} | {sigma} |")
    return lines


def judged(ask: Ask) -> Part:
    """What the comparison says of those launches: A against B, and A against the injected arm."""
    from dashboard.benchmark import comparison

    path = ask.folder / "launches.json"
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "launches" not in measured:
        return {"missing": "there are no launches to judge"}
    arms = {arm: _report([one for one in measured["launches"] if one["arm"] == arm]) for arm in ("A", "B", "injected")}  # fmt: skip
    if min(len(arm["launches"]) for arm in arms.values()) < 2:
        return {"missing": "fewer than two launches of an arm were measured"}
    found: Part = {}
    for name, other in (("A/A", "B"), ("3 % injected", "injected")):
        compared = comparison.compare(arms["A"], arms[other])
        found[name] = {
            "sentence": compared.sentence,
            "cells": [{"cell": v.key, "word": v.word, "ratio": v.ratio, "low": v.low, "high": v.high} for v in compared.verdicts],
        }  # fmt: skip
    return found


def _report(several: list[Part]) -> Part:
    """The part of a run's report that a comparison reads."""
    return {
        "target": "gpu job", "spec_hash": "same", "environment": {},
        "launches": [
            {"launch": i, "canary_seconds": {name: said["p50_seconds"] for name, said in one["canary"].items()}}
            for i, one in enumerate(several)
        ],
        "cells": [
            {"key": key, "params": {}, "status": "ok", "reason": "", "clock": several[0]["clock"], "preempted_share": None,
             "launches": [{"launch": i, "p50_seconds": one["cells"][key]["p50_seconds"]} for i, one in enumerate(several)]}
            for key in (several[0]["cells"] if several else ())
        ],
    }  # fmt: skip


def judged_table(found: Part) -> list[str]:
    lines = ["| compared | cell | said | ratio (99 %) |", "|---|---|---|---|"]
    for name, one in found.items():
        for cell in one["cells"]:
            ratio = "–" if cell["ratio"] is None else f"{cell['ratio']:.4f}"
            if cell["low"] is not None and cell["high"] is not None:
                ratio += f" ({cell['low']:.4f} to {cell['high']:.4f})"
            lines.append(f"| {name} | {cell['cell']} | {cell['word']} | {ratio} |")
    return [*lines, "", *(f"{name}: {one['sentence']}" for name, one in found.items())]


# --- the command


def parts() -> dict[str, tuple[Callable[[Ask], Part], Callable[[Part], list[str]], str, float]]:
    """File name → what measures it, what says it, its heading, and its share of the time that is left."""
    from tests.benchmark import gpu_drill, gpu_layers

    return {
        "nvml": (census, census_table, "What NVML answers", 0.1),
        "agreement": (gpu_layers.agreement, gpu_layers.agreement_table, "Agreement with other stopwatches", 0.25),
        "drill": (gpu_drill.drill, gpu_drill.drill_table, "Cancel, out of memory, crash", 0.25),
        "layers": (gpu_layers.layers, gpu_layers.layers_table, "The reference MoE layer", 0.5),
        "launches": (launches, launches_table, "Noise between launches", 0.95),
        "judged": (judged, judged_table, "Equal code, and a real 3 %", 1.0),
    }  # fmt: skip


def machine(kind: str) -> Part:
    import torch

    about: Part = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cpus": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "device": "cpu",
    }
    for name in ("triton", "transformers", "pynvml"):
        try:
            about[name] = getattr(__import__(name), "__version__", "installed")
        except ImportError:
            about[name] = None
    if kind == "cuda":
        about["device"] = torch.cuda.get_device_name(0)
    return about


def main() -> int:
    """Run the parts, write the files; exit status 1 where a part raised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--launches", type=int, default=5, help="of each of the three arms")
    parser.add_argument("--only", default="", help="names of parts, separated by commas")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    end = began + 60 * given.minutes
    about = machine(given.device)
    wanted = given.only.split(",") if given.only else list(parts())
    lines = [f"`python -m tests.benchmark.gpu_job {' '.join(sys.argv[1:])}`, {about['date']}, {about['device']}, torch {about['torch']},",
             f"triton {about['triton']}, transformers {about['transformers']}, load {about['load_average'][0]:.1f}.", ""]  # fmt: skip
    raised = 0
    for name, (measure, say, heading, share) in parts().items():
        if name not in wanted:
            continue
        started = time.monotonic()
        if end - started < 5 and measure is not judged:
            found: Part = {"missing": "not run: no time was left"}
        else:
            try:
                found = measure(
                    Ask(given.device, given.output, started + share * (end - started), given.launches)
                )
            except Exception as why:
                raised += 1
                found = {"missing": f"{type(why).__name__}: {why}"[:500], "traceback": traceback.format_exc()}
        (given.output / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        said = [found["missing"]] if "missing" in found else say(found)
        lines += [f"## {heading}", "", *said, "", f"({time.monotonic() - started:.0f} s)", ""]
        print(f"{name}: {found.get('missing', 'measured')} ({time.monotonic() - started:.0f} s)", flush=True)
        (given.output / "table.md").write_text(
            "\n".join(lines), encoding="utf-8"
        )  # whatever happens to the next part
    about["seconds"] = round(time.monotonic() - began, 1)
    (given.output / "machine.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return 1 if raised else 0


if __name__ == "__main__":
    sys.exit(main())
