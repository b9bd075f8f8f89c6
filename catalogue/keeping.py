"""How long episodes are kept, how much a vendor has, and what was removed.

An episode goes when it is older than the policy allows and nothing protects it: no version of a data set, unless the
policy says how long that data set's versions do, and no agreement between vendors. Here it only ceases to be named; its
object is the sweep's (`store.sweep`), once nothing names that.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from database.sql import Connection, Row
from palaestra.v1 import episode_pb2

DAY_NS = 86_400 * 10**9
DAYS_MAX = 36_500
PORTION = 200
REVIEW, REJECTED = "review", "rejected"
"""The label of what people have looked at and do not want."""

Forget = Callable[[Any, str], None]


class BadPolicy(ValueError):
    """A policy that cannot be meant; the message names the field."""


@dataclass(frozen=True)
class Policy:
    """How long what is kept, in days since it came in; None: for ever.

    Attributes:
        days: Of every vendor that is not in `vendors`.
        vendors: By id.
        rejected_days: Of what has failed review, where that is earlier.
        datasets: By name, `vendors/{vendor}/datasets/{name}`: how long after its making a version protects what it
            holds; those of others do for ever.
    """

    days: float | None = None
    vendors: Mapping[str, float | None] = field(default_factory=dict)
    rejected_days: float | None = None
    datasets: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {"days": self.days, "rejected_days": self.rejected_days}
        named |= {f"vendors.{key}": value for key, value in self.vendors.items()}
        named |= {f"datasets.{key}": value for key, value in self.datasets.items()}
        for key, value in named.items():
            if value is None:
                continue
            if type(value) not in (int, float) or not (math.isfinite(value) and 0 < value <= DAYS_MAX):
                raise BadPolicy(f"{key} is {value!r}, must be a number of days above 0, at most {DAYS_MAX}")

    def days_of(self, vendor: str, *, rejected: bool) -> float | None:
        """Return how long a vendor's episode is kept [days]; None: for ever."""
        days = self.vendors.get(vendor, self.days)
        if rejected and self.rejected_days is not None:
            return self.rejected_days if days is None else min(days, self.rejected_days)
        return days

    @property
    def shortest_days(self) -> float | None:
        """The shortest time after which anything may go; None: nothing ever does."""
        return min((d for d in (self.days, self.rejected_days, *self.vendors.values()) if d is not None), default=None)


@dataclass(frozen=True)
class Held:
    """Versions that an agreement names. `last`: 0 for all that come."""

    data_set: str
    first: int = 1
    last: int = 0

    def covers(self, data_set: str, number: int) -> bool:
        """Whether a version is among them."""
        return data_set == self.data_set and number >= self.first and (not self.last or number <= self.last)


@dataclass(frozen=True)
class Usage:
    """What a vendor has in the store, and what was removed of it."""

    vendor: str
    episodes: int = 0
    size_bytes: int = 0
    removed_episodes: int = 0
    removed_bytes: int = 0


@dataclass(frozen=True)
class Removal:
    """An episode that goes, or has gone, and why."""

    uid: str
    vendor: str
    sha256: str
    size_bytes: int
    why: str


