"""`python -m tests.simulation --seeds 0:300`: live through a simulated venue's troubles, one life for each seed.

`--seed 17 --trace` replays one life bit for bit and prints all that happens in it.
"""

import argparse
import logging
import os
import sys
import time
from collections import Counter

from palaestra.failpoint import Failpoint
from tests.simulation import defects, running

# A planted defect must be found by so many seeds.
FIND_MAX = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:300", metavar="FROM:TO", help="the seeds to run, without the last")
    parser.add_argument("--seed", type=int, help="run only this one")
    parser.add_argument("--trace", action="store_true", help="print what happens, with --seed")
    parser.add_argument("--log", action="store_true", help="print also what the product logs, with --seed")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--defects", nargs="*", choices=sorted(defects.DEFECTS), metavar="NAME",
        help="plant these defects, or all, one after the other, each until a seed finds it",
    )  # fmt: skip
    parser.add_argument("--defect", choices=sorted(defects.DEFECTS), help="plant a defect, which should be found")
    given = parser.parse_args()
    if given.defects is not None:
        return find_defects(given.defects or list(defects.DEFECTS), given.at_once)
    defect = defects.DEFECTS[given.defect] if given.defect else None
    logging.getLogger().setLevel(logging.ERROR)
    if given.seed is not None:
        if given.log:
            logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="    %(name)s: %(message)s", force=True)
        found = running.run_here(given.seed, defect, watch=_print if given.trace else None)
        print(f"seed {found.seed}: {found.jobs} jobs, {found.grants} grants, {found.events} events", flush=True)
        print(f"{found.virtual_s:.1f} s lived in {found.cpu_s:.2f} s of a core; faults: {', '.join(found.kinds)}")
        print(f"digest {found.digest}")
        for line in found.broken:
            print(f"BROKEN {line}")
        sys.stdout.flush()
        os._exit(1 if found.broken else 0)
    first, _, last = given.seeds.partition(":")
    return run_seeds(range(int(first), int(last)), given.at_once, given.defect)


def run_seeds(seeds: range, at_once: int, defect: str | None) -> int:
    """Run seeds, print what was found, return the exit code."""
    started_s = time.perf_counter()
    reached: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    wrong = jobs = grants = events = 0
    virtual_s = cpu_s = 0.0
    lives = running.run_all(seeds, at_once=at_once, defect=defects.DEFECTS[defect] if defect else None)
    for count, found in enumerate(lives, 1):
        if sys.stderr.isatty():
            print(f"{count} of {len(seeds)}", end="\r", file=sys.stderr)
        reached.update(found.reached)
        killed.update(found.killed)
        jobs, grants, events = jobs + found.jobs, grants + found.grants, events + found.events
        virtual_s, cpu_s = virtual_s + found.virtual_s, cpu_s + found.cpu_s
        if found.broken:
            wrong += 1
            print(f"seed {found.seed} is broken: {found.broken[0]}")
            print(f"  {command(found.seed, defect)}", flush=True)
    real_s = time.perf_counter() - started_s
    missed = sorted(Failpoint.known.keys() - reached.keys())
    spared = sorted(Failpoint.known.keys() - killed.keys())
    print(f"{len(seeds)} seeds, {wrong} broken; {jobs} jobs, {grants} grants, {events} events in {virtual_s:.0f} s of")
    print(f"virtual and {real_s:.1f} s of real time; {cpu_s / len(seeds):.2f} s of a core each")
    print(f"failpoints: {len(Failpoint.known)}; never reached: {', '.join(missed) or 'none'}")
    print(f"never killed at: {', '.join(spared) or 'none'}")
    return 1 if wrong else 0


def find_defects(names: list[str], at_once: int) -> int:
    """Say for each defect which seed finds it and how; return the exit code."""
    missed = 0
    for name in names:
        seeds = sorted(range(FIND_MAX), key=lambda seed: name in defects.LASTING and not running.is_lasting(seed))
        lives = running.run_all(seeds, at_once=at_once, defect=defects.DEFECTS[name])
        for count, found in enumerate(lives, 1):
            if found.broken:
                print(f"{name}: found by seed {found.seed}, of {count}: {found.broken[0][:160]}", flush=True)
                break
        else:
            missed += 1
            print(f"{name}: not found by {FIND_MAX} seeds", flush=True)
    return 1 if missed else 0


def command(seed: int, defect: str | None = None) -> str:
    """Return the command line that replays a seed."""
    planted = f" --defect {defect}" if defect else ""
    return f"python -m tests.simulation --seed {seed}{planted} --trace"


def _print(line: str) -> None:
    print(line[:400])


if __name__ == "__main__":
    sys.exit(main())
