"""A scheduler that a test can steer and a real server in front of it, each in a thread, on ports of their own."""

import asyncio
import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from api.__main__ import Streaming as Server
from api.__main__ import server
from api.session import Sessions
from api.settings import Settings
from palaestra.v1 import episode_service_pb2_grpc, job_service_pb2_grpc, venue_service_pb2_grpc
from tests.api.scheduler_double import Scheduler, State
from web.listening import listen


@dataclass
class Stage:
    """A scheduler and an api in front of it, each in a thread of its own."""

    scheduler: Scheduler
    loop: asyncio.AbstractEventLoop
    settings: Settings
    server: Server
    start_scheduler: Callable[[], None]
    stop_scheduler: Callable[[], None]
    running: list[grpc.aio.Server]
    clients: list[httpx.Client] = field(default_factory=list)

    def reset(self) -> None:
        """Forget what the last test did."""

        async def renew() -> None:
            self.scheduler.state = State()

        if not self.running:
            self.start_scheduler()
        # Where the last test stopped it, the api tries again only after a while.
        wait_for(lambda: httpx.get(f"{self.url}/readyz").is_success, "the api reaches its scheduler")
        asyncio.run_coroutine_threadsafe(renew(), self.loop).result(10)
        self.server.config.app.state.sessions = Sessions(length_s=self.settings.session_s)  # type: ignore[union-attr]
        shutil.rmtree(self.settings.console, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def do(self, act: Callable[[State], Any]) -> Any:
        """Run something on the scheduler's state, in its loop, and return what it returns."""
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(act(self.scheduler.state))
            except BaseException as error:
                done.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return done.result(10)

    def client(self, token: str = "") -> httpx.Client:
        """Return a client that shows the token."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        found = httpx.Client(base_url=self.url, headers=headers, timeout=20)
        self.clients.append(found)
        return found

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Return once the condition holds; fail after a long time."""
        wait_for(condition, what)

    def put_object(self, content: bytes) -> str:
        """Lay bytes into the store and return their name."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.settings.objects / "sha256" / digest[:2] / digest
        path.write_bytes(content)
        return digest


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return once the condition holds; fail after a long time."""
    end_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end_s, f"never: {what}"
        time.sleep(0.01)


def settings_in(folder: Path) -> Settings:
    """Return settings of an api that keeps its files in a folder."""
    return Settings(
        host="127.0.0.1",
        port=0,
        scheduler="",
        objects=folder / "objects",
        console=folder / "console",
        heartbeat_s=0.2,
        probe_token="operator-token",
        call_timeout_s=5,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an api of one's own; a test module may override them."""
    return settings_in(tmp_path)


@pytest.fixture
def new_stage(settings: Settings) -> Iterator[Stage]:
    """A scheduler and an api of one's own, with `settings`."""
    yield from run_stage(settings)


@pytest.fixture(scope="session")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A scheduler and an api that many tests use one after the other."""
    yield from run_stage(settings_in(tmp_path_factory.mktemp("api")))


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """A scheduler that knows nothing yet and an api in front of it; test modules may take `new_stage` instead."""
    shared_stage.reset()
    yield shared_stage
    for client in shared_stage.clients:
        client.close()
    shared_stage.clients.clear()


def run_stage(settings: Settings) -> Iterator[Stage]:
    """Start both, yield them, and stop them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def in_loop(work: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)  # type: ignore[arg-type]

    async def make() -> Scheduler:
        return Scheduler(State())

    scheduler = in_loop(make())
    running: list[grpc.aio.Server] = []
    # Of its own choice at first, for no port that is only thought to be free stays so; the same when it comes back.
    port = 0

    async def start() -> None:
        nonlocal port
        found = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        venue_service_pb2_grpc.add_VenueServiceServicer_to_server(scheduler, found)  # type: ignore[no-untyped-call]
        job_service_pb2_grpc.add_JobServiceServicer_to_server(scheduler, found)  # type: ignore[no-untyped-call]
        episode_service_pb2_grpc.add_EpisodeServiceServicer_to_server(scheduler, found)  # type: ignore[no-untyped-call]
        port = found.add_insecure_port(f"127.0.0.1:{port}")
        assert port
        await found.start()
        running.append(found)

    in_loop(start())
    settings = replace(settings, scheduler=f"127.0.0.1:{port}")
    listening = listen(settings)
    settings = replace(settings, port=listening.getsockname()[1])
    serving = server(settings)
    served = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    served.start()
    wait_for(lambda: serving.started, "the api starts")
    made = Stage(
        scheduler,
        loop,
        settings,
        serving,
        start_scheduler=lambda: in_loop(start()),
        stop_scheduler=lambda: in_loop(running.pop().stop(0)),
        running=running,
    )
    try:
        yield made
    finally:
        for client in made.clients:
            client.close()
        serving.should_exit = True
        served.join(15)
        for serving_scheduler in running:
            in_loop(serving_scheduler.stop(0))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
        assert not served.is_alive(), "the api did not stop"


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