class Retention:
    """What the catalogue knows of keeping. `forget` takes an episode out of every search."""

    def __init__(
        self,
        reader: Callable[[], Connection],
        changes: Callable[[], AbstractContextManager[Connection]],
        forget: Forget,
    ) -> None:
        self._reader, self._changes, self._forget = reader, changes, forget

    def usage(self, vendor: str | None = None) -> Sequence[Usage]:
        """Return what vendors have, by id; of one vendor always one row."""
        where, values = ("WHERE vendor = ?", (vendor,)) if vendor is not None else ("", ())
        found: dict[str, list[int]] = {vendor: [0, 0, 0, 0]} if vendor is not None else {}
        text = f"SELECT vendor, sum(episode_count), sum(size_bytes) FROM session {where} GROUP BY vendor"
        for name, count, size_bytes in map(tuple, self._reader().execute(text, values)):
            found.setdefault(name, [0, 0, 0, 0])[:2] = [int(count), int(size_bytes)]
        text = f"SELECT vendor, count(*), sum(size_bytes) FROM removal {where} GROUP BY vendor"
        for name, count, size_bytes in map(tuple, self._reader().execute(text, values)):
            found.setdefault(name, [0, 0, 0, 0])[2:] = [int(count), int(size_bytes)]
        return [Usage(name, *found[name]) for name in sorted(found)]

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield name and content's hash of every episode that was not removed, also those that no search finds."""
        text = """
            SELECT e.uid, e.sha256 FROM episode e
            WHERE e.sha256 <> '' AND NOT EXISTS (SELECT 1 FROM removal r WHERE r.uid = e.uid) ORDER BY e.id
        """
        yield from map(tuple, self._reader().execute(text))

    def removed(self) -> Iterator[tuple[str, str]]:
        """Yield the same of those that were removed."""
        yield from map(tuple, self._reader().execute("SELECT uid, sha256 FROM removal ORDER BY uid"))

    def expire(self, policy: Policy, held: Sequence[Held], *, now_ns: int, apply: bool) -> Iterator[Removal]:
        """Yield what has to go by now, oldest first; with `apply` it has gone when it is yielded.

        held: The versions under agreements that are not over.
        """
        days = policy.shortest_days
        if days is None:
            return
        free = self._unprotecting(policy, held, now_ns)
        # By when it was recorded, which is never later than when it came in.
        after: tuple[int, int] = (-(2**63), 0)
        before_ns = now_ns - int(days * DAY_NS)
        while rows := self._older(after, before_ns):
            after = (rows[-1]["start_ns"], rows[-1]["id"])
            due = [row for row in rows if self._is_due(row, policy, now_ns)]
            if apply:
                with self._changes() as db:
                    gone = [removal for row in due if (removal := self._remove(db, row, free, now_ns)) is not None]
            else:
                gone = [_removal(row) for row in due if not _protected(self._reader(), row["id"], free)]
            yield from gone

    def _older(self, after: tuple[int, int], before_ns: int) -> Sequence[Row]:
        text = """
            SELECT e.id, e.uid, e.vendor, e.sha256, e.size_bytes, e.start_ns, b.body,
              EXISTS (SELECT 1 FROM label l WHERE l.episode = e.id AND l.key = ? AND l.value = ?) AS rejected
            FROM episode e JOIN body b ON b.episode = e.id
            WHERE (e.start_ns, e.id) > (?, ?) AND e.start_ns < ? AND e.vendor <> '' AND e.sha256 <> ''
            ORDER BY e.start_ns, e.id LIMIT ?
        """
        return self._reader().execute(text, (REVIEW, REJECTED, *after, before_ns, PORTION)).fetchall()

    def _is_due(self, row: Row, policy: Policy, now_ns: int) -> bool:
        days = policy.days_of(row["vendor"], rejected=bool(row["rejected"]))
        if days is None:
            return False
        episode = episode_pb2.Episode.FromString(row["body"])
        # What is imported was recorded long ago; it counts from when it came.
        came_ns: int = max(row["start_ns"], episode.seal_time.ToNanoseconds() if episode.HasField("seal_time") else 0)
        return came_ns <= now_ns - int(days * DAY_NS)

    def _remove(self, db: Connection, row: Row, free: Sequence[int], now_ns: int) -> Removal | None:
        # Looked at once more with all other writers held up: a version may have been made since.
        known = db.execute("SELECT vendor FROM episode WHERE id = ?", (row["id"],)).fetchone()
        if known is None or known["vendor"] != row["vendor"] or _protected(db, row["id"], free):
            return None
        removal = _removal(row)
        self._forget(db, row["uid"])
        db.execute(
            "INSERT INTO removal (uid, vendor, sha256, size_bytes, remove_ns, why) VALUES (?, ?, ?, ?, ?, ?)",
            (removal.uid, removal.vendor, removal.sha256, removal.size_bytes, now_ns, removal.why),
        )
        return removal

    def _unprotecting(self, policy: Policy, held: Sequence[Held], now_ns: int) -> Sequence[int]:
        """Return the keys of the versions that protect nothing any more."""
        found = []
        text = """
            SELECT v.id, v.number, v.create_ns FROM dataset_version v JOIN dataset d ON d.id = v.dataset
            WHERE d.vendor = ? AND d.name = ? AND NOT EXISTS (SELECT 1 FROM open_version o WHERE o.version = v.id)
        """
        for data_set, days in policy.datasets.items():
            parts = data_set.split("/")
            if len(parts) != 4 or parts[0] != "vendors" or parts[2] != "datasets":
                raise BadPolicy(f"datasets.{data_set}: must be vendors/VENDOR/datasets/NAME")
            for row in self._reader().execute(text, (parts[1], parts[3])):
                over = row["create_ns"] <= now_ns - int(days * DAY_NS)
                if over and not any(one.covers(data_set, row["number"]) for one in held):
                    found.append(row["id"])
        return found


def is_removed(db: Connection, uid: str) -> bool:
    """Whether an episode's content was removed."""
    found: bool = db.execute("SELECT 1 FROM removal WHERE uid = ?", (uid,)).fetchone() is not None
    return found


def _removal(row: Row) -> Removal:
    why = "retention, failed review" if row["rejected"] else "retention"
    return Removal(row["uid"], row["vendor"], row["sha256"], row["size_bytes"], why)


def _protected(db: Connection, episode: int, free: Sequence[int]) -> bool:
    """Whether a version holds an episode that is none of those."""
    versions = db.execute("SELECT version FROM dataset_episode WHERE episode = ?", (episode,)).fetchall()
    return any(row["version"] not in free for row in versions)
