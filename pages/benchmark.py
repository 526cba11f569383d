"""Benchmark: start one, watch it, and set its result beside earlier ones."""

from dashboard.shell import benchmark, benchmark_history, page

page(
    title="Benchmark",
    question="How fast is the router on this machine, and is it slower than last time?",
    controls=(),
    own=("run",),
    above=benchmark.start,
    rows=[[benchmark.runs], [benchmark.progress], [benchmark.result], [benchmark_history.trail]],
)
