"""The GPU job's timings: our stopwatch beside others', and the reference layer against the rates of the same process."""

import time
from typing import Any

import numpy as np
import torch

from dashboard.benchmark.canary import Canary
from dashboard.benchmark.reference_moe import Shape
from tests.benchmark.gpu_launch import busy, dtype_of, measured, open_device, workload

NEEDS_GPU = "needs a GPU"
_COPIED_AT_MOST = 8 * 2**30  # what transformers' batched_mm may copy of weights

MIXTRAL = Shape(model_size=4096, expert_size=14336, experts=8, top_k=2)
QWEN3_30B = Shape(model_size=2048, expert_size=768, experts=128, top_k=8)
OLMOE = Shape(model_size=2048, expert_size=1024, experts=64, top_k=8)
SMALL = Shape(model_size=64, expert_size=128, experts=8, top_k=2)
SHAPES: dict[str, tuple[tuple[str, Shape, int], ...]] = {
    "cuda": (
        *(("Mixtral", MIXTRAL, tokens) for tokens in (32_768, 8_192, 1_024, 64)),
        *(("Qwen3-30B-A3B", QWEN3_30B, tokens) for tokens in (32_768, 8_192, 1_024, 64, 1)),
        *(("OLMoE", OLMOE, tokens) for tokens in (32_768, 1_024, 64)),
    ),
    "cpu": (("small", SMALL, 256), ("small", SMALL, 4)),
}


def agreement(ask: Any) -> dict[str, Any]:
    """The same callables under other stopwatches, kernels of known length, and the sampler on and off."""
    if ask.kind == "cpu":
        from tests.benchmark import agreement as on_cpu

        rows = [on_cpu.compare(*one, seconds=min(2.0, ask.left / 4)) for one in on_cpu.workloads()[:3]]
        return {
            "rows": [{"workload": r.name, "against": "torch Timer", "theirs": r.theirs, "ratio": r.ratio} for r in rows],
            "known": _known(ask, [0.001, 0.002, 0.004]),
            "sampler": {"missing": f"{NEEDS_GPU}: the sampler watches one"},
        }  # fmt: skip
    device = open_device("cuda")
    calls: list[tuple[str, Any, Any]] = []
    for side in (1024, 2048, 4096, 8192):
        left, right = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in "ab")
        calls.append((f"matrix product {side} bf16", lambda x, right=right: x @ right, left))
    calls += [(f"exp of {n}", torch.exp, torch.randn(n, device="cuda")) for n in (2**20, 2**26)]
    for tokens in (64, 4096):
        work = workload(QWEN3_30B, tokens, "cuda")
        calls.append((f"Qwen3-30B-A3B layer, {tokens} tokens", work.call, work.make_input(0)))
    rows: list[dict[str, Any]] = []
    for name, call, given in calls:
        rounds: dict[str, list[float]] = {}
        ours = 0.0
        for _ in range(3):  # in turns, so that a drift of the clocks hits all of them
            timing = measured(call, [given], device, 0.4)
            ours = float(np.median(timing.primary))
            for other, seconds in _others(call, given).items():
                mine = ours if other.startswith("triton") else 1 / timing.calls_per_second
                rounds.setdefault(other, []).append(mine / seconds)
        rows += [{"workload": name, "against": o, "theirs": ours / float(np.median(r)), "ratio": float(np.median(r))} for o, r in rounds.items()]  # fmt: skip
    return {
        "rows": rows,
        "known": _known(ask, [0.0002, 0.001, 0.005]),
        "sampler": _sampler(ask, device, calls),
    }


def _others(call: Any, given: Any) -> dict[str, float]:
    """Seconds a call by what is installed; triton flushes the L2 as we do, Timer's calls follow one another as in our
    throughput pass."""
    from torch.utils.benchmark import Timer

    timer = Timer("call(given)", globals={"call": call, "given": given})
    found = {"torch Timer (against our throughput)": float(timer.blocked_autorange(min_run_time=0.2).median)}
    try:
        from triton.testing import do_bench
    except ImportError:
        return found
    return {
        "triton do_bench": do_bench(lambda: call(given), warmup=25, rep=200, return_mode="median") / 1e3,
        **found,
    }


