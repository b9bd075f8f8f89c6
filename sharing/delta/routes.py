"""REST of Delta Sharing below `/delta-sharing` (PROTOCOL.md of delta-io/delta-sharing), and the files it points to."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from sharing.body import json_body
from sharing.delta import actions, capabilities, recipient_routes
from sharing.delta.actions import Link, Moment
from sharing.delta.capabilities import Capabilities
from sharing.delta.download import Download, Slots
from sharing.delta.hints import conditions
from sharing.delta.history import refuse, time_of
from sharing.delta.offers import NotReady
from sharing.delta.ranges import Unsatisfiable, range_of
from sharing.delta.recipients import Recipient
from sharing.delta.secret import BadToken
from sharing.delta.shares import FILES, ROOT, Place, Shares
from sharing.delta.table import SharedFile, chosen
from sharing.grant import Grant
from sharing.room import Room

PAGE_MAX = 500
WAIT_S = 20.0
"""So long an answer waits for tables that are being made; then the client is asked to come again, as it does itself."""
MAX_VERSION = 10**9

_BEARER = re.compile(r"Bearer ([\x21-\x7e]{1,512})", re.IGNORECASE)
T = TypeVar("T")


async def soon(work: Callable[[], T], *, wait_s: float = WAIT_S) -> T:
    """Return what work returns, run in a thread and once more whenever what it needs has been made.

    Raises HTTPException 503 after `wait_s`: the one case in which a client is to try again.
    """
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            return await run_in_threadpool(work)
        except NotReady as waiting:
            left_s = deadline_s - time.monotonic()
            if waiting.done is not None and left_s > 0:
                await asyncio.wait([asyncio.wrap_future(waiting.done)], timeout=left_s)
                continue
        raise HTTPException(503, "the tables are being made", {"Retry-After": "2"})


def router(room: Room, *, wait_s: float = WAIT_S) -> APIRouter:
    """Return the routes. wait_s: How long an answer waits for tables that are being made."""
    shares = Shares(room)
    found = APIRouter()
    found.include_router(recipient_routes.router(room, shares.recipients))
    found.include_router(_listings(shares, wait_s))
    found.include_router(_tables(shares, wait_s))
    found.include_router(_files(shares, wait_s))
    return found


def _recipient(shares: Shares) -> Any:
    def recipient(request: Request) -> Recipient:
        return shares.recipient(_bearer(request) or "")

    return Depends(recipient)


def _bearer(request: Request) -> str | None:
    header = request.headers.get("Authorization")
    if header is None:
        return None
    found = _BEARER.fullmatch(header)
    return found[1] if found else ""


# Listings.


def _listings(shares: Shares, wait_s: float) -> APIRouter:
    found = APIRouter(prefix=ROOT, tags=["delta-sharing"])
    who = _recipient(shares)
    size = Query(PAGE_MAX, ge=0, le=2**31 - 1, alias="maxResults")
    token = Query("", max_length=2_048, alias="pageToken")

    def page(of: Recipient, path: str, items: Sequence[Mapping[str, Any]], most: int, given: str) -> JSONResponse:
        """Return a part of a listing in the order of names; it goes on after the last name that was told."""
        after = ""
        if given:
            try:
                after = shares.secret.page_of(given, of.id, path)
            except BadToken:
                refuse("pageToken", "is not one of this listing")
        left = [item for item in items if _order(item) > after]
        some = left[: min(most, PAGE_MAX)]
        answer: dict[str, Any] = {"items": some}
        if len(left) > len(some):
            last = _order(some[-1]) if some else after
            answer["nextPageToken"] = shares.secret.page(last, of.id, path)
        return JSONResponse(answer)

    @found.get("/shares", summary="Shares that the credential opens")
    def list_shares(of: Recipient = who, most: int = size, given: str = token) -> Response:
        return page(of, "/shares", [{"name": name} for name in shares.schemas(of)], most, given)

    @found.get("/shares/{share}", summary="One share")
    def get_share(share: str, of: Recipient = who) -> Response:
        shares.share(of, share)
        return JSONResponse({"share": {"name": share.lower()}})

    @found.get("/shares/{share}/schemas", summary="A share's schemas: data sets")
    def list_schemas(share: str, of: Recipient = who, most: int = size, given: str = token) -> Response:
        items = [{"name": schema, "share": share.lower()} for schema in shares.share(of, share)]
        return page(of, f"/shares/{share.lower()}", items, most, given)

    @found.get("/shares/{share}/schemas/{schema}/tables", summary="A schema's tables")
    async def list_tables(
        share: str, schema: str, of: Recipient = who, most: int = size, given: str = token
    ) -> Response:
        def work() -> Response:
            items = _items(shares, of, share.lower(), schema.lower())
            return page(of, f"/shares/{share.lower()}/schemas/{schema.lower()}", items, most, given)

        return await soon(work, wait_s=wait_s)

    @found.get("/shares/{share}/all-tables", summary="All tables of a share")
    async def list_all(share: str, of: Recipient = who, most: int = size, given: str = token) -> Response:
        def work() -> Response:
            schemas = shares.share(of, share)
            items = [item for schema in schemas for item in _items(shares, of, share.lower(), schema)]
            return page(of, f"/shares/{share.lower()}/all", items, most, given)

        return await soon(work, wait_s=wait_s)

    return found


def _items(shares: Shares, of: Recipient, share: str, schema: str) -> list[dict[str, str]]:
    tables = shares.tables(of, share, schema)
    return [{"name": one.name, "schema": schema, "share": share, "id": one.id} for one in tables]


def _order(item: Mapping[str, Any]) -> str:
    # A zero byte comes before every character of a name.
    return f"{item.get('schema', '')}\0{item['name']}"


# Tables.


def _tables(shares: Shares, wait_s: float) -> APIRouter:
    path = "/shares/{share}/schemas/{schema}/tables/{table}"
    found = APIRouter(prefix=ROOT + path, tags=["delta-sharing"])
    who, body = _recipient(shares), Depends(json_body)

    @found.get("/version", summary="A table's newest version, or the first since a time")
    async def version(
        share: str,
        schema: str,
        table: str,
        of: Recipient = who,
        since: str | None = Query(None, alias="startingTimestamp"),
    ) -> Response:
        time_s = None if since is None else time_of("startingTimestamp", since)

        def work() -> Response:
            number = shares.version(of, Place(share, schema, table), time_s=time_s)
            return Response(headers={"delta-table-version": str(number)})

        return await soon(work, wait_s=wait_s)

    @found.get("/metadata", summary="A table's schema")
    async def metadata(
        request: Request,
        share: str,
        schema: str,
        table: str,
        of: Recipient = who,
        number: int | None = Query(None, alias="version", ge=0, le=MAX_VERSION),
        time: str | None = Query(None, alias="timestamp"),
    ) -> Response:
        can = _can(request)
        time_s = None if time is None else time_of("timestamp", time)

        def work() -> Response:
            grant, one = shares.table(of, Place(share, schema, table), _asked(number), time_s=time_s)
            lines = [actions.protocol(can.format), actions.metadata(can.format, one, grant.version)]
            return _answer(lines, grant.version, can, ())

        return await soon(work, wait_s=wait_s)

    @found.post("/query", summary="A table's files, or with startingVersion what changed")
    async def query(
        request: Request, share: str, schema: str, table: str, of: Recipient = who, given: object = body
    ) -> Response:
        can, asked, place = _can(request), _Query(given), Place(share, schema, table)
        if asked.starting is not None:
            first, ending = asked.starting, asked.ending
            return await soon(lambda: _changes(shares, of, place, first, ending, can), wait_s=wait_s)
        return await soon(lambda: _snapshot(shares, of, place, asked, can), wait_s=wait_s)

    @found.get("/changes", summary="What changed between versions of a table")
    async def changes(
        request: Request,
        share: str,
        schema: str,
        table: str,
        of: Recipient = who,
        first: int | None = Query(None, alias="startingVersion", ge=0, le=MAX_VERSION),
        last: int | None = Query(None, alias="endingVersion", ge=0, le=MAX_VERSION),
        since: str | None = Query(None, alias="startingTimestamp"),
        until: str | None = Query(None, alias="endingTimestamp"),
    ) -> Response:
        can, place = _can(request), Place(share, schema, table)
        if (first is None) == (since is None):
            refuse("startingVersion", "either it or startingTimestamp says where the changes begin")
        if last is not None and until is not None:
            refuse("endingVersion", "goes without endingTimestamp")
        since_s = None if since is None else time_of("startingTimestamp", since)
        until_s = None if until is None else time_of("endingTimestamp", until)

        def work() -> Response:
            begin = first if since_s is None else shares.first_at(of, place, since_s)
            end = last if until_s is None else shares.last_at(of, place, until_s)
            assert begin is not None
            return _changes(shares, of, place, begin, end, can)

        return await soon(work, wait_s=wait_s)

    return found


class _Query:
    """The body of a query. Fields that are not known are passed over, as hints that cannot be read are."""

    def __init__(self, given: object) -> None:
        """Raises INVALID_FIELD."""
        if not isinstance(given, dict):
            refuse("body", "must be a JSON object")
        self.hints = conditions(given.get("predicateHints"), given.get("jsonPredicateHints"))
        self.limit = _whole(given, "limitHint")
        self.version = _whole(given, "version")
        self.starting, self.ending = _whole(given, "startingVersion"), _whole(given, "endingVersion")
        self.most = _whole(given, "maxFiles")
        time = given.get("timestamp")
        self.time_s = None if time is None else time_of("timestamp", time)
        self.page = given.get("pageToken") or ""
        if not isinstance(self.page, str) or len(self.page) > 2_048:
            refuse("pageToken", "is not one of this query")
        if self.version is not None and self.time_s is not None:
            refuse("version", "goes without timestamp")
        if self.starting is not None and (self.version is not None or self.time_s is not None):
            refuse("startingVersion", "goes without version and timestamp")
        if self.most == 0:
            refuse("maxFiles", "must be 1 or more")


def _snapshot(shares: Shares, of: Recipient, place: Place, asked: _Query, can: Capabilities) -> Response:
    where = f"{place.share}/{place.schema}/{place.table}".lower()
    version, begin = _asked(asked.version), 0
    if asked.page:
        # Pages that follow are of the version of the first, whatever came since.
        try:
            version, begin = shares.secret.page_of(asked.page, of.id, where)
        except BadToken:
            refuse("pageToken", "is not one of this query")
    grant, table = shares.table(of, place, version, time_s=None if asked.page else asked.time_s)
    files = chosen(table, asked.hints, asked.limit)
    some = files[begin:] if asked.most is None else files[begin : begin + asked.most]
    links = shares.links(of, table.name, [(file, grant) for file in some])
    moment = shares.moment(grant) if asked.version is not None or asked.time_s is not None else None
    lines = [actions.protocol(can.format), actions.metadata(can.format, table, grant.version)]
    lines += [actions.file(can.format, link, moment) for link in links]
    following = None
    if begin + len(some) < len(files):
        following = shares.secret.page([grant.version, begin + len(some)], of.id, where)
    return _answer(lines, grant.version, can, links, following)


def _changes(shares: Shares, of: Recipient, place: Place, first: int, last: int | None, can: Capabilities) -> Response:
    if first < 1:
        # Versions count from 1; nothing was before.
        first = 1
    (grant, table), found = shares.changes(of, place, first, last)
    moments: dict[int, Moment] = {}
    files: list[tuple[SharedFile, Grant]] = []
    for one, held in found:
        if one.version not in moments:
            made_s = shares.history.made_s(grant.data_set, one.version)
            moments[one.version] = Moment(one.version, made_s * 1_000)
        files.append((one.file, held))
    links = shares.links(of, table.name, files)
    lines = [actions.protocol(can.format), actions.metadata(can.format, table, first)]
    for (one, _), link in zip(found, links, strict=True):
        lines.append(actions.change(can.format, one.kind, link, moments[one.version]))
    return _answer(lines, grant.version, can, links)


def _answer(
    lines: list[bytes], version: int, can: Capabilities, links: Sequence[Link], following: str | None = None
) -> Response:
    if can.end_action or following is not None:
        lines = [*lines, actions.end(links, following)]
    headers = {"delta-table-version": str(version), capabilities.HEADER: can.header()}
    return Response(b"".join(lines), headers=headers, media_type=actions.MEDIA_TYPE)


def _can(request: Request) -> Capabilities:
    return capabilities.read(request.headers.get(capabilities.HEADER, ""))


def _asked(version: int | None) -> int:
    """Return the version that the gate is asked for: 0, which means the newest there, is none that a client names."""
    return 0 if version is None else version or MAX_VERSION


def _whole(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= 2**53:
        refuse(name, "must be a whole number from 0 on")
    return value


# Files.


def _files(shares: Shares, wait_s: float) -> APIRouter:
    found = APIRouter(prefix=FILES, include_in_schema=False)
    slots = Slots()

    @found.api_route("/{path:path}", methods=["GET", "HEAD"])
    async def file(request: Request, path: str) -> Response:
        expires = request.query_params.get("X-Amz-Expires", "")
        signature = request.query_params.get("X-Amz-Signature", "")
        bearer = _bearer(request)
        opened = await soon(lambda: shares.opened(path, expires, signature, bearer), wait_s=wait_s)
        size_bytes = opened.file.size_bytes
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{opened.file.file.sha256}"'}
        try:
            wanted = range_of(request.headers.get("Range"), size_bytes)
        except Unsatisfiable:
            return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size_bytes}"})
        begin, size = wanted or (0, size_bytes)
        status = 200 if wanted is None else 206
        if wanted is not None:
            headers["Content-Range"] = f"bytes {begin}-{begin + size - 1}/{size_bytes}"
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers | {"Content-Length": str(size)})
        slot = slots.one(opened.recipient.consumer)
        return Download(opened, slot, begin, size, status=status, headers=headers)

    return found
