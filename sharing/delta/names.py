"""Names of shares, schemas and tables: what the protocol allows, compared without regard to case."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

MAX_NAME = 255
_SHARE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})")


def is_share_name(name: str) -> bool:
    """Whether a consumer may call a share so: letters, digits, dashes and underscores, 63 at most."""
    return _SHARE.fullmatch(name) is not None


def folded(name: str) -> str:
    """Return the form in which names are compared; "" for what no name of ours can be, whatever somebody sent."""
    return name.lower() if len(name) <= MAX_NAME and name.isascii() and name.isprintable() else ""


def plain(name: str) -> str:
    """Return a name without the periods that neither schemas nor tables may have."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:200]


def table_names(tables: Iterable[str]) -> dict[str, str]:
    """Return the store's names of tables by those that a consumer sees, in the order of the latter.

    Two that would be seen alike get some digits of their hash each: neither's name depends on which comes first.
    """
    found = list(tables)
    counts = Counter(folded(plain(name)) for name in found)
    seen = {}
    for name in found:
        shown = plain(name)
        if counts[folded(shown)] > 1:
            shown = f"{shown}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        seen[shown] = name
    return dict(sorted(seen.items()))


def schema_name(data_set: str) -> str:
    """Return the name of the schema for `vendors/{vendor}/datasets/{name}`."""
    return plain(data_set.rpartition("/")[2])


def share_name(provider: str) -> str:
    """Return what a share is called if the consumer does not say: as `vendors/{vendor}` who provides."""
    return plain(provider.rpartition("/")[2])
