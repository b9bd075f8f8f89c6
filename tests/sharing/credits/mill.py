"""A venue in which vendors record movements, share them, and earn: what tests of credits start from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sharing.clock import Clock
from sharing.credits.accounts import Accounts
from sharing.credits.measure import Measured, measured_of
from sharing.credits.worker import measured
from sharing.database import Database, Readers
from sharing.projection.sources import Source
from sharing.terms import Terms
from sharing.vault.vault import Vault
from store.episode import ACTION, EFFORT, MAX_VALUES, STATE, VELOCITY
from store.objects import ObjectStore
from tests.sharing.projection.ground import Ground
from tests.sharing.stage import NOW_S, Hand, Notes, agreed, key_of, terms

RATE_HZ = 50.0
JOINTS = 3


def movement(seed: int, seconds: float, *, joints: int = JOINTS) -> np.ndarray:
    """Return smooth positions [rad] that belong to a seed, shape (samples, joints)."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    path = np.zeros((len(time_s), joints))
    for joint in range(joints):
        for rate_hz in rng.uniform(0.05, 0.6, 6):
            path[:, joint] += 0.3 * rng.standard_normal() * np.sin(2 * np.pi * rate_hz * time_s + rng.uniform(0, 6))
    return path.astype(np.float32)


def in_this_process(sources: Sequence[Source], objects: ObjectStore) -> Iterable[Measured]:
    """Measure without a process of its own: the same code."""
    for source in sources:
        asked = {"path": str(objects.path_of(source.sha256)), "sha256": source.sha256}
        yield measured_of(source.sha256, measured(asked, MAX_VALUES))


class Mill:
    """A catalogue, recordings, and accounts over them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.ground = Ground(folder)
        self.notes, self.hand = Notes(), Hand()
        self.database = Database(folder / "sharing" / "sharing.db")
        self._numbers = 0
        self.vault = Vault(folder / "sharing" / "keys")
        self.folder = folder
        values: dict[str, Any] = {"measuring": in_this_process} | options
        self.accounts = Accounts(
            self.database,
            Readers(folder / "catalogue.db"),
            self.ground.objects,
            self.vault,
            self.notes,
            Clock(source=self.hand),
            folder / "sharing" / "credits",
            key_of("ground"),
            **values,
        )

    def record(self, vendor: str, path: np.ndarray, **header: Any) -> int:
        """Record positions as an episode of a vendor, `aurora` such; return its number."""
        self._numbers += 1
        self.ground.vendor = vendor
        velocity = np.gradient(path, 1 / RATE_HZ, axis=0).astype(np.float32)
        signals = {STATE: path, VELOCITY: velocity, ACTION: path, EFFORT: 0.1 * velocity}
        joints = path.shape[1]
        self.ground.record(
            self._numbers,
            rows=len(path),
            joints=joints,
            rate_hz=RATE_HZ,
            sample_rate_hz=RATE_HZ,
            signals=signals,
            **header,
        )
        return self._numbers

    def deliver(self, vendor: str, numbers: Sequence[int], *, to: str = "borealis", **fields: Any) -> Terms:
        """Agree on a new data set of these episodes, as if a version of it had been made for the consumer."""
        made = self.agree(vendor, numbers, to=to, **fields)
        self.made(made)
        return made

    def agree(self, vendor: str, numbers: Sequence[int], *, to: str = "borealis", **fields: Any) -> Terms:
        """Agree on a new data set of these episodes."""
        self.ground.vendor = vendor
        name = f"set-{'-'.join(map(str, numbers))}"
        self.ground.freeze(numbers, name)
        provider, consumer = f"vendors/{vendor}", f"vendors/{to}"
        data_set = f"{provider}/datasets/{name}"
        made = terms(provider=provider, consumer=consumer, data_set=data_set, **fields)
        with self.database.transaction() as db:
            db.execute(
                "INSERT INTO agreement (digest, provider, consumer, data_set, document, agreed_s, negotiation) "
                "VALUES (?, ?, ?, ?, ?, ?, '')",
                (made.digest(), provider, consumer, data_set, agreed(made).document().decode(), NOW_S),
            )
        return made

    def made(self, of: Terms, version: int = 1) -> None:
        """Write down that a version was made for the consumer, as the projector does."""
        with self.database.transaction() as db:
            db.execute(
                "INSERT INTO projection VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (f"{of.digest()}-{version}", of.digest(), of.provider, of.consumer, of.data_set, version, NOW_S),
            )

    def earned(self, vendor: str, numbers: Sequence[int], **fields: Any) -> int:
        """Deliver these episodes and return what the vendor has earned by that, in microcredits."""
        account = f"vendors/{vendor}"
        before = self.accounts.ledger.balance(account)
        self.deliver(vendor, numbers, **fields)
        self.accounts.earn()
        return self.accounts.ledger.balance(account) - before

    def close(self) -> None:
        """Close the files."""
        self.database.close()
        self.ground.catalogue.close()
