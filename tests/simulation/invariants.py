"""What must hold: of commits, after each; of robots, at every moment they move; of what was promised, always."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from palaestra.v1 import episode_pb2, event_pb2, job_pb2, job_service_pb2, runner_service_pb2
from scheduler import database, names
from scheduler.health import VENUE_VENDOR
from scheduler.rebuild import tables
from scheduler.rebuild.command import events
from scheduler.rebuild.record import rebuild
from store import LocalObjects, read_summary
from tests.simulation.loop import VirtualLoop
from tests.simulation.station import DEVICE_WATCHDOG_S

PREEMPTED = "PREEMPTED"
OVER = (
    job_pb2.ATTEMPT_STATE_SUCCEEDED, job_pb2.ATTEMPT_STATE_FAILED, job_pb2.ATTEMPT_STATE_CANCELLED,
    job_pb2.ATTEMPT_STATE_LOST,
)  # fmt: skip
ENDED = (job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)


class Invariants:
    """Looks at a venue from outside, by a connection of its own and by what was said on the network."""

    def __init__(self, path: Path, objects: Path, loop: VirtualLoop, trace: Callable[[str], None]) -> None:
        self._path, self._objects, self._loop, self._trace = path, objects, loop, trace
        self._db: Any = None
        self._sequence = 0
        self._epochs: dict[str, tuple[int, int]] = {}
        self._ended: dict[str, int] = {}
        # How attempts ended.
        self._over: dict[str, int] = {}
        # Units that move: epoch, and when their host last wrote to them.
        self._moving: dict[str, tuple[int, float]] = {}
        self._moved: dict[str, int] = {}
        self.submitted: dict[tuple[str, str], str] = {}
        self.asked: set[tuple[str, str]] = set()
        self._episodes: dict[str, episode_pb2.Episode] = {}
        self._finished: dict[str, int] = {}
        self._checkpoints: set[str] = set()
        self.broken: list[str] = []
        self.jobs = self.grants = 0

    # Robots.

    def moves(self, unit: str, epoch: int) -> None:
        """Note that a robot moves under an epoch."""
        unit = names.parts(unit)[1]
        before = self._moved.get(unit, 0)
        self._say(epoch >= before, f"{unit} moves under epoch {epoch} after it has under {before}")
        self._moved[unit] = max(before, epoch)
        first = self._moving.get(unit, (0, 0.0))[0] != epoch
        self._moving[unit] = (epoch, self._loop.now_s)
        if first:
            self._held(unit, epoch)

    def _held(self, unit: str, epoch: int) -> None:
        row = self._db.execute("SELECT free_ns FROM lease_unit WHERE unit = ? AND epoch = ?", (unit, epoch)).fetchone()
        held = row is not None and row["free_ns"] is None
        self._say(
            held,
            f"{unit} moves under epoch {epoch}, which is {'free' if row is not None else 'unknown'} to the scheduler",
        )

    # Commits.

    def committed(self) -> None:
        """Look at what a commit has changed."""
        if self._db is None:
            self._db = database.open_reader(self._path)
        for row in self._db.execute("SELECT * FROM event WHERE seq > ? ORDER BY seq", (self._sequence,)).fetchall():
            self._say(row["seq"] == self._sequence + 1, f"event {row['seq']} follows event {self._sequence}")
            self._sequence = row["seq"]
            self._trace(f"event {row['seq']} {row['kind']} {row['resource']} {bytes(row['body']).hex()}")
            self._event(row)
        for thing in ("unit", "slot", "cell"):
            twice = self._db.execute(
                f"SELECT {thing} FROM lease_{thing} WHERE free_ns IS NULL GROUP BY 1 HAVING count(*) > 1"
            ).fetchall()
            self._say(not twice, f"{thing} {[row[0] for row in twice]} is held twice")
        for row in self._db.execute("SELECT id, epoch, safe_epoch FROM unit"):
            epoch, safe = self._epochs.get(row["id"], (0, 0))
            self._say(row["epoch"] >= epoch, f"epoch of {row['id']} falls from {epoch} to {row['epoch']}")
            self._say(row["safe_epoch"] >= safe, f"safe epoch of {row['id']} falls from {safe}")
            self._say(row["safe_epoch"] <= row["epoch"], f"{row['id']} is safe at an epoch that was never granted")
            self._epochs[row["id"]] = (row["epoch"], row["safe_epoch"])
        for unit, (epoch, written_s) in list(self._moving.items()):
            if self._loop.now_s - written_s > DEVICE_WATCHDOG_S:
                del self._moving[unit]
            else:
                self._held(unit, epoch)

    def rests(self, unit: str) -> None:
        """Note that a robot's host has brought it to rest."""
        self._moving.pop(names.parts(unit)[1], None)

    def _event(self, row: Any) -> None:
        event = event_pb2.Event.FromString(row["body"])
        self.grants += row["kind"] == "lease.granted"
        self.jobs += row["kind"] == "job.submitted"
        if event.HasField("job"):
            name, state = event.job.name, event.job.state
            before = self._ended.get(name)
            self._say(before in (None, state), f"{name} was ended as {before} and is {state}")
            if state in ENDED:
                self._ended[name] = state
            for attempt in event.job.attempts:
                before = self._over.get(attempt.name)
                self._say(
                    before in (None, attempt.state), f"{attempt.name} was ended as {before} and is {attempt.state}"
                )
                if attempt.state in OVER:
                    self._over[attempt.name] = attempt.state
        if event.HasField("episode"):
            episode = event.episode
            self._say(episode.attempt not in self._over, f"{episode.name} is of {episode.attempt}, which was over")

    # Promises.

    def answered(self, method: str, request: bytes, response: bytes) -> None:
        """Note what a caller has been answered."""
        match method.rpartition("/")[2]:
            case "SubmitJob":
                asked = job_service_pb2.SubmitJobRequest.FromString(request)
                name = job_pb2.Job.FromString(response).name
                key = (asked.parent, asked.request_id)
                self._say(self.submitted.setdefault(key, name) == name, f"{key} was {self.submitted[key]}, now {name}")
            case "CatalogueEpisode":
                episode = episode_pb2.Episode.FromString(response)
                self._episodes.setdefault(episode.name, episode)
            case "FinishAttempt":
                end = runner_service_pb2.FinishAttemptRequest.FromString(request)
                self._finished.setdefault(end.attempt, end.outcome)

    # The end.

    def open_jobs(self) -> list[Any]:
        """Return the jobs that have not ended, and the leases."""
        jobs = self._db.execute("SELECT uid, vendor, state FROM job WHERE state < 5").fetchall()
        leases = self._db.execute("SELECT uid, vendor, state FROM lease WHERE state IN (1, 2, 3, 5)").fetchall()
        return [tuple(row) for row in (*jobs, *leases)]

    def final(self) -> None:
        """Look at everything once more, when all is quiet."""
        db = self._db
        self._say(not self.open_jobs(), f"not ended: {self.open_jobs()[:5]}")
        for thing in ("unit", "slot", "cell"):
            left = db.execute(f"SELECT {thing} FROM lease_{thing} WHERE free_ns IS NULL").fetchall()
            self._say(not left, f"{thing} {[row[0] for row in left]} is never freed")
        self._promises()
        self._catalogue()
        self._books()
        record = rebuild(events(db), None)
        for line in tables.differences(record.rows, tables.rows(db))[:5]:
            self._say(False, f"rebuilt from events: {line}")

    def _promises(self) -> None:
        for (parent, request_id), name in self.submitted.items():
            vendor, uid = names.parts(name)
            rows = self._db.execute("SELECT uid FROM job WHERE vendor = ? AND request_id = ?", (vendor, request_id))
            found = [row["uid"] for row in rows.fetchall()]
            self._say(found == [uid], f"{parent} was answered {name} for {request_id}; there are {found}")
        for row in self._db.execute(
            "SELECT vendor, request_id FROM job WHERE request_id IS NOT NULL AND vendor != ?", (VENUE_VENDOR,)
        ):
            known = (f"vendors/{row['vendor']}", row["request_id"]) in self.asked
            self._say(known, f"nobody asked for {row['request_id']}")
        for attempt, outcome in self._finished.items():
            vendor, uid, number = names.attempt_parts(attempt)
            row = self._db.execute(
                "SELECT a.state, refund FROM attempt a JOIN job j ON j.id = a.job_id WHERE j.uid = ? AND a.number = ?",
                (uid, number),
            ).fetchone()
            said = {row["state"], *([job_pb2.ATTEMPT_STATE_CANCELLED] if row["refund"] == PREEMPTED else [])}
            self._say(
                outcome in said, f"{attempt} was told to end as {outcome}, which was acknowledged; it is {row['state']}"
            )

    def _catalogue(self) -> None:
        objects = LocalObjects(self._objects)
        rows = {row["uid"]: row for row in self._db.execute("SELECT * FROM episode")}
        for name, episode in self._episodes.items():
            found = rows.get(names.parts(name)[1])
            there = found is not None and episode_pb2.Episode.FromString(found["body"]) == episode
            self._say(there, f"{name} was acknowledged and is not there")
        for row in rows.values():
            episode = episode_pb2.Episode.FromString(row["body"])
            stored = objects.verify(episode.content.sha256)
            header = read_summary(objects.path_of(stored.sha256)).header
            whole = stored.size_bytes == episode.content.size_bytes and header.name.startswith(episode.attempt)
            self._say(whole, f"{episode.name} is not what its file holds: {header.name}")
        for row in self._db.execute(
            "SELECT uid, episode_count, (SELECT count(*) FROM episode e WHERE e.job_id = j.id) AS there FROM job j"
        ):
            self._say(
                row["episode_count"] == row["there"],
                f"job {row['uid']} counts {row['episode_count']} episodes of {row['there']}",
            )

    def _books(self) -> None:
        for thing in ("unit", "slot", "cell"):
            used = dict(
                self._db.execute(
                    f"""
                    SELECT l.vendor, sum(max(0, x.free_ns / 1000000 - x.grant_ns / 1000000)) FROM lease l
                    JOIN lease_{thing} x ON x.lease_id = l.id WHERE l.vendor != ? GROUP BY 1
                    """,
                    (VENUE_VENDOR,),
                ).fetchall()
            )
            books = (
                ("usage", f"SELECT vendor, {thing}_ms FROM usage"),
                (
                    "ledger",
                    "SELECT vendor, sum(amount_ms) FROM ledger WHERE entry = 'use' AND "
                    f"resource = '{thing}' GROUP BY 1",
                ),
                ("usage_hour", f"SELECT vendor, sum(used_ms) FROM usage_hour WHERE resource = '{thing}' GROUP BY 1"),
            )
            for name, query in books:
                told = {vendor: ms for vendor, ms in self._db.execute(query) if ms}
                self._say(
                    told == {v: ms for v, ms in used.items() if ms}, f"{name} says {told} of {thing}s, leases {used}"
                )
        over = self._db.execute(
            """
            SELECT lease_id FROM ledger GROUP BY lease_id, resource, robot_class
            HAVING sum(CASE entry WHEN 'use' THEN amount_ms ELSE -amount_ms END) < 0
            """
        ).fetchall()
        self._say(not over, f"leases {[row[0] for row in over]} are refunded more than they used")

    def _say(self, holds: bool, words: str) -> None:
        if not holds:
            self._trace(f"BROKEN {words}")
            self.broken.append(f"{self._loop.now_s:.3f} s: {words}")
