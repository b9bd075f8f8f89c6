"""A venue to test with: builders for plain states, and a core on a temporary database with a clock of its own."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from database.address import Place
from palaestra.channel import authorization
from palaestra.errors import PalaestraError, from_rpc
from palaestra.v1 import (
    api_key_pb2,
    api_key_service_pb2,
    api_key_service_pb2_grpc,
    host_service_pb2,
    job_pb2,
    job_service_pb2,
    runner_service_pb2,
)
from scheduler import names, resources
from scheduler.assignments import Told
from scheduler.clock import Anchor
from scheduler.commands import ending, fleet, running, submitting
from scheduler.commands.draft import draft_of
from scheduler.commands.submitting import Catalogue, Limits
from scheduler.configuration import Settings, settings_of
from scheduler.core import Core, RunnerConnection
from scheduler.identity import Credentials
from scheduler.server import Server
from scheduler.services.runners import RunnerService
from scheduler.writer import Command
from tests.scheduler.places import place

T = TypeVar("T")
PATIENCE_S = 30.0
TTL_S = 10.0
VENUE: dict[str, Any] = {
    "venue": {"id": "hall"},
    "vendor": [{"id": "acme"}, {"id": "rival"}, {"id": "third", "weight": 2.0}],
    "cell": [{"id": "bench", "scenario": "assembly", "level": 2}],
    "unit": [{"id": f"arm-{n}", "robot": "own_arm"} for n in (1, 2, 3)],
    "scheduler": {"lease_ttl_s": TTL_S, "hold_after_s": 30.0, "queued_jobs_max": 500},
}


class FakeClock:
    """Time that only the test moves."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._set_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def set_by_s(self, jump_s: float) -> None:
        """Be set by somebody, without any time passing."""
        self._set_ns += int(jump_s * 1e9)
        self._now_ns += int(jump_s * 1e9)

    def anchor(self) -> Anchor:
        return Anchor("one", self._set_ns)

    def pass_s(self, duration_s: float) -> None:
        self._now_ns += int(duration_s * 1e9)


def job(units: int = 1, sim_slots: int = 0, *, cell: str = "", model: str = "own_arm", **fields: Any) -> job_pb2.Job:
    """Return a job to collect with a motion, on units if it asks for any."""
    claim: dict[str, Any] = {"sim_slots": sim_slots, "duration": {"seconds": 600}}
    if units:
        claim["units"] = [{"selector": {"robot_model": model}, "count": units}]
    if cell:
        claim["cell"] = {"scenario": cell}
    return job_pb2.Job(**{"claim": claim, "collect": {"motion": "sway", "robot_model": "own_arm"}} | fields)


def batch_command(vendor: str, request: Any, catalogue: Catalogue, limits: Limits) -> Command[Any]:
    """Return the command that submits a batch, as it is read without having been known."""
    drafts = [*map(draft_of, request.requests)]
    return submitting.submit_batch(vendor, drafts, catalogue, limits, atomic=request.atomic)


