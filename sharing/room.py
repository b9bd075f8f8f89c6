"""What the parts of this room share: one value, made once by `sharing.server`, handed to each part's `router`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from starlette.requests import Request

from database.keeping import Readers
from database.sql import Connection
from sharing.clock import Clock
from sharing.credits.accounts import Accounts
from sharing.database import Database
from sharing.gate import Gate
from sharing.grant import Grant
from sharing.identity import Caller
from sharing.negotiation import Negotiations
from sharing.projection.tables import ProjectedFile, Projection
from sharing.register import Register
from sharing.witness import Witness


class Projecting(Protocol):
    """Makes and serves what a consumer gets; `sharing.projection.projector.Projector`."""

    def project(self, grant: Grant) -> Projection:
        """Return the projection of a grant, made if it is not there."""
        ...

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        """Return a range of a file's bytes."""
        ...

    def drop(self, agreement: str) -> int:
        """Remove everything that was made for an agreement; return how many projections that were."""
        ...


class Sealing(Protocol):
    """Encrypts what lies on the disk, and destroys keys; `sharing.vault.vault.Vault`."""

    def seal(self, owner: str, source: Path, target: Path) -> None:
        """Encrypt a file for its owner, a vendor or an agreement's digest."""
        ...

    def read(self, owner: str, path: Path, begin: int, size_bytes: int) -> bytes:
        """Return a range of what was sealed."""
        ...

    def shred(self, owner: str) -> None:
        """Destroy the owner's keys."""
        ...


@dataclass(frozen=True)
class Room:
    """The room as its parts see it.

    Attributes:
        gate: The one decision. Every byte and every answer comes by it.
        projector, vault, witness: See their protocols.
        accounts: Credits of all vendors.
        register, negotiations: Agreements, keys and suspensions; and how agreements come to be.
        database: The room's own file.
        catalogue: Connections to look into the catalogue.
        caller: Who sent a request. Blocks for a call of the scheduler at most each two seconds for a token, so that
            it belongs into plain functions, which FastAPI runs in threads, or into `Depends`.
        clock: By which everything is judged.
        folder: For what the parts keep beside the database; readable by its owner alone.
        objects: The store's folder of objects.
        objects_at: Where they are if not there.
        address: How consumers reach this room, such as `http://127.0.0.1:7490`.
        cluster: The head of the Ray cluster on whose nodes compute jobs run; empty: on this machine.
    """

    gate: Gate
    projector: Projecting
    witness: Witness
    vault: Sealing
    accounts: Accounts
    register: Register
    negotiations: Negotiations
    database: Database
    catalogue: Readers[Connection]
    caller: Callable[[Request], Caller]
    clock: Clock
    folder: Path
    objects: Path
    objects_at: str
    address: str
    cluster: str = ""
