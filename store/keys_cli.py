"""Encryption of the objects, by the operator's hand: begin it, and destroy a vendor's key."""

import argparse
import sys
import time
from pathlib import Path

from store.encrypted import VENUE, EncryptedObjects, begin_encryption, open_encrypted
from store.errors import BrokenEpisode, StoreError
from store.objects import ENCRYPTION
from store.reader import read_summary


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `encrypt` and `shred`."""
    encrypt = commands.add_parser(
        "encrypt",
        help="encrypt the objects with a key for each vendor, those that are there, too; can be taken up again",
    )
    encrypt.add_argument("root", type=Path, help="folder of the object store; nobody else may write it meanwhile")
    encrypt.add_argument("--keys", type=Path, metavar="DIR", help="folder of keys (default: keys, beside ROOT)")
    encrypt.add_argument("--begin", action="store_true", help="only what comes from now on; makes ROOT if need be")
    encrypt.set_defaults(run=_encrypt)

    shred = commands.add_parser("shred", help="destroy a vendor's key: nothing of it can be read ever again")
    shred.add_argument("root", type=Path, help="folder of the object store")
    shred.add_argument("vendor", help="vendors/NAME")
    shred.add_argument("--yes", action="store_true", help="do not ask")
    shred.set_defaults(run=_shred)


def _encrypt(options: argparse.Namespace) -> int:
    if not options.begin and not (options.root / "sha256").is_dir():
        raise StoreError(f"{options.root} is no object store: it has no folder sha256")
    objects = begin_encryption(options.root, options.keys or options.root.resolve().with_name("keys"))
    if options.begin:
        return 0
    sealed = 0
    for done in objects.encrypt(owner_of):
        sealed += done
    print(f"{sealed} objects encrypted; from now on all that come are")
    return 0


def _shred(options: argparse.Namespace) -> int:
    parts = options.vendor.split("/")
    if len(parts) != 2 or parts[0] != "vendors" or not parts[1]:
        raise StoreError(f"{options.vendor[:100]!r} is no vendor: vendors/NAME")
    if not (options.root / ENCRYPTION).exists():
        raise StoreError(f"{options.root}: its objects are not encrypted; there is no key to destroy")
    objects = open_encrypted(options.root)
    if objects.destroyed_s(options.vendor) is None:
        mine = _objects_of(objects, options.vendor)
        print(f"{mine} objects of {options.vendor} will never be read again, by anybody, nor from any copy of them.")
        if not options.yes and input(f"Type {options.vendor} to destroy its key: ") != options.vendor:
            print("store: nothing was destroyed", file=sys.stderr)
            return 1
        objects.shred(options.vendor)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(objects.destroyed_s(options.vendor)))
    print(f"the key of {options.vendor} was destroyed on {when}")
    return 0


def _objects_of(objects: EncryptedObjects, vendor: str) -> int:
    return sum(objects.owner_of(sha256) == vendor for sha256 in objects.digests())


def owner_of(path: Path) -> str:
    """Return whose a plain object is: an episode's vendor; of what is none, the venue."""
    try:
        return read_summary(path).header.vendor
    except BrokenEpisode:
        return VENUE
