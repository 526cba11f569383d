"""The best routing topology of a run, and what changed since an earlier one."""

import numpy as np
import pandas as pd
import streamlit as st

from collectors.runs import RunsDirectory, Topology
from collectors.unavailable import Unavailable
from dashboard.catalogue.units import NUMBER
from dashboard.figures import topology as figures
from dashboard.shell import address, charts, states, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.steady import stands_on
from dashboard.shell.text import plain

BEST, SINCE = "best", "since"  # query parameters: generations


def _shows(look: Look) -> object:
    newest = look.sources.feed.topology(look.run_id) if look.run is not None else None
    return (look.run_id, newest.generation, newest.fitness) if newest is not None else (look.run_id,)


@stands_on(_shows)
def matrix(look: Look) -> None:
    """Which token may go to which expert in the best genome, and what was added and cut since another best."""
    runs = look.sources.runs
    if look.run is None:
        return
    with st.container(border=True):
        charts.heading(
            "Best topology",
            "Which token may be routed to which expert. Bars: how many tokens an expert may serve. Choose an earlier best to see what was added and cut.",
        )
        if runs is None:
            states.quiet("Topologies are read from the runs directory; none is configured.")
            return
        known = _topologies(runs, look)
        if not known:
            states.quiet("This run wrote no topology.")
            return
        shown, before = _choice(known)
        kinds = kept(("changes", shown.generation, before.generation if before else None, look.run_id), (known,), lambda: figures.changes(
            shown.matrix, before.matrix if before else None))  # fmt: skip
        st.caption(plain(_said(shown, before, kinds)))
        as_matrix, as_graph = st.columns([3, 2], gap="medium")
        revision = f"{look.run_id}|{shown.generation}|{before.generation if before else ''}"
        with as_matrix:
            figure = drawn(("topology", revision), kinds, lambda: figures.draw(kinds, revision=look.run_id))
            show(figure, key="topology", alt=_said(shown, before, kinds), name=f"topology-{look.run_id}")
        with as_graph:
            figure = drawn(
                ("topology-graph", revision), kinds, lambda: figures.graph(kinds, revision=look.run_id)
            )
            show(
                figure,
                key="topology-graph",
                alt="The same topology as a graph",
                name=f"topology-graph-{look.run_id}",
            )
        take.away("topology", lambda: _table(shown), (), look)


def _topologies(runs: RunsDirectory, look: Look) -> tuple[Topology, ...]:
    """Every best of the run, oldest first; read again only when a new best is there."""
    newest = look.sources.feed.topology(look.run_id)
    if newest is None:
        return ()

    def read() -> tuple[Topology, ...]:
        try:
            return tuple(runs.topologies(look.run_id)) or (newest,)
        except Unavailable:
            return (newest,)

    return kept(("topologies", look.run_id, newest.generation, newest.fitness), (runs,), read)


def _choice(known: tuple[Topology, ...]) -> tuple[Topology, Topology | None]:
    """The best that is shown, and the earlier one it is compared with; the address holds both."""
    if len(known) == 1:
        return known[0], None
    by_generation = {one.generation: one for one in known}
    generations = sorted(by_generation)
    held = address.held(BEST)
    chosen = int(held) if held.isdecimal() and int(held) in by_generation else generations[-1]
    st.session_state["topology-shown"] = chosen  # nobody moved it: it follows the newest
    with st.container(horizontal=True, gap="large"):
        st.select_slider(
            "Best at generation", generations, key="topology-shown", width=360, on_change=_moved, args=(generations[-1],),
            help="Every best the run has had. The newest is shown until you choose another.",
        )  # fmt: skip
        earlier = {"": "nothing"} | {str(one): str(one) for one in generations if one != chosen}
        before = address.select("Compare with the best at", earlier, SINCE, width=200)
    return by_generation[chosen], by_generation.get(int(before)) if before.isdecimal() else None


def _moved(newest: int) -> None:
    """The newest is not held: whoever opens the address later sees the newest of then."""
    chosen = st.session_state["topology-shown"]
    address.hold(BEST, "" if chosen == newest else str(chosen))


def _said(
    shown: Topology, before: Topology | None, kinds: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> str:
    tokens, experts = shown.matrix.shape
    active = int((shown.matrix > 0).sum())
    degree = figures.degrees(shown.matrix)
    unused = [str(i) for i in np.flatnonzero(degree == 0)]
    head = (
        f"Generation {shown.generation}, fitness {NUMBER.format(shown.fitness)}: {active} of {tokens * experts} connections "
        f"(sparsity {1 - active / (tokens * experts):.0%}), {active / tokens:.2f} experts a token."
    )
    parts = [
        head,
        f"Path length {figures.path_length(shown.matrix, shown.top_k):.2f}: experts that a token passes on average, top-{shown.top_k} of its own."
        if shown.top_k
        else "",
        f"Experts without a connection: {', '.join(unused)}." if unused else "",
    ]
    if before is not None:
        added, cut = int((kinds == figures.ADDED).sum()), int((kinds == figures.CUT).sum())
        parts.append(f"Since generation {before.generation}: {added} added, {cut} cut.")
    return " ".join(filter(None, parts))


def _table(shown: Topology) -> pd.DataFrame:
    return (
        pd.DataFrame(shown.matrix, columns=[f"expert_{i}" for i in range(shown.matrix.shape[1])])
        .rename_axis("token")
        .reset_index()
    )