def _known(ask: Any, lengths: list[float]) -> list[dict[str, float]]:
    """Work of known length: on a GPU so many clock cycles, whose length `busy` measured on a long kernel; else a spin."""
    device = open_device(ask.kind)
    found = []
    for seconds in lengths:
        work = busy(ask.kind, seconds)
        samples = measured(lambda _, work=work: work(), [None, None], device, min(ask.seconds, 0.3)).primary
        # a host's undisturbed calls; a GPU's kernels have the device to themselves
        got = float(np.quantile(samples, 0.1 if ask.kind == "cpu" else 0.5))
        found.append({"asked_seconds": seconds, "measured_seconds": got, "n": len(samples)})
    return found


def _sampler(ask: Any, device: Any, calls: list[tuple[str, Any, Any]]) -> dict[str, Any]:
    """The longest and the shortest callable with NVML asked ten times a second, and without, in turns."""
    from dashboard.benchmark import gpu

    found = gpu.find()
    if found is None:
        return {"missing": "NVML knows no GPU here"}
    ratios: dict[str, list[float]] = {}
    for turn in range(6):
        for name, call, given in (calls[3], calls[4]):
            seconds = {}
            for on in (True, False) if turn % 2 else (False, True):
                path = ask.folder / "sampled.tmp"
                if on:
                    with gpu.Sampler(found, path):
                        seconds[on] = float(np.median(measured(call, [given], device, 0.3).primary))
                    path.unlink(missing_ok=True)
                else:
                    seconds[on] = float(np.median(measured(call, [given], device, 0.3).primary))
            ratios.setdefault(name, []).append(seconds[True] / seconds[False])
    return {n: {"on_over_off": float(np.median(r)), "turns": len(r), "all": r} for n, r in ratios.items()}


def agreement_table(found: dict[str, Any]) -> list[str]:
    lines = ["| workload | against | theirs | ours ÷ theirs |", "|---|---|---|---|"]
    lines += [
        f"| {r['workload']} | {r['against']} | {r['theirs'] * 1e6:.1f} µs | {r['ratio']:.4f} |"
        for r in found["rows"]
    ]
    lines += ["", "| known length | measured | n |", "|---|---|---|"]
    lines += [f"| {k['asked_seconds'] * 1e6:.0f} µs | {k['measured_seconds'] * 1e6:.2f} µs | {k['n']} |" for k in found["known"]]  # fmt: skip
    sampler = found["sampler"]
    lines.append("")
    if "missing" in sampler:
        return [*lines, f"NVML sampling on and off: {sampler['missing']}."]
    return lines + [f"NVML sampling on ÷ off, {n}: {s['on_over_off']:.4f} ({s['turns']} turns)." for n, s in sampler.items()]  # fmt: skip


def layers(ask: Any) -> dict[str, Any]:
    """Each shape beside the matrix product's and the copy's rate of this process, and transformers' implementations."""
    if ask.kind == "cpu":
        torch.set_num_threads(1)
    device = open_device(ask.kind)
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for name, shape, tokens in SHAPES[ask.kind]:
        if ask.left < 15:
            left_out.append(f"{name} {tokens}")
            continue
        began = time.monotonic()
        rates = _rates(device, ask.kind)  # beside every shape: clocks move
        work = workload(shape, tokens, ask.kind)
        given = work.make_input(0)
        try:
            timing = measured(work.call, [given, work.make_input(1)], device, ask.seconds)
        except torch.OutOfMemoryError as why:
            left_out.append(f"{name} {tokens}: {' '.join(str(why).split())[:160]}")
            continue
        assert work.error is not None
        assert work.flops is not None
        assert work.bytes_moved is not None
        p50 = float(np.median(timing.primary))
        rows.append({
            "shape": name, "tokens": tokens, "path": work.details["path"], "p50_seconds": p50, "n": len(timing.primary),
            "replay_p50_seconds": None if timing.replay is None else float(np.median(timing.replay)),
            "replay_reason": timing.replay_reason,
            "enqueue_seconds": timing.enqueue_seconds, "launch_bound": timing.launch_bound,
            "flops_per_second": work.flops / p50, "matmul_flops_per_second": rates["matmul"],
            "share_of_matmul": work.flops / p50 / rates["matmul"],
            "memory_floor_seconds": work.bytes_moved / rates["copy"],
            "share_of_memory_floor": work.bytes_moved / rates["copy"] / p50,
            "error_relative": work.error(given, work.call(given)), "error_limit": work.error_limit,
            "peak_memory": timing.peak_memory, "transformers": _transformers(shape, tokens, ask, device),
            "part_seconds": round(time.monotonic() - began, 2),
        })  # fmt: skip
        del work, given
        if ask.kind == "cuda":
            torch.cuda.empty_cache()
    return {"rows": rows, "left_out": left_out}


