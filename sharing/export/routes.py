"""REST of the channel `export`, and of tracing: `/sharing/v1/exports/...`, `/sharing/v1/trace`."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from palaestra.errors import PalaestraError
from sharing.errors import NotReleasable, NotShared
from sharing.export.exporter import export, venue_key
from sharing.grant import Ask, Grant
from sharing.identity import Caller
from sharing.places import Places
from sharing.projection.projector import SECRET, Projector
from sharing.projection.secret import load_secret
from sharing.projection.tables import ProjectedFile
from sharing.projection.tracing import trace_file
from sharing.room import Room
from sharing.terms import Channel
from store.objects import open_objects

CHUNK_BYTES = 1 << 20
TRACE_PATH, TRACE_BYTES = "/sharing/v1/trace", 256 << 20
LEAKED, TRACES_MOST = ".trace-", 4
"""How a file that is looked at is called meanwhile, and how many may be: each may be as large as that."""


def router(room: Room) -> APIRouter:
    """Return the routes."""
    found = APIRouter(prefix="/sharing/v1", tags=["exports"])
    who = Depends(room.caller)
    places, traces = Places(), Places(most=TRACES_MOST, each=1)
    for left in room.folder.glob(f"{LEAKED}*"):
        # Of a process that was killed meanwhile.
        left.unlink()
    objects = open_objects(room.objects_at or str(room.objects), room.objects)

    @found.get("/exports/{agreement}", summary="A granted version as an archive: lerobot, parquet or mcap")
    def archive(
        agreement: str,
        form: str = Query("lerobot", alias="format", max_length=20),
        version: int = Query(0, ge=0, le=1_000_000_000),
        fps: int = Query(0, ge=0, le=1_000),
        caller: Caller = who,
    ) -> StreamingResponse:
        ask = Ask(
            consumer=caller.takes(),
            agreement=agreement[:64],
            channel=Channel.EXPORT,
            purpose=caller.purpose,
            version=version,
            about=f"export {form}",
        )
        grant = room.gate.authorize(ask)
        if not isinstance(room.projector, Projector):
            raise NotShared
        with places.one(grant.consumer):
            file = export(room.projector, grant, form, venue_key(room.folder / "export.key"), fps=fps)
        # Making it may have taken long.
        room.gate.still(grant)
        headers = {
            "Content-Disposition": f'attachment; filename="{file.name}"',
            "Content-Length": str(file.size_bytes),
            "Palaestra-Sha256": file.sha256,
        }
        return StreamingResponse(_bytes(room, grant, file), media_type="application/zip", headers=headers)

    @found.post("/trace", summary="Name the recipient of the vendor's data that a leaked file came from")
    async def trace(request: Request, caller: Caller = who) -> dict[str, Any]:
        provider = caller.decides()
        with traces.one(provider):
            descriptor, name = tempfile.mkstemp(dir=room.folder, prefix=LEAKED)
            file = Path(name)
            try:
                digest, size_bytes = hashlib.sha256(), 0
                with os.fdopen(descriptor, "wb") as target:
                    async for chunk in request.stream():
                        size_bytes += len(chunk)
                        if size_bytes > TRACE_BYTES:
                            raise PalaestraError(
                                "MESSAGE_TOO_LARGE", f"the file is over the limit of {TRACE_BYTES} bytes"
                            )
                        digest.update(chunk)
                        target.write(chunk)
                secret = load_secret(room.folder / SECRET)

                def traced() -> dict[str, Any]:
                    looked = trace_file(
                        file,
                        ledger=room.database,
                        catalogue=room.catalogue,
                        objects=objects,
                        secret=secret,
                        provider=provider,
                    )
                    return asdict(looked)

                try:
                    answer = await run_in_threadpool(traced)
                except NotReleasable as error:
                    raise PalaestraError("INVALID_FIELD", str(error), metadata={"field": "file"}) from None
            finally:
                file.unlink()
        named = ",".join(one["consumer"] for one in answer["suspects"] if one["found"])
        fields = {"provider": provider, "file": digest.hexdigest(), "named": named[:1_000]}
        # It waits for the disk: not in the loop, which serves everybody.
        await run_in_threadpool(room.witness.note, "trace", fields)
        return answer

    return found


def _bytes(room: Room, grant: Grant, file: ProjectedFile) -> Iterator[bytes]:
    """Yield a file, asking before each piece whether the agreement still stands.

    Noted before the first byte, so that none goes unnoted, and once more, with how much went out, if it was cut off.
    """
    fields: dict[str, str | int] = {
        "provider": grant.provider,
        "consumer": grant.consumer,
        "agreement": grant.agreement,
        "channel": str(Channel.EXPORT),
        "file": file.name,
        "size_bytes": file.size_bytes,
    }
    room.witness.note("bytes", fields)
    sent = 0
    try:
        while sent < file.size_bytes:
            # In the middle of an answer no other can be given: it ends short of its length, which clients see.
            room.gate.still(grant)
            piece = room.projector.read(file, sent, CHUNK_BYTES)
            if not piece:
                raise NotShared
            sent += len(piece)
            yield piece
    finally:
        if sent < file.size_bytes:
            room.witness.note("bytes", fields | {"what": "cut off", "size_bytes": sent})
