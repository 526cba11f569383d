"""Hardware: GPU and host, as NVML and the kernel tell them."""

from dashboard.catalogue.spec import Metric, Panel, Series
from dashboard.catalogue.units import BYTES, CELSIUS, HERTZ, JOULES, NUMBER, PERCENT, TOTAL, WATTS

GPU = ("gpu_id",)

GPU_UTILIZATION = Metric(
    "gpu_utilization_percent", "gauge", PERCENT, "GPU utilization percentage", GPU, guide=True
)
CPU_UTILIZATION = Metric(
    "cpu_utilization_percent", "gauge", PERCENT, "CPU utilization percentage", guide=True
)
MEMORY_USAGE = Metric(
    "memory_usage_bytes", "gauge", BYTES, "Memory usage in bytes", ("memory_type",), guide=True
)
DISK_USAGE = Metric("disk_usage_bytes", "gauge", BYTES, "Disk usage in bytes", ("mount_point",), guide=True)

MEMORY_TOTAL = Metric(
    "memory_total_bytes", "gauge", BYTES, "Memory there is, in bytes", ("memory_type",),
    reason="a used amount means nothing alone",
)  # fmt: skip
DISK_TOTAL = Metric(
    "disk_total_bytes",
    "gauge",
    BYTES,
    "Disk size in bytes",
    ("mount_point",),
    reason="a used amount means nothing alone",
)
GPU_MEMORY_USED = Metric(
    "gpu_memory_used_bytes", "gauge", BYTES, "GPU memory in use", GPU, reason="what NVML says, in base units"
)
GPU_MEMORY_TOTAL = Metric(
    "gpu_memory_total_bytes",
    "gauge",
    BYTES,
    "GPU memory there is",
    GPU,
    reason="what NVML says, in base units",
)
GPU_MEMORY_PERCENT = Metric(
    "gpu_memory_usage_percent", "gauge", PERCENT, "GPU memory in use, percent of what there is", GPU,
    reason="the guide's GPUMemoryHigh uses it and defines it nowhere",
)  # fmt: skip
GPU_POWER = Metric("gpu_power_watts", "gauge", WATTS, "GPU power draw", GPU, reason="what NVML says")
GPU_TEMPERATURE = Metric(
    "gpu_temperature_celsius", "gauge", CELSIUS, "GPU temperature", GPU, reason="what NVML says"
)
GPU_CLOCK = Metric(
    "gpu_clock_hertz",
    "gauge",
    HERTZ,
    "GPU clock by domain: sm, memory",
    (*GPU, "clock"),
    reason="what NVML says",
)
GPU_THROTTLED = Metric(
    "gpu_throttled", "gauge", NUMBER, "1 while the GPU's clocks are held back for this reason", (*GPU, "reason"),
    reason="a slow GPU that is not a slow model",
)  # fmt: skip
GPU_ENERGY = Metric(
    "gpu_energy_joules_total",
    "counter",
    JOULES,
    "GPU energy since the driver loaded",
    GPU,
    reason="what NVML says",
)
GPU_ECC = Metric(
    "gpu_ecc_uncorrected_total",
    "counter",
    TOTAL,
    "Uncorrected ECC errors since the driver loaded",
    GPU,
    reason="what NVML says",
)
GPU_XID = Metric(
    "gpu_xid_errors_total", "counter", TOTAL, "Xid errors seen by the exporter, by code", (*GPU, "xid"),
    reason="a counter, because a gauge of the last code hides the second equal error",
)  # fmt: skip
GPU_INFO = Metric(
    "gpu_info", "gauge", NUMBER, "What the GPU is: always 1, its identity in the labels",
    (*GPU, "uuid", "name", "driver_version"), reason="the uuid is the identity, the index is not",
)  # fmt: skip

METRICS = (
    GPU_UTILIZATION, CPU_UTILIZATION, MEMORY_USAGE, DISK_USAGE, MEMORY_TOTAL, DISK_TOTAL, GPU_MEMORY_USED, GPU_MEMORY_TOTAL,
    GPU_MEMORY_PERCENT, GPU_POWER, GPU_TEMPERATURE, GPU_CLOCK, GPU_THROTTLED, GPU_ENERGY, GPU_ECC, GPU_XID, GPU_INFO,
)  # fmt: skip

