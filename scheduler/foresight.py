"""Looks ahead on the live state, beside the event loop: for who asks, and for a sample of the jobs by itself.

Each look reads the state once, on a connection and in a thread of its own. At most two run at a time, one of them for
the same asker, so that nobody keeps the others from asking; and each gives up looking further after two seconds.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

from database.address import Place
from palaestra.errors import PalaestraError
from scheduler import database, snapshot
from scheduler.commands import telling
from scheduler.estimate import Ratios
from scheduler.explain import Explanation, explain
from scheduler.forecast import Expectation, Forecast, Past, expect, forecast, with_job
from scheduler.snapshot import past
from scheduler.sql import Connection
from scheduler.state import Config, Job, State
from scheduler.writer import Command

log = logging.getLogger(__name__)
T = TypeVar("T")

AT_ONCE_MAX = 2
RETRY_AFTER_S = 1.0
PATIENCE_S = 2.0
# How long the lengths of past leases stand for the present ones before they are read again.
RATIOS_PERIOD_S = 60.0
TELL_PERIOD_S = 5.0

Find = Callable[[Connection, State], Job]


class Foresight:
    """Answers about starts. Its methods belong to the event loop's thread.

    Args:
        place: The database.
        now_ns: The clock.
        config: How the venue decides.
        runner_ready: Says whether anything could start.
    """

    def __init__(
        self, place: Place, *, now_ns: Callable[[], int], config: Config, runner_ready: Callable[[], bool]
    ) -> None:
        self._place = place
        self._now_ns = now_ns
        self._config = config
        self._runner_ready = runner_ready
        self._askers: list[str] = []
        self._ratios_lock = threading.Lock()
        self._ratios: tuple[int, Ratios] | None = None
        self._sampled_id: int | None = None

    async def explain(self, find: Find) -> Explanation:
        """Return why a job waits, without a word about when it will start: little work, so anybody may at any time."""
        return await asyncio.to_thread(self._explain, find, self._runner_ready())

    async def forecast(self, asker: str, find: Find) -> Forecast:
        """Return what is to be told of a job. Raises FORECAST_BUSY, and what `find` raises.

        asker: Who asks; one at a time of each. find: Returns the job, given a connection and the state that it reads.
        """
        ready = self._runner_ready()
        return await self._in_place(asker, lambda: self._forecast(find, ready))

    async def tell_some(self, run: Callable[[Command[bool]], Awaitable[bool]]) -> None:
        """Estimate the start of a newly waiting job every few seconds and note it, for ever; see `tell_one`."""
        while True:
            await asyncio.sleep(TELL_PERIOD_S)
            try:
                await self.tell_one(run)
            except PalaestraError as error:
                # Too busy, or stopping: the next will do.
                log.debug("no start told: %s", error)
            except Exception:
                log.exception("no start told")

    async def tell_one(self, run: Callable[[Command[bool]], Awaitable[bool]]) -> bool:
        """Estimate the start of one of the jobs submitted since the last time, and note it; say whether one was.

        Which one, chance says. The first time only looks how far the jobs have come.
        """
        ready = self._runner_ready()
        found = await self._in_place("", lambda: self._sample(ready))
        if found is None:
            return False
        job_id, expected = found
        return await run(telling.tell(job_id, expected))

    async def _in_place(self, asker: str, look: Callable[[], T]) -> T:
        """Look in a thread, if there is a place for it. Raises FORECAST_BUSY.

        Who no longer waits for the answer keeps the place until the thread is done.
        """
        if len(self._askers) >= AT_ONCE_MAX or asker in self._askers:
            raise PalaestraError(
                "FORECAST_BUSY", "others look ahead just now; try again in a moment", retry_after_s=RETRY_AFTER_S
            )
        self._askers.append(asker)
        looking = asyncio.get_running_loop().run_in_executor(None, look)

        def leave(done: asyncio.Future[T]) -> None:
            self._askers.remove(asker)
            # Else an error that nobody waits for any more would be logged as forgotten.
            if not done.cancelled():
                done.exception()

        looking.add_done_callback(leave)
        return await asyncio.shield(looking)

    def _explain(self, find: Find, runner_ready: bool) -> Explanation:
        with self._reading() as db:
            state = snapshot.load(db, self._now_ns(), runner_ready=runner_ready)
            job = find(db, state)
        return explain(job, with_job(state, job), self._config)

    def _forecast(self, find: Find, runner_ready: bool) -> Forecast:
        begun_s = time.monotonic()
        with self._reading() as db:
            state = snapshot.load(db, self._now_ns(), runner_ready=runner_ready)
            job = find(db, state)
            ratios, waits = self._known(db, state.now_ns)
        seen = snapshot.looked_at(job, state)
        state = with_job(state, job)
        if not seen:
            return Forecast(explain(job, state, self._config))
        return forecast(
            job, state, self._config, ratios, waits, spent=lambda: (time.monotonic() - begun_s) / PATIENCE_S
        )

    def _sample(self, runner_ready: bool) -> tuple[int, Expectation] | None:
        give_up_s = time.monotonic() + PATIENCE_S
        with self._reading() as db:
            before = self._sampled_id
            self._sampled_id = db.execute("SELECT coalesce(max(id), 0) FROM job").fetchone()[0]
            if before is None or not runner_ready:
                return None
            new = "FROM job WHERE id > ? AND state = 1 AND open_after = 0 AND open_gates = 0 AND attempt_count = 0"
            count = db.execute(f"SELECT count(*) {new}", (before,)).fetchone()[0]
            if not count:
                return None
            place = random.randrange(count)
            row = db.execute(f"SELECT * {new} ORDER BY id LIMIT 1 OFFSET ?", (before, place)).fetchone()
            state = snapshot.load(db, self._now_ns(), runner_ready=True)
            job = snapshot.job_of(row)
            ratios, waits = self._known(db, state.now_ns)
        if not any(waiting.job == job.job for waiting in state.jobs):
            return None
        expected = expect(job, state, self._config, ratios, waits, in_time=lambda: time.monotonic() < give_up_s)
        return job.job, expected

    def _known(self, db: Connection, now_ns: int) -> tuple[Ratios, Past]:
        """Return what estimates learn from. Ratios are shared by threads, so nothing is added to them any more."""
        with self._ratios_lock:
            if self._ratios is None or now_ns - self._ratios[0] >= RATIOS_PERIOD_S * 1e9:
                self._ratios = now_ns, past.ratios(db)
            ratios = self._ratios[1]
        return ratios, past.past(db, now_ns)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Yield a connection on which every query sees the same moment."""
        with closing(database.open_reader(self._place)) as db:
            db.execute("BEGIN")
            # The moment is that of the first read.
            db.execute("SELECT 1 FROM meta").fetchone()
            yield db
