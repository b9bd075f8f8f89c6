"""Lateness of the compiled control loop and of a Python loop, alone and beside busy Python, as figures and a plot.

Both loops take turns in one run, drive one robot of 29 joints and ask for the same priority.
"""

from pathlib import Path

from controller.rtcheck import check, draw

RATES_HZ = (500.0, 1000.0)
SECONDS = 9.0
"""For each rate; the four conditions share it."""

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "control-loop.png"


def run() -> dict[str, object]:
    """Measure, draw, and return the figures; those on top are of the first rate."""
    checks = [check(rate_hz=rate_hz, seconds=SECONDS) for rate_hz in RATES_HZ]
    draw(checks, PICTURE)
    busy = checks[0].row("compiled", True)
    ratio = checks[0].ratio(0.99)
    return {
        "p99_lateness_us": None if busy is None else round(busy.report.quantile_s(0.99) * 1e6, 1),
        "p99_percent_of_python": None if ratio is None else round(100 * ratio, 2),
        "unaccounted_ticks": sum(row.unaccounted for each in checks for row in each.rows),
        "by_rate": {f"{each.rate_hz:g}": each.as_json() for each in checks},
        "picture": str(PICTURE.relative_to(PICTURE.parents[2])),
    }