def _rates(device: Any, kind: str) -> dict[str, float]:
    heard = Canary(device).sing(20)
    product = "matmul_bfloat16" if kind == "cuda" else "matmul_float32"
    best = heard[product]["flops_per_second"]
    if (
        kind == "cuda"
    ):  # the larger product is the faster one, as a rule; the layer is held against the better
        side = 8192
        left, right = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in "ab")
        seconds = device.time_calls(lambda _: left @ right, [None] * 20)
        best = max(best, 2.0 * side**3 / float(np.median(seconds)))
    return {"matmul": best, "copy": heard["copy"]["bytes_per_second"]}


def _transformers(shape: Shape, tokens: int, ask: Any, device: Any) -> dict[str, Any]:
    """Seconds of transformers' own MoE block of the same shape, by each implementation of its experts."""
    try:
        from transformers import Qwen3MoeConfig
        from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock
    except ImportError as why:
        return {"missing": f"transformers is not installed ({why})"}
    config = Qwen3MoeConfig(
        hidden_size=shape.model_size, moe_intermediate_size=shape.expert_size, num_experts=shape.experts,
        num_experts_per_tok=shape.top_k, norm_topk_prob=True,
    )  # fmt: skip
    dtype = dtype_of(ask.kind)
    with torch.device(ask.kind):
        block = Qwen3MoeSparseMoeBlock(config).to(dtype).eval().requires_grad_(False)
        for weight in block.parameters():
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    given = torch.randn(1, tokens, shape.model_size, device=ask.kind, dtype=dtype)
    found: dict[str, Any] = {}
    copied = 3 * shape.model_size * shape.expert_size * tokens * shape.top_k * given.element_size()
    for implementation in ("grouped_mm", "batched_mm", "eager"):
        if implementation == "batched_mm" and copied > _COPIED_AT_MOST:
            found[implementation] = f"would copy {copied / 2**30:.0f} GiB of weights"
            continue
        config._experts_implementation = implementation
        try:
            timing = measured(torch.inference_mode()(block), [given, given.clone()], device, ask.seconds / 2)
        except Exception as why:
            found[implementation] = f"{type(why).__name__}: {why}"[:200]
            continue
        found[implementation] = float(np.median(timing.primary))
    return found


def layers_table(found: dict[str, Any]) -> list[str]:
    lines = [
        "| shape | tokens | path | p50 | of the matmul rate | of the memory floor | bound | replay | transformers' best ÷ ours | error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        best = [seconds for seconds in row["transformers"].values() if isinstance(seconds, float)]
        replay = row["replay_p50_seconds"]
        ratio = f"{min(best) / row['p50_seconds']:.2f}" if best else "not installed or failed"
        lines.append(
            f"| {row['shape']} | {row['tokens']} | {row['path']} | {row['p50_seconds'] * 1e3:.3f} ms"
            f" | {row['share_of_matmul']:.1%} | {row['share_of_memory_floor']:.1%}"
            f" | {'launch' if row['launch_bound'] else '–'}"
            f" | {f'{replay * 1e3:.3f} ms' if replay is not None else row['replay_reason'] or '–'}"
            f" | {ratio}"
            f" | {row['error_relative']:.1e} (≤ {row['error_limit']:.0e}) |"
        )
    if found["left_out"]:
        lines += ["", f"Not measured: {'; '.join(found['left_out'])}."]
    return lines
