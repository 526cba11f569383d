"""Experts and routing: who carries the load, and who is dead?"""

from dashboard.catalogue import joins
from dashboard.catalogue.spec import Alert, Curve, Curves, Metric, Recording
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
# The variance of N shares is at most (N-1)/N², so a bound of 0.5 on it cannot fire; the coefficient of variation is free
# of scale. 1 is about one of 16 experts with 30 % of the load; single layers of healthy small models were measured up to
# 1.42, hence the wider bound where there is a layer.
UNEVEN_ABOVE = 1.0
LAYER_UNEVEN_ABOVE = 1.5
COLLAPSED_BELOW = 0.25  # effective experts ÷ N, where there are at least
COLLAPSED_FROM = 4  # experts: of fewer, one that rests is no collapse

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

# alerts

_RUN_PAGE = "/experts?run={{ $labels.run_id | urlquery }}"
_DEAD = f"{SHARE} * ignoring (expert_id) group_left () {EXPERTS} < {DEAD_BELOW}"

IMBALANCE = Alert(
    name="ExpertImbalance",
    when=f"""(
    {LOAD_CV}{{layer=""}} > {UNEVEN_ABOVE:g}
  or
    {LOAD_CV}{{layer!=""}} > {LAYER_UNEVEN_ABOVE:g}
)
{joins.WHILE_WORKING}""",
    lasting="5m",
    severity="warning",
    component="routing",
    summary="Experts carry unequal load (run {{ or $labels.run_id `-` }})",
    description="The load of the experts on {{ $labels.instance }} varies by {{ $value | printf `%.2f` }} times its mean{{ if $labels.layer }} in layer {{ $labels.layer }}{{ end }}.",
    page=_RUN_PAGE,
)
DEAD = Alert(
    name="ExpertDead",
    when=f"""count without (expert_id) (
  {_DEAD}
) > 0
{joins.WHILE_WORKING}""",
    lasting="15m",
    severity="warning",
    component="routing",
    summary="{{ $value }} dead expert(s) (run {{ or $labels.run_id `-` }})",
    # %q quotes a label value as a Go string, so a hostile one stays a string; sorted, because ties change places
    description="Under 5 % of their fair share on {{ $labels.instance }}, experts:{{ range query (printf `"
    + _DEAD.replace(f"{SHARE}", f"{SHARE}{{job=%q,instance=%q,run_id=%q,layer=%q}}", 1)
    + "` $labels.job $labels.instance $labels.run_id $labels.layer) | sortByLabel `expert_id` }} {{ .Labels.expert_id }}{{ end }}.",
    page=_RUN_PAGE,
)
COLLAPSE = Alert(
    name="RouterCollapse",
    when=f"""{EFFECTIVE} / {EXPERTS} < {COLLAPSED_BELOW:g}
and {EXPERTS} >= {COLLAPSED_FROM}
{joins.WHILE_WORKING}""",
    lasting="5m",
    severity="critical",
    component="routing",
    summary="The router has collapsed (run {{ or $labels.run_id `-` }})",
    description="Only {{ $value | humanizePercentage }} of the experts are effectively in use on {{ $labels.instance }}{{ if $labels.layer }} in layer {{ $labels.layer }}{{ end }} (exp of the entropy of their shares ÷ their count).",
    page=_RUN_PAGE,
)
ALERTS = (IMBALANCE, DEAD, COLLAPSE)
