"""Filling alert labels into PromQL and Markdown: a label value never becomes a query, a link or a command."""

import json
import shlex

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.alerts import promql as language
from dashboard.runbooks.template import Context, TemplateError, holes, markdown, promql

QUERY = 'evolution_diversity_score{run_id="{{ $labels.run_id }}"}'
HOSTILE = [
    'r1"} or vector(1) or x{a="',
    "back\\slash",
    'ends with a backslash\\',
    "new\nline",
    "nul\x00byte",
    "😀",
    "{{ $labels.job }}",
    "'; drop table runs; --",
    "`backtick`",
    "# comment",
    "\x7f\x1b[31m",
    "ünïcode",
    "$run",
]  # fmt: skip


def _value(query: str) -> str:
    selector = language.parse(query)
    assert isinstance(selector, promql_parser.VectorSelector)
    [matcher] = selector.matchers.matchers
    return str(matcher.value)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_label_stays_one_string(value: str):
    assert _value(promql(QUERY, Context(labels={"run_id": value}))) == value


def test_a_label_cannot_name_a_hole_that_is_filled_later():
    """The feed fills $run, $instance and $rate in queries; a label's dollar is written \\x24."""
    assert "$" not in promql(QUERY, Context(labels={"run_id": "$run"}))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_label_stays_one_string(value: str):
    assert _value(promql(QUERY, Context(labels={"run_id": value}))) == value


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_label_in_a_regular_expression_matches_itself_alone(value: str):
    import re

    filled = promql('x{a=~"{{ $labels.run_id | re }}"}', Context(labels={"run_id": value}))
    selector = language.parse(filled)
    [matcher] = selector.matchers.matchers
    assert re.fullmatch(matcher.value, value)
    assert not re.fullmatch(matcher.value, value + "x")


@pytest.mark.parametrize(
    ("template", "where"),
    [
        ("x{a='{{ $labels.b }}'}", "inside '"),
        ("x{a=`{{ $labels.b }}`}", "inside `"),
        ("x > {{ $labels.b }}", "outside a string"),
        ("x # {{ $labels.b }}", "in a comment"),
        ('x{a="\\{{ $labels.b }}"}', "backslash"),
        ('x{a="{{ .Labels.b }}"}', "no placeholder"),
        ('x{a="{{ $labels.b | html }}"}', "no placeholder"),
        ("{{ $externalURL }}", "no placeholder"),
    ],
)
def test_a_placeholder_stands_only_where_it_can_be_escaped(template: str, where: str):
    with pytest.raises(TemplateError, match=where):
        promql(template, Context(labels={"b": "1"}))


def test_a_string_s_own_escapes_do_not_end_it():
    filled = promql(r'x{a="say \"{{ $labels.b }}\"",c=`"`,d="{{ $labels.b }}"}', Context(labels={"b": "hi"}))
    assert filled == r'x{a="say \"hi\"",c=`"`,d="hi"}'


def test_numbers_may_stand_outside_a_string():
    context = Context(value=0.04, start=1_700_000_000.4, end=1_700_000_900.0)
    assert (
        promql("x > {{ $value }} and time() < {{ $from }} - {{$to}}", context)
        == "x > 0.04 and time() < 1700000000 - 1700000900"
    )
    assert promql("x > {{ $value }}", Context()) == "x > NaN"


def test_a_label_the_alert_lacks_selects_series_without_it():
    assert promql(QUERY, Context()) == 'evolution_diversity_score{run_id=""}'


@pytest.mark.parametrize(
    "value",
    ["[x](javascript:alert(1))", "<script>", "**bold**", "| cell", "`code`", "$x$", ":red[x]", "a\nb"],
)
def test_a_hostile_label_is_plain_text_in_prose(value: str):
    """Every letter that Markdown or Streamlit gives a meaning is escaped, and no new line begins."""
    from markdown_it import MarkdownIt

    filled = markdown("Run {{ $labels.run_id }} stands.", Context(labels={"run_id": value}))
    [_, inline, _] = MarkdownIt("js-default").parse(filled)
    assert {child.type for child in inline.children} <= {"text", "text_special"}
    assert inline.children is not None
    assert "".join(child.content for child in inline.children) == f"Run {value} stands.".replace("\n", " ")


def test_a_label_in_a_link_is_percent_encoded():
    filled = markdown("[go](/evolution?run={{$labels.run_id}})", Context(labels={"run_id": "a b)&x=[1]"}))
    assert filled == "[go](/evolution?run=a%20b%29%26x%3D%5B1%5D)"


@pytest.mark.parametrize("value", ["router:9100", "a; rm -rf /", "$(reboot)", "x'y", "two\nlines"])
def test_a_label_in_a_command_is_one_word_of_the_shell(value: str):
    filled = markdown("```sh\ncurl {{ $labels.instance }}\n```", Context(labels={"instance": value}))
    command = filled.splitlines()[1:-1]
    assert len(command) == 1
    assert shlex.split(command[0]) == ["curl", value.replace("\n", " ")]


def test_a_label_cannot_leave_inline_code():
    filled = markdown("`{{ $labels.a }}`", Context(labels={"a": "x` <script>"}))
    assert filled == "`x' <script>`"


def test_a_value_is_not_itself_a_template():
    filled = markdown("{{ $labels.a }}", Context(labels={"a": "{{ $labels.b }}", "b": "secret"}))
    assert "secret" not in filled


def test_holes_are_named():
    assert holes('x{a="{{ $labels.run_id }}"} > {{ $value }} {{$labels.job|re}}') == {"run_id", "job"}
    with pytest.raises(TemplateError):
        holes("{{ template }}")


@pytest.mark.services
def test_the_real_prometheus_reads_what_the_parser_reads(prometheus):
    """Injected text is a label value to Prometheus too: the naive replacement returns 1, ours nothing."""
    server = prometheus(targets={})
    for value in HOSTILE:
        assert server.query(promql(QUERY, Context(labels={"run_id": value}))) == [], json.dumps(value)
    naive = QUERY.replace("{{ $labels.run_id }}", HOSTILE[0])
    assert server.query(naive)[0]["value"][1] == "1"
