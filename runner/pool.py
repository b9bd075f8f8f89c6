"""Worker processes on Ray, kept warm, because starting one takes a second and a grant should not wait for it.

The only file that knows Ray: beyond it a worker is something to run an attempt with.
"""

import asyncio
import logging
from typing import Any

import ray
from ray.exceptions import RayError

from runner.errors import NoWorker, WorkerLost
from runner.settings import Settings
from runner.worker import Worker

log = logging.getLogger(__name__)
# A worker imports MuJoCo and Arrow: seconds on a quiet machine, and machines are not always quiet.
START_S = 60.0
ALIVE_S = 5.0


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


class Pool:
    """Idle workers in hand, new ones on demand. Leases bound how many run, so the pool itself does not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # No Ray resources: the scheduler has leased the cores already, and two books of them would disagree.
        options: dict[str, Any] = {"num_cpus": 0, "max_concurrency": 2, "max_restarts": 0}
        self._actor: Any = ray.remote(**options)(Worker)
        self._idle: list[Any] = []
        self._busy: set[Any] = set()
        self._refill: asyncio.Task[None] | None = None

    async def warm(self) -> None:
        """Have the configured number of idle workers ready. Raises NoWorker."""
        missing = self._settings.warm_workers - len(self._idle)
        self._idle += await asyncio.gather(*(self._started() for _ in range(missing)))

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
        """Have a worker carry out an attempt; return its FinishAttemptRequest. Raises WorkerLost."""
        try:
            data: bytes = await worker.run.remote(assignment, instance)
        except RayError as error:
            self._busy.discard(worker)
            self._fill()
            raise WorkerLost(_first_line(error)) from error
        return data

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
        ray.kill(worker, no_restart=True)

    def _fill(self) -> None:
        """Start the workers that are missing behind the caller.

        Busy ones count: they come back. Starting another for each one taken would cost a start and an end per attempt.
        """
        if self._refill is None or self._refill.done():
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
            await asyncio.wait_for(_ready(worker), START_S)
        except TimeoutError:
            self.kill(worker)
            raise NoWorker(f"a worker did not start in {START_S:.0f} s") from None
        except RayError as error:
            raise NoWorker(f"a worker did not start: {_first_line(error)}") from error
        return worker


async def _ready(worker: Any) -> None:
    # wait_for wants a coroutine: an ObjectRef that it cancels is not awaited by anybody any more.
    await worker.ready.remote()


async def _alive(worker: Any) -> bool:
    try:
        await asyncio.wait_for(_ready(worker), ALIVE_S)
    except (RayError, TimeoutError):
        return False
    return True


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
