"""Data sets, and their versions, which never change."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from catalogue.query import BadQuery, Query, kinds, labelled, rows_of
from database.sql import ERRORS, Connection, Row, is_file, is_refusal
from palaestra.errors import PalaestraError

EPISODES_MAX = 1_000_000
# Members of a version that are written at a time: some ten milliseconds, in which nobody else can write.
PORTION = 2_000
TURN_S = 0.002
# What is being made is no version yet.
_WHOLE = "NOT EXISTS (SELECT 1 FROM open_version o WHERE o.version = v.id)"


@dataclass(frozen=True)
class Source:
    """One step from a source to a version, see `palaestra.v1.Lineage`."""

    source: str
    step: str
    code_sha256: str = ""
    parameters: str = ""


class Datasets:
    """The data sets of a catalogue."""

    def __init__(
        self,
        reader: Callable[[], Connection],
        transaction: Callable[[], AbstractContextManager[Connection]],
    ) -> None:
        self._reader = reader
        self._transaction = transaction
        # One version is made at a time.
        self._freezing = threading.Lock()

    def create(self, vendor: str, name: str, description: str, *, by: str, now_ns: int) -> Row:
        """Make a data set, or return the one of this name and description. Raises DATASET_EXISTS for another."""
        with self._transaction() as db:
            row: Row | None = _dataset(db, vendor, name)
            if row is None:
                values = (vendor, name, description, now_ns, by)
                text = "INSERT INTO dataset (vendor, name, description, create_ns, created_by) VALUES (?, ?, ?, ?, ?)"
                db.execute(text, values)
                row = _dataset(db, vendor, name)
                assert row is not None
            elif row["description"] != description:
                what = f"vendors/{vendor}/datasets/{name}"
                raise PalaestraError("DATASET_EXISTS", f"{what} exists, with another description")
        return row

    def get(self, vendor: str, name: str) -> Row:
        """Return a data set with its `latest` version's number. Raises NOT_FOUND."""
        row = _dataset(self._reader(), vendor, name)
        if row is None:
            raise PalaestraError("NOT_FOUND", f"vendors/{vendor}/datasets/{name} not found")
        return row

    def list(self, vendor: str | None, *, after: tuple[str, str] | None = None, size: int = 50) -> Sequence[Row]:
        """Return up to `size` + 1 data sets by vendor and name, after a (vendor, name)."""
        conditions = ["1 = 1"]
        values: Any = []
        if vendor is not None:
            conditions.append("d.vendor = ?")
            values.append(vendor)
        if after is not None:
            conditions.append("(d.vendor, d.name) > (?, ?)")
            values += after
        text = f"{_DATASETS} WHERE {' AND '.join(conditions)} ORDER BY d.vendor, d.name LIMIT ?"
        return self._reader().execute(text, (*values, size + 1)).fetchall()

    def freeze(
        self,
        vendor: str,
        name: str,
        *,
        uids: Sequence[str] = (),
        query: Query | None = None,
        description: str = "",
        sources: Sequence[Source] = (),
        by: str,
        now_ns: int,
    ) -> Row:
        """Make a version of these episodes in this order, or of all that a query finds, oldest first.

        The same episodes as the newest version give that one back, whatever else is said.

        Raises:
            NOT_FOUND: The data set or an episode is missing or another's, or the query finds none.
            INVALID_FIELD: Both or neither of episodes and query, an episode twice, or too many.
        """
        if bool(uids) == (query is not None):
            raise PalaestraError("INVALID_FIELD", "episodes: either episodes or a query says what the version holds")
        with self._freezing:
            self._clear()
            # Read beside whoever writes: what is found is found as of now.
            db = self._reader()
            dataset = self.get(vendor, name)
            if query is None:
                rows = _named(db, vendor, uids)
            else:
                rows = _found(db, query)
                said = {key: value for key, value in asdict(query).items() if value not in (None, "", 0, ())}
                sources = [Source(f"vendors/{vendor}", "selected", "", json.dumps(said)), *sources]
            manifest = hashlib.sha256("".join(f"{row['sha256']}\n" for row in rows).encode()).hexdigest()
            latest = _versions(db, dataset["id"], before=None, size=0)
            if latest and latest[0]["manifest_sha256"] == manifest:
                return latest[0]
            number = dataset["latest"] + 1
            if latest:
                sources = [Source(f"vendors/{vendor}/datasets/{name}/versions/{number - 1}", "follows"), *sources]
            duration_s, size_bytes = (sum(row[key] for row in rows) for key in ("duration_s", "size_bytes"))
            values = (dataset["id"], number, description, now_ns, by, len(rows), duration_s, size_bytes, manifest)
            version = self._begin(values, sources)
            self._fill(version, [row["id"] for row in rows])
            return _versions(self._reader(), dataset["id"], before=None, size=0)[0]

    def _begin(self, values: tuple[Any, ...], sources: Sequence[Source]) -> int:
        """Make a version that nobody sees yet; return its key."""
        with self._transaction() as db:
            version = db.execute(
                """
                INSERT INTO dataset_version (dataset, number, description, create_ns, created_by, episode_count,
                  duration_s, size_bytes, manifest_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                values,
            ).lastrowid
            assert version is not None
            db.execute("INSERT INTO open_version VALUES (?)", (version,))
            text = "INSERT INTO lineage (version, source, step, code_sha256, parameters) VALUES (?, ?, ?, ?, ?)"
            db.executemany(text, [(version, s.source, s.step, s.code_sha256, s.parameters) for s in sources])
            return version

    def _fill(self, version: int, episodes: Sequence[int]) -> None:
        """Give a version its episodes, a portion at a time, so that others write in between; then show it.

        Raises NOT_FOUND if one of them has gone meanwhile.
        """
        text = "INSERT INTO dataset_episode VALUES (?, ?, ?)"
        for start in range(0, len(episodes), PORTION):
            some = episodes[start : start + PORTION]
            members = [(version, position, episode) for position, episode in enumerate(some, start)]
            try:
                with self._transaction() as db:
                    db.executemany(text, members)
                    if start + PORTION >= len(episodes):
                        db.execute("DELETE FROM open_version WHERE version = ?", (version,))
            except ERRORS as error:
                if not is_refusal(error):
                    raise
                raise PalaestraError("NOT_FOUND", "an episode of the version is not there any more") from error
            # Who waits for the lock is asleep, and would lose every race against this thread, which is awake.
            time.sleep(TURN_S)

    def _clear(self) -> None:
        """Clear away versions whose making has ended half-way, a portion at a time."""
        for (version,) in self._reader().execute("SELECT version FROM open_version").fetchall():
            removed = PORTION
            while removed == PORTION:
                with self._transaction() as db:
                    removed = db.execute(
                        "DELETE FROM dataset_episode WHERE version = :version AND position IN "
                        "(SELECT position FROM dataset_episode WHERE version = :version LIMIT :portion)",
                        {"version": version, "portion": PORTION},
                    ).rowcount
                time.sleep(TURN_S)
            with self._transaction() as db:
                db.execute("DELETE FROM lineage WHERE version = ?", (version,))
                db.execute("PRAGMA defer_foreign_keys=ON" if is_file(db) else "SET CONSTRAINTS ALL DEFERRED")
                db.execute("DELETE FROM dataset_version WHERE id = ?", (version,))
                db.execute("DELETE FROM open_version WHERE version = ?", (version,))

    def version(self, vendor: str, name: str, number: int) -> Row:
        """Return a version. Raises NOT_FOUND."""
        dataset = _dataset(self._reader(), vendor, name)
        rows = [] if dataset is None else _versions(self._reader(), dataset["id"], before=number + 1, size=0)
        if not rows or rows[0]["number"] != number:
            raise PalaestraError("NOT_FOUND", f"vendors/{vendor}/datasets/{name}/versions/{number} not found")
        return rows[0]

    def versions(self, vendor: str, name: str, *, before: int | None, size: int) -> Sequence[Row]:
        """Return up to `size` + 1 versions with a number below `before`, newest first. Raises NOT_FOUND."""
        return _versions(self._reader(), self.get(vendor, name)["id"], before=before, size=size)

    def lineage(self, version: int) -> Sequence[Source]:
        """Return what a version was made from."""
        text = "SELECT source, step, code_sha256, parameters FROM lineage WHERE version = ? ORDER BY id"
        return [Source(*row) for row in self._reader().execute(text, (version,))]

    def episodes(self, version: int, *, after: int = -1, size: int = 50) -> Sequence[tuple[int, bytes]]:
        """Return (position, encoded episode) of up to `size` + 1 episodes of a version after a position."""
        text = """
            SELECT m.position, b.body FROM dataset_episode m JOIN body b ON b.episode = m.episode
            WHERE m.version = ? AND m.position > ? ORDER BY m.position LIMIT ?
        """
        return [(row[0], row[1]) for row in self._reader().execute(text, (version, after, size + 1))]


_DATASETS = f"""
SELECT d.*, (SELECT coalesce(max(number), 0) FROM dataset_version v WHERE v.dataset = d.id AND {_WHOLE}) AS latest
FROM dataset d
"""


def _dataset(db: Connection, vendor: str, name: str) -> Row | None:
    row: Row | None = db.execute(f"{_DATASETS} WHERE d.vendor = ? AND d.name = ?", (vendor, name)).fetchone()
    return row


def _versions(db: Connection, dataset: int, *, before: int | None, size: int) -> Sequence[Row]:
    text = f"SELECT * FROM dataset_version v WHERE dataset = ? AND number < ? AND {_WHOLE} ORDER BY number DESC LIMIT ?"
    return db.execute(text, (dataset, 2**62 if before is None else before, size + 1)).fetchall()


def _named(db: Connection, vendor: str, uids: Sequence[str]) -> Sequence[Row]:
    text = "SELECT id, sha256, duration_s, size_bytes FROM episode WHERE uid = ? AND vendor = ?"
    rows, seen = [], set()
    for uid in uids:
        row = db.execute(text, (uid, vendor)).fetchone()
        if row is None:
            raise PalaestraError("NOT_FOUND", f"vendors/{vendor}/episodes/{uid} not found")
        if uid in seen:
            raise PalaestraError("INVALID_FIELD", f"episodes: vendors/{vendor}/episodes/{uid} is named twice")
        seen.add(uid)
        rows.append(row)
    return rows


def _found(db: Connection, query: Query) -> Sequence[Row]:
    """Return all episodes of a query, oldest first."""
    if query.vendor is None:
        raise BadQuery("vendor: a data set has one")
    text, values = rows_of(query, None)
    more, more_values = labelled(query.labels)
    conditions, values = " AND ".join([text, *more]), [*values, *more_values]
    for column, value in (("job", query.job), ("unit", query.robot)):
        if value:
            conditions, values = f"{conditions} AND e.{column} = ?", [*values, value]
    if query.chooses_kinds:
        chosen, chosen_values = kinds(query, in_file=is_file(db))
        conditions, values = f"{conditions} AND e.kind IN ({chosen})", [*values, *chosen_values]
    rows = db.execute(
        f"""
        SELECT e.id, e.sha256, e.duration_s, e.size_bytes FROM episode e WHERE {conditions}
        ORDER BY e.start_ns, e.id LIMIT ?
        """,
        (*values, EPISODES_MAX + 1),
    ).fetchall()
    if not rows:
        raise PalaestraError("NOT_FOUND", "the query finds no episode")
    if len(rows) > EPISODES_MAX:
        raise PalaestraError("INVALID_FIELD", f"query: finds more than {EPISODES_MAX} episodes; a version has no more")
    return rows
