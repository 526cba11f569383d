"""One run as one HTML file that opens anywhere: no script, no network, light and dark, every text escaped.

Pure: reports in, text out. Figures are SVG written here, so that the file stays small and prints.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dashboard.benchmark.comparison import Comparison
from dashboard.benchmark.exports import median_text, quantile_text, remarks
from dashboard.catalogue.units import BYTES, RATIO, SAMPLES_PER_SECOND, SECONDS

Report = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --paper: #fff; --mark: #0b68cb;
  --bad: #b3261e; --good: #18794e; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #3c4046; --paper: #111318;
  --mark: #70b8ff; --bad: #ff9592; --good: #3dd68c; --warn: #ffca16; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.soft, figcaption { color: var(--soft); } .banner { border-left: 4px solid var(--mark); padding: .5rem 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; } figure { margin: 1rem 0; }
.bad { color: var(--bad); } .good { color: var(--good); } .warn { color: var(--warn); }
svg { max-width: 100%; height: auto; } svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
@media print { body { margin: 0; max-width: none; } }
"""
_CLASS = {
    "ok": "good", "same": "good", "improved": "good", "regressed": "bad", "suspect": "warn",
    "inconclusive": "warn", "incomparable": "warn", "skipped": "warn",
}  # fmt: skip


def page(report: Report, comparison: Comparison | None = None, old: Report | None = None) -> str:
    """The whole document, at most about a megabyte.

    Args:
        report: as `results.report` wrote it.
        comparison: verdicts to put on top.
        old: the run it was compared with, shown beside it.
    """
    parts = [_head(report), _banner(report, comparison)]
    if comparison is not None:
        parts += [_forest(comparison), _verdicts(comparison, report, old)]
    parts += [_cells(report), _launches(report), _roofline(report), _environment(report), _method()]
    title = escape(f"{report['target']} {report['run_id']}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    environment = report["environment"]
    sha = environment.get("git_sha") or "no commit"
    dirty = ", with changes that are not committed" if environment.get("git_dirty") else ""
    return (
        f"<h1>{escape(report['target'])}</h1>\n"
        f'<p class="soft">{escape(report["profile"])} profile on {escape(report["device"]["name"])} · '
        f"{escape(report['created_at'][:19])} UTC · run {escape(report['run_id'])} · "
        f"commit {escape(sha[:12])}{dirty} · asked for by {escape(report['owner'] or 'nobody in particular')}</p>"
    )


def _banner(report: Report, comparison: Comparison | None) -> str:
    sentences = [] if comparison is None else [comparison.sentence]
    headline = report.get("headline")
    if headline:
        sentences.append(
            f"{headline['key']}: median {SECONDS.format(headline['p50_seconds'])}, "
            f"{SAMPLES_PER_SECOND.format(headline['samples_per_second'])}."
        )
    sentences += report["notes"]
    return f'<div class="banner">{"<br>".join(escape(sentence) for sentence in sentences)}</div>'


def _table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[int] = frozenset()
) -> str:
    """Rows are HTML already; headings are text."""

    def mark(i: int) -> str:
        return ' class="n"' if i in numbers else ""

    head = "".join(f'<th scope="col"{mark(i)}>{escape(text)}</th>' for i, text in enumerate(headings))
    body = "\n".join(
        "<tr>" + "".join(f"<td{mark(i)}>{text}</td>" for i, text in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _word(word: str) -> str:
    return f'<span class="{_CLASS.get(word, "bad")}">{escape(word)}</span>'


def _cells(report: Report) -> str:
    rows = []
    for cell in report["cells"]:
        peaks = [value for value in (cell.get("peak_memory") or {}).values() if value is not None]
        roofline = cell.get("roofline") or {}
        error = cell.get("error_relative")
        rows.append(
            [
                escape(cell["key"]),
                _word(cell["status"]),
                escape(median_text(cell)),
                escape(quantile_text(cell.get("p95_seconds"))),
                escape(quantile_text(cell.get("p99_seconds"))),
                escape(SAMPLES_PER_SECOND.format(cell.get("samples_per_second"))),
                escape(BYTES.format(max(peaks) if peaks else None)),
                escape(RATIO.format(roofline.get("share_of_peak"))),
                escape(RATIO.format(roofline.get("share_of_floor"))),
                escape(roofline.get("bound") or "–"),
                "–" if error is None else f"{error:.1e}",
                f"{cell['k']}",
                escape(remarks(cell)),
            ]
        )
    headings = [
        "cell", "", "p50 ± 95 %", "p95", "p99", "throughput", "peak memory", "of the peak", "of the floor", "bound by",
        "relative error", "launches", "remarks",
    ]  # fmt: skip
    return f"<h2>Cells</h2>\n{_table(headings, rows, frozenset(range(2, 9)) | {10, 11})}"


def _launches(report: Report) -> str:
    """Every launch's median as a dot around the cell's centre: noise is to be seen, not averaged away."""
    cells = [cell for cell in report["cells"] if cell["status"] == "ok" and len(cell["launches"]) > 1]
    if not cells:
        return ""
    offsets = [
        launch["p50_seconds"] / cell["p50_seconds"]["value"] - 1
        for cell in cells
        for launch in cell["launches"]
    ]
    reach = max(0.01, *(abs(offset) for offset in offsets))
    left, width, step = 380, 480, 20
    height = step * len(cells) + 40
    marks = [
        f'<line x1="{left + width / 2}" y1="8" x2="{left + width / 2}" y2="{height - 26}" stroke="var(--line)"/>'
    ]
    for row, cell in enumerate(cells):
        y = 18 + row * step
        marks.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{escape(cell["key"])}</text>')
        for launch in cell["launches"]:
            offset = launch["p50_seconds"] / cell["p50_seconds"]["value"] - 1
            x = left + width / 2 * (1 + offset / reach)
            title = f"launch {launch['launch']}: {SECONDS.format(launch['p50_seconds'])}, n={launch['n']}"
            marks.append(
                f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="var(--mark)" fill-opacity=".7"><title>{escape(title)}</title></circle>'
            )
    for share in (-1, 0, 1):
        x = left + width / 2 * (1 + share)
        marks.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle">{share * reach:+.1%}</text>')
    return _figure(
        left + width + 40, height, marks, "Launches", "Each dot is one process's median, against the cell's."
    )


def _forest(comparison: Comparison) -> str:
    """Ratios with their 99 % intervals; the band is where a change is not called one."""
    shown = [
        v for v in comparison.verdicts if v.ratio is not None and v.low is not None and v.high is not None
    ]
    if not shown:
        return ""
    reach = max(0.03, *(abs(math.log(value)) for v in shown for value in (v.low, v.high) if value))
    reach = min(reach, 0.5)
    left, width, step = 380, 480, 20
    height = step * len(shown) + 40

    def x(ratio: float) -> float:
        return left + width / 2 * (1 + max(-1.0, min(1.0, math.log(ratio) / reach)))

    marks = [
        f'<rect x="{x(1 / 1.015):.1f}" y="8" width="{x(1.015) - x(1 / 1.015):.1f}" height="{height - 34}" fill="var(--line)" fill-opacity=".5"/>'
    ]
    for row, verdict in enumerate(shown):
        y = 18 + row * step
        low, high, ratio = verdict.low or 1.0, verdict.high or 1.0, verdict.ratio or 1.0
        colour = f"var(--{_CLASS.get(verdict.word, 'bad')})"
        marks += [
            f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{escape(verdict.key)}</text>',
            f'<line x1="{x(low):.1f}" y1="{y}" x2="{x(high):.1f}" y2="{y}" stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{x(ratio):.1f}" cy="{y}" r="4" fill="{colour}"/>',
        ]
    for share in (-1, 0, 1):
        marks.append(
            f'<text x="{left + width / 2 * (1 + share)}" y="{height - 8}" text-anchor="middle">{math.exp(share * reach) - 1:+.1%}</text>'
        )
    return _figure(left + width + 40, height, marks, "New ÷ old", "99 % intervals; right is slower.")


def _verdicts(comparison: Comparison, report: Report, old: Report | None) -> str:
    before = {} if old is None else {cell["key"]: cell for cell in old["cells"]}
    now = {cell["key"]: cell for cell in report["cells"]}
    rows = [
        [
            escape(v.key),
            _word(v.word),
            escape(median_text(before.get(v.key, {}))),
            escape(median_text(now.get(v.key, {}))),
            "–" if v.ratio is None else f"{v.ratio:.3f}",
            escape(v.sentence),
        ]
        for v in comparison.verdicts
    ]
    headings = ["cell", "verdict", "before", "now", "new ÷ old", "why"]
    return f"<h2>Verdicts</h2>\n{_table(headings, rows, frozenset({2, 3, 4}))}"


def _roofline(report: Report) -> str:
    """Achieved arithmetic rate against arithmetic intensity, log-log, under the peaks measured in the same launch."""
    points = [
        (cell["key"], r["flops"] / r["bytes_moved"], r["flops_per_second"], r)
        for cell in report["cells"]
        if (r := cell.get("roofline")) and r.get("bytes_moved") and r.get("bytes_per_second")
    ]
    peaks = [r["peak_flops_per_second"] for *_, r in points if r["peak_flops_per_second"]]
    if not points or not peaks:
        return ""
    peak, bandwidth = max(peaks), max(r["bytes_per_second"] for *_, r in points)
    left, top, width, height = 70, 10, 560, 280
    x0, x1 = math.log10(min(i for _, i, *_ in points)) - 0.5, math.log10(max(i for _, i, *_ in points)) + 0.7
    y0, y1 = math.log10(min(rate for *_, rate, _ in points)) - 0.5, math.log10(peak) + 0.3

    def place(intensity: float, rate: float) -> tuple[float, float]:
        across = (math.log10(intensity) - x0) / (x1 - x0)
        up = (math.log10(rate) - y0) / (y1 - y0)
        return left + width * across, top + height * (1 - max(0.0, min(1.0, up)))

    roof = [
        place(10 ** (x0 + (x1 - x0) * i / 60), min(peak, bandwidth * 10 ** (x0 + (x1 - x0) * i / 60)))
        for i in range(61)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in roof)
    marks = [
        f'<polyline points="{path}" fill="none" stroke="var(--soft)" stroke-width="1.5"/>',
        f'<text x="{left}" y="{top + height + 34}">arithmetic intensity, FLOP per byte (log)</text>',
        f'<text x="{left + width}" y="{top + 14}" text-anchor="end">peak {peak / 1e9:.3g} GFLOP/s, copy {bandwidth / 1e9:.3g} GB/s, measured</text>',
    ]
    for exponent in range(math.ceil(y0), math.floor(y1) + 1):
        y = place(10**x0, 10.0**exponent)[1]
        marks.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">1e{exponent}</text>')
    for key, intensity, rate, _ in points:
        x, y = place(intensity, rate)
        title = f"{key}: {rate / 1e9:.3g} GFLOP/s at {intensity:.3g} FLOP per byte"
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="var(--mark)"><title>{escape(title)}</title></circle>'
        )
    return _figure(
        left + width + 20,
        top + height + 50,
        marks,
        "Roofline",
        "FLOP/s of each cell under the measured roof.",
    )


def _figure(width: float, height: float, marks: Sequence[str], title: str, caption: str) -> str:
    inner = "\n".join(marks)
    return (
        f'<h2>{escape(title)}</h2>\n<figure><svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{escape(caption)}">\n{inner}\n</svg><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _environment(report: Report) -> str:
    rows = [
        [escape(str(name)), escape(str(value))]
        for name, value in sorted(report["environment"].items())
        if value is not None and value != {}
    ]
    return f'<h2>Environment</h2>\n{_table(["fact", "value"], rows)}\n<p class="soft">Comparable with runs of key {escape(report["env_key"])}.</p>'


def _method() -> str:
    return (
        "<h2>Method</h2>\n<p>Each launch is a process of its own that measures every cell once, in its own random order. "
        "Inputs are seeded random and rotate past the caches; the first call stands apart; calls are timed in steady state "
        "until the interval of the median is narrow enough, the garbage collector off. p50 is the geometric mean of launch "
        "medians with a t interval over launches, or the order-statistic interval of a single launch. p95 and p99 are given "
        "only where n bounds them. “Of the peak” is the arithmetic done against the rate of a matrix product in the same launch (MFU); "
        "“of the floor” compares with the least time the arithmetic, the memory traffic or the "
        "kernel launches would need at rates measured in the same launch. Where handing a call over is the bottleneck, p50 is of the device as it was kept waiting, and a replay without the host is given beside it. A cell whose error against a float64 reference "
        "exceeds what its dtype explains is wrong, however fast.</p>"
    )
