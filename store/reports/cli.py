"""The parts of `python -m store` that report on a data set."""

import argparse
import json
import sys
from pathlib import Path

from store.objects import LocalObjects, open_objects
from store.reports.facts import Tally, read_facts
from store.reports.page import write_report
from store.reports.sample import SIZE, Sample, choose

EVERY = 5_000


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sample` and `report` to the parser."""
    sample = commands.add_parser(
        "sample", help="print the episodes whose signals a report would look at, as JSON lines"
    )
    report = commands.add_parser("report", help="write a page about a data set from facts as JSON lines")
    for parser in (sample, report):
        parser.add_argument("facts", type=Path, help="one fact a line, see store/reports/facts.py")
        parser.add_argument("--size", type=int, default=SIZE, help="episodes of the sample (default: %(default)s)")
        parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    report.add_argument("--objects", required=True, metavar="ROOT", help="folder of the object store, or its address")
    report.add_argument("--copies", type=Path, metavar="DIR", help="where copies go, if the objects are at an address")
    report.add_argument("--title", default="data set", help="of the page")
    report.add_argument("out", type=Path, metavar="OUT", help="folder for report.html and report.json")
    sample.set_defaults(run=_sample)
    report.set_defaults(run=_report)


def _sample(options: argparse.Namespace) -> int:
    for name, sha256 in choose(read_facts(options.facts), options.size, options.seed):
        print(json.dumps({"name": name, "sha256": sha256}))
    return 0


def _report(options: argparse.Namespace) -> int:
    tally = Tally()
    for fact in read_facts(options.facts):
        tally.add(fact)
        if tally.episodes % EVERY == 0:
            _progress(tally.episodes, "facts")
    chosen = choose(read_facts(options.facts), options.size, options.seed)
    folder = Path(options.objects)
    objects = LocalObjects(folder) if folder.is_dir() else open_objects(options.objects, options.copies or options.out)
    sample = Sample.of(chosen, objects, lambda done, total: _progress(done, f"of {total} sampled episodes"))
    parameters = {"size": options.size, "seed": options.seed}
    figures = write_report(tally, sample, options.out, title=options.title, parameters=parameters)
    told = {"episodes": tally.episodes, "sampled": sample.read, "page": str(options.out / "report.html")}
    print(json.dumps({**told, "record": figures["record"]}))
    return 0


def _progress(done: int, what: str) -> None:
    print(f"progress: {done} {what}", file=sys.stderr, flush=True)
