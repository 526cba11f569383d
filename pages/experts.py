"""Experts: who carries the load, who is dead, and since when?"""

from dashboard.shell import balance, experts, heatmap, page, runs

page(
    title="Experts",
    question="Which experts carry the load, which are dead, and since when?",
    controls=("run", "axis", "window"),
    rows=[
        [runs.state],
        [experts.named],
        [experts.numbers],
        [heatmap.load_map],
        [balance.balance],
    ],
)
