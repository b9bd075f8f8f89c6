"""A projector of small made-up tables, and a room that serves them: where tests of Delta Sharing start from."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from sharing.errors import NotShared
from sharing.grant import Grant
from sharing.projection.tables import EPISODES, JOINTS, ProjectedFile, Projection
from tests.sharing.stage import Stage, stage

FLOATS = pa.list_(pa.field("element", pa.float32(), nullable=False))
SENSOR = "observation.imu"
ROWS = 5


class Tables:
    """Makes version n as n episodes of ROWS rows; remembers what it was asked. Implements `sharing.room.Projecting`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.projected: list[Grant] = []
        self.read_bytes = 0
        folder.mkdir(parents=True, exist_ok=True)

    def project(self, grant: Grant) -> Projection:
        """Return the projection of a grant."""
        self.projected.append(grant)
        seed = int(grant.agreement[:8], 16)
        joints, sensor, rows = [], [], []
        for episode in range(grant.version):
            name = f"{seed:08x}-{episode}"
            columns: dict[str, Any] = {
                "episode": [name] * ROWS,
                "time_s": np.arange(ROWS) * 0.02 + episode * 10,
            }
            for index, column in enumerate(grant.columns):
                values = [[seed % 97 + episode + index + row / 8] * 3 for row in range(ROWS)]
                columns[column] = pa.array(values, FLOATS)
            joints.append(self._file(grant, f"joints-{name}", pa.table(columns)))
            columns = {key: columns[key] for key in ("episode", "time_s")} | {"value": columns[grant.columns[0]]}
            sensor.append(self._file(grant, f"imu-{name}", pa.table(columns)))
            rows.append({"episode": name, "task": "walk", "rows": ROWS, "level": None})
        schema = pa.schema({"episode": pa.string(), "task": pa.string(), "rows": pa.int64(), "level": pa.string()})
        episodes = self._file(grant, "episodes", pa.Table.from_pylist(rows, schema=schema))
        tables = {EPISODES: (episodes,), JOINTS: tuple(joints), SENSOR: tuple(sensor)}
        schemas = {name: pq.read_schema(files[0].path).remove_metadata() for name, files in tables.items()}
        return Projection(f"{grant.agreement}-{grant.version}", grant.agreement, grant.version, tables, schemas)

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        """Return bytes of a file."""
        try:
            found = file.path.read_bytes()[begin : begin + size_bytes]
        except FileNotFoundError:
            raise NotShared from None
        self.read_bytes += len(found)
        return found

    def drop(self, agreement: str) -> int:
        """Remove what was made for an agreement."""
        for path in (self.folder / agreement).glob("*"):
            path.unlink()
        return 1

    def _file(self, grant: Grant, name: str, table: Any) -> ProjectedFile:
        path = self.folder / grant.agreement / f"{hashlib.sha256(f'{name}{table}'.encode()).hexdigest()[:16]}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, store_schema=False)
        data = path.read_bytes()
        stats = {}
        for column in ("episode", "time_s", "rows"):
            if column in table.column_names:
                values = table[column].to_pylist()
                stats[column] = (min(values), max(values))
        digest = hashlib.sha256(data).hexdigest()
        return ProjectedFile(path, f"{name}.parquet", digest, len(data), table.num_rows, stats)


@dataclass
class Delta:
    """A room with tables, and what consumers do with it."""

    stage: Stage
    tables: Tables
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)

    def credential(self, token: str, *agreements: str, **fields: Any) -> dict[str, Any]:
        """Make a credential with a vendor's token; return the whole answer."""
        answer = self.stage.as_(token).post("/sharing/v1/credentials", json={"agreements": agreements, **fields})
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def client(self, made: Mapping[str, Any]) -> httpx.Client:
        """Return a client with the secret of a credential."""
        return self.stage.as_(made["profile"]["bearerToken"])

    def nobody(self) -> httpx.Client:
        """Return a client without any token."""
        client = self.stage.as_("x")
        del client.headers["Authorization"]
        return client


ROOT = "/delta-sharing"
WALKS = f"{ROOT}/shares/aurora/schemas/walks"


def delta(folder: Path) -> Delta:
    """Open a room over made-up tables."""
    tables = Tables(folder / "tables")
    return Delta(stage(folder, projector=tables), tables)


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the objects of an answer's lines, which have to be one a line."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    assert answer.content.endswith(b"\n")
    return [json.loads(line) for line in answer.content.splitlines()]


def path_of(url: str) -> str:
    """Return an address without its server."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


async def whole(response: Any, *, taken: asyncio.Event | None = None) -> tuple[int, bytes]:
    """Have a response sent; return its status and body. taken: What the reader waits for before each piece."""
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
            return
        if taken is not None:
            await taken.wait()
        body += message.get("body", b"")

    await response({"type": "http", "method": "GET"}, receive, send)
    return status, body
