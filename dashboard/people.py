"""Who may do what: from the claims of a login or, where nobody can log in, from where somebody sits.

Pure: knows settings, no Streamlit and no store. What a claim is called and which of its values count is the
operator's to say; a login whose claims say nothing may look and no more.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from dashboard.settings import Settings

EVERYBODY = "*"
READ_ONLY = "This dashboard is read-only (MOE_DASHBOARD_READ_ONLY): nothing can be started or written here."
_FORWARDED_FOR = re.compile(r"for=\"?(\[[^\]]*\]|[^;,\"\s]*)", re.IGNORECASE)  # RFC 7239


class Role(IntEnum):
    """What somebody may do; each may do what those before it may."""

    VIEWER = 0
    OPERATOR = 1
    ADMIN = 2

    def __str__(self) -> str:
        return self.name.lower()


class Refused(Exception):
    """Somebody may not do this; the message is a sentence for them."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """What the server knows about who asks."""

    claims: Mapping[str, Any] | None = None  # None: no login is configured; empty: nobody has logged in
    address: str = ""  # the other end of the connection; empty: this machine
    headers: Mapping[str, str] = field(default_factory=dict)  # names in any case
    session: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a visitor may do here, and why not more."""

    role: Role
    name: str  # of the login; empty where nobody logged in
    account: str  # the login's own identifier; empty likewise
    why: str  # a sentence; empty for an admin


def standing(visitor: Visitor, settings: Settings) -> Standing:
    """What this visitor may do. Read-only mode is not looked at: see `require`."""
    if visitor.claims is None:
        return _without_login(visitor, settings)
    if not visitor.claims:
        return Standing(Role.VIEWER, "", "", "Log in to write here.")
    role = role_of(visitor.claims, settings)
    name = name_of(visitor.claims)
    why = ""
    if role < Role.OPERATOR and not settings.operator_values and not settings.admin_values:
        why = "Nobody is an operator here: MOE_DASHBOARD_OPERATOR_VALUES names nobody."
    elif role < Role.ADMIN:
        why = f"Your login's {settings.role_claim} makes you {_article(role)}."
    return Standing(role, name, str(visitor.claims.get("sub") or name), why)


def name_of(claims: Mapping[str, Any]) -> str:
    """What to call a login; an address of mail only where the provider does not doubt it."""
    verified = claims.get("email") if claims.get("email_verified", True) is True else None
    return str(verified or claims.get("name") or claims.get("preferred_username") or claims.get("sub") or "")


def role_of(claims: Mapping[str, Any], settings: Settings) -> Role:
    """The highest role a login's claims give; a doubted address of mail gives none."""
    if settings.role_claim == "email" and claims.get("email_verified", True) is not True:
        return Role.VIEWER
    held = set(_values(claims, settings.role_claim))
    for role, wanted in ((Role.ADMIN, settings.admin_values), (Role.OPERATOR, settings.operator_values)):
        if EVERYBODY in wanted or held & set(wanted):
            return role
    return Role.VIEWER


def require(who: Standing, needed: Role, settings: Settings, *, writes: bool = True) -> None:
    """Let pass, or say why not.

    Raises:
        Refused: the dashboard is read-only and this writes, or the role is too low.
    """
    if writes and settings.read_only:
        raise Refused(READ_ONLY)
    if who.role < needed:
        raise Refused(f"This is for {needed}s. {who.why}")


def origin(visitor: Visitor) -> str:
    """Where a visitor comes from, for the audit log: the connection's other end, and whom a proxy names."""
    named = ", ".join(dict.fromkeys(_forwarded(visitor.headers)))
    at = visitor.address or "127.0.0.1"
    return (f"{at} for {named}" if named and named != at else at)[:200]


def _without_login(visitor: Visitor, settings: Settings) -> Standing:
    if _is_here(visitor, settings):
        return Standing(Role.ADMIN, "", "", "")
    if settings.accept_unauthenticated_writes:
        return Standing(Role.OPERATOR, "", "", "Nobody can log in here, so nobody is known to be an admin.")
    return Standing(
        Role.VIEWER,
        "",
        "",
        "Nobody can log in here, and you do not sit at this machine: configure a login, or let everybody write"
        " with MOE_DASHBOARD_ACCEPT_UNAUTHENTICATED_WRITES.",
    )


def _is_here(visitor: Visitor, settings: Settings) -> bool:
    """Whether server and visitor are on one machine, with no proxy that lets others in.

    The Host is looked at too: a page of somebody else's that resolves its own name to 127.0.0.1 (DNS rebinding)
    reaches this server from this machine, but still asks for its own name.
    """
    headers = {name.lower(): value for name, value in visitor.headers.items()}
    hosts = [headers["host"]] if "host" in headers else []
    named = [*_forwarded(headers), *hosts, *([visitor.address] if visitor.address else [])]
    return _loopback(settings.host) and all(_loopback(one) for one in named)


def _forwarded(headers: Mapping[str, str]) -> list[str]:
    """Whom proxies name, nearest last."""
    found: list[str] = []
    for name, value in headers.items():
        if name.lower() in {"x-forwarded-for", "x-real-ip", "x-forwarded-host"}:
            found += [item.strip() for item in value.split(",") if item.strip()]
        elif name.lower() == "forwarded":
            found += _FORWARDED_FOR.findall(value) or [value]
    return found


def _loopback(host: str) -> bool:
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _values(claims: Mapping[str, Any], name: str) -> Iterable[str]:
    """The texts a claim holds; a whole name with dots in it goes before a path."""
    found: Any = claims.get(name)
    if found is None and "." in name:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found]
    return [one for one in found if isinstance(one, str)] if isinstance(found, list | tuple) else []


def _article(role: Role) -> str:
    return f"an {role}" if role is Role.OPERATOR else f"a {role}"
