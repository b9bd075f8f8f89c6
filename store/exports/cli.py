"""The parts of `python -m store` that write and check signed folders."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from store.errors import ExportRefused
from store.exports.manifest import check_folder, load_key, new_key
from store.exports.mcap_file import write_mcap
from store.exports.parquet import write_parquet
from store.objects import open_objects

_WRITERS: dict[str, Callable[..., Path]] = {"parquet": write_parquet, "mcap": write_mcap}


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `publish`, `check` and `new-key` to the parser."""
    publish = commands.add_parser("publish", help="write episodes as plain Parquet or MCAP, described and signed")
    publish.add_argument("--objects", type=Path, required=True, metavar="ROOT", help="folder of the object store")
    publish.add_argument("--sha", action="append", required=True, metavar="SHA256[,SHA256...]", help="episodes")
    publish.add_argument("--format", choices=sorted(_WRITERS), default="parquet", help="(default: %(default)s)")
    publish.add_argument("--key", type=Path, metavar="FILE", help="private key that signs (see new-key)")
    publish.add_argument("--licence", default="unknown", help="of the data, a name or an address")
    publish.add_argument("out", type=Path, metavar="OUT", help="folder to make; must not exist or be empty")
    publish.set_defaults(run=_publish)

    check = commands.add_parser("check", help="hold every file of a signed folder against its manifest")
    check.add_argument("folder", type=Path)
    check.add_argument("--public-key", default="", metavar="HEX", help="whose signature counts; else the folder's own")
    check.add_argument("--json", action="store_true", help="print what it holds as JSON")
    check.set_defaults(run=_check)

    key = commands.add_parser("new-key", help="make a private key to sign with, and print the public one")
    key.add_argument("file", type=Path)
    key.set_defaults(run=_new_key)


def _publish(options: argparse.Namespace) -> int:
    if not (options.objects / "sha256").is_dir():
        raise ExportRefused(f"{options.objects} is no object store: it has no folder sha256")
    key = load_key(options.key) if options.key is not None else None
    digests = [digest for group in options.sha for digest in group.split(",")]
    objects = open_objects(str(options.objects), options.objects)
    print(_WRITERS[options.format](objects, digests, options.out, key=key, licence=options.licence))
    return 0


def _check(options: argparse.Namespace) -> int:
    checked = check_folder(options.folder, public_key=options.public_key)
    if options.json:
        print(json.dumps(asdict(checked)))
    else:
        print(f"{checked.files} files whole ({checked.size_bytes} bytes), signed by {checked.public_key}")
    return 0


def _new_key(options: argparse.Namespace) -> int:
    print(new_key(options.file))
    return 0
