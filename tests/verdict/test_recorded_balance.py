"""Experts of recorded runs, named after each generation as somebody saw them who had the page open."""

import json

import numpy as np
import pytest

from dashboard.verdict.balance import named
from tests.verdict.recorded import RUNS

EXPERTS = tuple(map(str, range(8)))


@pytest.mark.parametrize(("run", "dead"), [("freeze-expert", {"3"}), ("healthy", set()), ("slow", set())])
def test_only_the_frozen_expert_is_dead_from_the_first_generation_to_the_last(run, dead):
    lines = (RUNS / run / "generations.jsonl").read_text().splitlines()
    shares = [json.loads(line)["expert_utilization_ratio"] for line in lines]
    load = np.array([[len(EXPERTS) * share[expert] for share in shares] for expert in EXPERTS])
    called = [
        {one.expert for one in named("", EXPERTS, load[:, :count]) if one.condition == "dead"}
        for count in range(1, len(shares) + 1)
    ]
    assert set.intersection(*called) == dead
    assert called[-1] == dead
    [*found] = [one for one in named("", EXPERTS, load) if one.condition == "dead"]
    assert all(one.from_start and one.since == 0 for one in found)
