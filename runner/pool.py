"""Worker processes on Ray, kept warm, because starting one takes a second and a grant should not wait for it.

The only file that knows Ray: beyond it a worker is something to run an attempt with.
"""

import asyncio
import contextlib
import logging
import os
import signal
from typing import Any

import ray
from ray.exceptions import RayError

from runner.errors import NoWorker, RayLost, WorkerLost
from runner.settings import Settings
from runner.worker import Worker

log = logging.getLogger(__name__)
# A worker imports MuJoCo and Arrow: seconds on a quiet machine, and machines are not always quiet.
START_S = 60.0
ALIVE_S = 5.0
# How often Ray itself is looked after; and how long a cluster that was joined may take to answer.
WATCH_PERIOD_S = 1.0
CLUSTER_ANSWER_S = 15.0
# A worker at work is asked so often whether it is there, and lost after so many questions without an answer in ALIVE_S:
# Ray takes longer than a minute to give up a node that has gone silent, by its own settings.
PROBE_PERIOD_S = 5.0
PROBES_MISSED_MAX = 4


def start_ray(settings: Settings) -> None:
    """Join the cluster that the settings name, or start a small one that ends with this process."""
    if settings.ray_address:
        ray.init(address=settings.ray_address, log_to_driver=False, logging_level=logging.WARNING)
        return
    ray.init(
        # Not what RAY_ADDRESS or an earlier Ray's files point to.
        address="local",
        num_cpus=settings.ray_cpus,
        object_store_memory=100 * 1024 * 1024,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        _temp_dir=str(settings.ray_folder) if settings.ray_folder else None,
        # Whoever reaches Ray runs code: nobody from outside this machine may.
        _node_ip_address="127.0.0.1",
    )


def stop_ray() -> None:
    """Leave the cluster; one that was started here ends."""
    ray.shutdown()


def _dead_parts() -> list[str]:
    """Return which of the processes that workers cannot do without have ended, of a Ray that was started here."""
    node: Any = ray._private.worker._global_node
    needed = ("gcs_server", "raylet")
    return sorted({str(kind) for kind, _ in node.dead_processes() if kind in needed})


