"""The catalogue as its service sees it: what enters, what is asked, what people add."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from catalogue import search, words
from catalogue.dataset import Datasets
from catalogue.entry import Entry
from catalogue.keeping import Retention, is_removed
from catalogue.place import moved_to, opening
from catalogue.query import GONE_KIND, Key, Query, quality_bin
from catalogue.review import Reviews
from database.address import Place
from database.keeping import Keeping
from database.sql import Connection, Row, is_file
from palaestra.errors import PalaestraError
from palaestra.v1 import episode_pb2

SUCCESS = episode_pb2.EPISODE_OUTCOME_SUCCESS
VERSIONS_SHOWN = 100
LABELS_MAX = 64


@dataclass(frozen=True)
class Record:
    """An episode with what has been added since. `versions`: (data set, number), newest first."""

    id: int
    start_ns: int
    body: bytes
    labels: Mapping[str, str]
    quality: float | None
    parts: Mapping[str, float]
    method: str
    versions: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Unscored:
    """An episode that wants a score: its number, the last part of its name, and the hash of its content."""

    id: int
    uid: str
    sha256: str


@dataclass(frozen=True)
class Page:
    """Rows, and where the next page starts; None after the last one."""

    rows: Sequence[Any]
    next: Key | None


@dataclass(frozen=True)
class Change:
    """What is to be added to episodes. `quality` None leaves the score as it is."""

    labels: Mapping[str, str] = field(default_factory=dict)
    remove: Sequence[str] = ()
    quality: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    method: str = ""


class Catalogue:
    """One catalogue. Reading is safe from any thread; writing is one at a time, and waits for its turn."""

    def __init__(self, place: Place, leader: str = "", *, forward: bool = True) -> None:
        """Open or make it. Raises SchemaMismatch, HasMoved; of PostgreSQL also sql.Failed.

        leader: The scheduler that writes by this: once another one has led here, it can write no more, see `lead`.
        forward: Whether one of an older revision is brought forward, or else refused.
        """
        self._leader = leader
        way = opening(place, forward=forward)
        self._kept = Keeping(way.reader, way.writer, way.begin)
        self.datasets = Datasets(lambda: self.reader, self.transaction)
        self.reviews = Reviews(lambda: self.reader, self.transaction, _relabelled)
        # Who removes need not lead: the venue's operator does, as whoever scores.
        self.keeping = Retention(lambda: self.reader, self._kept.transaction, _forget)

    @property
    def reader(self) -> Connection:
        """This thread's connection to look."""
        return self._kept.reader()

    def lead(self, epoch: int, confirm: Callable[[], None]) -> None:
        """Be the only one from now on that can write: whoever led before is refused, however late it comes.

        epoch: For people; a database that was restored begins with an older one, so that the name alone decides.
        confirm: Raises if another one leads meanwhile; asked while nobody else can write, so that who leads last, by
            the scheduler's database, is who leads last here.
        """
        with self._kept.transaction() as db:
            confirm()
            db.execute("UPDATE leader SET instance = ?, epoch = ?", (self._leader, epoch))

    def _assert_leader(self, db: Connection) -> None:
        row = db.execute("SELECT instance, epoch FROM leader").fetchone()
        if row["instance"] != self._leader:
            where = moved_to(db)
            if where:
                raise PalaestraError("NOT_LEADER", f"the catalogue has moved to {where}")
            raise PalaestraError(
                "NOT_LEADER", f"another scheduler, which led in epoch {row['epoch']}, writes the catalogue"
            )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Change all or nothing; on the disk when it is left. Raises NOT_LEADER if another scheduler leads."""
        with self._kept.transaction() as db:
            self._assert_leader(db)
            yield db

    def close(self) -> None:
        """Close every connection. Nobody may be reading."""
        self._kept.close()

    # What enters.

    def followed(self) -> tuple[int, str]:
        """Return the number and name of the last of the scheduler's rows that is here; (0, "") of none."""
        row = self.reader.execute("SELECT id, uid FROM followed").fetchone()
        return row["id"], row["uid"]

    def enter(self, entries: Iterable[Entry], followed: tuple[int, str]) -> int:
        """Enter episodes, and how far the scheduler's rows have been followed with them, in one transaction.

        Those that are here already stay as they are, and those whose content was removed stay away. Returns how many
        came in.
        """
        count = 0
        with self.transaction() as db:
            for entry in entries:
                count += not is_removed(db, entry.uid) and _enter(db, entry)
            db.execute("UPDATE followed SET id = ?, uid = ?", followed)
        return count

    def add(self, entries: Iterable[Entry]) -> int:
        """Enter imported episodes, all or none; those that are here stay. Returns how many.

        No scheduler's table has them, so that whoever does it need not lead, and a restored table says nothing of them.
        Who imports again what was removed wants it back.
        """
        count = 0
        with self._kept.transaction() as db:
            for entry in entries:
                db.execute("DELETE FROM removal WHERE uid = ?", (entry.uid,))
                count += _enter(db, entry)
        return count

    def uids(self, after: int, size: int) -> list[tuple[int, str]]:
        """Return number and name of up to `size` episodes of jobs above the number `after`, but those that are gone."""
        text = """
            SELECT id, uid FROM episode WHERE id > ? AND vendor <> '' AND replace(job, '/imports/', '') = job
            ORDER BY id LIMIT ?
        """
        return [(row[0], row[1]) for row in self.reader.execute(text, (after, size))]

    def forget(self, uids: Iterable[str]) -> None:
        """Show these episodes no more, since the scheduler does not know them. What a version holds it goes on to hold.

        One that comes again has the labels and scores that it had.
        """
        with self.transaction() as db:
            for uid in uids:
                _forget(db, uid)

    # What is asked.

    def search(self, query: Query, *, after: Key | None = None, size: int = 50) -> Page:
        """Return one page of records, newest first. Raises BadQuery."""
        db = self.reader
        found = search.search(db, query, after, size)
        rows = _records(db, [episode for _, episode in found[:size]])
        last = found[size - 1] if len(found) > size else None
        return Page(rows, None if last is None else Key(*last))

    def record(self, vendor: str, uid: str) -> Record:
        """Return one record with the versions it is in. Raises NOT_FOUND, for others' as for none."""
        db = self.reader
        row = db.execute("SELECT id FROM episode WHERE uid = ? AND vendor = ?", (uid, vendor)).fetchone()
        if row is None:
            raise PalaestraError("NOT_FOUND", f"vendors/{vendor}/episodes/{uid} not found")
        versions = db.execute(
            """
            SELECT d.name, v.number FROM dataset_episode m JOIN dataset_version v ON v.id = m.version
            JOIN dataset d ON d.id = v.dataset
            WHERE m.episode = ? AND NOT EXISTS (SELECT 1 FROM open_version o WHERE o.version = v.id)
            ORDER BY v.id DESC LIMIT ?
            """,
            (row["id"], VERSIONS_SHOWN),
        ).fetchall()
        (found,) = _records(db, [row["id"]])
        return Record(**{**vars(found), "versions": [(v["name"], v["number"]) for v in versions]})

    def sessions(self, vendor: str | None, *, before: int | None = None, size: int = 50) -> list[Row]:
        """Return up to `size` + 1 sessions with a number below `before`, newest first."""
        # Those are empty of which every episode is gone.
        conditions, values = ["id < ?", "episode_count > 0"], [2**63 - 1 if before is None else before]
        if vendor is not None:
            conditions.append("vendor = ?")
            values.append(vendor)  # type: ignore[arg-type]
        text = f"SELECT * FROM session WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"
        return self.reader.execute(text, (*values, size + 1)).fetchall()

    def records(self, numbers: Sequence[int]) -> Sequence[Record]:
        """Return records in the order of their numbers, without the versions they are in."""
        return _records(self.reader, numbers)

    def members(self, version: int, *, after: int = -1, size: int = 50) -> Sequence[tuple[int, Record]]:
        """Return (position, record) of up to `size` + 1 episodes of a version after a position."""
        text = (
            "SELECT position, episode FROM dataset_episode WHERE version = ? AND position > ? ORDER BY position LIMIT ?"
        )
        rows = self.reader.execute(text, (version, after, size + 1)).fetchall()
        records = _records(self.reader, [row["episode"] for row in rows])
        return [(row["position"], record) for row, record in zip(rows, records, strict=True)]

    # What people add.

    def change(self, vendor: str, uids: Sequence[str], change: Change, *, by: str, now_ns: int) -> int:
        """Label or score episodes of a vendor, all or none of them. Returns how many are other than before.

        Raises NOT_FOUND if one of them is missing or another's, INVALID_FIELD if one would have too many labels.
        """
        with self.transaction() as db:
            return sum(_changed(db, _own(db, vendor, uid), change, by, now_ns) for uid in dict.fromkeys(uids))

    # What a program of the venue's machine finds out.

    def unscored(self, method: str, *, after: int = 0, size: int = 100) -> list[Unscored]:
        """Return up to `size` episodes above the number `after` that have no score, or one by a method of that line.

        method: "line/number", as "palaestra-quality/1": a score of another line is somebody's own, and stays.
        """
        line = method.rpartition("/")[0] + "/"
        text = """
            SELECT e.id, e.uid, e.sha256 FROM episode e LEFT JOIN score s ON s.episode = e.id
            WHERE e.id > ? AND e.vendor <> '' AND e.sha256 <> ''
              AND (s.episode IS NULL OR (s.method <> ? AND substr(s.method, 1, CAST(? AS INT)) = ?))
            ORDER BY e.id LIMIT ?
        """
        rows = self.reader.execute(text, (after, method, len(line), line, size))
        return [Unscored(row["id"], row["uid"], row["sha256"]) for row in rows]

    def score(self, changes: Mapping[str, Change], *, by: str, now_ns: int) -> int:
        """Score episodes by their uids, all in one transaction. Returns how many are other than before.

        Labels that `by` has set before are replaced. What people have said stands: their labels stay as they are, and
        so does a score by a method of another line, see `unscored`. Episodes that are gone meanwhile are passed over,
        and so are labels for which there is no more room. Whoever does this need not lead: no scheduler makes scores.
        """
        count = 0
        with self._kept.transaction() as db:
            for uid, change in changes.items():
                row = db.execute("SELECT * FROM episode WHERE uid = ? AND vendor <> ''", (uid,)).fetchone()
                if row is None or _is_somebodys(db, row["id"], change.method):
                    continue
                known = dict(db.execute("SELECT key, set_by FROM label WHERE episode = ?", (row["id"],)).fetchall())
                own = {key for key, set_by in known.items() if set_by == by}
                fresh = {key: value for key, value in change.labels.items() if key not in known or key in own}
                others = len(known) - len(own)
                fresh = dict(list(fresh.items())[: max(0, LABELS_MAX - others)])
                # First what it said before and says no more, or there were too many for a moment.
                count += _changed(db, row, Change(remove=sorted(own - set(fresh))), by, now_ns) | _changed(
                    db, row, replace(change, labels=fresh), by, now_ns
                )
        return count

    def check_own(self, vendor: str, uids: Sequence[str]) -> None:
        """Raise NOT_FOUND if one of these episodes is missing or another's."""
        for uid in uids:
            _own(self.reader, vendor, uid)


