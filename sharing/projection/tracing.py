"""Tracing as the venue does it: whose copy a file is, of all to whom a vendor's data ever went.

    python -m sharing trace FILE --folder DIR --catalogue PLACE --objects DIR [--provider vendors/NAME] [--json]

It needs the venue's secret and the recordings, so that it runs where these are; a provider asks by `palaestra data
trace`, and is told of its own data alone.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from catalogue.place import HELP, place, readers
from sharing.database import Readers
from sharing.errors import NotReleasable, NotShared, SharingError
from sharing.projection.process import run
from sharing.projection.projector import SECRET
from sharing.projection.pseudonym import agreement_key
from sharing.projection.secret import load_secret
from sharing.projection.sources import Readers as Connections
from sharing.projection.sources import sources_of, told_of
from sharing.projection.trace import FOUND_Z
from store.errors import StoreError
from store.imports.confine import Limits
from store.objects import ObjectStore, open_objects

LIMITS = Limits(memory_bytes=6 << 30, cpu_s=600, time_s=1200.0)
MAX_RECORDINGS = 2_000
"""Newest versions come first; a leak of older ones is traced by naming the provider's data set."""
_MADE = """
SELECT agreement, consumer, data_set, version FROM projection
WHERE (provider = ?1 OR ?1 = '') AND (data_set = ?2 OR ?2 = '') ORDER BY version DESC, key
"""


@dataclass(frozen=True)
class Traced:
    """One recipient, and how strongly its marks are in the file. `found`: z is at least `trace.FOUND_Z`."""

    agreement: str
    consumer: str
    z: float
    found: bool


@dataclass(frozen=True)
class Trace:
    """What was found: recipients, the most suspect first; how many rows were laid over how many recordings."""

    suspects: Sequence[Traced]
    rows: int
    recordings: int


def trace_file(
    file: Path,
    *,
    ledger: Connections,
    catalogue: Connections,
    objects: ObjectStore,
    secret: bytes,
    provider: str = "",
    data_set: str = "",
    limits: Limits = LIMITS,
) -> Trace:
    """Return whose copy a Parquet file is.

    Args:
        file: A table with the joints' columns, of any channel, whole or a part.
        provider: Whose data it may be; empty: anybody's.
        data_set: Which, to try fewer recordings.

    Raises:
        NotReleasable: The file cannot be read as a table of joints, or reading it takes too much.
        NotShared: Nothing of this provider ever went to anybody.
    """
    made = ledger.reader().execute(_MADE, (provider, data_set)).fetchall()
    if not made:
        raise NotShared
    consumers = {row["agreement"]: row["consumer"] for row in made}
    sources: dict[str, dict[str, str]] = {}
    for row in {(row["data_set"], row["version"]): None for row in made}:
        try:
            found = [source.sha256 for source in sources_of(catalogue, *row)[1]]
            sources |= {sha256: told_of(objects, sha256) for sha256 in found[: MAX_RECORDINGS - len(sources)]}
        except (NotShared, StoreError):
            continue
    told = {
        "file": str(file),
        "sources": list(sources.values()),
        "keys": [agreement_key(secret, agreement, "marks").hex() for agreement in consumers],
        "limits": asdict(limits),
    }
    said = run(told, limits, module="sharing.projection.trace_worker")
    suspects = [
        Traced(agreement, consumer, round(z, 2), z >= FOUND_Z)
        for (agreement, consumer), z in zip(consumers.items(), said["z"], strict=True)
    ]
    return Trace(sorted(suspects, key=lambda one: -one.z), said["rows"], len(said["recordings"]))


def main(arguments: Sequence[str]) -> int:
    """Run `python -m sharing trace`. Returns 0 if somebody was named, 1 if nobody, 2 if it could not be tried."""
    parser = argparse.ArgumentParser(prog="python -m sharing trace", description="name the recipient a file came from")
    parser.add_argument("file", type=Path, help="a Parquet file with the joints' columns")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="what the room keeps")
    parser.add_argument("--catalogue", type=place, required=True, metavar="PLACE", help=HELP)
    parser.add_argument("--objects", type=Path, required=True, metavar="DIR")
    parser.add_argument("--provider", default="", metavar="vendors/NAME", help="whose data it may be; else anybody's")
    parser.add_argument("--data-set", default="", metavar="NAME", help="vendors/{vendor}/datasets/{name}, to try fewer")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        if not (given.folder / SECRET).is_file():
            raise NotReleasable(f"{given.folder}: is no folder of this room: it has no {SECRET}")
        found = trace_file(
            given.file.resolve(),
            ledger=Readers(given.folder / "sharing.db"),
            catalogue=readers(given.catalogue),
            objects=open_objects(str(given.objects), given.objects),
            secret=load_secret(given.folder / SECRET),
            provider=given.provider,
            data_set=given.data_set,
        )
    except (SharingError, OSError) as error:
        print(f"trace: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{found.rows} rows laid over {found.recordings} recordings")
        for one in found.suspects[:20]:
            print(f"{'NAMED ' if one.found else '      '} z {one.z:8.1f}  {one.consumer}  {one.agreement}")
    return 0 if any(one.found for one in found.suspects) else 1
