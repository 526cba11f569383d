"""Who writes, and whether they may: the one gate everything that writes goes through, and the login.

A button that is not drawn is a courtesy; what counts is `author`, which each callback asks on the server.
"""

import hashlib

import streamlit as st
import structlog
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import people
from dashboard.people import Refused, Role, Standing, Visitor
from dashboard.shell.text import plain
from dashboard.sources import Sources
from dashboard.store import Author

MOST_CHARACTERS = 80
NAMELESS = "Say who you are: a name is kept with what you write."

log = structlog.get_logger("dashboard.shell")


def author(sources: Sources, place: str, action: str) -> Author:
    """The gate: who writes, for the store to keep in its audit log.

    Args:
        place: which form; its name field is read where nobody logged in.
        action: what they are about to do; a refusal is logged under it.

    Raises:
        Refused: they may not, or gave no name; the message is a sentence for them.
    """
    visitor, who = visitor_now(), standing(sources)
    try:
        people.require(who, Role.OPERATOR, sources.settings)
    except Refused as why:
        log.warning(
            "Write refused", action=action, role=str(who.role), user=who.name, address=people.origin(visitor),
            session=visitor.session, reason=str(why),
        )  # fmt: skip
        raise
    name = typed(place)
    if not name:
        raise Refused(NAMELESS)
    log.info("Write allowed", action=action, user=name, session=visitor.session)
    return Author(name, people.origin(visitor), visitor.session, who.account)


def may_write(sources: Sources) -> bool:
    """Whether the visitor may write; says why where they may not."""
    why = _why_not(sources)
    if why:
        st.caption(plain(why))
    return not why


def allowed(sources: Sources) -> bool:
    """Whether the visitor may write, so that no form is drawn in vain."""
    return not _why_not(sources)


def _why_not(sources: Sources) -> str:
    try:
        people.require(standing(sources), Role.OPERATOR, sources.settings)
    except Refused as why:
        return str(why)
    return ""


def standing(sources: Sources) -> Standing:
    """What the visitor of this session may do."""
    return people.standing(visitor_now(), sources.settings)


def visitor_now() -> Visitor:
    """Who looks at this page, as far as Streamlit knows."""
    context = get_script_run_ctx()
    if context is None:  # outside a session nobody is known, which must not read as "no login is configured"
        return Visitor(claims={})
    claims = {name: value for name, value in st.user.to_dict().items() if name != "tokens"}
    address = st.context.ip_address
    login = "is_logged_in" in claims  # Streamlit says so only where a login is configured
    return Visitor(
        claims=(claims if claims["is_logged_in"] is True else {}) if login else None,
        address=address if isinstance(address, str) else "",  # Streamlit says None for this machine
        headers=st.context.headers.to_dict(),
        # The identifier itself lets its holder resume the session: only a mark of it is kept.
        session=hashlib.sha256(context.session_id.encode()).hexdigest()[:12],
    )


def name(place: str) -> str:
    """Who is writing: of the login where there is one, else what the person calls themselves, asked once a session.

    `place` keeps the fields of several forms apart.
    """
    known = logged_in()
    if known:
        st.caption(plain(f"as {known}"))
        return known
    return str(
        st.text_input(
            "Your name", value=st.session_state.get("person", ""), key=f"person-{place}", max_chars=MOST_CHARACTERS, autocomplete="name",
            help="Kept with what you write, and shown to everybody.",
        )
        or ""
    ).strip()  # fmt: skip


def typed(place: str) -> str:
    """The name of the login, else the one in that place's field; may be empty."""
    remembered = st.session_state.get("person", "")
    return logged_in() or str(st.session_state.get(f"person-{place}", remembered)).strip()


def remember(who: str) -> None:
    """Fill the name in next time."""
    st.session_state["person"] = who


def logged_in() -> str:
    """The name of the login; empty without one."""
    visitor = visitor_now()
    return people.name_of(visitor.claims) if visitor.claims else ""


def login(sources: Sources) -> bool:
    """The way in and out, where a login is configured; False where no page may be shown before it."""
    visitor = visitor_now()
    if visitor.claims is None:
        return True
    who = standing(sources)
    with st.sidebar:
        if visitor.claims:
            st.caption(plain(f"{who.name}, {who.role}"))
            st.button("Log out", icon=":material/logout:", on_click=st.logout, type="tertiary")
        else:
            st.button("Log in", icon=":material/login:", on_click=st.login, type="tertiary")
    if not visitor.claims and sources.settings.login_required:
        st.title("MoE router dashboard", anchor=False)
        st.markdown("This dashboard shows its pages to people who have logged in.")
        st.button("Log in", icon=":material/login:", on_click=st.login, type="primary", key="login-first")
        return False
    return True
