"""Our own log lines: one JSON object each, whoever logged and whatever was logged. Each in a process of its own."""

import json
import logging
import logging.handlers
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dashboard import journal
from dashboard.settings import SettingError, Settings
from tests import services


def said(program: str, *arguments: object) -> tuple[list[dict], subprocess.CompletedProcess[str]]:
    """Run a program that configures the journal; every line on stderr must be one JSON object."""
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.stdout == ""
    return [json.loads(line) for line in run.stderr.splitlines()], run


BEGIN = """
import logging, sys, threading, warnings
from pathlib import Path
import numpy as np
import structlog
from dashboard import journal
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
log = structlog.get_logger("dashboard.test")
journal.configure(folder)
"""


def test_a_line_has_the_fields_the_log_reader_knows_and_an_aware_utc_time():
    [line], _ = said(BEGIN + "log.info('Run started', run_id='r1', generation=3)")
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert (line["level"], line["logger"], line["event"]) == ("info", "dashboard.test", "Run started")
    assert (line["run_id"], line["generation"]) == ("r1", 3)
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


def test_numpy_and_nan_and_the_undumpable_are_safe():
    [line], _ = said(
        BEGIN
        + """
circle = []; circle.append(circle)
log.info("x", a=np.float32(0.5), b=np.arange(6).reshape(2, 3)[:, ::2], c=float("nan"), d=np.int64(7), e=2**80,
         f={1: {2}}, g=Path("/x"), h=object, i="\\ud800", j=float("inf"), k=circle, l=np.array([1.0, np.nan]))
"""
    )
    assert (line["a"], line["b"], line["c"], line["d"]) == (0.5, [[0, 2], [3, 5]], None, 7)
    assert (line["e"], line["f"], line["g"], line["j"]) == (str(2**80), {"1": [2]}, "/x", None)
    assert line["h"] == "<class 'object'>"
    assert "d800" in line["i"]
    assert "..." in line["k"]
    assert line["l"] == [1.0, None]


def test_libraries_and_warnings_come_out_in_the_same_form():
    lines, _ = said(
        BEGIN
        + """
logging.getLogger("urllib3.connectionpool").warning("Retrying %s", "now", extra={"attempt": 2})
logging.getLogger("urllib3").info("chatter nobody wants")
warnings.warn("old", DeprecationWarning)
"""
    )
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("urllib3.connectionpool", "warning"),
        ("py.warnings", "warning"),
    ]
    assert (lines[0]["event"], lines[0]["attempt"]) == ("Retrying now", 2)
    assert "DeprecationWarning: old" in lines[1]["event"]


@pytest.mark.parametrize("order", ["before", "after"])
def test_streamlit_and_uvicorn_lines_are_ours_whenever_they_set_their_own_handlers_up(order: str):
    libraries = """
import uvicorn, uvicorn.config
from streamlit import logger as streamlit_logger
streamlit_logger.get_logger("streamlit.runtime").info
uvicorn.Config(app=None)
streamlit_logger.update_formatter()
"""
    speak = """
logging.getLogger("streamlit.runtime").warning("a script failed")
logging.getLogger("uvicorn.error").info("Started server process", extra={"color_message": "\033[36m"})
logging.getLogger("uvicorn.access").info("GET /livez 200")
"""
    program = libraries + BEGIN + speak if order == "before" else BEGIN + libraries + speak
    lines, _ = said(program)
    lines = [line for line in lines if line["logger"] != "py.warnings"]
    assert "color_message" not in lines[-1]
    assert [(line["logger"], line["event"]) for line in lines] == [
        ("streamlit.runtime", "a script failed"),
        ("uvicorn.error", "Started server process"),
    ]


def test_an_exception_is_structured_with_its_frames_and_without_local_variables():
    [line], _ = said(
        BEGIN
        + """
def inner(password="hunter2"):
    try:
        {}["r9"]
    except KeyError as why:
        raise ValueError("no such run") from why
try:
    inner()
except ValueError:
    log.exception("Page failed")
"""
    )
    newest, cause = line["exception"]
    assert (newest["exc_type"], newest["exc_value"], cause["exc_type"]) == (
        "ValueError",
        "no such run",
        "KeyError",
    )
    assert newest["frames"][-1]["name"] == "inner"
    assert "hunter2" not in json.dumps(line)


def test_exceptions_nobody_caught_are_lines_too():
    lines, run = said(
        BEGIN
        + """
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start(); thread.join()
raise RuntimeError("the end")
"""
    )
    assert [(line["event"], line["error_type"]) for line in lines] == [
        ("Uncaught exception in a thread", "ZeroDivisionError"),
        ("Uncaught exception", "RuntimeError"),
    ]
    assert run.returncode == 1


