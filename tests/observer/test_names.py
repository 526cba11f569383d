"""Which key means which metric."""

import pytest

from dashboard.catalogue import BY_NAME, evolution, experts, inference, training
from dashboard.observer.names import GUIDE_LOG_NAMES, OURS, SHORT_FORMS, UnknownName, Vocabulary

SPOKEN = [
    metric
    for metric in (*evolution.METRICS, *experts.METRICS, *training.METRICS, *inference.METRICS)
    if metric.name not in OURS
]


@pytest.mark.parametrize("metric", SPOKEN, ids=str)
def test_every_metric_a_loop_says_has_a_short_form_of_its_own(metric):
    """A new metric whose short form another one has would silently lose its own: this fails then."""
    short = metric.name.split("_", 1)[1]
    assert SHORT_FORMS[short] is metric


def test_no_short_form_is_another_metrics_full_name_or_guide_name():
    assert not SHORT_FORMS.keys() & BY_NAME.keys()
    for name in SHORT_FORMS.keys() & GUIDE_LOG_NAMES.keys():
        assert SHORT_FORMS[name] is GUIDE_LOG_NAMES[name]


def test_the_four_ways_to_name_the_best_fitness_are_one_metric():
    vocabulary = Vocabulary({"champion": "fitness_best"})
    for key in ("evolution_fitness_best", "fitness_best", "best_fitness", "champion"):
        assert vocabulary.metric(key) is evolution.BEST


def test_an_unknown_key_names_its_nearest_neighbour():
    with pytest.raises(UnknownName, match="Did you mean 'fitness_best'"):
        Vocabulary().metric("fitnes_best")


def test_a_loop_cannot_say_what_the_observer_knows_better():
    with pytest.raises(UnknownName):
        Vocabulary().metric("evolution_run_active")


def test_an_alias_that_points_nowhere_is_refused():
    with pytest.raises(UnknownName):
        Vocabulary({"a": "nowhere"})
