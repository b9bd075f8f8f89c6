"""What reading through Delta Sharing costs: a query over 1,000 files, one address, ranges of bytes; over a socket.

The room has its own witness, so that what is decided, given out and sent is on the disk before the answer. The client
is plain HTTP in a thread of the same process, which takes its share of the time. Files are made up; what it takes to
project recordings is measured elsewhere.
"""

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalogue import Catalogue, Entry
from palaestra.v1 import episode_pb2, venue_service_pb2
from sharing import signing
from sharing.agreement import Agreement, Signature
from sharing.grant import Grant
from sharing.projection.tables import ProjectedFile, Projection
from sharing.register import proof_message
from sharing.room import Room
from sharing.server import create_app, open_room
from sharing.settings import Settings
from sharing.terms import Channel, Purpose, Terms

FILES, QUERIES, FILE_BYTES, RANGE_BYTES = 1_000, 30, 64 << 20, 8 << 20
PROVIDER, CONSUMER = "vendors/aurora", "vendors/borealis"
DATA_SET = f"{PROVIDER}/datasets/walks"
TABLE = "/delta-sharing/shares/aurora/schemas/walks/tables/joints"


class Shelf:
    """A projector of one version of 1,000 files that are all the same bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_bytes(np.random.default_rng(7).bytes(FILE_BYTES))
        self._data = path.read_bytes()

    def project(self, grant: Grant) -> Projection:
        """Return the projection."""
        schema = pa.schema({"episode": pa.string(), "time_s": pa.float64(), "action": pa.list_(pa.float32())})
        files = tuple(
            ProjectedFile(
                *(self._path, f"{number:06}.parquet", f"{number:064x}", FILE_BYTES, 5_000),
                {"episode": (f"e{number}", f"e{number}"), "time_s": (0.0, number / 8), "action": (-1.0, 1.0)},
            )
            for number in range(FILES)
        )
        return Projection("key", grant.agreement, grant.version, {"joints": files}, {"joints": schema})

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        """Return bytes."""
        with self._path.open("rb") as source:
            source.seek(begin)
            return source.read(size_bytes)

    def drop(self, agreement: str) -> int:
        """Do nothing."""
        return 0


def delta() -> dict[str, float]:
    """Return times of queries [ms] and the rate of ranges [MB/s], medians."""
    with tempfile.TemporaryDirectory() as name, _served(Path(name)) as (port, secret):
        line = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

        def query(**body: Any) -> tuple[float, list[bytes]]:
            start_s = time.perf_counter()
            line.request("POST", f"{TABLE}/query", json.dumps(body), headers)
            answer = line.getresponse()
            lines = answer.read().splitlines()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {lines}")
            return (time.perf_counter() - start_s) * 1e3, lines

        all_of_them: dict[str, dict[str, Any]] = {
            "all": {},
            "one": {"limitHint": 1},
            "half": {"predicateHints": [f"time_s >= {FILES / 16}"]},
        }
        first = {name: len(query(**body)[1]) - 2 for name, body in all_of_them.items()}
        if first != {"all": FILES, "one": 1, "half": FILES // 2}:
            raise RuntimeError(f"other files than asked for: {first}")
        # In turns, so that what else the machine does falls on all of them alike.
        times: dict[str, list[float]] = {name: [] for name in all_of_them}
        for _ in range(QUERIES):
            for name, body in all_of_them.items():
                times[name].append(query(**body)[0])
        parts = urlsplit(json.loads(query(limitHint=1)[1][2])["file"]["url"])
        rates, cpu_s = [], time.process_time()
        for begin in range(0, FILE_BYTES, RANGE_BYTES):
            start_s = time.perf_counter()
            line.request(
                "GET", f"{parts.path}?{parts.query}", headers={"Range": f"bytes={begin}-{begin + RANGE_BYTES - 1}"}
            )
            answer = line.getresponse()
            if len(answer.read()) != RANGE_BYTES or answer.status != 206:
                raise RuntimeError(f"a range: {answer.status}")
            rates.append(RANGE_BYTES / 1e6 / (time.perf_counter() - start_s))
        cpu_s = time.process_time() - cpu_s
        line.close()
    return {
        "query_1000_files_p50_ms": float(np.percentile(times["all"], 50)),
        "query_1000_files_p99_ms": float(np.percentile(times["all"], 99)),
        "query_pruned_to_500_p50_ms": float(np.percentile(times["half"], 50)),
        "address_p50_ms": float(np.percentile(times["one"], 50)),
        "address_p99_ms": float(np.percentile(times["one"], 99)),
        "range_mb_per_s": float(np.median(rates)),
        "range_mb_per_cpu_s": FILE_BYTES / 1e6 / cpu_s,
    }


@contextmanager
def _served(folder: Path) -> Iterator[tuple[int, str]]:
    """Serve a room with one agreement; yield the port, and the secret of a credential."""
    _catalogue(folder / "catalogue.db")
    settings = Settings(
        host="127.0.0.1",
        port=1,
        scheduler="127.0.0.1:1",
        folder=folder / "room",
        catalogue=folder / "catalogue.db",
        objects=folder / "objects",
    )
    whose = venue_service_pb2.GetIdentityResponse(role="vendor", vendor=CONSUMER, venue="venues/v")
    config = uvicorn.Config("", port=0, log_config=None, access_log=False)
    listening = config.bind_socket()
    listening.listen()
    port = listening.getsockname()[1]
    room = open_room(settings, lambda token: whose, projector=Shelf(folder / "file.parquet"))
    room = replace(room, address=f"http://127.0.0.1:{port}")
    config.app = create_app(room, settings)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        line = http.client.HTTPConnection("127.0.0.1", port)
        line.request(
            "POST",
            "/sharing/v1/credentials",
            json.dumps({"agreements": [_agree(room)]}),
            {"Authorization": "Bearer x", "Content-Type": "application/json"},
        )
        made = json.loads(line.getresponse().read())
        line.close()
        yield port, made["profile"]["bearerToken"]
    finally:
        server.should_exit = True
        thread.join(30.0)
        listening.close()
        room.database.close()
        room.catalogue.close()


def _catalogue(path: Path) -> None:
    made = Catalogue(path)
    body = episode_pb2.Episode(name=f"{PROVIDER}/episodes/e").SerializeToString()
    entry = Entry(
        *("e", "aurora", f"{PROVIDER}/jobs/j", f"{PROVIDER}/jobs/j/attempts/1", "own_arm", "Own", "", 0, "walk", 1),
        *("venues/v/units/a", 1_000, 1.5, 10, "0" * 64, body),
    )
    made.enter([entry], (1, "e"))
    made.datasets.create("aurora", "walks", "", by="bench", now_ns=1)
    made.datasets.freeze("aurora", "walks", uids=["e"], by="bench", now_ns=1)
    made.close()


def _agree(room: Room) -> str:
    """Enter an agreement of two vendors, and return its digest."""
    keys = {vendor: Ed25519PrivateKey.generate() for vendor in (PROVIDER, CONSUMER)}
    for vendor, key in keys.items():
        public = signing.public_key_of(key)
        room.register.add_key(vendor, public, signing.sign(key, signing.KEY, proof_message(vendor, public)))
    now_s = int(time.time())
    terms = Terms(
        provider=PROVIDER,
        consumer=CONSUMER,
        data_set=DATA_SET,
        columns=("action",),
        purposes=(Purpose.TRAINING,),
        channels=(Channel.DELTA,),
        valid_from_s=now_s - 10,
        valid_until_s=now_s + 86_400,
    )
    sides = [
        Signature(signing.public_key_of(key), signing.sign(key, signing.AGREEMENT, terms.canonical()))
        for key in keys.values()
    ]
    return room.register.add(Agreement.signed(terms, *sides)).agreement.digest
