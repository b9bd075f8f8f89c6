"""`python -m sim COMMAND`: robots, scenarios, tasks, motions, pictures, benches, hosts; `--help` says what of.

Loading MuJoCo and the control room takes most of a second: nothing here or in the files imported below may import them
at the top, so that what is typed wrong is answered at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from sim.errors import SimError
from sim.roster import check_there


def spec(robot: str, menagerie_root: Path | None) -> int:
    """Print every number of a robot's joints with where it comes from, and where sources disagree."""
    from sim import catalog
    from sim.listing import print_table

    entry = catalog.find(robot, menagerie_root)
    rows = [("joint", "quantity", "value", "source")]
    for joint in entry.robot_spec().joints:
        for each in fields(joint):
            value = getattr(joint, each.name)
            if each.name not in ("name", "sources") and value is not None:
                rows.append((joint.name, each.name, f"{value:.6g}", joint.source(each.name) or "-"))
    print_table(rows)
    for differs in entry.disagreements():
        print(
            f"sources disagree: {differs.joint} {differs.quantity} = {differs.value} ({differs.source}), "
            f"but {differs.other} ({differs.other_source})"
        )
    return 0


def motions() -> int:
    """Print all motions."""
    from sim.listing import print_table
    from sim.motion import motions as known

    print_table([("motion", "for", "what"), *((m.name, ", ".join(m.robot_classes), m.title) for m in known().values())])
    return 0


def tasks() -> int:
    """Print all tasks."""
    from sim.listing import print_table
    from sim.tasks import tasks as known

    rows = [("task", "for", "length", "what", "success")]
    rows += [(t.name, ", ".join(t.robot_classes), f"{t.horizon_s:g} s", t.title, t.success) for t in known().values()]
    print_table(rows)
    return 0


def sandbox(*, as_json: bool) -> int:
    """Enter the sandbox of slots and print which of its layers this machine has; 1 where one does not hold."""
    from sim.sandbox import enter, readable

    layers = enter(readable(""))
    if as_json:
        import json

        print(json.dumps([vars(layer) for layer in layers]))
    else:
        for layer in layers:
            print(f"{layer.name:<13} {'holds' if layer.holds else 'MISSING':<8} {layer.what}")
    return 0 if all(layer.holds for layer in layers) else 1


def evaluate_server(parsed: argparse.Namespace, menagerie_root: Path | None) -> int:
    """Let a policy server drive worlds and print how it did."""
    from sim import catalog
    from sim.env.openpi import PolicyServer, ServedPolicy, state_and_prompt
    from sim.evaluate import evaluate
    from sim.slot import SimSlot
    from sim.tasks import find_task

    task = find_task(parsed.task)
    entry = catalog.find(parsed.robot, menagerie_root)
    worlds = min(parsed.worlds, parsed.episodes)
    slot = SimSlot(entry, task, worlds=worlds, threads=1, seed=parsed.seed)
    with PolicyServer(parsed.policy_server, timeout_s=parsed.timeout_s) as server:
        policy = ServedPolicy(
            server,
            slot.action_size,
            observe=state_and_prompt(parsed.prompt or task.title),
            chunk_steps=parsed.chunk_steps,
        )
        found = evaluate(
            slot, policy, parsed.episodes, progress=lambda done, good: print(f"{good} of {done} episodes succeeded")
        )
    for why in found.failures:
        print(f"broke off: {why}")
    print(f"success {found.successes}/{found.trials}, mean return {found.returns.mean():.4g}")
    return 0


def _told() -> tuple[type[Exception], ...]:
    """Return the errors that are told in a line. The control room's are among them once it has been loaded."""
    control = sys.modules.get("controller.errors")
    return (SimError, OSError, ValueError, *([control.ControllerError] if control else []))


