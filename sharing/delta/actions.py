"""Lines of answers, in both forms of the protocol (Delta Sharing PROTOCOL.md, "API Response Actions")."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sharing.delta.capabilities import Format
from sharing.delta.table import SharedFile, SharedTable

MEDIA_TYPE = "application/x-ndjson; charset=utf-8"


@dataclass(frozen=True)
class Link:
    """A file with the address at which it can be had for a while. expires_ms: Milliseconds since 1970."""

    file: SharedFile
    url: str
    expires_ms: int


@dataclass(frozen=True)
class Moment:
    """A version of a table, and when it was made [ms since 1970]."""

    version: int
    made_ms: int


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Made once: `json.dumps` makes one for each call that is not plain."""


def line(value: Mapping[str, Any]) -> bytes:
    """Return one line."""
    return _encode(value).encode() + b"\n"


def protocol(form: Format) -> bytes:
    """Return the line that says what a reader must know: the oldest reader's knowledge is enough."""
    if form is Format.PARQUET:
        return line({"protocol": {"minReaderVersion": 1}})
    # Writers' version 4 is the one that knows change feeds (Delta protocol, "Requirements for Writers").
    return line({"protocol": {"deltaProtocol": {"minReaderVersion": 1, "minWriterVersion": 4}}})


def metadata(form: Format, table: SharedTable, version: int) -> bytes:
    """Return the line that describes a table at a version."""
    described: dict[str, Any] = {
        "id": table.id,
        "format": {"provider": "parquet"} | ({"options": {}} if form is Format.DELTA else {}),
        "schemaString": table.schema,
        "partitionColumns": [],
    }
    around = {"version": version, "size": table.size_bytes, "numFiles": len(table.files)}
    if form is Format.PARQUET:
        return line({"metaData": described | {"configuration": {"enableChangeDataFeed": "true"}} | around})
    described |= {"configuration": {"delta.enableChangeDataFeed": "true"}, "createdTime": 0}
    return line({"metaData": {"deltaMetadata": described} | around})


def file(form: Format, link: Link, moment: Moment | None) -> bytes:
    """Return the line of a file of a table. moment: If the client asked for one."""
    if form is Format.DELTA:
        return _single(link, moment, {"add": _add(link, 0 if moment is None else moment.made_ms)})
    return line({"file": _parquet(link, moment, stats=True)})


def change(form: Format, kind: str, link: Link, moment: Moment) -> bytes:
    """Return the line of a file that came or went at a moment. kind: `add` or `remove`."""
    if form is Format.PARQUET:
        return line({kind: _parquet(link, moment, stats=kind == "add")})
    if kind == "add":
        return _single(link, moment, {"add": _add(link, moment.made_ms)})
    removed = {
        "path": link.url,
        "deletionTimestamp": moment.made_ms,
        "dataChange": True,
        "extendedFileMetadata": True,
        "partitionValues": {},
        "size": link.file.size_bytes,
    }
    return _single(link, moment, {"remove": removed})


def end(links: Iterable[Link], next_page: str | None) -> bytes:
    """Return the line that ends an answer."""
    said: dict[str, Any] = {}
    if next_page is not None:
        said["nextPageToken"] = next_page
    earliest = min((link.expires_ms for link in links), default=None)
    if earliest is not None:
        said["minUrlExpirationTimestamp"] = earliest
    return line({"endStreamAction": said})


def _parquet(link: Link, moment: Moment | None, *, stats: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "url": link.url,
        "id": link.file.id,
        "partitionValues": {},
        "size": link.file.size_bytes,
        "expirationTimestamp": link.expires_ms,
    }
    if stats:
        said["stats"] = link.file.stats
    if moment is not None:
        said |= {"version": moment.version, "timestamp": moment.made_ms}
    return said


def _add(link: Link, made_ms: int) -> dict[str, Any]:
    return {
        "path": link.url,
        "partitionValues": {},
        "size": link.file.size_bytes,
        "modificationTime": made_ms,
        "dataChange": True,
        "stats": link.file.stats,
    }


def _single(link: Link, moment: Moment | None, action: dict[str, Any]) -> bytes:
    around: dict[str, Any] = {
        "id": link.file.id,
        "size": link.file.size_bytes,
        "expirationTimestamp": link.expires_ms,
        "deltaSingleAction": action,
    }
    if moment is not None:
        around |= {"version": moment.version, "timestamp": moment.made_ms}
    return line({"file": around})
