"""What NVML is asked from a runbook: the GPUs of this machine, now, without Prometheus in between.

An alert speaks of a GPU of some machine, and NVML sees this one alone: the GPU is found by its UUID, and one that is
elsewhere is "could not tell", never the wrong GPU's number.
"""

from collections.abc import Callable, Mapping

from collectors.nvml import Gpu
from collectors.unavailable import Unavailable
from collectors.xid import HARDWARE, Xid
from dashboard.catalogue import hardware
from dashboard.catalogue.spec import Metric
from dashboard.catalogue.units import BYTES, CELSIUS, COUNT, HERTZ, PERCENT, RATIO, SECONDS, Unit
from dashboard.runbooks.calls import Parameter
from dashboard.runbooks.questions.spec import Found, History, Origins, Point, Question, Trace
from dashboard.sampler import Look

OLD_SECONDS = 10.0  # the machine is looked at once a second: older than this the driver hangs
TRACE_SECONDS = 3600.0

_WHICH: Mapping[str, Parameter] = {
    "gpu": Parameter("index of the GPU; empty: every GPU of this machine"),
    "instance": Parameter("the alert's instance, to know whether its GPU is one of this machine's"),
}
# What GPUThrottled fires for: a power cap, idle clocks and clocks that somebody set are as they should be.
_HARMFUL = {"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"}

Given = Mapping[str, str]
Lines = Callable[[Origins, Gpu], Trace]


def _chosen(origins: Origins, given: Given) -> tuple[Look, list[Gpu]]:
    """The GPUs of this machine that are asked about.

    Raises:
        Unavailable: NVML does not answer, its last answer is old, or the GPU is another machine's.
    """
    seen = origins.sampler.latest
    if seen is None:
        raise Unavailable("This machine has not been looked at yet.", kind="no-look")
    if isinstance(seen.gpus, Unavailable):
        raise seen.gpus
    if origins.now - seen.time > OLD_SECONDS:
        raise Unavailable(
            f"NVML last answered {origins.now - seen.time:.0f} s ago.",
            advice="The driver hangs: look at the kernel's log.",
            kind="old-look",
        )
    index, instance = given["gpu"], given["instance"]
    found = [gpu for gpu in seen.gpus if index in ("", gpu.gpu_id)]
    if instance:
        known = origins.uuids(instance, index)
        if known:
            found = [gpu for gpu in seen.gpus if gpu.uuid in known]
        elif not origins.is_here(instance):
            raise Unavailable(
                f"Nobody says whether {instance} is this machine (it exports no gpu_info), and NVML sees this one alone.",
                kind="elsewhere",
            )
    if not found:
        which = f"GPU {index}" if index else "No GPU"
        of = f" of {instance}" if instance else ""
        raise Unavailable(
            f"{which}{of} is not in this machine, and NVML sees this one alone."
            if index
            else f"{which}{of} is in this machine.",
            advice="Ask on its host: nvidia-smi.",
            kind="elsewhere",
        )
    return seen, found


def _value(name: str, unit: Unit, about: str, field: str, of: Callable[[Gpu], float | None], lines: Lines) -> Question:  # fmt: skip
    """A number of each GPU; `field` is the counter behind it, whose reason is said where the driver does not tell."""

    def answer(origins: Origins, given: Given) -> Found:
        seen, gpus = _chosen(origins, given)
        points, silent, trace = [], [], dict[str, History]()
        for gpu in gpus:
            value = of(gpu)
            if value is None:
                why = gpu.trouble or gpu.missing.get(field, "not told")
                silent.append(f"GPU {gpu.gpu_id}: {why}")
            else:
                points.append(Point({"gpu_id": gpu.gpu_id}, value))
                trace |= lines(origins, gpu)
        if not points:
            raise Unavailable(f"Not available ({'; '.join(silent)}).", kind="not-available")
        return Found(tuple(points), seen.time, "; ".join(silent), trace)

    return Question("nvml", name, unit, about, answer, _WHICH)


def _line(metric: Metric, **labels: str) -> Lines:
    """The last hour of one metric of the catalogue, as the sampler remembers it."""

    def lines(origins: Origins, gpu: Gpu) -> Trace:
        return {
            f"GPU {gpu.gpu_id}": origins.sampler.history(
                metric, {"gpu_id": gpu.gpu_id, **labels}, TRACE_SECONDS
            )
        }

    return lines


def _free(origins: Origins, gpu: Gpu) -> Trace:
    here = {"gpu_id": gpu.gpu_id}
    times, used = origins.sampler.history(hardware.GPU_MEMORY_USED, here, TRACE_SECONDS)
    _, total = origins.sampler.history(hardware.GPU_MEMORY_TOTAL, here, TRACE_SECONDS)
    return {f"GPU {gpu.gpu_id}": (times, total - used)} if len(total) == len(used) else {}


def _no_lines(_: Origins, __: Gpu) -> Trace:
    return {}


def _free_bytes(gpu: Gpu) -> float | None:
    if gpu.memory_used_bytes is None or gpu.memory_total_bytes is None:
        return None
    return float(gpu.memory_total_bytes - gpu.memory_used_bytes)


def _power_ratio(gpu: Gpu) -> float | None:
    return None if gpu.power_watts is None or not gpu.power_limit_watts else gpu.power_watts / gpu.power_limit_watts  # fmt: skip


