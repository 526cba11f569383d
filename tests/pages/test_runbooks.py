"""The Runbooks page: the alert's page with its checks run, a template where there is none, a table of all."""

import json
import time
from datetime import UTC, datetime

import pytest

from collectors import nvml
from dashboard import catalogue
from dashboard.benchmark.directory import TERMINAL
from dashboard.people import Visitor
from dashboard.runbooks.shelf import SHIPPED
from dashboard.sampler import Sampler
from dashboard.shell import person
from dashboard.shell.runbooks import address_of
from dashboard.shell.text import visible
from dashboard.sources import current
from tests import services
from tests.fakes.nvml.driver import driver
from tests.pages.screen import HOSTILE, words

GOOD = "tests.benchmark.factories:good"
MEASURE, SILENCE = "runbook-HighInferenceLatency-measure", "runbook-LowPopulationDiversity-silence"


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    with services.alertmanager(tmp_path_factory.mktemp("runbooks") / "alertmanager") as running:
        yield running


def buttons(app):
    return {button.key for button in app.button}


def test_a_firing_alert_opens_its_page_with_its_labels_and_evidence(open_page, router):
    app = open_page("runbooks", query={"alert": "LowPopulationDiversity"}, prometheus_url=router.url)
    text = words(app)
    assert "run_id=r1" in app.code[0].value
    assert "The evidence supports, the worst first:**\n- the population has converged too early" in text
    assert "firing since" in text
    assert "**0.04**" in text
    for heading in ("Meaning", "Impact", "Diagnosis", "Mitigation", "Prevention"):
        assert f"#### {heading}" in text


def test_a_check_without_prometheus_could_not_tell_and_says_why(open_page):
    app = open_page("runbooks", query={"alert": "LowPopulationDiversity", "run_id": "r1"})
    text = words(app)
    assert "No check could tell anything" in text
    assert "Could not tell: No Prometheus is configured." in text


def test_labels_of_the_address_fill_the_checks_and_cannot_become_promql(open_page, router):
    hostile = 'r1"} or vector(1) or x{a="$run'
    app = open_page(
        "runbooks", query={"alert": "LowPopulationDiversity", "run_id": hostile}, prometheus_url=router.url
    )
    queries = [code.value for code in app.code[1:]]
    assert any('run_id="r1\\"} or vector(1) or x{a=\\"\\x24run"' in query for query in queries)
    assert "converged too early" not in words(app).partition("#### Meaning")[0]


@pytest.mark.parametrize("name", ["Nope", "../x", "A\nB"])
def test_an_alert_without_a_page_offers_one_to_copy_or_says_that_it_is_no_name(open_page, name):
    app = open_page("runbooks", query={"alert": name})
    assert not app.error
    assert len(app.info) >= 1
    assert [code.value for code in app.code if code.value.startswith("---\nalert: Nope")] or name != "Nope"


def test_without_a_choice_every_alert_is_in_the_table(open_page):
    table = open_page("runbooks").dataframe[0].value
    assert set(table["alert"]) >= {alert.name for alert in catalogue.ALERTS}
    assert set(table["runbook"]) == {"shipped"}


def test_a_label_that_means_something_else_in_the_address_is_kept_apart():
    assert address_of("X", {"alertname": "X", "run": "a", "from": "b", "gpu_id": "0"}) == {
        "alert": "X", "label.run": "a", "label.from": "b", "gpu_id": "0",
    }  # fmt: skip


# steps


def test_a_step_is_ticked_with_name_and_note_and_a_second_session_sees_it(open_page, router):
    app = open_page("runbooks", query={"alert": "LowPopulationDiversity"}, prometheus_url=router.url)
    app.text_input(key="person-runbook").input("Ada")
    app.text_input(key="tick-note").input(f"since noon {HOSTILE}")
    app.checkbox[0].check().run()
    other = open_page("runbooks", query={"alert": "LowPopulationDiversity"}, prometheus_url=router.url)
    for seen in (app, other):
        assert seen.checkbox[0].value
        text = words(seen)
        assert f"1 of {len(seen.checkbox)} steps done in this episode" in text
        assert "done by Ada, " in text
        assert f": since noon {visible(HOSTILE)}" in text
    other.text_input(key="person-runbook").input("Grace")
    other.checkbox[0].uncheck().run()
    assert not app.run().checkbox[0].value
    assert [(one.who, one.action) for one in current().store.audit()] == [
        ("Grace", "untick"),
        ("Ada", "tick"),
    ]


