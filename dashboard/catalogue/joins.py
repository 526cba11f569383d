"""What the domains' rules share without importing one another: the labels of a run and the gates on it.

Knows names only; the recordings behind the gates are declared where their metrics are.
"""

# The labels that say which run of which process a series belongs to. A process without runs has an empty run_id.
RUN = "job, instance, run_id"

EVOLVING = "moe:run_evolving:bool"  # recorded by evolution: this run produces generations
RESTING = "moe:run_resting:bool"  # recorded by evolution: this run was finished or paused on purpose
SERVING = "moe:run_serving:bool"  # recorded by inference: this process answers requests

WHILE_EVOLVING = f"and on ({RUN}) {EVOLVING}"
WHILE_WORKING = f"and on ({RUN}) ({EVOLVING} or {SERVING})"
UNLESS_RESTING = f"unless on ({RUN}) {RESTING}"
