"""What is particular of projections with pictures: by which channel they leave, and what it is that is approved."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sharing.grant import Grant
from sharing.projection.tables import SHEETS
from sharing.terms import Channel, canonical
from store.camera import IMAGE_PREFIX


def for_channel(grant: Grant) -> Grant:
    """Return the grant with the columns that its channel carries: pictures leave in exports alone."""
    if grant.channel is Channel.EXPORT:
        return grant
    columns = tuple(column for column in grant.columns if not column.startswith(IMAGE_PREFIX))
    return replace(grant, columns=columns)


def shows(grant: Grant) -> bool:
    """Whether a grant is of pictures."""
    return any(column.startswith(IMAGE_PREFIX) for column in grant.columns)


def content_of(key: str, made: Mapping[str, Any]) -> str:
    """Return the hash of the pictures of a projection: of each file, each sheet and the report."""
    files = {
        table: [file["sha256"] for file in files]
        for table, files in made["tables"].items()
        if table.startswith(IMAGE_PREFIX)
    }
    sheets = {one["camera"]: one["sha256"] for one in made["pictures"]["sheets"]}
    whole = {"projection": key, "files": files, "sheets": sheets, "report": made["pictures"]["report"]}
    return hashlib.sha256(canonical(whole)).hexdigest()


def files_of(made: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (folder, file) of everything that was made, contact sheets among it."""
    for table, files in made["tables"].items():
        for file in files:
            yield table, file
    for sheet in (made.get("pictures") or {"sheets": []})["sheets"]:
        yield SHEETS, sheet
