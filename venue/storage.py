"""The [store] table of a venue file: where objects are, how long what is kept, and how much each vendor may have."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KNOWN = (
    *("objects", "keep_days", "keep_rejected_days", "quota_gb", "quota_episodes", "warn_share", "copies_gb"),
    *("vendor", "dataset", "encryption"),
)
GB = 10**9


class BadStorage(Exception):
    """A table that cannot be used; the message names the field."""


@dataclass(frozen=True)
class Storage:
    """What the file says.

    Attributes:
        objects_at: Where sealed episodes are kept if not in the data folder, `s3://bucket/prefix`.
        copies_bytes: Most that the copies on this machine may be then; None: no bound.
        policy: How long what is kept, as `python -m catalogue expire` takes it.
    """

    objects_at: str = ""
    copies_bytes: int | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)


def storage_of(table: Mapping[str, Any]) -> Storage:
    """Return what a [store] table says. Quotas are the scheduler's to check. Raises BadStorage."""
    if unknown := sorted(set(table) - set(KNOWN)):
        raise BadStorage(f"[store] has no {unknown[0]}; it has {', '.join(KNOWN)}")
    address = table.get("objects", "")
    if not isinstance(address, str):
        raise BadStorage(f"[store] objects is {address!r}, must be text")
    if address and (not address.startswith("s3://") or "@" in address or "?" in address):
        raise BadStorage("[store] objects must be s3://bucket or s3://bucket/prefix; keys belong into the environment")
    policy: dict[str, Any] = {"days": None, "rejected_days": None, "vendors": {}, "datasets": {}}
    for key, name in (("keep_days", "days"), ("keep_rejected_days", "rejected_days")):
        if key in table:
            policy[name] = _above_zero(table[key], f"[store] {key}")
    for row in _rows(table, "vendor"):
        # Days of 0 would be never: who keeps a vendor's for ever says so by "inf".
        if "keep_days" in row:
            days = row["keep_days"]
            name = f"[[store.vendor]] {_name(row, 'id')} keep_days"
            policy["vendors"][_name(row, "id")] = None if days == math.inf else _above_zero(days, name)
    for row in _rows(table, "dataset"):
        if set(row) - {"name", "keep_days"}:
            raise BadStorage(f"[[store.dataset]] has no {min(set(row) - {'name', 'keep_days'})}")
        name = _name(row, "name")
        policy["datasets"][name] = _above_zero(row.get("keep_days"), f"[[store.dataset]] {name} keep_days")
    copies_bytes = int(_above_zero(table["copies_gb"], "[store] copies_gb") * GB) if "copies_gb" in table else None
    if copies_bytes is not None and not address:
        raise BadStorage("[store] copies_gb needs objects: what is on this machine alone is no copy")
    return Storage(address, copies_bytes, policy)


def _rows(table: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(row, Mapping) for row in found):
        raise BadStorage(f"[[store.{key}]] is {found!r}, must be tables")
    return found


def _name(row: Mapping[str, Any], key: str) -> str:
    name = row.get(key)
    if not isinstance(name, str) or not name:
        raise BadStorage(f"[[store...]] {key} is {name!r}, must be text")
    return name


def _above_zero(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise BadStorage(f"{what} is {value!r}, must be a number above 0")
    return float(value)
