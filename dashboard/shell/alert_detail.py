"""One alert in full: what its annotations say, who has it, notes, silences with a preview of what they would mute, a ticket.

Everything that writes goes through the gate of `shell.person`, needs a name, and is kept with it.
"""

import time
from collections.abc import Callable, Mapping

import streamlit as st

from collectors.alertmanager import Matcher, Silence
from collectors.unavailable import Unavailable
from dashboard.alerts.entry import AlertList, Entry
from dashboard.alerts.matchers import MatcherError, parse, written
from dashboard.alerts.silencing import in_turn, mute
from dashboard.alerts.ticket import ticket
from dashboard.catalogue.units import SECONDS
from dashboard.people import Refused
from dashboard.shell import alert_trace, links, person
from dashboard.shell.look import Look
from dashboard.shell.text import clock, is_link, plain, short, visible
from dashboard.sources import Sources, current
from dashboard.store import Author

DURATIONS = {"30 minutes": 1800, "2 hours": 7200, "8 hours": 28_800, "1 day": 86_400, "3 days": 259_200}
# What Alertmanager calls an alert that Prometheus calls firing.
NOTIFIED = {"active": "firing", "suppressed": "firing", "unprocessed": "firing"}
HANDY = 300  # letters of a label's value that may stand in an address or a matcher
LONGEST = 5000  # letters of one annotation, expression or ticket on screen
PREVIEWED = 10  # alerts a silence would mute, named one by one


def expander(entry: Entry, known: AlertList, look: Look) -> None:
    """The details, worked out only once somebody opens them."""
    place = entry.fingerprint
    details = st.expander("Details", key=f"details-{place}", on_change="rerun")
    if not details.open:
        return
    with details:
        alert_trace.draw(entry, look)
        _annotations(entry)
        _sources(entry)
        _problem(place)
        if person.may_write(look.sources):
            with st.container(width=320):
                person.name(place)
        acting, silencing = st.columns(2)
        with acting:
            _acknowledge(entry, look)
            _notes(entry, look)
        with silencing:
            _silences(entry, known, look)
        copy = st.expander("Copy as Markdown for a ticket", key=f"ticket-{place}", on_change="rerun")
        if copy.open:
            text = ticket(entry, now=look.now, dashboard_url=look.sources.settings.dashboard_url)
            copy.code(text, language="markdown", wrap_lines=True)


def words(labels: Mapping[str, str]) -> str:
    """Labels as text, without the name."""
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")


