"""`python -m sim scenarios list|show|run|check|picture`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sim.scenarios.names import LEVELS, SECTORS


def main(arguments: Sequence[str], menagerie_root: Path | None) -> int:
    """Return 0; 1 where something is wrong with scenarios; the caller turns errors into 2."""
    parser = argparse.ArgumentParser(prog="python -m sim scenarios", description="Tasks of eight sectors.")
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="list the scenarios")
    listed.add_argument("--sector", choices=tuple(SECTORS), default="")
    shown = commands.add_parser("show", help="a scenario with its levels, limits and economics")
    shown.add_argument("scenario", help="its id, or a .toml file")
    shown.add_argument("--picture", type=Path, metavar="OUT.png", help="draw it, too")
    shown.add_argument("--level", type=int, choices=tuple(LEVELS), default=1)
    shown.add_argument("--seed", type=int, default=0)
    shown.add_argument("--robot", default="", help="robot id; our own of its first class by default")
    ran = commands.add_parser("run", help="run its scripted policies")
    ran.add_argument("scenario", help="its id, or a .toml file")
    ran.add_argument("--level", type=int, choices=tuple(LEVELS), action="append", default=[])
    ran.add_argument("--seeds", type=int, default=1, help="how many, from 0")
    ran.add_argument("--policy", choices=("pass", "fail", "idle"), action="append", default=[])
    ran.add_argument("--robot", default="", help="robot id; our own of each of its classes by default")
    checked = commands.add_parser("check", help="check files, and prove by trials that success can be had and missed")
    checked.add_argument("path", type=Path, nargs="?", help="a file or a folder; all that are shipped by default")
    checked.add_argument("--seeds", type=int, default=1, help="how many, from 0")
    sheet = commands.add_parser("sheet", help="draw all scenarios side by side")
    sheet.add_argument("out", type=Path, help="PNG file to write")
    for each in (listed, shown, ran, checked):
        each.add_argument("--json", action="store_true")
    parsed = parser.parse_args(arguments)
    if parsed.command == "list":
        from sim.scenarios.catalogue import list_scenarios

        list_scenarios(sector=parsed.sector, as_json=parsed.json)
        return 0
    if parsed.command == "show":
        from sim.scenarios.catalogue import show_scenario

        show_scenario(parsed.scenario, as_json=parsed.json)
        if parsed.picture is not None:
            from sim.picture import write_png
            from sim.scenarios.picture import scenario_picture
            from sim.scenarios.scenario import find_scenario

            image = scenario_picture(
                find_scenario(parsed.scenario), level=parsed.level, seed=parsed.seed, robot=parsed.robot
            )
            write_png(image, parsed.picture)
        return 0
    if parsed.command == "sheet":
        from sim.picture import write_png
        from sim.scenarios.picture import scenarios_picture

        write_png(scenarios_picture(), parsed.out)
        print(parsed.out)
        return 0
    from sim.scenarios import catalogue
    from sim.scenarios.scenario import find_scenario
    from sim.scenarios.trial import POLICIES

    if parsed.seeds < 1:
        raise ValueError(f"--seeds {parsed.seeds}: must be at least 1")
    if parsed.command == "run":
        scenario = find_scenario(parsed.scenario)
        tried = catalogue.try_out(
            [scenario],
            levels=parsed.level or tuple(LEVELS),
            seeds=range(parsed.seeds),
            policies=parsed.policy or POLICIES,
            robot=parsed.robot,
        )
        return 1 if catalogue.print_runs(scenario, tried, as_json=parsed.json) else 0
    return catalogue.check_scenarios(parsed.path, menagerie_root, seeds=range(parsed.seeds), as_json=parsed.json)