class Pool:
    """Idle workers in hand, new ones on demand. Leases bound how many run, so the pool itself does not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # No Ray resources: the scheduler has leased the cores already, and two books of them would disagree.
        options: dict[str, Any] = {"num_cpus": 0, "max_concurrency": 2, "max_restarts": 0}
        self._actor: Any = ray.remote(**options)(Worker)
        self._idle: list[Any] = []
        self._busy: set[Any] = set()
        # Process ids, of workers of a Ray that was started here.
        self._pids: dict[Any, int] = {}
        self._abandoned = asyncio.Event()
        self._refill: asyncio.Task[None] | None = None

    async def warm(self) -> None:
        """Have the configured number of idle workers ready. Raises NoWorker."""
        missing = self._settings.warm_workers - len(self._idle)
        self._idle += await asyncio.gather(*(self._started() for _ in range(missing)))

    async def watch(self) -> None:
        """Return never. Raises RayLost as soon as Ray cannot be worked with any more.

        Without this nobody would notice the end of the GCS for a minute, until Ray ends this process without a word;
        and without a raylet no worker starts.
        """
        address = self._settings.ray_address
        while True:
            await asyncio.sleep(WATCH_PERIOD_S)
            if address:
                # A call that hangs keeps its thread: that ends with the process, which has nothing left to do.
                try:
                    await asyncio.wait_for(asyncio.to_thread(ray.nodes), CLUSTER_ANSWER_S)
                except (RayError, TimeoutError, RuntimeError) as error:
                    raise RayLost(f"the Ray cluster at {address} does not answer: {error!r}") from error
            elif gone := _dead_parts():
                raise RayLost(f"Ray's {' and '.join(gone)} ended")

    async def take(self) -> Any:
        """Return a worker that is ready; the pool refills itself behind it. Raises NoWorker."""
        try:
            while self._idle:
                worker = self._idle.pop()
                if await _alive(worker):
                    self._busy.add(worker)
                    return worker
                self.kill(worker)
            worker = await self._started()
            self._busy.add(worker)
            return worker
        finally:
            self._fill()

    async def run(self, worker: Any, assignment: bytes, instance: str) -> bytes:
        """Have a worker carry out an attempt; return its FinishAttemptRequest.

        Raises WorkerLost if it dies, or does not answer any more.
        """
        running = asyncio.create_task(_result(worker.run.remote(assignment, instance)))
        try:
            await self._attend(worker, running)
            data: bytes = await running
        except RayError as error:
            self._lose(worker)
            raise WorkerLost(_first_line(error)) from error
        except WorkerLost:
            self.kill(worker)
            self._lose(worker)
            raise
        finally:
            running.cancel()
        return data

    async def _attend(self, worker: Any, running: "asyncio.Task[Any]") -> None:
        """Return when the work is over. Raises WorkerLost if the worker is silent for too long, or abandoned."""
        abandoned: asyncio.Task[Any] = asyncio.create_task(self._abandoned.wait())
        missed = 0
        try:
            while missed < PROBES_MISSED_MAX:
                await asyncio.wait({running, abandoned}, timeout=PROBE_PERIOD_S, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    return
                if abandoned.done():
                    # Ray would tell, but not while its GCS is away.
                    raise WorkerLost("Ray is lost, and the worker was ended with it")
                missed = 0 if await _alive(worker) else missed + 1
        finally:
            abandoned.cancel()
        if not running.done():
            raise WorkerLost(f"it did not answer {missed} times in a row")

    def _lose(self, worker: Any) -> None:
        self._busy.discard(worker)
        self._pids.pop(worker, None)
        self._fill()

    def abandon(self) -> None:
        """End the workers of a Ray that is lost, which cannot be asked to do it: what drives a robot must not go on."""
        self._abandoned.set()
        for pid in self._pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._pids.clear()

    def cancel(self, worker: Any, attempt: str) -> None:
        """Ask a worker to stop an attempt, also one that it has not begun yet."""
        worker.cancel.remote(attempt)

    def give_back(self, worker: Any) -> None:
        """Keep a worker that is idle again, or end it if there are enough."""
        self._busy.discard(worker)
        if len(self._idle) < self._settings.warm_workers:
            self._idle.append(worker)
        else:
            self.kill(worker)

    def kill(self, worker: Any) -> None:
        """End a worker and whatever it is doing."""
        self._busy.discard(worker)
        self._pids.pop(worker, None)
        if not self._abandoned.is_set():
            ray.kill(worker, no_restart=True)

    def _fill(self) -> None:
        """Start the workers that are missing behind the caller.

        Busy ones count: they come back. Starting another for each one taken would cost a start and an end per attempt.
        """
        if not self._abandoned.is_set() and (self._refill is None or self._refill.done()):
            self._refill = asyncio.create_task(self._add())

    async def _add(self) -> None:
        # One after the other: they compete for the cores with the attempts that the others have just begun.
        while len(self._idle) + len(self._busy) < self._settings.warm_workers:
            try:
                self.give_back(await self._started())
            except NoWorker as error:
                # Whoever needs one next finds out for himself.
                log.warning("%s", error)
                return

    async def _started(self) -> Any:
        worker = self._actor.remote(self._settings)
        try:
            pid = await asyncio.wait_for(_result(worker.ready.remote()), START_S)
        except TimeoutError:
            self.kill(worker)
            raise NoWorker(f"a worker did not start in {START_S:.0f} s") from None
        except RayError as error:
            raise NoWorker(f"a worker did not start: {_first_line(error)}") from error
        if not self._settings.ray_address:
            self._pids[worker] = pid
        return worker


async def _result(reference: Any) -> Any:
    # wait_for and ensure_future want a coroutine: an ObjectRef that is cancelled is not awaited by anybody any more.
    return await reference


async def _alive(worker: Any) -> bool:
    try:
        await asyncio.wait_for(_result(worker.ready.remote()), ALIVE_S)
    except (RayError, TimeoutError):
        return False
    return True


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
