"""Roles come from claims the operator named, or from sitting at this machine; nothing else makes anybody an operator."""

import ast
import inspect

import pytest

from dashboard import people
from dashboard.people import Refused, Role, Visitor, origin, require, standing
from dashboard.settings import Settings
from tests.services import ROOT

MAPPED = Settings(operator_values=("sre", "oncall"), admin_values=("boss",))


def claims(**more: object) -> dict[str, object]:
    return {"is_logged_in": True, "sub": "u-1", "email": "grace@example.org", **more}


@pytest.mark.parametrize(
    ("held", "role"),
    [
        ({"roles": ["sre"]}, Role.OPERATOR),
        ({"roles": "oncall"}, Role.OPERATOR),
        ({"roles": ["x", "boss", "sre"]}, Role.ADMIN),
        ({"roles": ["SRE"]}, Role.VIEWER),
        ({"roles": "sre boss"}, Role.VIEWER),
        ({"roles": []}, Role.VIEWER),
        ({"roles": {"sre": True}}, Role.VIEWER),
        ({"roles": True}, Role.VIEWER),
        ({"roles": ["*"]}, Role.VIEWER),
        ({}, Role.VIEWER),
    ],
    ids=str,
)
def test_a_role_is_a_value_of_the_claim_letter_for_letter(held, role):
    assert standing(Visitor(claims(**held)), MAPPED).role is role


def test_without_a_mapping_a_login_may_look_and_is_told_which_setting_is_missing():
    who = standing(Visitor(claims(roles=["sre"])), Settings())
    assert who.role is Role.VIEWER
    assert "MOE_DASHBOARD_OPERATOR_VALUES" in who.why


def test_a_star_is_everybody_who_logged_in_and_nobody_who_did_not():
    everybody = Settings(operator_values=("*",))
    assert standing(Visitor(claims()), everybody).role is Role.OPERATOR
    assert standing(Visitor({}), everybody).role is Role.VIEWER


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["boss"]}}),
        ("https://example.org/roles", {"https://example.org/roles": ["boss"]}),
        ("groups", {"groups": ["boss"]}),
    ],
)
def test_providers_name_the_claim_as_they_like(name, held):
    assert (
        standing(Visitor(claims(**held)), Settings(role_claim=name, admin_values=("boss",))).role
        is Role.ADMIN
    )


def test_an_address_the_provider_doubts_gives_neither_role_nor_name():
    settings = Settings(role_claim="email", admin_values=("grace@example.org",))
    assert standing(Visitor(claims(email_verified=True)), settings).role is Role.ADMIN
    for doubt in (False, "true", None):
        who = standing(Visitor(claims(email_verified=doubt, name="Grace")), settings)
        assert (who.role, who.name) == (Role.VIEWER, "Grace")


def test_who_has_not_logged_in_where_one_can_may_look_even_at_this_machine():
    assert standing(Visitor({}), MAPPED).role is Role.VIEWER


@pytest.mark.parametrize(
    "visitor",
    [
        Visitor(),
        Visitor(address="127.0.0.1", headers={"Host": "localhost:8501"}),
        Visitor(headers={"host": "[::1]:8501", "X-Forwarded-For": "127.0.0.1"}),
    ],
)
def test_without_a_login_who_sits_at_this_machine_may_do_everything(visitor):
    assert standing(visitor, Settings()).role is Role.ADMIN