def _is_somebodys(db: Connection, episode: int, method: str) -> bool:
    row = db.execute("SELECT method FROM score WHERE episode = ?", (episode,)).fetchone()
    return row is not None and not row["method"].startswith(method.rpartition("/")[0] + "/")


def _own(db: Connection, vendor: str, uid: str) -> Row:
    row: Row | None = db.execute("SELECT * FROM episode WHERE uid = ? AND vendor = ?", (uid, vendor)).fetchone()
    if row is None:
        raise PalaestraError("NOT_FOUND", f"vendors/{vendor}/episodes/{uid} not found")
    return row


def _enter(db: Connection, entry: Entry) -> bool:
    known = db.execute("SELECT id, vendor, quality FROM episode WHERE uid = ?", (entry.uid,)).fetchone()
    if known is not None and known["vendor"]:
        return False
    facets = (entry.robot_model, entry.maker, entry.scenario, entry.level, _task(db, entry.task), entry.outcome)
    kind = _kind(db, (entry.vendor, *facets, quality_bin(known["quality"] if known is not None else None)))
    session = db.execute(
        """
        INSERT INTO session (vendor, name, job, robot_model, scenario, task, start_ns, episode_count, success_count,
          duration_s, size_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET episode_count = session.episode_count + 1,
          start_ns = min(session.start_ns, excluded.start_ns),
          success_count = session.success_count + excluded.success_count,
          duration_s = session.duration_s + excluded.duration_s, size_bytes = session.size_bytes + excluded.size_bytes
        RETURNING id
        """,
        (
            *(entry.vendor, entry.session, entry.job, entry.robot_model, entry.scenario, entry.task, entry.start_ns),
            *(entry.outcome == SUCCESS, entry.duration_s, entry.size_bytes),
        ),
    ).fetchone()[0]
    if known is not None:
        # One that was gone is the same again.
        text = "UPDATE episode SET vendor = ?, kind = ?, unit = ?, job = ? WHERE id = ?"
        db.execute(text, (entry.vendor, kind, entry.unit, entry.job, known["id"]))
        return True
    number = db.execute(
        """
        INSERT INTO episode (uid, vendor, kind, unit, job, session, start_ns, duration_s, size_bytes, sha256)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            *(entry.uid, entry.vendor, kind, entry.unit, entry.job, session, entry.start_ns),
            *(entry.duration_s, entry.size_bytes, entry.sha256),
        ),
    ).lastrowid
    db.execute("INSERT INTO body VALUES (?, ?)", (number, entry.body))
    return True


def _forget(db: Connection, uid: str) -> None:
    row = db.execute(
        "SELECT e.*, k.outcome FROM episode e JOIN kind k ON k.id = e.kind WHERE e.uid = ? AND e.vendor <> ''", (uid,)
    ).fetchone()
    if row is None:
        return
    db.execute(
        """
        UPDATE session SET episode_count = episode_count - 1, success_count = success_count - ?,
          duration_s = max(0, duration_s - ?), size_bytes = size_bytes - ? WHERE id = ?
        """,
        (row["outcome"] == SUCCESS, row["duration_s"], row["size_bytes"], row["session"]),
    )
    # Not removed: versions name it, its labels have no second home, and what was restored may have been the wrong one.
    db.execute("UPDATE episode SET vendor = '', kind = ?, unit = '', job = '' WHERE id = ?", (GONE_KIND, row["id"]))


def _task(db: Connection, text: str) -> int:
    row = db.execute("SELECT id FROM task WHERE text = ?", (text,)).fetchone()
    if row is not None:
        return int(row[0])
    number = db.execute("INSERT INTO task (text) VALUES (?)", (text,)).lastrowid
    assert number is not None
    index_words(db, number, text)
    return number


def index_words(db: Connection, task: int, text: str) -> None:
    """Let a task be found by the words of its text."""
    if is_file(db):
        db.execute("INSERT INTO task_word (rowid, text) VALUES (?, ?)", (task, words.indexed(text)))
    else:
        db.execute("INSERT INTO task_word (rowid, text) VALUES (?, CAST(? AS TSVECTOR))", (task, words.vector(text)))


def _kind(db: Connection, kind: tuple[object, ...]) -> int:
    same = """
        SELECT id FROM kind WHERE vendor = ? AND robot_model = ? AND maker = ? AND scenario = ? AND level = ?
          AND task = ? AND outcome = ? AND quality_bin = ?
    """
    row = db.execute(same, kind).fetchone()
    if row is not None:
        return int(row[0])
    text = """
        INSERT INTO kind (vendor, robot_model, maker, scenario, level, task, outcome, quality_bin)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    """
    number = db.execute(text, kind).lastrowid
    assert number is not None
    return number


def _changed(db: Connection, row: Row, change: Change, by: str, now_ns: int) -> bool:
    episode, changed = row["id"], 0
    for key, value in change.labels.items():
        changed += db.execute(
            """
            INSERT INTO label VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (episode, key) DO UPDATE
            SET value = excluded.value, set_ns = excluded.set_ns, set_by = excluded.set_by
            WHERE label.value <> excluded.value
            """,
            (episode, key, value, row["vendor"], row["start_ns"], now_ns, by),
        ).rowcount
    for key in change.remove:
        changed += db.execute("DELETE FROM label WHERE episode = ? AND key = ?", (episode, key)).rowcount
    if change.labels:
        count = db.execute("SELECT count(*) FROM label WHERE episode = ?", (episode,)).fetchone()[0]
        if count > LABELS_MAX:
            name = f"vendors/{row['vendor']}/episodes/{row['uid']}"
            raise PalaestraError("INVALID_FIELD", f"labels: {name} would have {count}, at most {LABELS_MAX}")
    if change.quality is not None:
        changed += _score(db, row, change, by, now_ns)
    return changed > 0


def _relabelled(
    db: Connection, row: Row, labels: Mapping[str, str], remove: Sequence[str], by: str, now_ns: int
) -> None:
    _changed(db, row, Change(labels, tuple(remove)), by, now_ns)


def _score(db: Connection, row: Row, change: Change, by: str, now_ns: int) -> bool:
    parts = json.dumps(dict(sorted(change.parts.items())))
    same = "SELECT 1 FROM score WHERE episode = ? AND parts = ? AND method = ?"
    known = db.execute(same, (row["id"], parts, change.method)).fetchone()
    if known is not None and row["quality"] == change.quality:
        return False
    kind = db.execute("SELECT * FROM kind WHERE id = ?", (row["kind"],)).fetchone()
    other = _kind(db, (*tuple(kind)[1:-1], quality_bin(change.quality)))
    db.execute("UPDATE episode SET quality = ?, kind = ? WHERE id = ?", (change.quality, other, row["id"]))
    db.execute(
        """
        INSERT INTO score VALUES (?, ?, ?, ?, ?) ON CONFLICT (episode) DO UPDATE SET parts = excluded.parts,
          method = excluded.method, set_ns = excluded.set_ns, set_by = excluded.set_by
        """,
        (row["id"], parts, change.method, now_ns, by),
    )
    return True


def _records(db: Connection, numbers: Sequence[int]) -> list[Record]:
    """Return records in the order of their numbers."""
    listed = json.dumps(list(numbers))
    labels: dict[int, dict[str, str]] = {}
    for row in db.execute("SELECT * FROM label WHERE episode IN (SELECT value FROM json_each(?))", (listed,)):
        labels.setdefault(row["episode"], {})[row["key"]] = row["value"]
    rows = db.execute(
        """
        SELECT e.id, e.start_ns, e.quality, b.body, s.parts, s.method
        FROM json_each(?) n JOIN episode e ON e.id = n.value JOIN body b ON b.episode = e.id
        LEFT JOIN score s ON s.episode = e.id ORDER BY n.key
        """,
        (listed,),
    )
    return [
        Record(
            row["id"],
            row["start_ns"],
            row["body"],
            labels.get(row["id"], {}),
            row["quality"],
            json.loads(row["parts"] or "{}"),
            row["method"] or "",
        )
        for row in rows
    ]