def scenarios(given: Sequence[str]) -> int:
    """Answer `python -m sim scenarios ...`."""
    from sim.scenarios.command import main as command

    root = os.environ.get("MENAGERIE_ROOT")
    try:
        return command(given, Path(root) if root else None)
    except _told() as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0, or 2 where what was asked for cannot be done."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["host"]:
        from sim.host import main as host

        return host(given[1:])
    if given[:1] == ["venues"]:
        from sim.venues.command import main as venues

        return venues(given[1:])
    if given[:1] == ["drift"]:
        from sim.drift.command import main as drift

        return drift(given[1:])
    if given[:1] == ["scenarios"]:
        return scenarios(given[1:])
    parser = argparse.ArgumentParser(prog="python -m sim", description="The simulation room.")
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("robots", help="list the robot catalogue")
    listed.add_argument("--json", action="store_true")
    shown = commands.add_parser("show", help="a robot's joints, limits and sources")
    shown.add_argument("robot", help="robot id")
    shown.add_argument("--picture", type=Path, metavar="OUT.png", help="draw it, too")
    shown.add_argument("--json", action="store_true")
    numbers = commands.add_parser("spec", help="every number of a robot's joints, and where it comes from")
    numbers.add_argument("robot", help="robot id")
    commands.add_parser("motions", help="list the scripted motions")
    commands.add_parser("tasks", help="list the tasks")
    layers = commands.add_parser("sandbox", help="what slot processes give up before they load a model, here")
    layers.add_argument("--json", action="store_true")
    commands.add_parser("scenarios", help="tasks of eight sectors; see python -m sim scenarios --help")
    commands.add_parser("host", help="serve emulated units; see python -m sim.host --help")
    served = commands.add_parser("evaluate", help="let a policy server (openpi's protocol) drive worlds")
    served.add_argument("robot", help="robot id")
    served.add_argument("task", help="name of the task")
    served.add_argument("--policy-server", required=True, metavar="ADDRESS", help="ws://host:port")
    served.add_argument("--episodes", type=int, default=16)
    served.add_argument("--worlds", type=int, default=8)
    served.add_argument("--seed", type=int, default=0)
    served.add_argument("--prompt", default="", help="what the policy is told to do; the task's title by default")
    served.add_argument("--chunk-steps", type=int, default=1, help="steps of each chunk that are carried out")
    served.add_argument("--timeout-s", type=float, default=30.0, help="longest wait for an answer [s]")
    draw = commands.add_parser("picture", help="draw a robot or a venue")
    draw.add_argument("subject", help="robot id, `robots` for all of them, or a venue file ending in .toml")
    draw.add_argument("out", type=Path, help="PNG file to write")
    checked = commands.add_parser("check", help="check files of robots, venues, jobs and models")
    checked.add_argument("path", type=Path, help="a file, or a folder of .toml files")
    checked.add_argument("--json", action="store_true")
    commands.add_parser("venues", help="venues as data: list, show, plan, generate; venues --help")
    schemas = commands.add_parser("schemas", help="write the JSON Schemas of the files, for editors")
    schemas.add_argument("folder", type=Path)
    paths = commands.add_parser("paths", help="where feet and hands of several bodies go by one recorded motion")
    paths.add_argument(
        "recordings", nargs="+", metavar="FORMAT=FILE", help="a format of configs/recordings, an archive"
    )
    paths.add_argument("--robot", action="append", default=[], help="move this one by the last recording, too")
    paths.add_argument("--frames", type=int, default=500, help="at most so many")
    paths.add_argument("--picture", type=Path, metavar="OUT.png")
    commands.add_parser("drift", help="whether two versions of MuJoCo move robots to the same bits; drift --help")
    carried = commands.add_parser("retarget", help="carry a recorded motion to a robot by inverse kinematics")
    carried.add_argument("recording", metavar="FORMAT=FILE", help="a format of configs/recordings, an archive")
    carried.add_argument("robot", help="robot id, a humanoid")
    carried.add_argument("--frames", type=int, default=500, help="at most so many")
    carried.add_argument("--period-s", type=float, help="from frame to frame [s] (as its speeds tell)")
    carried.add_argument("--out", type=Path, metavar="OUT.npz", help="the robot's own angles")
    carried.add_argument("--picture", type=Path, metavar="OUT.png")
    bench = commands.add_parser("bench-joint", help="test one joint of a robot on a simulated bench")
    bench.add_argument("robot", help="robot id")
    bench.add_argument("joint", help="name of the joint")
    if given[:1] == ["bench-joint"]:
        from controller.jointbench.command import add_bench_arguments

        add_bench_arguments(bench)
    parsed = parser.parse_args(given)
    root = os.environ.get("MENAGERIE_ROOT")
    menagerie_root = Path(root) if root else None
    try:
        if "robot" in parsed and isinstance(parsed.robot, str):
            check_there(parsed.robot, menagerie_root)
        if parsed.command == "robots":
            from sim.listing import list_robots

            list_robots(menagerie_root, as_json=parsed.json)
            return 0
        if parsed.command == "show":
            from sim.listing import show_robot

            show_robot(parsed.robot, menagerie_root, picture=parsed.picture, as_json=parsed.json)
            return 0
        if parsed.command == "sandbox":
            return sandbox(as_json=parsed.json)
        if parsed.command == "spec":
            return spec(parsed.robot, menagerie_root)
        if parsed.command == "motions":
            return motions()
        if parsed.command == "tasks":
            return tasks()
        if parsed.command == "evaluate":
            return evaluate_server(parsed, menagerie_root)
        if parsed.command == "check":
            from sim.check.command import check

            return check(parsed.path, menagerie_root, as_json=parsed.json)
        if parsed.command == "schemas":
            from sim.check.command import write_schemas

            return write_schemas(parsed.folder)
        if parsed.command == "paths":
            from sim.vocabulary.compare import compare

            given_paths = [(form, Path(file)) for form, _, file in (word.partition("=") for word in parsed.recordings)]
            compare(
                given_paths,
                parsed.robot,
                frames=parsed.frames,
                picture=parsed.picture,
                menagerie_root=menagerie_root,
            )
            return 0
        if parsed.command == "retarget":
            from sim.vocabulary.carry import carry

            form, _, file = parsed.recording.partition("=")
            carry(
                form,
                Path(file),
                parsed.robot,
                frames=parsed.frames,
                period_s=parsed.period_s,
                out=parsed.out,
                picture=parsed.picture,
                menagerie_root=menagerie_root,
            )
            return 0
        if parsed.command == "bench-joint":
            from sim.jointbench import bench as bench_joint

            return bench_joint(parsed, menagerie_root)
        from sim.picture import picture

        picture(parsed.subject, parsed.out, menagerie_root=menagerie_root)
        print(parsed.out)
    except _told() as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