@pytest.mark.parametrize(
    "visitor",
    [
        Visitor(address="10.0.0.7"),
        Visitor(headers={"X-Forwarded-For": "10.0.0.7"}),
        Visitor(headers={"x-forwarded-for": "127.0.0.1, 10.0.0.7"}),
        Visitor(headers={"X-Real-IP": "10.0.0.7"}),
        Visitor(headers={"Forwarded": 'for="[2001:db8::1]:4711";proto=https'}),
        Visitor(headers={"Forwarded": "by=proxy"}),
        Visitor(headers={"X-Forwarded-Host": "dashboard.example.org"}),
        Visitor(headers={"Host": "rebound.example.org:8501"}),
    ],
    ids=lambda visitor: str(visitor.headers or visitor.address),
)
def test_without_a_login_a_proxy_or_a_foreign_name_makes_nobody_an_operator(visitor):
    who = standing(visitor, Settings())
    assert who.role is Role.VIEWER
    assert "MOE_DASHBOARD_ACCEPT_UNAUTHENTICATED_WRITES" in who.why
    assert standing(visitor, Settings(accept_unauthenticated_writes=True)).role is Role.OPERATOR


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "dashboard.example.org", ""])
def test_a_server_that_listens_to_others_trusts_nobody_without_a_login(host):
    assert standing(Visitor(headers={"Host": "localhost"}), Settings(host=host)).role is Role.VIEWER


def test_read_only_goes_before_every_role():
    with pytest.raises(Refused, match="read-only"):
        require(standing(Visitor(), Settings()), Role.OPERATOR, Settings(read_only=True))
    require(standing(Visitor(), Settings()), Role.ADMIN, Settings(read_only=True), writes=False)


def test_a_refusal_says_for_whom_it_is_and_why_not_you():
    with pytest.raises(Refused, match=r"for operators\. Your login's roles makes you a viewer"):
        require(standing(Visitor(claims()), MAPPED), Role.OPERATOR, MAPPED)
    with pytest.raises(Refused, match=r"for admins\. Your login's roles makes you an operator"):
        require(standing(Visitor(claims(roles="sre")), MAPPED), Role.ADMIN, MAPPED)


@pytest.mark.parametrize(
    ("visitor", "said"),
    [
        (Visitor(), "127.0.0.1"),
        (Visitor(address="10.0.0.7"), "10.0.0.7"),
        (Visitor(headers={"X-Forwarded-For": "192.0.2.1, 10.0.0.7", "X-Real-IP": "10.0.0.7"}), "127.0.0.1 for 192.0.2.1, 10.0.0.7"),
        (Visitor(headers={"X-Forwarded-For": "x" * 5000}), "127.0.0.1 for " + "x" * 186),
    ],
    ids=["here", "there", "proxies", "long"],
)  # fmt: skip
def test_the_audit_log_says_where_a_visitor_comes_from(visitor, said):
    assert origin(visitor) == said


WRITING = {
    "acknowledge", "release", "note", "tick", "untick", "record",
    "mute", "extend_silence", "expire_silence", "start", "ask_to_start", "cancel", "pin", "unpin",
}  # fmt: skip
OWNERS = {"store", "benchmarks", "benchmark_hosts"}  # words like start and record are others' too


def _writes(node: ast.AST) -> set[str]:
    """Names of the writing methods of store, Alertmanager and benchmarks that are called below a node."""
    return {
        call.func.attr
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in WRITING
        and (
            call.func.attr.endswith("_silence")
            or OWNERS & {part.attr for part in ast.walk(call.func) if isinstance(part, ast.Attribute)}
        )
    } | {
        call.func.id
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "mute"
    }


def test_everything_that_writes_goes_through_the_gate():
    """Each function of the pages that writes asks the gate first, or hands the write to one that does."""
    found: set[str] = set()
    for path in [*(ROOT / "dashboard" / "shell").glob("*.py"), *(ROOT / "pages").glob("*.py")]:
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            written = _writes(function)
            found |= written
            names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            gates = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)} | names
            if written in ({"record"}, {"start", "ask_to_start"}) and "Author" in gates:
                continue  # it is handed what only the gate gives
            assert not written or gates & {"author", "_kept"}, f"{path.name}: {ast.unparse(function)[:80]}"
    assert found == WRITING, "a way to write is no longer looked for"
    assert "person.author" in inspect.getsource(
        __import__("dashboard.shell.alert_detail", fromlist=["_"])._kept
    )


def test_people_knows_no_streamlit():
    assert "streamlit" not in {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(inspect.getsource(people)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