class Site:
    """A core without a server, its sweep and its connections in the test's hands. Use inside a running event loop."""

    def __init__(self, folder: Path, clock: FakeClock | None = None, **tables: Any) -> None:
        self.clock = clock or FakeClock()
        self.settings = settings_of(VENUE | tables, "test")
        self.folder = folder
        self.core: Core

    async def __aenter__(self) -> "Site":
        self.core = Core(self.settings, place(self.folder / "db"), asyncio.get_running_loop())
        self.core.clock = self.clock  # type: ignore[assignment]
        self.core._writer._now_ns = self.clock.now_ns
        await self.core.start()
        assert self.core._sweeper is not None
        self.core._sweeper.cancel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.core.stop()

    async def connect(self, *, units: Sequence[str] = ("arm-1", "arm-2", "arm-3"), slots: int = 2) -> None:
        """Bring a host and a runner in."""
        await self.hello(units=units)
        await self.runner(slots=slots)

    async def runner(self, instance: str = "r/one", *, slots: int = 2) -> None:
        await self.run(running.register_runner("r", instance, slots))
        self.core.runners["r"] = RunnerConnection(instance, Catalogue())
        await self.core.connections_changed()

    async def hello(
        self, host: str = "h", instance: str = "i1", *, units: Sequence[str] = ("arm-1",), **declared: Any
    ) -> None:
        fields = {"robot_model": "own_arm", "robot_class": "arm", "maker": "Own", "joint_count": 3} | declared
        message = host_service_pb2.HostHello(
            host=host,
            instance=instance,
            address="127.0.0.1:1",
            units=[host_service_pb2.UnitDeclaration(unit=names.unit("hall", unit), **fields) for unit in units],
        )
        await self.run(fleet.hello(message, "hall", self.core.hosts))
        self.core.hosts[f"{host}/{instance}"] = object()

    async def status(
        self, unit: str, host: str = "h", instance: str = "i1", done: Sequence[int] = (), **fields: Any
    ) -> None:
        status = host_service_pb2.UnitStatus(unit=names.unit("hall", unit), **fields)
        await self.run(fleet.status_changed(host, instance, [status], list(done)))

    async def run(self, command: Command[T]) -> T:
        return await self.core.run(command)

    async def submit(self, body: job_pb2.Job, vendor: str = "acme", request_id: str = "") -> job_pb2.Job:
        request = job_service_pb2.SubmitJobRequest(parent=f"vendors/{vendor}", job=body, request_id=request_id)
        return await self.run(submitting.submit(vendor, draft_of(request), self.core.catalogue, self.core.limits))

    async def sweep(self, after_s: float = 0.0) -> None:
        """Let time pass, do what it brings, and decide."""
        self.clock.pass_s(after_s)
        await self.run(ending.sweep())
        await self.settle()

    async def settle(self) -> None:
        """Wait until the cycle that was asked for has run."""
        decided = asyncio.get_running_loop().create_future()

        def look(tx: Any) -> None:
            tx.wants_cycle = True

        cycle = self.core._writer._cycle

        def watched(tx: Any) -> None:
            cycle(tx)
            self.core._writer._cycle = cycle
            decided.get_loop().call_soon_threadsafe(decided.set_result, None)

        self.core._writer._cycle = watched
        await self.run(look)
        await asyncio.wait_for(decided, PATIENCE_S)
        # The next command's turn comes after the cycle's commit.
        await self.run(lambda tx: None)

    async def check_of(self, unit: str, outcome: int, **fields: Any) -> None:
        """Wait for the unit's health check to begin, and end it; the unit's host says that it rests."""
        await self.settle()
        row = self.row(
            """
            SELECT j.uid, lu.epoch FROM lease_unit lu JOIN lease l ON l.id = lu.lease_id JOIN job j ON j.id = l.job_id
            WHERE lu.unit = ? AND lu.free_ns IS NULL AND l.vendor = 'venue'
            """,
            unit,
        )
        assert row is not None, f"no check of {unit} has begun"
        attempt = f"vendors/venue/jobs/{row['uid']}/attempts/1"
        await self.run(running.start(attempt, "r/one"))
        await self.finish(attempt, outcome, **fields)
        await self.status(unit, safe_epoch=row["epoch"], motion=1)

    async def passes_check(self, unit: str) -> None:
        await self.check_of(unit, job_pb2.ATTEMPT_STATE_SUCCEEDED)

    async def fails_check(self, unit: str) -> None:
        failure = job_pb2.Failure(reason="CHECK_FAILED", message=f"{unit}: elbow 0.000")
        await self.check_of(unit, job_pb2.ATTEMPT_STATE_FAILED, failure=failure)

    def get(self, name: str) -> job_pb2.Job:
        row = self.core.read.execute("SELECT * FROM job WHERE uid = ?", (name.split("/")[3],)).fetchone()
        return resources.job(self.core.read, row)

    def row(self, query: str, *values: object) -> Any:
        return self.core.read.execute(query, values).fetchone()

    def rows(self, query: str, *values: object) -> list[Any]:
        return self.core.read.execute(query, values).fetchall()

    def assigned(self, instance: str = "r/one") -> list[runner_service_pb2.Assignment]:
        """Return what a runner that connects now is told to carry out."""
        told = Told(self.core.read, self.core.tail, instance)
        return RunnerService(self.core)._made(told.look(self.core.hub.sequence, 0.0).due)

    async def start(self, body: job_pb2.Job, instance: str = "r/one") -> str:
        """Start the job's latest attempt; return its name."""
        name = self.get(body.name).attempts[0].name
        await self.run(running.start(name, instance))
        return name

    async def finish(self, attempt: str, outcome: int, *, instance: str = "r/one", **fields: Any) -> None:
        request = runner_service_pb2.FinishAttemptRequest(attempt=attempt, instance=instance, outcome=outcome, **fields)
        await self.run(running.finish(request))

    async def beat(self, *attempts: str, instance: str = "r/one") -> list[str]:
        beats = [runner_service_pb2.AttemptBeat(attempt=name) for name in attempts]
        request = runner_service_pb2.HeartbeatAttemptsRequest(instance=instance, attempts=beats)
        return await self.run(running.heartbeat(request, TTL_S))


