"""`python -m scheduler fairness DATABASE`: how fairly the venue was shared, from its leases."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from scheduler import books, database
from scheduler.fairness.history import report
from scheduler.fairness.metrics import Line, Report
from scheduler.sql import ERRORS

# With fewer, everybody's total less one's own is a rival's.
ANONYMOUS_MIN = 3
HEAD = ("vendor", "weight", "service", "entitled", "ratio", "jobs", "rho mean", "rho max", "rho > 1")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0, or 2 for a database or an option that cannot be used."""
    options = _options(arguments)
    now_s = time.time()
    try:
        database.must_exist(options.database)
        start_s, end_s = books.bounds_s(options.month or books.month_of(int(now_s * 1e9)))
        db = database.open_reader(options.database)
        try:
            found = report(db, (start_s, end_s), now_s)
        finally:
            db.close()
        if options.vendor is not None:
            found = seen_by(options.vendor, found)
        if options.plot is not None:
            from scheduler.fairness.plot import draw  # a second to import, and seldom asked for

            draw(options.plot, found)
    except (ValueError, OSError, *ERRORS) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(as_json(found) if options.json else as_table(found))
    return 0


def seen_by(vendor: str, found: Report) -> Report:
    """Return what a vendor may see: its own line, and everybody's total without names if it hides enough others.

    Raises ValueError for a vendor that had no part in the time.
    """
    own = tuple(line for line in found.lines if line.vendor == vendor)
    if not own:
        raise ValueError(f"vendor {vendor} used and wanted nothing in this time")
    if len(found.lines) < ANONYMOUS_MIN:
        return Report(own, Line("", 0.0, 0.0, 0.0), 1.0, 1.0)
    return Report(own, found.total, found.jain_weighted, found.jain_entitled)


def as_json(found: Report) -> str:
    def line(each: Line) -> dict[str, object]:
        return asdict(each) | {"ratio": each.ratio}

    body: dict[str, object] = {"vendors": [line(each) for each in found.lines]}
    if found.total.weight:
        body |= {
            "total": line(found.total),
            "jain_weighted_service": found.jain_weighted,
            "jain_service_over_entitlement": found.jain_entitled,
        }
    return json.dumps(body)


def as_table(found: Report) -> str:
    rows = [HEAD, *(_cells(line) for line in found.lines)]
    if found.total.weight:
        rows.append(_cells(found.total))
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    text = "\n".join(
        "  ".join(cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )
    if not found.total.weight:
        return f"{text}\n\ntoo few vendors for a total that names nobody"
    jains = f"of service over weight {found.jain_weighted:.4f}, over entitlement {found.jain_entitled:.4f}"
    return f"{text}\n\nJain index {jains}"


def _cells(line: Line) -> tuple[str, ...]:
    rho = (f"{line.rho_mean:.2f}", f"{line.rho_max:.2f}", f"{line.unfair:.0%}") if line.jobs else ("-", "-", "-")
    shares = (f"{line.service:.2%}", f"{line.entitlement:.2%}", f"{line.ratio:.2f}")
    return (line.vendor or "all", f"{line.weight:g}", *shares, str(line.jobs), *rho)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scheduler fairness", description=__doc__)
    parser.add_argument("database", type=database.place, help=f"{database.PLACE_HELP}, read only; it may be in use")
    parser.add_argument("--month", help='such as "2026-11", in UTC; default: the present one')
    parser.add_argument("--vendor", help="only what this vendor may see: its own line and the nameless total")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", type=Path, help="write a PNG of service beside entitlement")
    return parser.parse_args(arguments)
