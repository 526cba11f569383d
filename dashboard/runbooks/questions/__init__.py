"""The questions a runbook may ask beside PromQL, each declared once: a name, its words, its unit and who answers it.

    call = parse("nvml", 'memory-free-bytes gpu="{{ $labels.gpu_id }}"')
    found = call.question.answer(origins, call.filled(context))

A name that is not declared here cannot be asked; see `dashboard.runbooks.calls` for how a page writes one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.runbooks import calls, template
from dashboard.runbooks.calls import Parameter
from dashboard.runbooks.questions import benchmark, gpu, log
from dashboard.runbooks.questions.spec import SOURCES, Found, Origins, Point, Question, Source, Tail

__all__ = ["KNOWN", "SOURCES", "Call", "Found", "Origins", "Point", "Question", "Source", "Tail", "parse"]

KNOWN: Mapping[Source, Mapping[str, Question]] = {
    source: {
        question.name: question
        for question in (*gpu.QUESTIONS, *log.QUESTIONS, *benchmark.QUESTIONS)
        if question.source == source
    }
    for source in SOURCES
}
_PARAMETERS: Mapping[Source, Mapping[str, Mapping[str, Parameter]]] = {
    source: {name: question.parameters for name, question in questions.items()}
    for source, questions in KNOWN.items()
}


@dataclass(frozen=True, slots=True)
class Call:
    """A question as a page asks it, placeholders not yet filled."""

    question: Question
    given: Mapping[str, str]

    def filled(self, context: template.Context) -> dict[str, str]:
        """Every parameter of the question, with this alert's values in it."""
        return calls.filled(self.given, self.question.parameters, context)


def parse(source: Source, text: str) -> Call:
    """Read one question; raises CallError where it is none of this source's."""
    name, given = calls.parse(text, _PARAMETERS[source])
    return Call(KNOWN[source][name], given)
