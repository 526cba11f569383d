"""Taking numbers away."""

import json
from types import SimpleNamespace

import pandas as pd

from dashboard.feed import Asked, Window
from dashboard.shell import take

LOOK = SimpleNamespace(run_id="r1", now=1_800_000_000.0, view=SimpleNamespace(window=Window("now-1h")))


def test_a_csv_says_in_its_first_line_what_it_is():
    head, columns, row = (
        take.csv("fitness", pd.DataFrame({"generation": [1], "evolution_fitness_best": [0.5]}), LOOK)
        .decode()
        .splitlines()
    )
    assert json.loads(head.removeprefix("# ")) == {
        "figure": "fitness",
        "run": "r1",
        "from": "now-1h",
        "to": "now",
        "times": "UTC",
        "units": {"evolution_fitness_best": "number"},
    }
    assert (columns, row) == ("generation,evolution_fitness_best", "1,0.5")


def test_a_link_into_prometheus_holds_query_and_window():
    asked = [Asked('up{job="a b"}', 15.0, 10, 0.1)]
    link = take.graph("http://127.0.0.1:9090/prom/", asked, LOOK)
    assert link.startswith("http://127.0.0.1:9090/prom/graph?g0.expr=up%7Bjob%3D%22a%20b%22%7D")
    assert "g0.range_input=3600s" in link


def test_raw_samples_are_drawn_by_their_selector_and_a_moment_is_shown_as_a_table():
    raw = Asked('{__name__=~"a|b",run_id="r"}[3600000ms]', None, 10, 0.1)
    link = take.graph("http://127.0.0.1:9090", [raw, raw, Asked("rate(up[5m])", None, 1, 0.1)], LOOK)
    assert "g0.expr=%7B__name__%3D~%22a%7Cb%22%2Crun_id%3D%22r%22%7D&g0.tab=0" in link
    assert "g1.expr=rate%28up%5B5m%5D%29&g1.tab=1" in link
    assert "g2." not in link


def test_there_is_no_link_to_what_is_no_web_address():
    assert take.graph("javascript:alert(1)", [Asked("up", 15.0, 1, 0.1)], LOOK) == ""


def test_a_name_from_outside_is_no_formula_in_a_spreadsheet_and_several_runs_are_all_named():
    head, _, row = take.csv("runs", pd.DataFrame({"run": ["=1+1"]}), LOOK, ["a", "b"]).decode().splitlines()
    assert json.loads(head.removeprefix("# "))["run"] == ["a", "b"]
    assert row == "'=1+1"
