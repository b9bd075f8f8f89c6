"""The part of `python -m store` that imports."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from store.errors import ImportRefused
from store.imports.confine import Limits
from store.imports.formats import NAMES
from store.imports.ingest import Imported, import_path, suggest
from store.imports.mapping import Mapping
from store.imports.raw import one_line


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `import` to the parser."""
    parser = commands.add_parser("import", help="make episodes of a recording in another format")
    parser.add_argument("path", type=Path, help="a file or a folder")
    parser.add_argument("--store", type=Path, metavar="ROOT", help="the store's folder, with objects/ and imports/")
    parser.add_argument("--vendor", default="vendors/local", help="the owner (default: %(default)s)")
    parser.add_argument("--format", default="", help=f"one of {', '.join(NAMES)}; found out where it is left out")
    parser.add_argument("--robot", default="", help="a robot of the vocabulary")
    parser.add_argument("--map", type=Path, metavar="FILE", help="how raw signals become an episode's (TOML)")
    parser.add_argument("--dry-run", action="store_true", help="read, map and check everything, keep nothing")
    parser.add_argument("--suggest", action="store_true", help="print a mapping file to fill in, and do nothing else")
    parser.add_argument("--memory", type=int, default=4096, metavar="MB", help="most memory (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=7200.0, help="longest time (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the import as JSON")
    parser.add_argument("--progress", action="store_true", help="a line of progress on stderr for each step")
    parser.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> int:
    if not options.path.exists():
        raise ImportRefused(f"{options.path}: not there")
    if options.store is None and not (options.dry_run or options.suggest):
        raise ImportRefused("--store says where to, or --dry-run that nothing is to be kept")
    mapping = None
    if options.map is not None:
        mapping = Mapping.parse(options.map.read_text("utf-8"), label=options.map.name)
    limits = Limits(memory_bytes=options.memory << 20, cpu_s=max(1, int(options.seconds)), time_s=options.seconds)
    if options.suggest:
        print(suggest(options.path, form=options.format, mapping=mapping, robot=options.robot, limits=limits))
        return 0
    done = import_path(
        options.path,
        None if options.dry_run else options.store,
        vendor=options.vendor,
        form=options.format,
        robot=options.robot,
        mapping=mapping,
        limits=limits,
        progress=_progress(lines=options.progress),
    )
    if options.json:
        print(json.dumps(asdict(done)))
    else:
        print("\n".join(one_line(line) for line in _text(done)))
    return 0


def _progress(*, lines: bool) -> Callable[[int, str], None]:
    if lines:
        # Files and episodes have their maker's names: a line break in one would be a line of its own to who reads.
        return lambda done, text: print(f"progress: {done} {one_line(text)}", file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        return lambda _done, _text: None
    return lambda done, text: print(
        f"\r{done} episodes, {one_line(text, 60):<60}\r", end="", file=sys.stderr, flush=True
    )


def _text(done: Imported) -> list[str]:
    lines = [
        f"{one.name.rpartition('/')[2]}  {one.rows} rows  {one.duration_s:.1f} s  {one.place}"
        + (f"  ({one.dropped_rows} rows dropped)" if one.dropped_rows else "")
        for one in done.episodes
    ]
    left_out = sorted({name for one in done.episodes for name in one.left_out})
    if left_out:
        lines.append(f"left out: {', '.join(left_out)}")
    state = "nothing kept" if done.dry_run else "imported before" if done.again else "imported"
    lines.append(f"{len(done.episodes)} episodes of {done.format}, {state}: {done.id}")
    return lines
