"""Experts and routing: who carries the load, and who is dead?"""

from dashboard.catalogue.spec import Curve, Curves, Metric, Recording
from dashboard.catalogue.units import COUNT, NUMBER, RATIO, TOTAL

RUN = ("run_id",)

UTILIZATION = Metric(
    "expert_utilization_ratio",
    "gauge",
    RATIO,
    "Expert utilization ratio",
    ("run_id", "layer", "expert_id"),
    guide=True,
)
BALANCE_VARIANCE = Metric(
    "expert_load_balance_variance", "gauge", NUMBER, "Load balance variance across experts", RUN, guide=True
)
SPECIALIZATION = Metric(
    "expert_specialization_score",
    "gauge",
    NUMBER,
    "Expert specialization metric",
    ("run_id", "layer", "expert_id"),
    guide=True,
)
SPARSITY = Metric("routing_sparsity_ratio", "gauge", RATIO, "Routing matrix sparsity ratio", RUN, guide=True)
EFFICIENCY = Metric(
    "routing_efficiency_score", "gauge", NUMBER, "Overall routing efficiency", RUN, guide=True
)
CONNECTIONS = Metric(
    "routing_connections_active", "gauge", COUNT, "Number of active routing connections", RUN, guide=True
)
PATH_LENGTH = Metric(
    "routing_path_length_avg", "gauge", NUMBER, "Average routing path length", RUN, guide=True
)
TOKENS = Metric(
    "expert_tokens_total", "counter", TOTAL, "Tokens routed to the expert since the process started",
    ("run_id", "layer", "expert_id"), reason="exact load over any window, which a gauge sampled at each scrape cannot give",
)  # fmt: skip

METRICS = (
    UTILIZATION,
    BALANCE_VARIANCE,
    SPECIALIZATION,
    SPARSITY,
    EFFICIENCY,
    CONNECTIONS,
    PATH_LENGTH,
    TOKENS,
)

SHARE = Recording(
    "moe:expert_share:ratio",
    f"{UTILIZATION} / ignoring (expert_id) group_left () (sum without (expert_id) ({UTILIZATION}) > 0)",
    "Share of the routed load per expert; sums to 1 over the experts of a layer, whatever top-k is",
)
EXPERTS = Recording(
    "moe:experts:count", f"count without (expert_id) ({UTILIZATION})", "Experts of a layer that report a load"
)
LOAD_CV = Recording(
    "moe:expert_load:cv",
    f"stddev without (expert_id) ({UTILIZATION}) / (avg without (expert_id) ({UTILIZATION}) > 0)",
    "Coefficient of variation of the load: 0 is perfectly even, sqrt(N-1) is everything on one of N experts",
)
EFFECTIVE = Recording(
    "moe:experts_effective:count",
    f"exp(-1 * sum without (expert_id) ({SHARE} * ln({SHARE} > 0)))",
    "Effective number of experts, exp(entropy of the shares): N is even, 1 is collapsed",
)
RECORDINGS = (SHARE, EXPERTS, LOAD_CV, EFFECTIVE)

# What counts as dead, starved and overloaded, in load ÷ fair load (1.0 is fair).
DEAD_BELOW = 0.05
STARVED_BELOW = 0.25
OVERLOADED_ABOVE = 3.0

BALANCE = Curves(
    key="load-balance-variance",
    title="Load balance variance",
    why="The guide's own number. It depends on the count of experts: N shares vary by at most (N−1)/N², so read it beside the heatmap.",
    unit=NUMBER,
    curves=(Curve(BALANCE_VARIANCE, "variance of the experts' load"),),
    empty="This run does not report a load variance.",
)
SPARSITY_CURVES = Curves(
    key="routing-sparsity",
    title="Routing sparsity and efficiency",
    why="Sparsity is the share of token–expert connections that are off; efficiency is what the run reports per connection.",
    unit=NUMBER,
    curves=(Curve(SPARSITY, "sparsity"), Curve(EFFICIENCY, "efficiency")),
    empty="This run does not report its sparsity.",
)
CONNECTION_CURVES = Curves(
    key="routing-connections",
    title="Active connections",
    why="How many token–expert connections the best topology uses.",
    unit=COUNT,
    curves=(Curve(CONNECTIONS, "active connections"),),
    empty="This run does not report its connections.",
)
PATH_CURVES = Curves(
    key="routing-path-length",
    title="Average routing path length",
    why="Experts a token passes on average.",
    unit=NUMBER,
    curves=(Curve(PATH_LENGTH, "experts per token"),),
    empty="This run does not report a path length.",
)
CURVES = (BALANCE, SPARSITY_CURVES, CONNECTION_CURVES, PATH_CURVES)