_WHERE = '{instance=~"$instance"}'
_NO_GPU = "No GPU is reported in this window. A host without one still reports CPU, memory and disk."

GPU_UTILIZATION_PANEL = Panel(
    key="gpu-utilization",
    title="GPU utilization",
    why="Share of the last sample period in which any kernel ran. It says busy, not well used.",
    unit=PERCENT,
    series=(Series("GPU {gpu_id} {instance}", f"{GPU_UTILIZATION}{_WHERE}"),),
    empty=_NO_GPU,
    floor_zero=True,
)
GPU_MEMORY_PANEL = Panel(
    key="gpu-memory",
    title="GPU memory in use",
    why="Above 90 % the next larger batch can fail.",
    unit=PERCENT,
    series=(
        Series(
            "GPU {gpu_id} {instance}",
            f"{GPU_MEMORY_PERCENT}{_WHERE} or 100 * {GPU_MEMORY_USED}{_WHERE} / ({GPU_MEMORY_TOTAL}{_WHERE} > 0)",
        ),
    ),
    thresholds=((90, "alert"),),
    empty=_NO_GPU,
    floor_zero=True,
)
GPU_POWER_PANEL = Panel(
    key="gpu-power",
    title="GPU power",
    why="Power at its limit with clocks falling is normal under a large matrix product; heat is not.",
    unit=WATTS,
    series=(Series("GPU {gpu_id} {instance}", f"{GPU_POWER}{_WHERE}"),),
    empty=_NO_GPU,
    floor_zero=True,
)
GPU_TEMPERATURE_PANEL = Panel(
    key="gpu-temperature",
    title="GPU temperature",
    why="Rising temperature with falling clocks is thermal throttling.",
    unit=CELSIUS,
    series=(Series("GPU {gpu_id} {instance}", f"{GPU_TEMPERATURE}{_WHERE}"),),
    empty=_NO_GPU,
)
GPU_CLOCK_PANEL = Panel(
    key="gpu-clock",
    title="GPU clocks",
    why="A fall without a fall in load is throttling: look at the reasons.",
    unit=HERTZ,
    series=(Series("GPU {gpu_id} {clock} {instance}", f"{GPU_CLOCK}{_WHERE}"),),
    empty=_NO_GPU,
    floor_zero=True,
)
CPU_PANEL = Panel(
    key="cpu",
    title="CPU utilization",
    why="Near 100 % on a GPU host means the input pipeline or the evolution loop is the limit.",
    unit=PERCENT,
    series=(Series("{instance}", f"{CPU_UTILIZATION}{_WHERE}"),),
    empty="No host reports its CPU in this window. Start `moe-dashboard exporter` on the host and scrape it.",
    floor_zero=True,
)
MEMORY_PANEL = Panel(
    key="memory",
    title="Memory in use",
    why="Resident memory that only rises is a leak.",
    unit=BYTES,
    series=(Series("{memory_type} {instance}", f"{MEMORY_USAGE}{_WHERE}"),),
    empty="No host reports its memory in this window. Start `moe-dashboard exporter` on the host and scrape it.",
    floor_zero=True,
)
DISK_PANEL = Panel(
    key="disk",
    title="Disk in use",
    why="Share of each file system that is used. Checkpoints and logs fail when it is full.",
    unit=PERCENT,
    series=(Series("{mount_point} {instance}", f"100 * {DISK_USAGE}{_WHERE} / ({DISK_TOTAL}{_WHERE} > 0)"),),
    thresholds=((95, "alert"),),
    empty="No host reports its disks in this window. Start `moe-dashboard exporter` on the host and scrape it.",
    floor_zero=True,
)

PANELS = (
    GPU_UTILIZATION_PANEL, GPU_MEMORY_PANEL, GPU_POWER_PANEL, GPU_TEMPERATURE_PANEL, GPU_CLOCK_PANEL,
    CPU_PANEL, MEMORY_PANEL, DISK_PANEL,
)  # fmt: skip
