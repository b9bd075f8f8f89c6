"""`python -m bench NAME [--json]`, `python -m bench all [--readme] [--docs]`, `python -m bench --list`."""

import argparse
import importlib
import json
import sys

from bench.machine import machine, versions
from bench.readme import write_between, write_figures

# Name to module; each has a docstring whose first line says what it measures, and `run() -> dict`.
BENCHES = {
    "catalogue-search": "bench.catalogue_search",
    "control-kernel": "bench.control_kernel",
    "control-loop": "bench.control_loop",
    "control-scaling": "bench.control_scaling",
    "control-tick": "bench.control_tick",
    "joint-tools": "bench.joint_tools",
    "scheduler-cycle": "bench.scheduler_cycle",
    "scheduler-heartbeat": "bench.scheduler_heartbeat",
    "scheduler-live": "bench.scheduler_live",
    "scheduler-noise": "bench.scheduler_noise",
    "scheduler-submit": "bench.scheduler_submit",
    "sim-memory": "bench.sim_memory",
    "sim-render": "bench.sim_render",
    "sim-scenarios": "bench.sim_scenarios",
    "sim-slot": "bench.sim_slot",
    "sim-transport": "bench.sim_transport",
    "sim-vector": "bench.sim_vector",
    "sim-venue": "bench.sim_venue",
    "store-audit": "bench.store_audit",
    "store-cameras": "bench.store_cameras",
    "store-ingest": "bench.store_ingest",
    "store-quality": "bench.store_quality",
    "store-share": "bench.store_share",
    "store-windows": "bench.store_windows",
    "submit": "bench.submit",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, against peers and limits.")
    parser.add_argument("name", nargs="?", help="a measurement, or all")
    parser.add_argument("--list", action="store_true", help="name the measurements")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--readme", action="store_true", help="write the figures into the README's table")
    parser.add_argument("--docs", action="store_true", help="write the rows into the page of docs/ that shows them")
    arguments = parser.parse_args()
    if arguments.list or not arguments.name:
        for name, module in BENCHES.items():
            print(f"{name:20} {(importlib.import_module(module).__doc__ or '').splitlines()[0]}")
        return 0
    if arguments.name != "all" and arguments.name not in BENCHES:
        print(f"error: no measurement {arguments.name!r}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    results = {}
    for name in BENCHES if arguments.name == "all" else [arguments.name]:
        result = {"name": name, "machine": machine(), "versions": versions()}
        bench = importlib.import_module(BENCHES[name])
        result |= bench.run()
        if arguments.docs and hasattr(bench, "PAGE"):
            write_between(bench.PAGE, bench.table(result))
        results[name] = result
        if arguments.json:
            print(json.dumps(result))
        else:
            print(json.dumps(result, indent=2))
    if arguments.readme:
        write_figures(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
