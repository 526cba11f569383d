"""Reading a page: what is text, what is a step, what is a check, and what is wrong with it."""

from pathlib import Path

import pytest

from dashboard.catalogue.units import BYTES, NUMBER
from dashboard.runbooks import (
    Check,
    Context,
    NoRunbook,
    Query,
    Row,
    Runbook,
    Step,
    Text,
    blank,
    coverage,
    load,
    names,
)
from dashboard.runbooks.reader import read

PAGE = """---
alert: Sample
title: A sample
severity: warning
component: evolution
reviewed: 2026-01-31
---

# A sample

## Meaning

Two words.

Two paragraphs.

## Impact

None.

## Diagnosis

Before the steps.

- [ ] **Look** at it
  closely.

  ```promql id=diversity range=30m
  evolution_diversity_score{run_id="{{ $labels.run_id }}"}
  ```

  | value    | verdict | means |
  |----------|---------|-------|
  | `< 0.05` | bad     | one genotype |
  | `else`   | ok      | fine |

  After the check.

  ```sh
  nvidia-smi
  ```

- [x] Second step

## Mitigation

- [ ] Act.

## Prevention

- a plain list
- of two
"""


def test_a_page_comes_apart_into_text_steps_and_checks():
    runbook = read("Sample", PAGE, path=Path("Sample.md"))
    assert runbook.problems == ()
    assert (runbook.title, runbook.severity, str(runbook.reviewed)) == ("A sample", "warning", "2026-01-31")
    assert runbook.section("Meaning").pieces == (Text("Two words.\n\nTwo paragraphs."),)
    before, step, check, after, second = runbook.section("Diagnosis").pieces
    assert before == Text("Before the steps.")
    assert step == Step("look-at-it-closely", "**Look** at it\nclosely.")
    assert check == Check(
        id="diversity",
        asks=Query('evolution_diversity_score{run_id="{{ $labels.run_id }}"}', 1800.0),
        unit=NUMBER,
        rows=(Row("< 0.05", "bad", "one genotype"), Row("else", "ok", "fine")),
        line=28,
    )
    assert after == Text("After the check.\n\n```sh\nnvidia-smi\n```")
    assert second == Step("second-step", "Second step")
    assert runbook.section("Prevention").pieces == (Text("- a plain list\n- of two"),)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("## Impact\n\nNone.\n", ""), "heading 'Impact' is missing"),
        (("## Impact\n\nNone.\n", "## Impact\n"), "heading 'Impact' is empty"),
        (("| ok      | fine", "| good | fine"), "line 35: the verdict is 'good'"),
        (("`else`   |", "`<< 3`   |"), "no condition"),
        (("id=diversity ", ""), "line 28: a block of promql needs id="),
        (("range=30m", "range=often"), "range=often is no duration"),
        (("range=30m", "size=3"), "unknown option size"),
        (("range=30m", "unit=furlongs"), "unit=furlongs is none of number, count"),
        (('"{{ $labels.run_id }}"}', "'{{ $labels.run_id }}'}"), "may stand only inside"),
        (("evolution_diversity_score{", "evolution_diversity_score{{"), "line 28"),
        (('run_id }}"}', 'run_id }}"'), "line 28"),
        (("alert: Sample", "alert: Other"), "alert is 'Other'"),
        (("alert: Sample", "alert: [1"), "front matter: not YAML"),
        (("alert: Sample", "alert: !!python/object:os.system x"), "front matter: not YAML"),
    ],
)
def test_what_is_wrong_with_a_page_is_said_and_the_rest_is_still_read(change, problem):
    assert change[0] in PAGE
    runbook = read("Sample", PAGE.replace(*change), path=Path("Sample.md"))
    assert problem in " ".join(runbook.problems)
    assert runbook.section("Prevention").pieces


QUESTION = """
- [ ] Ask the machine.

  ```nvml id=free
  memory-free-bytes gpu="{{ $labels.gpu_id }}"
  ```

  | value | verdict | means |
  |---|---|---|
  | `< 500e6` | bad | hardly any |
  | `else` | ok | some |

  ```action id=measure
  start-benchmark target="reference-moe" profile="standard"
  ```
"""


def _with_question(*change: str) -> Runbook:
    return read(
        "Sample",
        PAGE.replace("- [x] Second step", QUESTION.replace(*change) if change else QUESTION),
        path=Path(),
    )


