"""Hardware: GPU and host, as NVML and the kernel tell them."""

from dashboard.catalogue.spec import Alert, Metric, Panel, Series
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

# alerts
# Each rule also reads what dcgm-exporter and node_exporter call the same thing, for fleets that run those instead.

_PAGE = "/hardware?instance={{ $labels.instance | urlquery }}"
_FILESYSTEM = '{fstype!~"tmpfs|ramfs|squashfs|overlay",mountpoint!=""}'
# Bits of NVML's clocks-event mask: 8 hw_slowdown, 32 sw_thermal, 64 hw_thermal, 128 hw_power_brake. Idle (1),
# application clocks (2) and the software power cap (4) are normal life.
_HELD_BACK = "hw_slowdown|sw_thermal|hw_thermal|hw_power_brake"
_HELD_BACK_BITS = (8, 32, 64, 128)
# Xids of the hardware class. 13, 31, 43 and 45 are faults of the application and left out.
_HARDWARE_XIDS = "48|62|63|64|74|79|92|94|95|119|120"


def _dcgm(promql: str) -> str:
    """dcgm-exporter calls the index `gpu`; ours and the summaries call it gpu_id."""
    return f'label_replace({promql}, "gpu_id", "$1", "gpu", "(.+)")'


GPU_MEMORY_HIGH = Alert(
    name="GPUMemoryHigh",
    when=f"""(
     {GPU_MEMORY_PERCENT}
  or 100 * {GPU_MEMORY_USED} / ({GPU_MEMORY_TOTAL} > 0)
  or {_dcgm("100 * DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE > 0)")}
) > 90""",
    lasting="2m",
    severity="warning",
    component="gpu",
    summary="GPU memory is nearly full: GPU {{ $labels.gpu_id }} on {{ $labels.instance }}",
    description="{{ $value | printf `%.1f` }} % of the memory of GPU {{ $labels.gpu_id }} on {{ $labels.instance }} is in use.",
    page=_PAGE,
)
GPU_THROTTLED_ALERT = Alert(
    name="GPUThrottled",
    when=f"""{GPU_THROTTLED}{{reason=~"{_HELD_BACK}"}} == 1
or
{_dcgm(f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event=~"{_HELD_BACK}"}} > 0')}
or
{_dcgm("(" + " + ".join(f"floor(DCGM_FI_DEV_CLOCKS_EVENT_REASONS / {bit}) % 2" for bit in _HELD_BACK_BITS) + ") > 0")}""",
    lasting="5m",
    severity="warning",
    component="gpu",
    summary="GPU {{ $labels.gpu_id }} on {{ $labels.instance }} is held back",
    description="The clocks of GPU {{ $labels.gpu_id }} have been reduced for 5 minutes ({{ or $labels.reason $labels.clock_event `heat or power brake` }}): latency and generation time suffer.",
    page=_PAGE,
)
GPU_XID_ALERT = Alert(
    name="GPUXidError",
    # A counter that is born at 1 has no increase, so a series that was not there 15 minutes ago counts too. DCGM's
    # gauge holds only the last Xid, with its code as a label: the next Xid ends the series, hence the maximum.
    when=f"""increase({GPU_XID}{{xid=~"{_HARDWARE_XIDS}"}}[15m]) > 0
or
(
  {GPU_XID}{{xid=~"{_HARDWARE_XIDS}"}} > 0
  unless {GPU_XID}{{xid=~"{_HARDWARE_XIDS}"}} offset 15m
)
or
{_dcgm(f'max_over_time(DCGM_FI_DEV_XID_ERRORS{{err_code=~"{_HARDWARE_XIDS}"}}[15m]) > 0')}""",
    lasting="0s",
    severity="critical",
    component="gpu",
    summary="GPU {{ $labels.gpu_id }} on {{ $labels.instance }}: Xid {{ or $labels.xid $labels.err_code }}",
    description="GPU {{ $labels.gpu_id }} on {{ $labels.instance }} reported Xid {{ or $labels.xid $labels.err_code }}, a fault of the hardware class: take the node out of service.",
    page=_PAGE,
)
GPU_ECC_ALERT = Alert(
    name="GPUUncorrectableMemoryError",
    when=f"""increase({GPU_ECC}[1h]) > 0
or
{_dcgm("increase(DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS[1h]) > 0")}
or
{_dcgm("DCGM_FI_DEV_ROW_REMAP_FAILURE > 0")}
or
{_dcgm("increase(DCGM_FI_DEV_ECC_DBE_VOL_TOTAL[1h]) > 0")}""",
    lasting="0s",
    severity="critical",
    component="gpu",
    summary="Memory of GPU {{ $labels.gpu_id }} on {{ $labels.instance }} has an error that could not be corrected",
    description="GPU {{ $labels.gpu_id }} on {{ $labels.instance }} reported an uncorrectable ECC error or a row it could not remap: results since then are suspect.",
    page=_PAGE,
)
DISK_ALMOST_FULL = Alert(
    name="DiskAlmostFull",
    when=f"""label_replace(100 * (1 - {DISK_USAGE} / ({DISK_TOTAL} > 0)) < 5, "mountpoint", "$1", "mount_point", "(.+)")
or
(
    100 * node_filesystem_avail_bytes{_FILESYSTEM} / node_filesystem_size_bytes{_FILESYSTEM} < 5
  and
    node_filesystem_readonly == 0
)""",
    lasting="5m",
    severity="critical",
    component="host",
    summary="Disk almost full: {{ $labels.mountpoint }} on {{ $labels.instance }}",
    description="{{ $value | printf `%.1f` }} % is left on {{ $labels.mountpoint }} of {{ $labels.instance }}: checkpoints and logs will fail.",
    page=_PAGE,
    group="host.rules",
)
DISK_WILL_FILL = Alert(
    name="DiskWillFill",
    when=f"""label_replace(
      1 - {DISK_USAGE} / ({DISK_TOTAL} > 0) < 0.4
  and predict_linear({DISK_USAGE}[6h], 24 * 3600) > {DISK_TOTAL},
  "mountpoint", "$1", "mount_point", "(.+)")
or
(
      node_filesystem_avail_bytes{_FILESYSTEM} / node_filesystem_size_bytes{_FILESYSTEM} < 0.4
  and predict_linear(node_filesystem_avail_bytes{_FILESYSTEM}[6h], 24 * 3600) < 0
  and node_filesystem_readonly == 0
)""",
    lasting="30m",
    severity="warning",
    component="host",
    summary="{{ $labels.mountpoint }} on {{ $labels.instance }} will be full within a day",
    description="{{ $value | humanizePercentage }} is left on {{ $labels.mountpoint }} of {{ $labels.instance }}, and falling as fast as in the last 6 hours it will not last 24.",
    page=_PAGE,
    group="host.rules",
)
ALERTS = (
    GPU_MEMORY_HIGH,
    GPU_THROTTLED_ALERT,
    GPU_XID_ALERT,
    GPU_ECC_ALERT,
    DISK_ALMOST_FULL,
    DISK_WILL_FILL,
)
