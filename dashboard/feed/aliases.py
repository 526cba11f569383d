"""Other exporters' series under the catalogue's names, as data: dcgm-exporter, node_exporter, vLLM.

An alias is used where the metric itself is absent. One that is a bare metric name stands in for it everywhere, with
the query's own matchers and its `_bucket`, `_sum` and `_count`; any other is an expression, may use `$instance`, and
stands in for a selector outside a range.
"""

import re
from collections.abc import Callable, Mapping

import promql_parser

from dashboard.catalogue import hardware, inference
from dashboard.feed import query

_I = '{instance=~"$instance"}'


def _gpu(promql: str) -> str:
    """dcgm-exporter calls the index `gpu`."""
    return f'label_replace({promql}, "gpu_id", "$1", "gpu", "(.*)")'


DEFAULTS: dict[str, str] = {
    # NVIDIA dcgm-exporter: frame buffer in MiB, clocks in MHz, energy in mJ
    str(hardware.GPU_UTILIZATION): _gpu(f"DCGM_FI_DEV_GPU_UTIL{_I}"),
    str(hardware.GPU_MEMORY_USED): _gpu(f"1048576 * DCGM_FI_DEV_FB_USED{_I}"),
    str(hardware.GPU_MEMORY_TOTAL): _gpu(f"1048576 * (DCGM_FI_DEV_FB_USED{_I} + DCGM_FI_DEV_FB_FREE{_I})"),
    str(hardware.GPU_MEMORY_PERCENT): _gpu(
        f"100 * DCGM_FI_DEV_FB_USED{_I} / (DCGM_FI_DEV_FB_USED{_I} + DCGM_FI_DEV_FB_FREE{_I})"
    ),
    str(hardware.GPU_POWER): _gpu(f"DCGM_FI_DEV_POWER_USAGE{_I}"),
    str(hardware.GPU_TEMPERATURE): _gpu(f"DCGM_FI_DEV_GPU_TEMP{_I}"),
    str(hardware.GPU_CLOCK): _gpu(
        f'label_replace(1e6 * DCGM_FI_DEV_SM_CLOCK{_I}, "clock", "sm", "", "")'
        f' or label_replace(1e6 * DCGM_FI_DEV_MEM_CLOCK{_I}, "clock", "memory", "", "")'
    ),
    str(hardware.GPU_ENERGY): _gpu(f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{_I} / 1000"),
    # Prometheus node_exporter
    str(
        hardware.CPU_UTILIZATION
    ): '100 * (1 - avg by (instance, job) (rate(node_cpu_seconds_total{mode="idle",instance=~"$instance"}[$rate])))',
    str(
        hardware.MEMORY_USAGE
    ): f'label_replace(node_memory_MemTotal_bytes{_I} - node_memory_MemAvailable_bytes{_I}, "memory_type", "ram", "", "")',
    str(
        hardware.MEMORY_TOTAL
    ): f'label_replace(node_memory_MemTotal_bytes{_I}, "memory_type", "ram", "", "")',
    str(
        hardware.DISK_USAGE
    ): 'label_replace(node_filesystem_size_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs",instance=~"$instance"}'
    ' - node_filesystem_free_bytes, "mount_point", "$1", "mountpoint", "(.*)")',
    str(
        hardware.DISK_TOTAL
    ): 'label_replace(node_filesystem_size_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs",instance=~"$instance"},'
    ' "mount_point", "$1", "mountpoint", "(.*)")',
    # vLLM
    str(inference.LATENCY): "vllm:e2e_request_latency_seconds",
    str(
        inference.REQUESTS
    ): 'label_replace(vllm:request_success_total{instance=~"$instance"}, "outcome", "ok", "", "")',
}

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_STRING = r'"(?:[^"\\]|\\.)*"'


def metric_names(alias: str) -> set[str]:
    """Metrics an alias reads; none where it is no PromQL."""
    try:
        tree = promql_parser.parse(query.fill(alias))
    except ValueError:
        return set()
    found: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name or "")
        inner = [getattr(node, part, None) for part in ("lhs", "rhs", "expr", "param", "vector_selector")]
        waiting += [part for part in [*inner, *(getattr(node, "args", None) or ())] if part is not None]
    return found - {""}


def applied(promql: str, absent: Mapping[str, str]) -> str:
    """The query with each absent metric replaced by its alias; unchanged where an expression cannot stand in its place."""
    for name, alias in absent.items():
        if _NAME.fullmatch(alias):
            promql = re.sub(
                rf"(?<![\w:]){re.escape(name)}(?=(_bucket|_sum|_count)?(?![\w:]))",
                _verbatim(alias),
                promql,
            )
        else:
            selector = rf"(?<![\w:]){re.escape(name)}(?![\w:])(\{{(?:[^{{}}\"]|{_STRING})*\}})?(?!\s*\[)"
            promql = re.sub(selector, _verbatim(f"({alias})"), promql)
    return promql


def _verbatim(text: str) -> Callable[[re.Match[str]], str]:
    """A replacement in which nothing is special."""
    return lambda _: text