def test_a_question_and_an_action_are_named_and_carry_a_unit():
    runbook = _with_question()
    assert runbook.problems == ()
    check = runbook.checks[1]
    assert check.asks.question.name == "memory-free-bytes"
    assert check.unit is BYTES
    assert check.asks.filled(Context(labels={"gpu_id": '0" instance="x'})) == {
        "gpu": '0" instance="x',
        "instance": "",
    }
    [action] = runbook.actions
    assert action.name == "start-benchmark"
    assert action.filled(Context()) == {"target": "reference-moe", "profile": "standard"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("memory-free-bytes", "memory-free"), "'memory-free gpu=\"{{ $labels.gpu_id }}\"' is none of ours; there are clock-holds-count,"),
        (("memory-free-bytes", "__import__('os')"), "is none of ours"),
        (('gpu="', 'card="'), "memory-free-bytes takes gpu, instance, and not card"),
        (('gpu_id }}"', 'gpu_id }}" gpu="1"'), "gpu stands twice"),
        (('gpu_id }}"', 'gpu_id }}'), "is not name=\"words\""),
        (("$labels.gpu_id", "$labels.gpu_id | html"), "no placeholder"),
        (("id=free", "id=free range=1h"), "unknown option range of a block of nvml"),
        (("id=free", ""), "a block of nvml needs id="),
        (("start-benchmark", "rm -rf"), "is none of ours; there are silence-this-alert, start-benchmark"),
        (('"standard"', '"endless"'), "'endless' is none of quick, standard, full"),
        (("id=measure", "id=measure now=yes"), "unknown option now of a block of action"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_question_or_an_action_is_said(change, problem):
    assert change[0] in QUESTION
    assert problem in " ".join(_with_question(*change).problems)


def test_a_check_without_a_table_is_a_problem():
    text = PAGE[: PAGE.index("  | value")] + PAGE[PAGE.index("  After the check") :]
    assert "has no verdicts" in read("Sample", text, path=Path()).problems[0]


def test_a_step_keeps_its_id_when_another_one_is_added_before_it():
    """Ticks are kept by this id."""
    later = PAGE.replace("- [ ] **Look**", "- [ ] New\n\n- [ ] **Look**")
    assert "look-at-it-closely" in {step.id for step in read("Sample", later, path=Path()).steps}


def test_ids_are_unique_on_a_page():
    twice = PAGE.replace("- [x] Second step", "- [ ] Act.")
    ids = [step.id for step in read("Sample", twice, path=Path()).steps]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["../secret", "A\n", "", "1A", "A.md", "a/b", "A" * 65, "Ä"])
def test_a_name_that_is_no_alert_s_touches_no_file(name: str, monkeypatch: pytest.MonkeyPatch):
    def touched(*_: object, **__: object) -> None:
        raise AssertionError("the disk was touched")

    monkeypatch.setattr(Path, "stat", touched)
    monkeypatch.setattr(Path, "read_text", touched)
    with pytest.raises(NoRunbook, match="not the name of an alert"):
        load(name)


def test_a_site_folder_adds_and_overrides(tmp_path: Path):
    (tmp_path / "Ours.md").write_text(PAGE.replace("alert: Sample", "alert: Ours"), encoding="utf-8")
    (tmp_path / "Watchdog.md").write_text(PAGE.replace("Sample", "Watchdog"), encoding="utf-8")
    (tmp_path / "no-alert.md").write_text("readme", encoding="utf-8")
    assert load("Ours", [tmp_path]).site
    assert load("Watchdog", [tmp_path]).title == "A sample"
    assert not load("Watchdog").site
    assert {"Ours", "ExpertDead"} <= set(names([tmp_path]))
    assert "no-alert" not in names([tmp_path])


def test_a_changed_page_is_read_again(tmp_path: Path):
    page = tmp_path / "Ours.md"
    page.write_text(PAGE.replace("alert: Sample", "alert: Ours"), encoding="utf-8")
    assert load("Ours", [tmp_path]).title == "A sample"
    page.write_text(
        PAGE.replace("alert: Sample", "alert: Ours").replace("A sample", "Changed words"), encoding="utf-8"
    )
    assert load("Ours", [tmp_path]).title == "Changed words"


def test_an_alert_without_a_page_is_said_with_where_one_would_be(tmp_path: Path):
    with pytest.raises(NoRunbook, match=r"No page NotThere\.md in .*pages"):
        load("NotThere", [tmp_path, tmp_path / "missing"])


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * 1_000_001])
def test_a_page_that_cannot_be_read_is_said(tmp_path: Path, content: bytes):
    (tmp_path / "Broken.md").write_bytes(content)
    with pytest.raises(NoRunbook, match=r"Broken\.md"):
        load("Broken", [tmp_path])


def test_the_blank_page_is_a_page_without_problems():
    runbook = read("NewAlert", blank("NewAlert", expression="up == 0\nunless x"), path=Path())
    assert runbook.problems == ()
    assert runbook.checks[0].asks.promql == "up == 0\nunless x"


def test_a_blank_page_is_for_an_alert_only():
    with pytest.raises(ValueError, match="not the name of an alert"):
        blank("x\n---\nalert: y")


def test_the_coverage_table_says_what_is_missing(tmp_path: Path):
    (tmp_path / "Orphan.md").write_text(PAGE.replace("alert: Sample", "alert: Orphan"), encoding="utf-8")
    rows = {row.alert: row for row in coverage(["ExpertDead", "NotThere"], [tmp_path])}
    assert rows["ExpertDead"].problems == ()
    assert rows["NotThere"].runbook is None
    assert "no alert of this name" in rows["Orphan"].problems
