"""The best routing topology of a run, and what changed since an earlier one."""

import numpy as np
import pandas as pd
import streamlit as st

from collectors.runs import RunsDirectory, Topology
from collectors.unavailable import Unavailable
from dashboard.catalogue.units import NUMBER
from dashboard.figures import topology as figures
from dashboard.shell import charts, states, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.text import plain

NOTHING = "nothing"


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
        shown, before = _choice(known, look.run_id)
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


def _choice(known: tuple[Topology, ...], run_id: str) -> tuple[Topology, Topology | None]:
    """The best that is shown, and the earlier one it is compared with."""
    if len(known) == 1:
        return known[0], None
    by_generation = {one.generation: one for one in known}
    generations = sorted(by_generation)
    slider, followed = f"topology-shown-{run_id}", f"topology-newest-{run_id}"
    if st.session_state.get(slider) in (None, st.session_state.get(followed)):
        st.session_state[slider] = generations[-1]  # nobody moved it: it follows the newest
    st.session_state[followed] = generations[-1]
    with st.container(horizontal=True, gap="large"):
        shown = st.select_slider(
            "Best at generation", generations, key=slider, width=360,
            help="Every best the run has had. The newest is shown until you choose another.",
        )  # fmt: skip
        earlier = [NOTHING, *(str(one) for one in generations if one != shown)]
        before = st.selectbox("Compare with the best at", earlier, key=f"topology-before-{run_id}", width=200)
    return by_generation[shown], None if before == NOTHING else by_generation[int(before)]


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
