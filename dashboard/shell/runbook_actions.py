"""The actions a runbook offers: a button that says what it will do and asks again, then goes through the gate for writes.

A page names an action of `dashboard.runbooks.actions` and nothing more; what is done stands here, in code. A benchmark
runs a target the operator configured, a silence fits this alert alone.
"""

from collections.abc import Mapping

import promql_parser
import streamlit as st

from collectors.unavailable import Unavailable
from dashboard.alerts.entry import Entry
from dashboard.alerts.matchers import MatcherError, written
from dashboard.alerts.silencing import mute
from dashboard.benchmark.directory import TERMINAL
from dashboard.benchmark.runs import NoSuchRun
from dashboard.benchmark.spec import PROFILES
from dashboard.benchmark.starting import CannotStart
from dashboard.catalogue.units import SECONDS
from dashboard.people import Refused
from dashboard.runbooks import Action, Context
from dashboard.runbooks.actions import START_BENCHMARK
from dashboard.shell import links, person
from dashboard.shell.alert_detail import DURATIONS, matchers_of
from dashboard.shell.look import Look
from dashboard.shell.text import plain, visible
from dashboard.sources import Sources, current


def offer(action: Action, alert: str, entry: Entry | None, context: Context, look: Look) -> None:
    """One action: a button that opens what it would do; nothing happens before it is confirmed there."""
    place = f"runbook-{alert}-{action.id}"
    given = action.filled(context)
    if action.name == START_BENCHMARK:
        _offer_benchmark(place, alert, given, look)
    else:
        _offer_silence(place, given, entry, look)
    for kind, show in (("problem", st.error), ("done", st.success)):
        words = st.session_state.get(f"{place}-{kind}", "")  # stays over refreshes, until the next click
        if words:
            show(plain(words))


def _offer_benchmark(place: str, alert: str, given: Mapping[str, str], look: Look) -> None:
    targets = {target.name: target for target in look.sources.benchmarks.targets()}
    named = given["target"]
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover(f"Start the benchmark {plain(named)}".strip(), icon=":material/speed:", key=place):
            if not targets:
                st.caption("No benchmark target is configured (MOE_DASHBOARD_BENCHMARK_TARGETS).")
                return
            if named and named not in targets:
                st.caption(plain(f"{named} is not a configured benchmark target; configured are {', '.join(targets)}."))  # fmt: skip
                return
            chosen = named or st.selectbox("Target", list(targets), key=f"{place}-target")
            profile = st.selectbox("Profile", list(PROFILES), index=list(PROFILES).index(given["profile"]), key=f"{place}-profile")  # fmt: skip
            target = targets[chosen]
            st.markdown(plain(f"Starts {chosen} with the profile {profile} on this server's machine. {target.about}"))  # fmt: skip
            if not target.available:
                st.caption(plain(target.why_not))
            if person.may_write(look.sources):
                person.name(place)
                st.button("Start it now", type="primary", key=f"{place}-sure", disabled=not target.available,
                          on_click=_start, args=(place, alert, named))  # fmt: skip
        run_id = st.session_state.get(f"{place}-run")
        if run_id:
            links.to("benchmark", "Its run", run=run_id, icon=":material/speed:")


def _offer_silence(place: str, given: Mapping[str, str], entry: Entry | None, look: Look) -> None:
    with st.popover("Silence this alert", icon=":material/notifications_off:", key=place):
        if entry is None:
            st.caption("This alert is not active now, so there is nothing to silence.")
            return
        if not look.sources.alertmanagers:
            st.caption("No Alertmanager is configured (MOE_DASHBOARD_ALERTMANAGER_URL), so nothing can be silenced here.")  # fmt: skip
            return
        offered = _durations(given["duration"])
        first = next(
            i for i, seconds in enumerate(offered.values()) if seconds == _seconds(given["duration"])
        )
        matchers = written(matchers_of(entry))
        st.markdown(
            "Alertmanager stops notifying for everything these matchers fit; the alert stays in the list."
        )
        st.code(visible(matchers), language=None, wrap_lines=True)
        st.selectbox("For", list(offered), index=first, key=f"{place}-for")
        st.text_input("Why", key=f"{place}-why")
        if person.may_write(look.sources):
            person.name(place)
            st.button("Silence it now", type="primary", key=f"{place}-sure", on_click=_silence,
                      args=(place, entry.name, matchers, offered))  # fmt: skip


def _durations(first: str) -> dict[str, int]:
    """What is offered, in order of length, the page's own among them."""
    seconds = _seconds(first)
    offered = dict(DURATIONS)
    if seconds not in offered.values():
        offered[SECONDS.format(float(seconds))] = seconds
    return dict(sorted(offered.items(), key=lambda item: item[1]))


def _seconds(duration: str) -> int:
    return round(promql_parser.parse_duration(duration).total_seconds())


def _start(place: str, alert: str, named: str) -> None:
    """Start it; while the run that this session started here is under way, a further click starts none."""
    sources, state = current(), st.session_state
    state[f"{place}-problem"] = state[f"{place}-done"] = ""
    try:
        who = person.author(sources, place, "start benchmark")
        person.remember(who.name)
        if _under_way(sources, state.get(f"{place}-run")):
            state[f"{place}-done"] = "It is under way already."
            return
        target, profile = named or state[f"{place}-target"], state[f"{place}-profile"]
        state[f"{place}-run"] = run_id = sources.benchmarks.start(target, profile, owner=who.name)
        state[f"{place}-done"] = "Started. It runs on when you leave this page."
        sources.store.record(who=who, action="start benchmark", subject=run_id, runbook=alert)
    except (Refused, CannotStart, ValueError, Unavailable) as why:
        state[f"{place}-problem"] = str(why)


def _silence(place: str, alert: str, matchers: str, offered: Mapping[str, int]) -> None:
    sources, state = current(), st.session_state
    state[f"{place}-problem"] = state[f"{place}-done"] = ""
    try:
        seconds = offered[state[f"{place}-for"]]
        who = person.author(sources, place, "silence")
        comment = str(state.get(f"{place}-why") or "")
        mute(sources.alertmanagers, sources.store, who=who, alert=alert, matchers=matchers, seconds=seconds, comment=comment)  # fmt: skip
        person.remember(who.name)
        state[f"{place}-done"] = f"Silenced for {SECONDS.format(float(seconds))}."
    except (Refused, MatcherError, ValueError, Unavailable) as why:
        state[f"{place}-problem"] = str(why)


def _under_way(sources: Sources, run_id: str | None) -> bool:
    if not run_id:
        return False
    try:
        return sources.benchmarks.run(run_id).state not in TERMINAL
    except NoSuchRun:
        return False
