"""When each alert must fire and when it must stay silent, as series that promtool plays back.

A case is a story; `tests.alerts.test_rules` hands all of them to `promtool test rules`.
"""

from tests.alerts import cases_application, cases_evolution, cases_hardware, cases_serving

CASES = (*cases_evolution.CASES, *cases_serving.CASES, *cases_hardware.CASES, *cases_application.CASES)
