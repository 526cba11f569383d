"""Hardware: this machine live, and every machine Prometheus knows."""

from dashboard.catalogue import hardware
from dashboard.shell import hardware as blocks
from dashboard.shell import hardware_gpus, hardware_scraped, instances, page

page(
    title="Hardware",
    question="Is the machine the limit: its GPUs, its processor, its memory or its disks?",
    rows=[
        [blocks.host],
        [hardware_gpus.gpus],
        [blocks.last_hour(hardware.CPU_PANEL, hardware.CPU_UTILIZATION), blocks.last_hour(hardware.MEMORY_PANEL, hardware.MEMORY_USAGE)],
        [blocks.gpu_last_hour],
        [hardware_scraped.block],
        [blocks.fleet],
        [hardware.CPU_PANEL, hardware.MEMORY_PANEL],
        [hardware.DISK_PANEL, hardware.GPU_MEMORY_PANEL],
        [hardware.GPU_UTILIZATION_PANEL, hardware.GPU_POWER_PANEL],
        [hardware.GPU_TEMPERATURE_PANEL, hardware.GPU_CLOCK_PANEL],
    ],
    above=instances.picker([hardware.CPU_UTILIZATION, hardware.GPU_UTILIZATION]),
)  # fmt: skip
