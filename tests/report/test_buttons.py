"""The buttons that hand out a report, drawn as Streamlit draws them."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.shell import report
from tests.verdict.recorded import RUNS


def _page(runs, data):
    from dashboard.feed import Window
    from dashboard.settings import Settings
    from dashboard.shell import report
    from dashboard.shell.look import Look
    from dashboard.shell.view import View
    from dashboard.sources import Sources

    view = View(Window("now-1h"), None, "healthy", "generation", "UTC")
    look = Look.at(view, Sources(Settings(runs_dir=runs, data_dir=data)), [])
    report.of_run(look)
    report.of_window(look)


@pytest.mark.parametrize(
    ("runs", "labels"),
    [(RUNS, ["Report of this run", "Report of this window"]), (None, ["Report of this window"])],
)
def test_a_run_and_a_window_have_a_button_each(runs, labels, tmp_path):
    app = AppTest.from_function(_page, kwargs={"runs": runs, "data": tmp_path}, default_timeout=30).run()
    assert not app.exception
    assert [button.proto.label for button in app.get("download_button")] == labels


@pytest.mark.parametrize(
    ("run_id", "name"), [("r-1", "r-1"), ("../../etc/passwd", "etc-passwd"), ("\u202e<b>", "b"), ("…", "run")]
)
def test_a_run_s_name_makes_a_file_s_name(run_id: str, name: str):
    assert report._file(run_id) == name
