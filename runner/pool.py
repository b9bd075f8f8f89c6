"""Worker processes on Ray, kept warm, because starting one takes a second and a grant should not wait for it."""

import asyncio
import logging
from typing import Any

import ray
from ray.exceptions import RayActorError

from runner.settings import Settings
from runner.worker import Worker

log = logging.getLogger(__name__)


def start_ray(settings: Settings) -> None:
    """Join the cluster that the settings name, or start a small one that ends with this process."""
    if settings.ray_address:
        ray.init(address=settings.ray_address, log_to_driver=False, logging_level=logging.WARNING)
        return
    ray.init(
        num_cpus=settings.ray_cpus,
        object_store_memory=100 * 1024 * 1024,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        _temp_dir=str(settings.ray_folder) if settings.ray_folder else None,
    )


class Pool:
    """Idle workers in hand, new ones on demand. Leases bound how many run, so the pool itself does not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # No Ray resources: the scheduler has leased the cores already, and two books of them would disagree.
        self._actor: Any = ray.remote(num_cpus=0, max_concurrency=2, max_restarts=0)(Worker)
        self._idle: list[Any] = []
        self._refill: set[asyncio.Task[None]] = set()

    async def warm(self) -> None:
        """Have the configured number of idle workers ready."""
        missing = self._settings.warm_workers - len(self._idle) - len(self._refill)
        for _ in range(missing):
            task = asyncio.create_task(self._add())
            self._refill.add(task)
            task.add_done_callback(self._refill.discard)
        if self._refill:
            await asyncio.wait(set(self._refill))

    async def take(self) -> Any:
        """Return a worker that is ready; the pool refills itself behind it."""
        while self._idle:
            worker = self._idle.pop()
            if await _alive(worker):
                return worker
        worker = self._actor.remote(self._settings)
        await worker.ready.remote()
        return worker

    def give_back(self, worker: Any) -> None:
        """Keep a worker that is idle again, or end it if there are enough."""
        if len(self._idle) < self._settings.warm_workers:
            self._idle.append(worker)
        else:
            self.kill(worker)

    def kill(self, worker: Any) -> None:
        """End a worker and whatever it is doing."""
        ray.kill(worker, no_restart=True)

    async def _add(self) -> None:
        worker = self._actor.remote(self._settings)
        try:
            await worker.ready.remote()
        except RayActorError:
            log.exception("a worker did not start")
            return
        self._idle.append(worker)


async def _alive(worker: Any) -> bool:
    try:
        await asyncio.wait_for(worker.ready.remote(), 5.0)
    except (RayActorError, TimeoutError):
        return False
    return True
