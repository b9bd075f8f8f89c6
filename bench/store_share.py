"""What sharing costs: a decision, and whether a grant still holds; each part of the room adds what it does.

The decision is measured over a room of 1,000 agreements on the disk: with a witness that only counts, and with one that
has each decision on the disk before the answer, as a venue has it.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.share_delta import delta
from bench.share_projection import projection
from sharing import signing
from sharing.agreement import Agreement, Signature
from sharing.audit.log import Log
from sharing.clock import Clock
from sharing.database import Database
from sharing.errors import NotShared
from sharing.gate import Gate
from sharing.grant import Ask
from sharing.register import Register, proof_message
from sharing.terms import Channel, Purpose, Terms

AGREEMENTS, DECISIONS, DURABLE = 1_000, 4_000, 200
PROVIDER, CONSUMER = "vendors/aurora", "vendors/borealis"


class Counting:
    """A witness that counts."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, kind: str, fields: Mapping[str, str | int]) -> int:
        """Count."""
        self.count += 1
        return self.count - 1

    def owe(self, db: sqlite3.Connection, kind: str, fields: Mapping[str, str | int]) -> int:
        """Count."""
        return self.note(kind, fields)

    def settle(self, *owed: int) -> None:
        """Do nothing: it was counted."""


def decision() -> dict[str, float]:
    """Return times of decisions and of asking again [ms], by an agreement drawn at random each time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database, witness = Database(folder / "sharing.db"), Counting()
        try:
            digests = _agree(Register(database, witness, Clock()))
            gate = Gate(database, lambda data_set: 3, witness)
            rng = np.random.default_rng(7)
            for digest in digests:
                gate.authorize(_ask(digest))
            draws = [digests[index] for index in rng.integers(0, len(digests), DECISIONS)]
            granted = _times(lambda digest: gate.authorize(_ask(digest)), draws)
            grants = [gate.authorize(_ask(digest)) for digest in draws[:100]]
            again = _times(gate.still, grants * (DECISIONS // 100))
            refused = _times(lambda digest: _refused(gate, digest), draws)
            missing = _times(lambda digest: _refused(gate, digest[::-1]), draws)
            log = Log(database, Ed25519PrivateKey.generate(), Clock(), folder / "audit.lock")
            lasting = Gate(database, lambda data_set: 3, log)
            durable = _times(lambda digest: lasting.authorize(_ask(digest)), draws[:DURABLE])
            log.close()
        finally:
            database.close()
    return {
        **_spread("decision", granted),
        **_spread("still", again),
        **_spread("refused_foreign", refused),
        **_spread("refused_missing", missing),
        **_spread("decision_durable", durable),
    }


PARTS: list[Callable[[], dict[str, float]]] = [decision, projection, delta]
"""Each part of the room adds a function; the names of its figures begin with what is measured."""


def run() -> dict[str, Any]:
    """Measure all parts."""
    found: dict[str, Any] = {}
    for part in PARTS:
        found |= part()
    for key, value in found.items():
        print(f"{key:32} {value:12.4f}")
    return found


def _ask(digest: str, consumer: str = CONSUMER) -> Ask:
    return Ask(consumer, digest, Channel.DELTA, Purpose.TRAINING)


def _refused(gate: Gate, digest: str) -> None:
    try:
        gate.authorize(_ask(digest, "vendors/cygnus"))
    except NotShared:
        return
    raise AssertionError("another's agreement was granted")


def _agree(register: Register) -> list[str]:
    """Enter agreements of two vendors, and return their digests."""
    keys = {vendor: Ed25519PrivateKey.generate() for vendor in (PROVIDER, CONSUMER)}
    for vendor, key in keys.items():
        public = signing.public_key_of(key)
        register.add_key(vendor, public, signing.sign(key, signing.KEY, proof_message(vendor, public)))
    now_s, digests = int(time.time()), []
    for number in range(AGREEMENTS):
        terms = Terms(
            provider=PROVIDER,
            consumer=CONSUMER,
            data_set=f"{PROVIDER}/datasets/walks-{number}",
            columns=("action", "observation.state", "observation.velocity"),
            purposes=(Purpose.TRAINING,),
            channels=(Channel.DELTA,),
            valid_from_s=now_s - 10,
            valid_until_s=now_s + 86_400,
        )
        sides = [
            Signature(signing.public_key_of(key), signing.sign(key, signing.AGREEMENT, terms.canonical()))
            for key in keys.values()
        ]
        digests.append(register.add(Agreement.signed(terms, *sides)).agreement.digest)
    return digests


def _times(act: Callable[[Any], object], over: Sequence[Any]) -> list[float]:
    times = []
    for one in over:
        start_s = time.perf_counter()
        act(one)
        times.append((time.perf_counter() - start_s) * 1e3)
    return times


def _spread(name: str, times_ms: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(times_ms, (50, 99))
    return {f"{name}_p50_ms": round(float(p50), 3), f"{name}_p99_ms": round(float(p99), 3)}
