"""What a runbook may offer to do, by name alone: a button that asks again before it does anything.

Nothing here does it: who may, and how, is the shell's. Links and commands to copy need no name, they are Markdown.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.runbooks import calls, template
from dashboard.runbooks.calls import Parameter

START_BENCHMARK = "start-benchmark"
SILENCE = "silence-this-alert"

KNOWN: Mapping[str, Mapping[str, Parameter]] = {
    START_BENCHMARK: {
        "target": Parameter("a configured target; empty: the person chooses one"),
        "profile": Parameter("how thorough", "quick", "profile"),
    },
    SILENCE: {"duration": Parameter("what is offered first", "2h", "duration")},
}


@dataclass(frozen=True, slots=True)
class Action:
    """One action a page offers, placeholders not yet filled."""

    id: str
    name: str
    given: Mapping[str, str]
    line: int

    def filled(self, context: template.Context) -> dict[str, str]:
        """Every parameter of the action, with this alert's values in it."""
        return calls.filled(self.given, KNOWN[self.name], context)