def test_a_tick_without_a_name_is_not_kept(open_page, router):
    app = open_page("runbooks", query={"alert": "LowPopulationDiversity"}, prometheus_url=router.url)
    app.checkbox[0].check().run()
    assert person.NAMELESS in words(app)
    assert not app.checkbox[0].value
    assert current().store.audit() == ()


# actions


def test_the_benchmark_of_this_router_is_started_after_confirmation_once_and_written_down(open_page, router):
    app = open_page(
        "runbooks",
        query={"alert": "HighInferenceLatency"},
        prometheus_url=router.url,
        benchmark_targets=(GOOD,),
    )
    assert current().benchmarks.runs() == ()
    assert app.selectbox(key=f"{MEASURE}-profile").value == "standard", "what the page names is offered first"
    app.selectbox(key=f"{MEASURE}-profile").select("quick")
    app.text_input(key=f"person-{MEASURE}").input("Ada")
    app.button(key=f"{MEASURE}-sure").click().run()
    [run] = current().benchmarks.runs()
    assert (run.owner, run.target, run.profile) == ("Ada", GOOD, "quick")
    assert "Started." in words(app)
    app.button(key=f"{MEASURE}-sure").click().run()
    assert len(current().benchmarks.runs()) == 1
    assert "under way already" in words(app)
    [line] = current().store.audit()
    assert (line.who, line.action, line.subject) == ("Ada", "start benchmark", run.run_id)
    assert line.detail["runbook"] == "HighInferenceLatency"
    current().benchmarks.cancel(run.run_id, "test")
    services.wait_until(lambda: current().benchmarks.run(run.run_id).state in TERMINAL, 60)


def test_a_page_cannot_start_what_the_operator_did_not_configure(open_page, tmp_path):
    """Not even by the label of an alert."""
    app = open_page(
        "runbooks",
        query={"alert": "BenchmarkRegression", "benchmark": "os:system"},
        benchmark_targets=(GOOD,),
    )
    assert "os:system is not a configured benchmark target" in words(app)
    assert not any("sure" in key for key in buttons(app) if key)


def test_a_silence_of_this_alert_alone_is_made_for_the_chosen_time_and_written_down(
    open_page, router, alertmanager
):
    app = open_page(
        "runbooks",
        query={"alert": "LowPopulationDiversity"},
        prometheus_url=router.url,
        alertmanager_url=(alertmanager.url,),
    )
    app.selectbox(key=f"{SILENCE}-for").select("30 minutes")
    app.text_input(key=f"{SILENCE}-why").input("known")
    app.text_input(key=f"person-{SILENCE}").input("Ada").run()
    app.button(key=f"{SILENCE}-sure").click().run()
    assert "Silenced for 30 min" in words(app)
    [silence] = alertmanager.get("/api/v2/silences")
    assert {matcher["name"]: matcher["value"] for matcher in silence["matchers"]}["run_id"] == "r1"
    assert (silence["createdBy"], silence["comment"]) == ("Ada", "known")
    lasting = datetime.fromisoformat(silence["endsAt"]) - datetime.fromisoformat(silence["startsAt"])
    assert 1790 <= lasting.total_seconds() <= 1810
    [line] = current().store.audit()
    assert (line.who, line.action, line.subject, line.detail["silence"]) == (
        "Ada",
        "silence",
        "LowPopulationDiversity",
        silence["id"],
    )


def test_a_read_only_dashboard_offers_no_action_and_no_tick(open_page, router, alertmanager):
    for alert in ("LowPopulationDiversity", "HighInferenceLatency"):
        app = open_page(
            "runbooks",
            query={"alert": alert},
            prometheus_url=router.url,
            alertmanager_url=(alertmanager.url,),
            benchmark_targets=(GOOD,),
            read_only=True,
        )
        assert not any("sure" in key for key in buttons(app) if key)
        assert app.checkbox
        assert all(box.disabled for box in app.checkbox)


