"""What torch.compile did for one cell: how long it took, graphs, graph breaks with their reasons. Imports no torch itself.

Read from the counters of `torch._dynamo`, which are forgotten before every cell, so that no cell is charged for another
and none runs what another had compiled. A torch that was never asked to compile is not asked anything.
"""

import sys
from typing import Any


def forget() -> None:
    """Start the counters again and drop what was compiled, where anything was."""
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is None:
        return
    dynamo.reset()
    utils = sys.modules["torch._dynamo.utils"]
    utils.counters.clear()
    utils.compilation_time_metrics.clear()


def found() -> dict[str, Any] | None:
    """Since `forget`: seconds of compiling, graphs, graph breaks and their reasons; None where nothing was compiled."""
    utils = sys.modules.get("torch._dynamo.utils")
    if utils is None:
        return None
    graphs = int(utils.counters["stats"]["unique_graphs"])
    breaks = utils.counters["graph_break"]
    if not graphs and not breaks:
        return None
    times = utils.compilation_time_metrics.get("_compile.compile_inner")
    return {
        "seconds": None if times is None else float(sum(times)),
        "graphs": graphs,
        "graph_breaks": int(sum(breaks.values())),
        "break_reasons": [" ".join(str(why).split())[:200] for why in breaks][:3],
    }