def handy(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels whose values may stand in an address or a matcher; somebody's megabyte may not."""
    return {name: value for name, value in labels.items() if len(value) <= HANDY}


def _annotations(entry: Entry) -> None:
    for name, text in entry.annotations.items():
        st.caption(plain(name))
        if name != "summary" and is_link(text):
            st.link_button(plain(text), text, icon=":material/open_in_new:", type="tertiary")
        else:
            st.text(short(text, LONGEST))
    if entry.query:
        st.code(short(entry.query, LONGEST), language="promql", wrap_lines=True)


def _sources(entry: Entry) -> None:
    """Where the sources call it differently, each is named."""
    meant = {NOTIFIED.get(state, state) for state in entry.said.values()}
    if len(meant) > 1:
        st.caption(
            plain(
                "The sources disagree: "
                + ", ".join(f"{source} says {state}" for source, state in entry.said.items())
            )
        )
    if entry.inhibited_by:
        st.caption(plain(f"inhibited by {len(entry.inhibited_by)} other alerts"))
    run = entry.labels.get("run_id")
    if run:
        with st.container(horizontal=True):
            links.to("evolution", "Its run", run=run)
            links.to("logs", "Its log", run=run)


def _acknowledge(entry: Entry, look: Look) -> None:
    """Take it, or give it back. Not a silence: it goes on to notify, and ends with the alert."""
    if not person.allowed(look.sources):
        return
    place = entry.fingerprint
    with st.form(f"acknowledge-{place}", border=True):
        st.markdown(
            "**Acknowledge**",
            help="Says that you have it. It is not a silence, and ends when the alert ends.",
        )
        st.text_input("Comment", key=f"ack-comment-{place}", placeholder="what you know or do")
        with st.container(horizontal=True):
            st.form_submit_button("Acknowledge", on_click=_taken, args=(entry.name, place), type="primary")
            if entry.acknowledgement is not None:
                st.form_submit_button("Give it back", on_click=_released, args=(entry.name, place))


def _notes(entry: Entry, look: Look) -> None:
    try:
        notes = look.sources.store.notes(entry.fingerprint)
    except Unavailable as why:
        st.warning(plain(str(why)))
        return
    for note in notes[-10:]:
        st.caption(plain(f"{note.who}, {clock(note.at, look.view.zone)}"))
        st.text(visible(note.text))
    if not person.allowed(look.sources):
        return
    place = entry.fingerprint
    with st.form(f"note-{place}", border=True, clear_on_submit=True):
        st.text_area(
            "Note",
            key=f"note-text-{place}",
            height=80,
            placeholder="for everybody who looks at this alert",
        )
        st.form_submit_button("Add note", on_click=_noted, args=(entry.name, place))


def _silences(entry: Entry, known: AlertList, look: Look) -> None:
    """The silences that mute it, each to extend or end, and a new one with a preview."""
    if not look.sources.alertmanagers:
        st.caption(
            "No Alertmanager is configured (MOE_DASHBOARD_ALERTMANAGER_URL), so nothing can be silenced here."
        )
        return
    if known.silences is None:
        st.caption("No Alertmanager answers, so its silences are not known.")
        return
    place = entry.fingerprint
    for silence in known.silences:
        if silence.state != "expired" and silence.mutes(entry.labels):
            _silence(silence, place, look)
    if not person.allowed(look.sources):
        return
    with st.container(border=True):
        st.markdown(
            "**Silence**",
            help="Alertmanager stops notifying for everything these matchers fit. The alert stays in this list.",
        )
        text = st.text_input("Matchers", value=written(matchers_of(entry)), key=f"silence-matchers-{place}")
        _preview(text, known)
        duration = st.selectbox("For", list(DURATIONS), index=1, key=f"silence-for-{place}", width=160)
        st.text_input("Why", key=f"silence-comment-{place}")
        st.button(
            "Silence",
            key=f"silence-{place}",
            on_click=_silenced,
            args=(entry.name, place, DURATIONS[duration]),
            icon=":material/notifications_off:",
        )


def matchers_of(entry: Entry) -> tuple[Matcher, ...]:
    """What fits this alert and as little else as may be: every label but the ones rules give to all their alerts.

    A value that is too long to be written in a field is left out, and the preview shows what that makes of it.
    """
    own = {
        name: value
        for name, value in handy(entry.labels).items()
        if name not in ("severity", "component", "job")
    }
    return tuple(Matcher(name, value) for name, value in sorted({"alertname": entry.name, **own}.items()))


def _preview(text: str, known: AlertList) -> None:
    try:
        muted = known.muted_by(parse(text)) if text.strip() else ()
    except MatcherError as why:
        st.warning(plain(str(why)))
        return
    if not text.strip():
        st.warning("Without a matcher a silence would mute everything: Alertmanager refuses it.")
    elif muted:
        names = "; ".join(
            f"{short(entry.name, 100)} ({short(words(entry.labels), 300)})" for entry in muted[:PREVIEWED]
        )
        more = f" and {len(muted) - PREVIEWED} more" if len(muted) > PREVIEWED else ""
        st.caption(plain(f"would mute {len(muted)} of {len(known.entries)} alerts now: {names}{more}"))
    else:
        st.caption("would mute none of the alerts there are now")


def _silence(silence: Silence, place: str, look: Look) -> None:
    left = SECONDS.format(float(max(0, round(silence.ends_at - look.now))))
    st.caption(plain(f"silenced by {silence.created_by or 'somebody'} for another {left}: {silence.comment}"))
    st.code(short(written(silence.matchers), LONGEST), language=None, wrap_lines=True)
    if not person.allowed(look.sources):
        return
    with st.container(horizontal=True):
        st.button(
            "Extend by 2 hours", key=f"extend-{silence.id}-{place}", on_click=_extended, args=(silence, place)
        )
        st.button("End now", key=f"expire-{silence.id}-{place}", on_click=_expired, args=(silence, place))


def _problem(place: str) -> None:
    problem = st.session_state.pop(f"problem-{place}", "")
    if problem:
        st.error(plain(problem))
    done = st.session_state.pop(f"done-{place}", "")
    if done:
        st.success(plain(done))


def _kept(place: str, action: str, write: Callable[[Author, Sources], object], done: str) -> None:
    """Do what was asked, if whoever asked may, and say so; or say why not."""
    sources = current()
    try:
        author = person.author(sources, place, action)
        write(author, sources)
    except (Refused, ValueError, Unavailable) as why:
        st.session_state[f"problem-{place}"] = str(why)
        return
    person.remember(author.name)
    st.session_state[f"done-{place}"] = done


def _taken(alert: str, place: str) -> None:
    comment = str(st.session_state.get(f"ack-comment-{place}", ""))
    _kept(
        place,
        "acknowledge",
        lambda who, sources: sources.store.acknowledge(place, alert=alert, who=who, comment=comment),
        "Acknowledged.",
    )


def _released(alert: str, place: str) -> None:
    _kept(
        place,
        "release",
        lambda who, sources: sources.store.release(place, alert=alert, who=who),
        "Given back.",
    )


def _noted(alert: str, place: str) -> None:
    text = str(st.session_state.get(f"note-text-{place}", ""))
    _kept(
        place,
        "note",
        lambda who, sources: sources.store.note(place, alert=alert, who=who, text=text),
        "Noted.",
    )


def _silenced(alert: str, place: str, seconds: int) -> None:
    comment = str(st.session_state.get(f"silence-comment-{place}", ""))
    text = str(st.session_state.get(f"silence-matchers-{place}", ""))

    def make(who: Author, sources: Sources) -> None:
        mute(
            sources.alertmanagers,
            sources.store,
            who=who,
            alert=alert,
            matchers=text,
            seconds=seconds,
            comment=comment,
        )

    _kept(place, "silence", make, "Silenced. Other replicas of Alertmanager learn of it within seconds.")


def _extended(silence: Silence, place: str) -> None:
    def extend(who: Author, sources: Sources) -> None:
        until = max(silence.ends_at, time.time()) + 7200
        in_turn(
            sources.alertmanagers,
            lambda replica: replica.extend_silence(
                silence,
                ends_at=until,
                created_by=silence.created_by or who.name,
                comment=silence.comment or "extended",
            ),
        )
        sources.store.record(who=who, action="extend silence", subject=silence.id, ends_at=until)

    _kept(place, "extend silence", extend, "Extended by two hours.")


def _expired(silence: Silence, place: str) -> None:
    def expire(who: Author, sources: Sources) -> None:
        in_turn(sources.alertmanagers, lambda replica: replica.expire_silence(silence.id))
        sources.store.record(who=who, action="end silence", subject=silence.id)

    _kept(place, "end silence", expire, "The silence has ended.")