def test_a_role_that_is_gone_by_the_click_does_nothing(open_page, router, alertmanager, monkeypatch):
    """The gate is asked when it is done, not when the button was drawn."""
    before = len(alertmanager.get("/api/v2/silences"))
    settings = {
        "prometheus_url": router.url,
        "alertmanager_url": (alertmanager.url,),
        "benchmark_targets": (GOOD,),
    }
    for alert, key in (("LowPopulationDiversity", SILENCE), ("HighInferenceLatency", MEASURE)):
        app = open_page("runbooks", query={"alert": alert}, **settings)
        app.text_input(key=f"person-{key}").input("Eve").run()
        with monkeypatch.context() as patch:
            patch.setattr(person, "visitor_now", lambda: Visitor(claims={"name": "Eve"}))
            app.button(key=f"{key}-sure").click().run()
            assert "This is for operators." in words(app)
            assert app.checkbox[0].disabled
        assert current().benchmarks.runs() == ()
        assert current().store.audit() == ()
    assert len(alertmanager.get("/api/v2/silences")) == before


# questions beside PromQL


def test_the_driver_of_this_machine_is_asked_for_the_alert_s_gpu_and_disagrees_in_the_open(
    open_page, tmp_path
):
    with driver(tmp_path / "nvml") as board:
        board.gpu(0)
        board.gpu(1, memory_used=80 * 2**30 - 10**8, compute="", graphics="")
        app = open_page(
            "runbooks", query={"alert": "GPUMemoryHigh", "gpu_id": "1", "instance": "127.0.0.1:9105"}
        )
        sampler = Sampler(read_gpus=lambda: nvml.read(board.nvml), read_xids=list)
        current().__dict__["sampler"] = sampler
        sampler.look()
        del current().__dict__["answers"]  # what was found before there was a driver
        text = words(app.run())
    assert "The evidence supports: the driver itself has less than 500 MB free right now" in text
    assert "**95.4 MiB**" in text
    assert "Could not tell: No Prometheus is configured." in text
    assert "GPU 1" in next(
        item.proto.bytes for item in app.get("bidi_component") if item.key == "check-free-here"
    ).decode("utf-8", "replace")


def test_without_a_driver_the_question_could_not_tell(open_page):
    app = open_page("runbooks", query={"alert": "GPUMemoryHigh", "gpu_id": "0", "instance": "127.0.0.1:9105"})
    app.run()
    assert "Could not tell: " in words(app)
    assert "the driver itself" not in words(app)


def test_the_last_words_of_memory_that_ran_out_are_shown_letter_for_letter(open_page, tmp_path):
    log = tmp_path / "router.jsonl"
    stamp = datetime.fromtimestamp(time.time() - 200, UTC).isoformat()
    log.write_text(
        json.dumps({"event": f"CUDA out of memory {HOSTILE}", "level": "error", "timestamp": stamp}) + "\n"
    )
    app = open_page(
        "runbooks",
        query={"alert": "ApplicationRestarting", "job": "j", "instance": "i"},
        log_files=(str(log),),
    )
    text = words(app)
    assert any("memory ran out within the last quarter of an hour" in item.value for item in app.error)
    assert "**3 min 2" in text
    assert any("CUDA out of memory <img" in code.value for code in app.code)
    assert HOSTILE not in text


# where pages come from


def test_a_site_folder_overrides_a_page_and_adds_one(open_page, tmp_path):
    ours = tmp_path / "runbooks"
    ours.mkdir()
    shipped = (SHIPPED / "Watchdog.md").read_text()
    (ours / "Watchdog.md").write_text(
        shipped.replace("title: ", "title: Ours: ")
        .replace("title: Ours: ", 'title: "Ours, ')
        .replace("\nseverity", '"\nseverity', 1)
    )
    (ours / "Local.md").write_text("---\nalert: Local\ntitle: A local page\n---\n## Meaning\n\nHere.\n")
    settings = {"runbooks_dirs": (str(ours),)}
    table = open_page("runbooks", **settings).dataframe[0].value.set_index("alert")["runbook"]
    assert (table["Watchdog"], table["Local"], table["ExpertDead"]) == ("site's own", "site's own", "shipped")
    app = open_page("runbooks", query={"alert": "Watchdog"}, **settings)
    assert "Ours, " in app.subheader[0].value
    assert "site's own page" in words(app)
    assert "things to mend" in open_page("runbooks", query={"alert": "Local"}, **settings).expander[0].label
