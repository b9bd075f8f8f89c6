"""Two vendors, a third, and a room between them: what tests of this room start from."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from catalogue import Catalogue, Entry
from database.address import Place
from palaestra.errors import PalaestraError, trailing
from palaestra.v1 import episode_pb2, venue_service_pb2, venue_service_pb2_grpc
from sharing import signing
from sharing.agreement import Agreement, Signature
from sharing.clock import Clock
from sharing.negotiation import Negotiation
from sharing.register import proof_message
from sharing.room import Room
from sharing.server import ROUTERS, Router, create_app, open_room
from sharing.settings import Settings
from sharing.step import Kind, Step
from sharing.terms import Terms
from web.listening import listen

AURORA, BOREALIS, CYGNUS = "vendors/aurora", "vendors/borealis", "vendors/cygnus"
VENDORS = (AURORA, BOREALIS, CYGNUS)
DATA_SET = f"{AURORA}/datasets/walks"
NOW_S = 1_900_000_000
DAY_S = 86_400


def key_of(vendor: str) -> Ed25519PrivateKey:
    """Return a vendor's private key, always the same."""
    return Ed25519PrivateKey.from_private_bytes(vendor.encode().ljust(32, b"."))


def terms(**fields: Any) -> Terms:
    """Return terms between aurora, who provides, and borealis; what the case does not say is plain."""
    values: dict[str, Any] = {
        "provider": AURORA,
        "consumer": BOREALIS,
        "data_set": DATA_SET,
        "columns": ("action", "observation.state"),
        "purposes": ("training",),
        "channels": ("delta-share", "export"),
        "valid_from_s": NOW_S,
        "valid_until_s": NOW_S + DAY_S,
    }
    return Terms.of(values | fields)


def sign(of: Terms, vendor: str) -> Signature:
    """Return a vendor's signature of terms."""
    key = key_of(vendor)
    return Signature(signing.public_key_of(key), signing.sign(key, signing.AGREEMENT, of.canonical()))


def agreed(of: Terms) -> Agreement:
    """Return the agreement on terms, signed by both of its sides."""
    return Agreement.signed(of, sign(of, of.provider), sign(of, of.consumer))


class Hand:
    """A clock whose hands a test moves."""

    def __init__(self, at_s: float = NOW_S) -> None:
        self.at_s = at_s

    def __call__(self) -> float:
        return self.at_s


class Notes:
    """A witness that remembers."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, str | int]]] = []
        self._owed: list[tuple[str, dict[str, str | int]]] = []

    def note(self, kind: str, fields: Mapping[str, str | int]) -> int:
        """Remember, and return the index."""
        self.notes.append((kind, dict(fields)))
        return len(self.notes) - 1

    def owe(self, db: sqlite3.Connection, kind: str, fields: Mapping[str, str | int]) -> int:
        """Remember what is to be noted."""
        self._owed.append((kind, dict(fields)))
        return len(self._owed) - 1

    def settle(self, *owed: int) -> None:
        """Note it."""
        for number in owed:
            self.note(*self._owed[number])

    def of(self, kind: str) -> list[dict[str, str | int]]:
        """Return what was noted of a kind."""
        return [fields for which, fields in self.notes if which == kind]


def tokens() -> dict[str, venue_service_pb2.GetIdentityResponse]:
    """Return tokens and whose they are: each vendor's by its last name, its engineer's and reader's, an operator's."""
    found = {"operator": venue_service_pb2.GetIdentityResponse(role="operator", venue="venues/v")}
    for vendor in VENDORS:
        for role in ("vendor", "engineer", "reader"):
            short = vendor.partition("/")[2]
            name = short if role == "vendor" else f"{short}-{role}"
            found[name] = venue_service_pb2.GetIdentityResponse(role=role, vendor=vendor, venue="venues/v")
    return found


class Direct(httpx.BaseTransport):
    """Requests straight into an application, without a socket."""

    def __init__(self, app: FastAPI) -> None:
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._runner = asyncio.Runner()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the whole answer."""

        async def whole() -> httpx.Response:
            answer = await self._transport.handle_async_request(request)
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

        return self._runner.run(whole())

    def close(self) -> None:
        """End the loop."""
        self._runner.close()


@dataclass
class Stage:
    """A room of two vendors who have registered their keys; a data set of aurora's has two versions."""

    room: Room
    app: FastAPI
    settings: Settings
    hand: Hand
    notes: Notes
    known: dict[str, venue_service_pb2.GetIdentityResponse]
    clients: list[httpx.Client] = field(default_factory=list)

    def as_(self, token: str, *, purpose: str = "") -> httpx.Client:
        """Return an HTTP client with a token."""
        headers = {"Authorization": f"Bearer {token}"} | ({"Palaestra-Purpose": purpose} if purpose else {})
        client = httpx.Client(transport=Direct(self.app), base_url="http://127.0.0.1", headers=headers)
        self.clients.append(client)
        return client

    def agree(self, **fields: Any) -> Agreement:
        """Enter an agreement on `terms`, and return it."""
        return self.room.register.add(agreed(terms(**fields))).agreement

    def close(self) -> None:
        """Close the room's files."""
        for client in self.clients:
            client.close()
        self.room.database.close()
        self.room.catalogue.close()


