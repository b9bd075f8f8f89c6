"""Credits as a vendor checks them: the weight of a recording, and a statement that the venue signed.

The venue weighs with the very function that is here, so that who has a statement can do every sum again, offline.
Everything is a whole number; a microcredit is a millionth of a credit.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.merkle import BadNote, BadProof, check_inclusion, leaf_hash, open_note
from palaestra.signing import canonical, digest, verify

STATEMENT = b"palaestra.credits.v1\n"
GROUND = "ground"
"""The account that issues."""
HOUR_MS = 3_600_000
HALF_MS = 10 * HOUR_MS
"""With so much in the pool of its kind a recording earns half: this project's choice."""
MILLION = 1_000_000
_CONTEXT = Context(prec=40, rounding=ROUND_FLOOR)
_FACTS = ("duration_ms", "novel_ms", "quality_ppm", "provenance_ppm", "pool_ms")


@dataclass(frozen=True)
class Facts:
    """What the weight of a recording depends on. ValueError for what is out of its bounds.

    Attributes:
        duration_ms: From the first sample to the last.
        novel_ms: How much of that is movement, and no near duplicate of what was earned with before.
        quality_ppm: Score of the recording, millionths, 0 to 1,000,000.
        provenance_ppm: How much of it counts by where it was made, millionths, 0 to 1,000,000.
        pool_ms: How much of its kind was earned with before.
    """

    duration_ms: int
    novel_ms: int
    quality_ppm: int
    provenance_ppm: int
    pool_ms: int

    def __post_init__(self) -> None:
        for name in _FACTS:
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ValueError(f"{name}: must be a whole number, 0 or more")
        if self.novel_ms > self.duration_ms:
            raise ValueError("novel_ms: is more than all of it")
        if max(self.quality_ppm, self.provenance_ppm) > MILLION:
            raise ValueError("quality_ppm, provenance_ppm: are at most a million")


def weigh(facts: Facts) -> int:
    """Return what a recording earns, in microcredits: hours x quality x novelty x scarcity, rounded down.

    One credit is one hour of perfect quality, wholly new, of a kind of which there was nothing.

    - hours x novelty: `novel_ms`.
    - quality: `quality_ppm`, what the venue itself measured, or what the vendor's own score says if that is less.
    - scarcity: s(x) = H / (H + x) with x of its kind in the pool and H = `HALF_MS`. As a recording fills the pool
      itself, it gets the integral of s over what it adds, H ln((H + x + novel) / (H + x)): so one long recording and
      its pieces, one after the other, earn the same, and rounding down makes pieces never worth more.
    - provenance: `provenance_ppm`.

    Where the product comes from: a give-and-get ledger weighs accepted hours by quality, novelty (one less the near
    duplicates) and scarcity of task and body. The form of s, and H, are this project's choice.
    """
    if not facts.novel_ms:
        return 0
    # Whole numbers up to the one logarithm, in a context of its own: the same on every machine and in every thread.
    before = HALF_MS + facts.pool_ms
    grown = _CONTEXT.divide(_exact(before + facts.novel_ms), _exact(before))
    factor = _exact(HALF_MS * facts.quality_ppm * facts.provenance_ppm)
    return int(_CONTEXT.divide(_CONTEXT.multiply(factor, _CONTEXT.ln(grown)), _exact(HOUR_MS * MILLION)))


def _exact(value: int) -> Decimal:
    return _CONTEXT.create_decimal(value)


def scarcity_ppm(facts: Facts) -> int:
    """Return the mean scarcity over what a recording adds, millionths: for people; `weigh` does without."""
    if not facts.novel_ms:
        return 0
    whole = Facts(facts.duration_ms, facts.novel_ms, MILLION, MILLION, facts.pool_ms)
    return min(MILLION, weigh(whole) * HOUR_MS // facts.novel_ms)


@dataclass(frozen=True)
class Verified:
    """What a statement that holds says: for whom, by whom, how many postings, and the balances in microcredits."""

    vendor: str
    public_key: str
    postings: int
    opening_microcredits: int
    balance_microcredits: int


def verify_statement(document: Mapping[str, Any], public_key: str = "") -> Verified:
    """Check a contribution statement, offline, and return what it says.

    The signature is the venue's; every posting is in the audit's tree under the signed head, is of this vendor, and
    its amount is what its recordings' factors give; and the balance is their sum.

    Args:
        public_key: The venue's audit key, 64 hexadecimal digits, as the vendor's witness keeps it. Empty: the one that
            the statement names, which shows that nothing was changed since, but not whose it is.

    Raises:
        PalaestraError: BAD_SIGNATURE, which names the first thing that does not hold.
    """
    try:
        said = document["statement"]
        key = str(document["public_key"])
        if public_key and key != public_key:
            raise _bad("public_key: is not the venue's")
        verify(key, STATEMENT, said, str(document["signature"]))
        head = open_note(str(said["head"]), bytes.fromhex(key))
        vendor, balance = str(said["vendor"]), _whole(said["opening_microcredits"])
        before = -1
        for number, entry in enumerate(said["postings"]):
            at = f"postings[{number}]"
            posting, index = entry["posting"], _whole(entry["leaf"])
            if index <= before:
                raise _bad(f"{at}: does not follow the one before it")
            before = index
            _check_leaf(at, entry, index, head.size, head.root)
            _check_amount(at, posting, entry["items"])
            if vendor not in (posting["debit"], posting["credit"]):
                raise _bad(f"{at}: is not a posting of {vendor}")
            amount = _whole(posting["amount_microcredits"])
            balance += amount if posting["credit"] == vendor else -amount
        if balance != _whole(said["balance_microcredits"]):
            raise _bad("balance_microcredits: is not the sum of the postings")
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, BadNote) as error:
        raise _bad(f"not a statement: {error}") from None
    return Verified(vendor, key, len(said["postings"]), _whole(said["opening_microcredits"]), balance)


def _check_leaf(at: str, entry: Mapping[str, Any], index: int, size: int, root: bytes) -> None:
    """Raise unless the posting's hash stands in a leaf of the audit's tree."""
    body = str(entry["body"])
    told = json.loads(body)["fields"]
    if json.loads(body)["kind"] != "credit" or told["posting"] != digest(entry["posting"]):
        raise _bad(f"{at}: is not what the audit has in leaf {index}")
    proof = [bytes.fromhex(one) for one in entry["proof"]]
    try:
        check_inclusion(leaf_hash(body.encode()), index, size, proof, root)
    except BadProof as error:
        raise _bad(f"{at}: {error}") from None


def _check_amount(at: str, posting: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> None:
    """Raise unless an earned posting's amount follows from its recordings' factors."""
    if hashlib.sha256(canonical(list(items))).hexdigest() != posting["items_sha256"]:
        raise _bad(f"{at}: its recordings are other ones than those that were posted")
    if posting["kind"] != "earned":
        return
    total = 0
    for item in items:
        amount = weigh(Facts(**{name: item[name] for name in _FACTS}))
        if amount != item["amount_microcredits"]:
            raise _bad(f"{at}: recording {item['sha256']}: its factors give {amount} microcredits")
        total += amount
    if total != posting["amount_microcredits"]:
        raise _bad(f"{at}: its recordings give {total} microcredits")


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{str(value)[:40]!r} is no whole number")
    return value


def _bad(message: str) -> PalaestraError:
    return PalaestraError("BAD_SIGNATURE", message)
