"""The command that sweeps: `python -m store sweep`. The names come by standard input, from whoever has them."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from store.errors import InvalidDigest
from store.objects import LocalObjects, check_digest, open_objects
from store.spool import clean_spool
from store.sweep import GRACE_S, WAIT_S, imported, receipts, sweep

END = "end"
"""The last line of the names: a list that was cut off must not be taken for a short one."""


def add_sweep(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "sweep",
        help="mark objects that nothing names, and remove those marked before; prints what it found as JSON",
        description="Reads the names of all objects that anything names from standard input, a line each, followed by "
        f'" needed" where it has to be there; the last line is "{END}". Without --apply nothing is changed.',
    )
    parser.add_argument("root", type=Path, help="folder of the object store, or of its copies")
    parser.add_argument(
        "--at", default="", metavar="URL", help="where the objects are if not there: s3://bucket/prefix"
    )
    parser.add_argument("--spool", type=Path, required=True, help="spool folder; its receipts name objects too")
    parser.add_argument("--imports", type=Path, help="folder of what was imported, which names objects too")
    parser.add_argument("--apply", action="store_true", help="mark and remove")
    parser.add_argument("--grace-s", type=float, default=GRACE_S, help="what was put since then stays (default: a day)")
    parser.add_argument("--wait-s", type=float, default=WAIT_S, help="from mark to removal (default: an hour)")
    parser.set_defaults(run=_sweep)


def names_of(lines: Iterable[str]) -> dict[str, bool]:
    """Return the names, and whether each has to be there. Raises ValueError for lines that are none, or no last one."""
    named: dict[str, bool] = {}
    for line in lines:
        word, _, needed = line.strip().partition(" ")
        if word == END:
            return named
        try:
            named[check_digest(word)] = named.get(word, False) or needed == "needed"
        except InvalidDigest as error:
            raise ValueError(f"names: {error}") from error
    raise ValueError(f"names: the list has no last line, {END!r}: it may have been cut off")


def _sweep(options: argparse.Namespace) -> int:
    if not (options.root / "sha256").is_dir():
        print(f"store: {options.root} is no object store: it has no folder sha256", file=sys.stderr)
        return 1
    objects = open_objects(options.at or str(options.root), options.root)
    named = dict.fromkeys(receipts(options.spool), False) | dict.fromkeys(imported(options.imports), False)
    try:
        named |= names_of(sys.stdin)
    except ValueError as error:
        print(f"store: {error}", file=sys.stderr)
        return 1
    grace_s, wait_s = options.grace_s, options.wait_s
    swept = sweep(objects, options.root, named, apply=options.apply, grace_s=grace_s, wait_s=wait_s)
    freed_bytes = clean_spool(LocalObjects(options.root).incoming) if options.apply else 0
    print(json.dumps({**asdict(swept), "incoming_freed_bytes": freed_bytes}))
    return 0
