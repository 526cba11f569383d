"""The paper: what is text stays text, the library is in it once, and times do not depend on the reader's zone."""

import re

import numpy as np
import plotly.graph_objects as go
import pytest

from dashboard.figures import look
from dashboard.report.document import Document, shown
from tests.report.conftest import HOSTILE


def test_text_is_escaped_and_marks_that_change_the_reading_are_visible():
    assert shown("<b>\u202e&\x1b") == "&lt;b&gt;\\u202e&amp;\\u001b"


def test_a_text_of_a_megabyte_is_cut_and_says_so():
    assert shown("x" * 1_000_000).endswith("… (1,000,000 letters)")


def test_a_lone_surrogate_can_still_be_written():
    document = Document("\ud800")
    document.html().encode()


def test_without_a_figure_there_is_no_script():
    document = Document(HOSTILE)
    document.say(HOSTILE)
    document.table((HOSTILE,), [(HOSTILE,), (None,)])
    document.verbatim(HOSTILE, [HOSTILE])
    text = document.html()
    assert "<script" not in text
    assert "script-src 'none'" in text
    assert "<img" not in text


def test_the_library_is_in_the_file_once_whatever_the_number_of_figures():
    document = Document("two")
    for _ in range(2):
        document.figure(go.Figure([go.Scatter(y=[1, 2])]), "a line")
    text = document.html()
    assert len(re.findall(r"<script>", text)) == 2  # the library and what draws with it
    assert text.count('<script type="application/json">') == 2


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil.example.org"])
def test_only_http_addresses_are_links(url: str):
    document = Document("links")
    document.link("there", url)
    assert "<a " not in document.html()


def test_clock_time_is_written_without_a_zone():
    document = Document("times")
    times = look.local(np.array([0.0, np.nan, 1.5]), "UTC")
    figure = look.figure([go.Scatter(x=times, y=[1, 2, 3])], revision="")
    figure.update_xaxes(type="date", range=[float(times[0]), float(times[2])])
    document.figure(figure, "three points")
    assert '"x":["1970-01-01T00:00:00.000",null,"1970-01-01T00:00:01.500"]' in document.html()
    assert figure.data[0].x[0] == 0.0  # the figure that was given is left as it was
