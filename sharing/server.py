"""The application: the room put together, and all parts' routes."""

import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response

from catalogue.place import readers
from sharing import problem, routes
from sharing.aggregate import routes as aggregate
from sharing.aggregate.field import check_declared
from sharing.audit import routes as audit_routes
from sharing.audit.key import load_key
from sharing.audit.log import Log
from sharing.clock import Clock
from sharing.compute import routes as compute
from sharing.credits import routes as credits
from sharing.credits.accounts import Accounts
from sharing.database import Database
from sharing.dataspace import routes as dataspace
from sharing.delta import routes as delta
from sharing.export import routes as export
from sharing.gate import Gate
from sharing.identity import Callers, Identity
from sharing.lineage import routes as lineage
from sharing.negotiation import Negotiations
from sharing.projection.projector import open_projector
from sharing.projection.transforms import read
from sharing.register import Register
from sharing.review import routes as review
from sharing.review.reviews import Reviews
from sharing.room import Projecting, Room, Sealing
from sharing.settings import Settings
from sharing.terms import Terms
from sharing.vault.vault import Vault
from sharing.versions import Versions
from sharing.witness import Witness
from store.objects import open_objects
from web.bounds import Bounds

Router = Callable[[Room], APIRouter]
ROUTERS: tuple[Router, ...] = (
    routes.router,
    dataspace.router,
    export.router,
    review.router,
    aggregate.router,
    compute.router,
    delta.router,
    audit_routes.router,
    credits.router,
    lineage.router,
)
"""Each part's own; one more part is one more line."""
COLLECT_PERIOD_S = 2.0
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
log = logging.getLogger(__name__)


def open_room(
    settings: Settings,
    ask: Callable[[str], Identity],
    *,
    clock: Clock | None = None,
    witness: Witness | None = None,
    projector: Projecting | None = None,
    vault: Sealing | None = None,
) -> Room:
    """Return the room of a folder, made if it has to be.

    Args:
        ask: Tells whose a token is, see `sharing.identity.Scheduler`.
        clock, witness, projector, vault: In place of the room's own; for tests.

    Raises:
        database.file.SchemaMismatch, OSError.
    """
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.folder.chmod(0o700)
    database = Database(settings.folder / "sharing.db")
    clock = clock or Clock(at_least_s=latest_s(database))
    catalogue = readers(settings.catalogue)
    # Beside the database, so that who copies that alone cannot sign for this log.
    key = load_key(settings.folder / "keys" / "audit.pem")
    if witness is None:
        witness = Log(database, key, clock, settings.folder / "audit.lock")
    vault = vault or Vault(settings.folder / "keys" / "vault", settings.folder / "vault.db")
    callers = Callers(ask, now_s=clock.now_s)
    newest = Versions(catalogue).newest
    register = Register(database, witness, clock)
    objects = open_objects(settings.objects_at or str(settings.objects), settings.objects)
    reviews = Reviews(database, witness, clock.now_s)
    accounts = Accounts(database, catalogue, objects, vault, witness, clock, settings.folder / "credits", key)
    return Room(
        gate=Gate(database, newest, witness, clock),
        projector=projector
        or open_projector(
            settings.folder,
            catalogue,
            objects,
            vault=vault,
            ledger=database,
            witness=witness,
            reviews=reviews,
            settle=accounts.settle,
        ),
        witness=witness,
        vault=vault,
        accounts=accounts,
        register=register,
        negotiations=Negotiations(database, register, newest, witness, clock, check_transforms=_check_transforms),
        database=database,
        catalogue=catalogue,
        caller=callers.caller,
        clock=clock,
        folder=settings.folder,
        objects=settings.objects,
        objects_at=settings.objects_at,
        address=settings.url,
        cluster=settings.cluster,
    )


_LATEST = """
SELECT max(coalesce((SELECT max(agreed_s) FROM agreement), 0), coalesce((SELECT max(revoked_s) FROM agreement), 0),
  coalesce((SELECT max(at_s) FROM step), 0),
  coalesce((SELECT json_extract(body, '$.at_ms') / 1000.0 FROM audit_leaf ORDER BY idx DESC LIMIT 1), 0))
"""


def latest_s(database: Database) -> float:
    """Return the last time [s] that the room's file knows to have passed, of acts or of any decision that was noted.

    After a restart the clock does not begin before it: a term whose end somebody was told of does not begin again.
    """
    return float(database.reader().execute(_LATEST).fetchone()[0])


def _check_transforms(terms: Terms) -> None:
    """Raise InvalidTerms for transforms that no part of this room could carry out."""
    read(terms.transforms)
    check_declared(terms.transforms)


def create_app(room: Room, settings: Settings, routers: Sequence[Router] = ROUTERS) -> FastAPI:
    """Return the application of one sharing process."""
    stopping = threading.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        collector = threading.Thread(target=_collecting, args=(room, stopping), name="collector", daemon=True)
        # A thread of its own: measuring may take long, and what has ended is to be destroyed at once.
        accountant = threading.Thread(target=_accounting, args=(room, stopping), name="accountant", daemon=True)
        collector.start()
        accountant.start()
        yield
        stopping.set()
        collector.join(timeout=30.0)
        accountant.join(timeout=30.0)

    app = FastAPI(title="Palaestra sharing", openapi_url=None, lifespan=lifespan, redirect_slashes=False)
    app.state.room = room
    for router in routers:
        app.include_router(router(room))
    # An address for supervisors and balancers; tells nothing.
    app.add_api_route("/healthz", lambda: Response(status_code=204), methods=["GET"], include_in_schema=False)
    problem.install(app)
    app.add_middleware(
        Bounds,
        loopback_only=settings.loopback_only,
        headers=_HEADERS,
        respond=problem.response_of,
        larger={export.TRACE_PATH: export.TRACE_BYTES},
    )
    return app


def collect(room: Room) -> int:
    """Destroy what was made for agreements that have ended; return how many those were.

    That nothing of them is served does not depend on it: the gate sees to that at once.
    """
    count = 0
    for entry in room.register.ended():
        digest = entry.agreement.digest
        try:
            room.projector.drop(digest)
            room.vault.shred(digest)
            room.register.collected(entry.agreement)
        except Exception:
            # A full disk, for one; it is tried again, nothing is served meanwhile.
            log.exception("agreement %s has ended and could not be collected", digest)
            continue
        count += 1
    return count


def _collecting(room: Room, stopping: threading.Event) -> None:
    while not stopping.wait(COLLECT_PERIOD_S):
        try:
            collect(room)
        except Exception:
            # A full disk, for one; it is tried again, and nothing is served meanwhile.
            log.exception("what has ended could not be collected")


def _accounting(room: Room, stopping: threading.Event) -> None:
    while not stopping.wait(COLLECT_PERIOD_S):
        try:
            room.accounts.earn()
        except Exception:
            log.exception("what was earned could not be posted")