def _held(origins: Origins, given: Given) -> Found:
    """How many harmful reasons hold each GPU's clocks down, and which."""
    seen, gpus = _chosen(origins, given)
    told = {gpu.gpu_id: _HARMFUL & set(gpu.clock_reasons) for gpu in gpus if gpu.clock_reasons is not None}
    if not told:
        raise Unavailable("Not available: the driver does not say what holds its clocks.", kind="not-available")  # fmt: skip
    words = "; ".join(f"GPU {gpu_id}: {', '.join(sorted(reasons))}" for gpu_id, reasons in told.items() if reasons)  # fmt: skip
    return Found(tuple(Point({"gpu_id": gpu_id}, float(len(reasons))) for gpu_id, reasons in told.items()), seen.time, words)  # fmt: skip


def _lost(origins: Origins, given: Given) -> Found:
    """How many of these GPUs the driver has lost: 0 or 1 for a single one."""
    seen, gpus = _chosen(origins, given)
    words = "; ".join(f"GPU {gpu.gpu_id}: {gpu.trouble}" for gpu in gpus if gpu.trouble)
    return Found((Point({}, float(sum(gpu.trouble is not None for gpu in gpus))),), seen.time, words)


def _of_these(origins: Origins, given: Given) -> tuple[Look, list[Xid]]:
    seen, gpus = _chosen(origins, given)
    if isinstance(seen.xids, Unavailable):
        raise seen.xids
    here = {gpu.gpu_id for gpu in gpus}
    return seen, [xid for xid in seen.xids if xid.gpu_id in here and xid.count]


def _xids(origins: Origins, given: Given) -> Found:
    """How many Xids came since this server began to watch; one point a code, a single 0 where none came."""
    seen, came = _of_these(origins, given)
    words = "; ".join(f"Xid {xid.code} on GPU {xid.gpu_id}: {HARDWARE.get(xid.code, 'see the list of Xid errors')}" for xid in came)  # fmt: skip
    points = tuple(Point({"gpu_id": xid.gpu_id, "xid": str(xid.code)}, float(xid.count)) for xid in came)
    return Found(points or (Point({}, 0.0),), seen.time, words)


def _xid_age(origins: Origins, given: Given) -> Found:
    seen, came = _of_these(origins, given)
    points = (
        Point({"gpu_id": xid.gpu_id, "xid": str(xid.code)}, max(0.0, origins.now - xid.last_seen))
        for xid in came
        if xid.last_seen is not None
    )
    return Found(tuple(points), seen.time)


def _holders(origins: Origins, given: Given) -> Found:
    """How many processes hold memory on each GPU, and who they are."""
    seen, gpus = _chosen(origins, given)
    points, words = [], []
    for gpu in gpus:
        found = origins.processes(gpu.gpu_id)
        points.append(Point({"gpu_id": gpu.gpu_id}, float(len(found))))
        words += [
            f"GPU {gpu.gpu_id}: {process.name or 'a process'} (pid {process.pid}"
            f"{f', {process.owner}' if process.owner else ''}) holds "
            f"{'an unknown amount' if process.memory_used_bytes is None else BYTES.format(float(process.memory_used_bytes))}"
            for process in sorted(found, key=lambda one: -(one.memory_used_bytes or 0))
        ]
    return Found(tuple(points), seen.time, "; ".join(words))


QUESTIONS = (
    _value("memory-free-bytes", BYTES, "memory that is free on the GPU now", "memory_used_bytes", _free_bytes, _free),
    _value("memory-used-percent", PERCENT, "share of the GPU's memory in use now", "memory_used_bytes", lambda gpu: gpu.memory_used_percent, _line(hardware.GPU_MEMORY_PERCENT)),
    _value("utilization-percent", PERCENT, "share of the last moment in which any kernel ran", "utilization_percent", lambda gpu: gpu.utilization_percent, _line(hardware.GPU_UTILIZATION)),
    _value("temperature-celsius", CELSIUS, "temperature of the GPU now", "temperature_celsius", lambda gpu: gpu.temperature_celsius, _line(hardware.GPU_TEMPERATURE)),
    _value("sm-clock-hertz", HERTZ, "clock of the GPU's processors now", "sm_clock_hertz", lambda gpu: gpu.sm_clock_hertz, _line(hardware.GPU_CLOCK, clock="sm")),
    _value("power-of-limit-ratio", RATIO, "power drawn ÷ the limit that is enforced", "power_watts", _power_ratio, _no_lines),
    _value("uncorrected-errors-count", COUNT, "uncorrected memory errors since the driver was loaded", "ecc_uncorrected", lambda gpu: None if gpu.ecc_uncorrected is None else float(gpu.ecc_uncorrected), _line(hardware.GPU_ECC)),
    Question("nvml", "clock-holds-count", COUNT, "heat, slowdowns and power brakes that hold the GPU's clocks down now", _held, _WHICH),
    Question("nvml", "gpus-lost-count", COUNT, "GPUs that fell off the bus or need a reset", _lost, _WHICH),
    Question("nvml", "xids-count", COUNT, "Xid errors since this server began to watch", _xids, _WHICH),
    Question("nvml", "last-xid-seconds", SECONDS, "time since the last Xid error that this server saw", _xid_age, _WHICH),
    Question("nvml", "processes-count", COUNT, "processes that hold memory on the GPU", _holders, _WHICH),
)  # fmt: skip