def test_what_is_bound_to_a_piece_of_work_is_on_all_its_lines_and_on_no_others():
    lines, _ = said(
        BEGIN
        + """
with structlog.contextvars.bound_contextvars(run_id="r1", session="s1", user="ada", trace_id="t"):
    log.info("a")
    logging.getLogger("anything").warning("b")
log.info("c")
"""
    )
    assert [line.get("run_id") for line in lines] == ["r1", "r1", None]
    assert (lines[0]["user"], lines[0]["session"], lines[0]["trace_id"]) == ("ada", "s1", "t")


def test_no_secret_is_written():
    [line], run = said(
        BEGIN
        + """
log.info("asked http://admin:hunter2@prometheus:9090/api", prometheus_bearer_token="hunter2", Authorization="hunter2",
         expert_tokens=5, token_id=9, url="https://u:hunter2@host/")
"""
    )
    assert "hunter2" not in run.stderr
    assert (line["expert_tokens"], line["token_id"]) == (5, 9)
    assert line["url"] == "https://host/"


def test_lines_go_to_a_file_that_rotates_and_none_is_lost(tmp_path: Path):
    lines, _ = said(BEGIN.replace("journal.configure", "journal.ROTATE_BYTES = 5000\njournal.configure") + """
for number in range(600):
    log.info("line", number=number)
""", tmp_path)  # fmt: skip
    written = sorted(tmp_path.glob("dashboard.jsonl*"))
    assert len(written) == 1 + journal.KEEP_FILES
    kept = [json.loads(line)["number"] for path in written for line in path.read_text().splitlines()]
    newest = sorted(kept)
    assert newest == list(range(600 - len(kept), 600))
    assert len(lines) == 600


def test_a_second_process_writes_a_file_of_its_own(tmp_path: Path):
    program = BEGIN + """
import subprocess, os
if "child" in sys.argv:
    log.info("child")
else:
    subprocess.run([sys.executable, "-c", os.environ["PROGRAM"], sys.argv[1], "child"], check=True)
    log.info("parent")
"""  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, env={"PROGRAM": program},
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    events = {path.name: json.loads(path.read_text())["event"] for path in tmp_path.glob("*.jsonl")}
    assert events.pop("dashboard.jsonl") == "parent"
    assert list(events.values()) == ["child"]


def test_configuring_twice_writes_each_line_once(tmp_path: Path):
    lines, _ = said(BEGIN + "journal.configure(folder)\nlog.info('once')", tmp_path)
    assert [line["event"] for line in lines] == ["once"]
    assert len((tmp_path / "dashboard.jsonl").read_text().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_said_and_stderr_goes_on(tmp_path: Path):
    (tmp_path / "file").write_text("")
    lines, _ = said(BEGIN + "log.info('still here')", tmp_path / "file" / "logs")
    assert [line["event"] for line in lines] == ["No log file", "still here"]


def test_a_full_disk_is_said_once_and_stops_nothing():
    run = subprocess.run(
        [sys.executable, "-c", BEGIN + """
handler = journal._ToFile(Path("/dev/full"))
handler.setFormatter(logging.Formatter())
logger = logging.getLogger("x"); logger.propagate = False; logger.addHandler(handler)
for _ in range(3): logger.warning("y" * 100)
"""],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stderr.count("cannot be written") >= 1
    assert run.stderr.count("No space left on device") == run.stderr.count("cannot be written") <= 2
    assert "Traceback" not in run.stderr.split("cannot be written")[0]


def test_the_guides_debug_level_is_off_unless_asked_for():
    lines, _ = said(BEGIN + "log.debug('a')\njournal.configure(folder, level='debug')\nlog.debug('b')")
    assert [line["event"] for line in lines] == ["b"]


def test_this_module_changes_nothing_until_it_is_asked_to():
    assert not [
        handler for handler in logging.getLogger().handlers if type(handler).__module__ == journal.__name__
    ]


def test_the_level_is_a_setting_and_a_level_that_is_none_is_said():
    assert Settings.load(environ={"MOE_DASHBOARD_LOG_LEVEL": "warning"}).log_level == "warning"
    with pytest.raises(SettingError, match="log_level"):
        Settings.load(environ={"MOE_DASHBOARD_LOG_LEVEL": "loud"})


@pytest.mark.services
@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", {"debug", "info"}), ("info", {"info"}), ("error", set())],
)
def test_the_server_writes_its_own_lines_from_the_level_of_the_setting_on(
    tmp_path: Path, level: str, written: set[str]
):
    with services.dashboard(tmp_path, log_level=level, prometheus_password="hunter2"):
        pass
    file = tmp_path / "data" / "logs" / "dashboard.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["level"] for line in lines} & {"debug", "info"} == written
    for line in lines:
        if line["level"] == "debug":
            assert {"log_level", "prometheus_password", "data_dir"} <= set(line["chosen"])
            assert "hunter2" not in json.dumps(line)
    assert "hunter2" not in (tmp_path / "dashboard.log").read_text()
