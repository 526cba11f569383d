"""Which metric a key means: a catalogue name, its short form, the guide's log name or an alias. Knows no values.

A short form is the name without its first word (`fitness_best`, `loss`, `utilization_ratio`). Only what an
evolving loop says has one, and a short form that two metrics would share belongs to neither.
"""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping

from dashboard.catalogue import BY_NAME, evolution, experts, inference, monitoring, training
from dashboard.catalogue.spec import Metric

GUIDE_LOG_NAMES: dict[str, Metric] = {
    "generation": evolution.GENERATION,
    "best_fitness": evolution.BEST,
    "average_fitness": evolution.AVERAGE,
    "diversity_score": evolution.DIVERSITY,
    "mutation_rate": evolution.MUTATION_RATE,
    "population_size": evolution.POPULATION,
}
"""The names of the monitoring guide's own log line, "Evolution generation completed"."""

LOG_NAMES: dict[str, str] = {metric.name: name for name, metric in GUIDE_LOG_NAMES.items()}
"""Catalogue name → the name it has in generations.jsonl, where the two differ."""

OURS = frozenset(
    metric.name
    for metric in (evolution.RUN_INFO, evolution.RUN_ACTIVE, evolution.RUN_STATE, *monitoring.METRICS)
)
"""What the observer knows better than the loop: a loop cannot say these."""


class UnknownName(LookupError):
    """A key that is neither a catalogue name, nor a short form, nor a guide log name, nor an alias."""


def _short_forms() -> dict[str, Metric]:
    spoken = (*evolution.METRICS, *experts.METRICS, *training.METRICS, *inference.METRICS)
    forms = [(metric.name.split("_", 1)[1], metric) for metric in spoken if metric.name not in OURS]
    times = Counter(form for form, _ in forms)
    return {form: metric for form, metric in forms if times[form] == 1 and form not in BY_NAME}


SHORT_FORMS: dict[str, Metric] = _short_forms()


class Vocabulary:
    """Every key this observer understands.

    Args:
        aliases: a name of the loop's own → any key understood without aliases.

    Raises:
        UnknownName: an alias that points nowhere.
    """

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        self._metrics: dict[str, Metric] = {
            **SHORT_FORMS,
            **GUIDE_LOG_NAMES,
            **{name: metric for name, metric in BY_NAME.items() if name not in OURS},
        }
        targets = {alias: self.metric(name) for alias, name in (aliases or {}).items()}
        self._metrics.update(targets)

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def metric(self, key: str) -> Metric:
        """The metric a key means.

        Raises:
            UnknownName: with the closest known name.
        """
        try:
            return self._metrics[key]
        except KeyError:
            close = difflib.get_close_matches(str(key), [*self._metrics], n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UnknownName(f"{key!r} is no metric of the catalogue, short form or alias.{hint}") from None
