"""Contribution statements: what a vendor has earned and spent, each posting with its proof, signed by the ground.

`palaestra.credits.verify_statement` checks one, offline. It is signed with the audit's key, as the head in it is:
who keeps the audit's heads as a witness knows that key.
"""

import json
from typing import Any

from palaestra.credits import STATEMENT
from sharing.audit.log import Log
from sharing.credits.accounts import Accounts
from sharing.errors import NotShared
from sharing.signing import sign
from sharing.terms import canonical

POSTINGS_MAX, ITEMS_MAX = 200, 20_000


def statement(accounts: Accounts, log: Log, vendor: str, at_s: int, *, after: int = 0) -> dict[str, Any]:
    """Return a statement of a vendor's postings after a number, as many as fit; `next` if there are more.

    Raises NotShared for a posting that is not in the audit, which a damaged file alone can have.
    """
    found = accounts.ledger.postings(vendor, after=after, size=POSTINGS_MAX)
    # What is posted from here on is not in the statement, and not below its head.
    head = log.head()
    size = int(head.split("\n")[1])
    told: list[dict[str, Any]] = []
    balance = opening = accounts.ledger.opening(vendor, after)
    items = 0
    for posting in found[:POSTINGS_MAX]:
        items += len(posting.items)
        if told and items > ITEMS_MAX:
            break
        leaf = log.leaves(vendor, posting.leaf - 1, 1)
        if not leaf or leaf[0].index != posting.leaf:
            raise NotShared
        proof = [one.hex() for one in log.inclusion(posting.leaf, size)]
        told.append(
            {
                "number": posting.id,
                "leaf": posting.leaf,
                "body": leaf[0].body,
                "proof": proof,
                "posting": posting.document,
                "items": posting.items,
            }
        )
        balance += posting.amount_for(vendor)
    said = {
        "v": 1,
        "ground": log.origin,
        "vendor": vendor,
        "at_s": at_s,
        "after": after,
        "opening_microcredits": opening,
        "balance_microcredits": balance,
        "postings": told,
        "head": head,
    }
    # As it is read back, so that what is signed is what is sent.
    said = json.loads(canonical(said))
    signed = {
        "statement": said,
        "public_key": log.public_key.hex(),
        "signature": sign(accounts.key, STATEMENT, canonical(said)),
    }
    return signed | ({"next": told[-1]["number"]} if len(told) < len(found) else {})
