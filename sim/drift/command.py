"""`python -m sim drift`: record under one version of the engine, compare what two have recorded."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim import catalog
from sim.drift.compare import Comparison, compare
from sim.drift.file import load, save
from sim.drift.record import LENGTH_S, QUANTITIES, Recording, header, record
from sim.errors import SimError
from sim.listing import print_table

AT_S = (0.1, 1.0)
"""Times whose differences are printed, beside the last one's."""


def main(arguments: Sequence[str]) -> int:
    """Return 0 where all is recorded or the same to the last bit, 1 where something differs, 2 where that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m sim drift", description="Whether two versions of MuJoCo move robots to the same bits."
    )
    steps = parser.add_subparsers(dest="step", required=True)
    recorded = steps.add_parser("record", help="move robots under fixed controls, and write down every bit")
    recorded.add_argument("out", type=Path, help="file to write (.npz)")
    recorded.add_argument("--robot", action="append", default=[], help="only this one (repeatable); all by default")
    recorded.add_argument("--length-s", type=float, default=LENGTH_S, help="time of each robot's motion [s]")
    compared = steps.add_parser("compare", help="say where two recordings part, and how their difference grows")
    compared.add_argument("one", type=Path)
    compared.add_argument("other", type=Path)
    compared.add_argument("--picture", type=Path, metavar="OUT.png")
    compared.add_argument("--json", action="store_true")
    parsed = parser.parse_args(arguments)
    root = os.environ.get("MENAGERIE_ROOT")
    try:
        if parsed.step == "record":
            return _record(parsed.out, parsed.robot, parsed.length_s, Path(root) if root else None)
        return _compare(parsed.one, parsed.other, parsed.picture, as_json=parsed.json)
    except (SimError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _compare(file: Path, other_file: Path, picture: Path | None, *, as_json: bool) -> int:
    one, other = load(file), load(other_file)
    compared = compare(one, other)
    if as_json:
        print(json.dumps(_table(one, other, compared), indent=2))
    else:
        _print(one, other, compared)
    if picture is not None:
        from sim.drift.figure import draw

        draw(compared, (one.engine_version, other.engine_version), picture)
    return 0 if all(each.verdict == "same" for each in compared) else 1


def _record(out: Path, robots: Sequence[str], length_s: float, menagerie_root: Path | None) -> int:
    if not 0.0 < length_s <= 600.0:
        raise ValueError(f"--length-s {length_s:g}: above 0, at most 600")
    asked = [catalog.find(robot, menagerie_root) for robot in robots] or list(catalog.robots(menagerie_root))
    motions, left_out = {}, {}
    for entry in asked:
        try:
            motions[entry.id] = record(entry, length_s=length_s)
        except SimError as error:
            left_out[entry.id] = str(error)
            print(f"left out: {str(error)[:200]}", file=sys.stderr)
    made = Recording(**header(), motions=motions, left_out=left_out)
    save(made, out)
    print(f"{len(motions)} robots under MuJoCo {made.engine_version} on {made.architecture}: {out}")
    return 0


def _print(one: Recording, other: Recording, compared: Sequence[Comparison]) -> None:
    print(f"MuJoCo {one.engine_version} on {one.architecture} against {other.engine_version} on {other.architecture}")
    rows = [("robot", "quantity", "parts at", *(f"after {at:g} s" for at in AT_S), "at the end", "nudged", "verdict")]
    for each in compared:
        for name, found in each.drifts.items():
            first = name == next(iter(each.drifts))
            rows.append(
                (
                    each.robot if first else "",
                    f"{name} [{QUANTITIES[name]}]",
                    "never" if found.parts_s is None else f"{1e3 * found.parts_s:g} ms",
                    *(_number(found.grows, each.time_s, at) for at in (*AT_S, np.inf)),
                    _number(found.nudged, each.time_s, np.inf),
                    _verdict(each) if first else "",
                )
            )
    print_table(rows)
    for each in compared:
        if each.model:
            said = ", ".join(f"{name} ({'?' if np.isnan(of) else f'{of:.0e}'})" for name, of in each.model.items())
            print(f"{each.robot}: compiled otherwise: {said}")
    counts = {
        verdict: sum(each.verdict == verdict for each in compared) for verdict in ("same", "rounding", "other motion")
    }
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if one.engine_version != other.engine_version:
        print("episodes of one version are not replayed to the last bit by the other, which says so")


def _verdict(each: Comparison) -> str:
    since = "" if each.since_s is None else f" from {each.since_s:g} s"
    return f"{each.verdict}{since}" + (f" ({each.ended})" if each.ended else "")


def _number(values: Any, time_s: Any, at_s: float) -> str:
    row = min(int(np.searchsorted(time_s, at_s - 1e-9)), len(values) - 1)
    return f"{values[row]:.1e}" if len(values) else "-"


def _table(one: Recording, other: Recording, compared: Sequence[Comparison]) -> Mapping[str, Any]:
    return {
        "engine_versions": [one.engine_version, other.engine_version],
        "architectures": [one.architecture, other.architecture],
        "robots": [
            {
                "robot": each.robot,
                "verdict": each.verdict,
                "since_s": each.since_s,
                "ended": each.ended,
                "compiled_otherwise": sorted(each.model),
                "drifts": {
                    name: {
                        "unit": QUANTITIES[name],
                        "parts_s": found.parts_s,
                        "largest": float(found.grows.max(initial=0.0)),
                        "nudged_largest": float(found.nudged.max(initial=0.0)),
                    }
                    for name, found in each.drifts.items()
                },
            }
            for each in compared
        ],
    }
