"""Stories of machines: GPUs and disks."""

from tests.alerts.story import Case

_GPU = 'job="moe-exporter",instance="gpu-host:9105",gpu_id="0"'
_DCGM = 'job="dcgm",instance="gpu-host:9400",gpu="0",UUID="GPU-1"'
_HARDWARE = (
    Case(
        "GPUMemoryHigh",
        "95 % in use",
        {f"gpu_memory_usage_percent{{{_GPU}}}": "95x10"},
        fires_at="5m",
        says=("GPU memory is nearly full: GPU 0 on gpu-host:9105", "95.0 % of the memory of GPU 0 on gpu-host:9105 is in use."),
    ),
    Case("GPUMemoryHigh", "only used and total are known", {f"gpu_memory_used_bytes{{{_GPU}}}": "75e9x10", f"gpu_memory_total_bytes{{{_GPU}}}": "80e9x10"}, fires_at="5m"),
    Case("GPUMemoryHigh", "dcgm-exporter's names, in MiB", {f"DCGM_FI_DEV_FB_USED{{{_DCGM}}}": "76000x10", f"DCGM_FI_DEV_FB_FREE{{{_DCGM}}}": "4000x10"}, fires_at="5m"),
    Case("GPUMemoryHigh", "15 GB of 141 are not much", {f"gpu_memory_used_bytes{{{_GPU}}}": "15e9x10", f"gpu_memory_total_bytes{{{_GPU}}}": "141e9x10"}, until="10m"),
    Case("GPUMemoryHigh", "start, restart: full for one minute", {f"gpu_memory_usage_percent{{{_GPU}}}": "50 95 50 50 95 50"}, until="10m"),
    Case(
        "GPUThrottled",
        "too hot",
        {f'gpu_throttled{{{_GPU},reason="hw_thermal"}}': "1x10"},
        fires_at="8m",
        says=("GPU 0 on gpu-host:9105 is held back", "The clocks of GPU 0 have been reduced for 5 minutes (hw_thermal): latency and generation time suffer."),
    ),
    Case("GPUThrottled", "dcgm-exporter's mask: 64 is heat", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{{{_DCGM}}}": "65x10"}, fires_at="8m"),
    Case("GPUThrottled", "dcgm-exporter's count by event", {f'DCGM_EXP_CLOCK_EVENTS_COUNT{{{_DCGM},clock_event="sw_thermal"}}': "3x10"}, fires_at="8m"),
    Case("GPUThrottled", "idle and the software power cap are normal", {f'gpu_throttled{{{_GPU},reason="sw_power_cap"}}': "1x10", f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{{{_DCGM}}}": "5x10"}, until="10m"),
    Case("GPUThrottled", "start, restart: hot for two minutes", {f'gpu_throttled{{{_GPU},reason="hw_thermal"}}': "1 1 0 0 1 1 0 0"}, until="10m"),
    Case(
        "GPUXidError",
        "Xid 79, a counter that is born at 1",
        {f"gpu_memory_usage_percent{{{_GPU}}}": "1x10", f'gpu_xid_errors_total{{{_GPU},xid="79"}}': "_x5 1x10"},
        fires_at="8m",
        labels=(("xid", "79"),),
        says=("GPU 0 on gpu-host:9105: Xid 79", "GPU 0 on gpu-host:9105 reported Xid 79, a fault of the hardware class: take the node out of service."),
    ),
    Case("GPUXidError", "the second equal error", {f'gpu_xid_errors_total{{{_GPU},xid="79"}}': "1x60 2x10"}, fires_at="65m"),
    Case("GPUXidError", "dcgm-exporter's gauge, already replaced by the next Xid", {f'DCGM_FI_DEV_XID_ERRORS{{{_DCGM},err_code="79"}}': "79x2 _x20"}, fires_at="8m"),
    Case("GPUXidError", "Xid 31 is the application's own fault", {f'gpu_xid_errors_total{{{_GPU},xid="31"}}': "0+1x20"}, until="20m"),
    Case("GPUXidError", "start, restart: the counter begins at 0", {f'gpu_xid_errors_total{{{_GPU},xid="79"}}': "0x20 _x3 0x20"}, until="40m"),
    Case(
        "GPUUncorrectableMemoryError",
        "one more uncorrectable error",
        {f"gpu_ecc_uncorrected_total{{{_GPU}}}": "0x10 1x10"},
        fires_at="15m",
        says=(
            "Memory of GPU 0 on gpu-host:9105 has an error that could not be corrected",
            "GPU 0 on gpu-host:9105 reported an uncorrectable ECC error or a row it could not remap: results since then are suspect.",
        ),
    ),
    Case("GPUUncorrectableMemoryError", "a row could not be remapped", {f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{_DCGM}}}": "0x5 1x10"}, fires_at="10m"),
    Case("GPUUncorrectableMemoryError", "start, restart: old errors are old", {f"gpu_ecc_uncorrected_total{{{_GPU}}}": "4x20 _x10 4x20"}, until="50m"),
)  # fmt: skip

_HOST = 'job="moe-exporter",instance="host:9105",mount_point="/data"'
_NODE = 'job="node",instance="host:9100",mountpoint="/data",fstype="ext4",device="/dev/sda1"'
_DISK = (
    Case(
        "DiskAlmostFull",
        "3 % left",
        {f"disk_usage_bytes{{{_HOST}}}": "97e9x10", f"disk_total_bytes{{{_HOST}}}": "100e9x10"},
        fires_at="8m",
        says=("Disk almost full: /data on host:9105", "3.0 % is left on /data of host:9105: checkpoints and logs will fail."),
    ),
    Case("DiskAlmostFull", "node_exporter's names", {f"node_filesystem_avail_bytes{{{_NODE}}}": "3e9x10", f"node_filesystem_size_bytes{{{_NODE}}}": "100e9x10", f"node_filesystem_readonly{{{_NODE}}}": "0x10"}, fires_at="8m"),
    Case("DiskAlmostFull", "a read-only image is always full", {f"node_filesystem_avail_bytes{{{_NODE}}}": "0x10", f"node_filesystem_size_bytes{{{_NODE}}}": "100e9x10", f"node_filesystem_readonly{{{_NODE}}}": "1x10"}, until="10m"),
    Case("DiskAlmostFull", "start, restart: 20 % left, then nothing said", {f"disk_usage_bytes{{{_HOST}}}": "80e9x10 _x10 80e9x10", f"disk_total_bytes{{{_HOST}}}": "100e9x10 _x10 100e9x10"}, until="30m"),
    Case(
        "DiskWillFill",
        "70 % used and 2 % more every hour",
        {f"disk_usage_bytes{{{_HOST}}}": "58e9+1e9x15", f"disk_total_bytes{{{_HOST}}}": "100e9x15"},
        fires_at="7h",
        says=("/data on host:9105 will be full within a day", "28% is left on /data of host:9105, and falling as fast as in the last 6 hours it will not last 24."),
        interval="30m",
        evaluation="30m",
    ),
    Case("DiskWillFill", "node_exporter's names", {f"node_filesystem_avail_bytes{{{_NODE}}}": "42e9-1e9x15", f"node_filesystem_size_bytes{{{_NODE}}}": "100e9x15", f"node_filesystem_readonly{{{_NODE}}}": "0x15"}, fires_at="7h", interval="30m", evaluation="30m"),
    Case("DiskWillFill", "full, but not growing", {f"disk_usage_bytes{{{_HOST}}}": "80e9x15", f"disk_total_bytes{{{_HOST}}}": "100e9x15"}, until="7h", interval="30m", evaluation="30m"),
    Case("DiskWillFill", "start: a burst on a disk that is nearly empty", {f"disk_usage_bytes{{{_HOST}}}": "5e9+2e9x15", f"disk_total_bytes{{{_HOST}}}": "100e9x15"}, until="7h", interval="30m", evaluation="30m"),
)  # fmt: skip

CASES = (
    *_HARDWARE,
    *_DISK,
)
