"""What a router imports: five lines turn an evolving loop into metrics on a port and a run directory on disk.

    from dashboard.observer import Observer

    observer = Observer(port=9100, run_name="digits", runs_dir="runs")
    with observer.run(config={"population": 32}):
        for generation in range(1, 101):
            ...
            observer.log({"fitness_best": best, "diversity_score": spread}, step=generation, topology=mask)

Light to import: no pandas, no Streamlit; torch only inside `watch()`. Never raises into the loop it observes.
"""

from dashboard.observer.observer import Observer
from dashboard.observer.run import Run

__all__ = ["Observer", "Run"]