def catalogue_of(path: Place, *, versions: int = 2) -> None:
    """Make a catalogue with a data set of aurora's of so many versions, each an episode longer."""
    made = Catalogue(path)
    for number in range(versions):
        name = f"{AURORA}/episodes/e-{number}"
        made.enter(
            [
                Entry(
                    uid=f"e-{number}",
                    vendor="aurora",
                    job=f"{AURORA}/jobs/j",
                    session=f"{AURORA}/jobs/j/attempts/1",
                    robot_model="own_arm",
                    maker="Own",
                    scenario="",
                    level=0,
                    task="walk",
                    outcome=1,
                    unit="venues/v/units/a",
                    start_ns=1_000 + number,
                    duration_s=1.5,
                    size_bytes=10,
                    sha256=f"{number:064x}",
                    body=episode_pb2.Episode(name=name).SerializeToString(),
                )
            ],
            (number + 1, f"e-{number}"),
        )
    made.datasets.create("aurora", "walks", "", by="test", now_ns=1)
    for number in range(versions):
        uids = [f"e-{each}" for each in range(number + 1)]
        made.datasets.freeze("aurora", "walks", uids=uids, by="test", now_ns=1)
    made.close()


def stage(
    folder: Path, *, routers: tuple[Router, ...] = ROUTERS, catalogue: Place | None = None, **parts: Any
) -> Stage:
    """Open a room in a folder. catalogue: There is one, and not in the folder.

    parts: In place of the room's own, as for `sharing.server.open_room`.
    """
    if catalogue is None and not (folder / "catalogue.db").exists():
        catalogue_of(folder / "catalogue.db")
    hand, notes, known = Hand(), Notes(), tokens()

    def ask(token: str) -> venue_service_pb2.GetIdentityResponse:
        if token not in known:
            raise PalaestraError("BAD_TOKEN", "nobody's token")
        return known[token]

    settings = Settings(
        host="127.0.0.1",
        port=7490,
        scheduler="127.0.0.1:1",
        folder=folder / "sharing",
        catalogue=catalogue or folder / "catalogue.db",
        objects=folder / "objects",
    )
    room = open_room(settings, ask, **{"clock": Clock(source=hand), "witness": notes} | parts)
    for vendor in VENDORS:
        if not room.register.keys(vendor):
            key = key_of(vendor)
            public = signing.public_key_of(key)
            room.register.add_key(vendor, public, signing.sign(key, signing.KEY, proof_message(vendor, public)))
    return Stage(room, create_app(room, settings, routers), settings, hand, notes, known)


def rows(path: Path, text: str) -> list[Any]:
    """Return what a query finds in a file, as somebody with the disk in hand would."""
    db = sqlite3.connect(path)
    try:
        return db.execute(text).fetchall()
    finally:
        db.close()


class _Identities(venue_service_pb2_grpc.VenueServiceServicer):  # type: ignore[misc]
    """A scheduler that knows whose tokens are, and nothing else."""

    def __init__(self, known: dict[str, venue_service_pb2.GetIdentityResponse]) -> None:
        self._known = known

    def GetIdentity(
        self, request: venue_service_pb2.GetIdentityRequest, context: grpc.ServicerContext
    ) -> venue_service_pb2.GetIdentityResponse:
        shown = dict(context.invocation_metadata()).get("authorization", "")
        found = self._known.get(str(shown).removeprefix("Bearer "))
        if found is None:
            raise_from = PalaestraError("BAD_TOKEN", "nobody's token")
            context.set_trailing_metadata(trailing(raise_from))
            context.abort(raise_from.code, raise_from.message)
        return found


@contextmanager
def serving(staged: Stage) -> Iterator[dict[str, str]]:
    """Serve a room, and whose tokens are, on ports of their own; yields what the environment of a client says."""
    scheduler = grpc.server(ThreadPoolExecutor(4))
    venue_service_pb2_grpc.add_VenueServiceServicer_to_server(_Identities(staged.known), scheduler)
    port = scheduler.add_insecure_port("127.0.0.1:0")
    scheduler.start()
    listening = listen(replace(staged.settings, port=0))
    server = uvicorn.Server(uvicorn.Config(staged.app, log_config=None, ws="none", lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield {
            "PALAESTRA_ADDRESS": f"127.0.0.1:{port}",
            "PALAESTRA_SHARING_URL": f"http://127.0.0.1:{listening.getsockname()[1]}",
        }
    finally:
        server.should_exit = True
        thread.join(60.0)
        listening.close()
        scheduler.stop(None).wait(60.0)


def step_of(kind: str, vendor: str, about: Terms, **fields: Any) -> tuple[dict[str, Any], str, str]:
    """Return a step of a vendor as plain values, its public key, and its signature."""
    key = key_of(vendor)
    values: dict[str, Any] = {"kind": Kind(kind), "by": vendor, "terms": about.digest(), "at_s": NOW_S}
    if kind == "offer":
        values["nonce"] = "0123456789abcdef"
    if kind == "sign":
        values["terms_signature"] = sign(about, vendor).signature
    step = Step(**values | fields)
    return asdict(step), signing.public_key_of(key), signing.sign(key, signing.STEP, step.canonical())


def begin(staged: Stage, about: Terms, *, by: str = AURORA, **fields: Any) -> Negotiation:
    """Offer terms, by the provider if the case says nothing else."""
    plain, key, signature = step_of("offer", by, about, **fields)
    return staged.room.negotiations.take(by, Step.of(plain), key, signature, about)


def take(
    staged: Stage, before: Negotiation, kind: str, by: str, terms: Terms | None = None, **fields: Any
) -> Negotiation:
    """Take the next step of a negotiation. fields: What of the step is otherwise than it should be."""
    values = {"negotiation": before.id, "sequence": before.sequence + 1, "previous": before.last}
    plain, key, signature = step_of(kind, by, terms or before.terms, **values | fields)
    return staged.room.negotiations.take(by, Step.of(plain), key, signature, terms)