def play(folder: Path, scene: Callable[[Site], Awaitable[None]], **settings: Any) -> None:
    """Run a scene on a fresh site."""

    async def act() -> None:
        async with Site(folder, **settings) as site:
            await scene(site)

    asyncio.run(act())


async def refusal(awaitable: Awaitable[object]) -> PalaestraError:
    """Return the error that something ends with."""
    try:
        await awaitable
    except PalaestraError as error:
        return error
    raise AssertionError("it was not refused")


class LiveServer:
    """The whole server, gate and all, on a thread of its own."""

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        *,
        files: Path | None = None,
        catalogue: Place | None = None,
    ) -> None:
        """files: the folder that the [tls] table's paths are relative to. catalogue: where it is if not in a file."""
        self._files = files
        self._catalogue = catalogue or folder / "catalogue.db"
        self._folder = folder
        self._settings = settings or settings_of(VENUE, "test")
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.core: Core
        self.server: Server
        self.address = ""
        self.tls_address = ""

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            self.core = Core(self._settings, place(self._folder / "db"), self._loop)
            vendors = [vendor.id for vendor in self._settings.venue.vendors]
            self.server = server = Server(
                self.core,
                Credentials.open(self._folder / "tokens", vendors),
                "127.0.0.1:0",
                self._settings.tls,
                self._files,
                catalogue=self._catalogue,
            )
            await self.core.start()
            await server.start()
        except BaseException as error:
            self._started.set_exception(error)
            raise
        self.address, self.tls_address = server.address, server.tls_address
        self._started.set_result(None)
        await self._stop.wait()
        await server.stop(0.2)
        await self.core.stop()

    def __enter__(self) -> "LiveServer":
        self._thread.start()
        self._started.result(PATIENCE_S)
        self.channel = grpc.insecure_channel(self.address)
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)

    def token(self, name: str) -> str:
        return (self._folder / "tokens" / f"{name}.token").read_text().strip()

    def metadata(self, name: str) -> Any:
        return authorization(self.token(name))

    def key(self, role: str, vendor: str = "", **fields: Any) -> api_key_service_pb2.ApiKeySecret:
        """Return a new API key, made by its vendor, or for the house by an operator."""
        request = api_key_service_pb2.CreateApiKeyRequest(
            parent=f"vendors/{vendor}" if vendor else "venues/-", api_key=api_key_pb2.ApiKey(role=role, **fields)
        )
        stub = api_key_service_pb2_grpc.ApiKeyServiceStub(self.channel)
        made: api_key_service_pb2.ApiKeySecret = stub.CreateApiKey(
            request, timeout=PATIENCE_S, metadata=self.metadata(f"vendor-{vendor}" if vendor else "operator")
        )
        return made

    def run(self, command: Command[T]) -> T:
        """Run a command beside the server's own."""
        return self.act(self.core.run(command))

    def act(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def until(self, look: Callable[[], T], holds: Callable[[T], bool]) -> T:
        """Look until it holds; return what was seen."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not holds(found := look()):
            assert time.monotonic() < give_up_s, f"never: {found}"
            time.sleep(0.01)
        return found


def error_of(call: Callable[..., object], *arguments: Any) -> PalaestraError:
    """Return what a call is refused with, as the SDK reads it; its details must be ours."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments)
    keys = [key for key, _ in caught.value.trailing_metadata() or ()]
    assert "grpc-status-details-bin" in keys, f"no reason came with {caught.value}"
    return from_rpc(caught.value)
