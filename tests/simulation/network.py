"""gRPC without sockets: channels and servers that pass messages in virtual time, late, lost, twice, or never.

Real stubs, servicers and the guard run over it, and every message is made into bytes and back. As on TCP, what is
sent on one stream comes in its order or the stream breaks; calls overtake each other. A partition holds messages back
until it heals. Whether a request was carried out whose answer is lost, the caller cannot know.
"""

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from tests.simulation.loop import Process, VirtualLoop, present

DELAY_S = 0.002
# A server may hear of a cut so much later.
CUT_NOTICED_S = 3.0


class Weather:
    """How bad the network is, as chances per message. All 0.0: it works."""

    def __init__(self) -> None:
        self.lose_request = self.lose_answer = self.double = self.late = self.cut = 0.0
        self.delay_s = DELAY_S


class Details:
    """What a handler is told of a call."""

    def __init__(self, method: str, metadata: Any) -> None:
        self.method = method
        self.invocation_metadata = metadata


class Context:
    """What a handler is given beside its request."""

    def __init__(self, metadata: Any, deadline_s: float | None, write: Callable[[Any], None]) -> None:
        self._metadata = tuple(metadata or ())
        self._deadline_s = deadline_s
        self._write = write
        # How a call with one answer ends that returns.
        self.status: Status = FINE

    def set_code(self, code: grpc.StatusCode) -> None:
        self.status = (code, *self.status[1:])

    def set_details(self, details: str) -> None:
        self.status = (self.status[0], details, self.status[2])

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self.status = (*self.status[:2], tuple(trailing_metadata))

    def invocation_metadata(self) -> Any:
        return self._metadata

    def auth_context(self) -> dict[str, Any]:
        return {}

    def time_remaining(self) -> float | None:
        if self._deadline_s is None:
            return None
        return max(0.0, self._deadline_s - asyncio.get_running_loop().time())

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        raise Aborted(code, details, trailing_metadata)

    async def write(self, message: Any) -> None:
        self._write(message)


class Aborted(grpc.aio.AbortError):  # type: ignore[misc]
    """A handler ended its call with a status."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing: Any) -> None:
        super().__init__()
        self.status = (code, details, tuple(trailing))


Status = tuple[grpc.StatusCode, str, Any]
LOST: Status = (grpc.StatusCode.UNAVAILABLE, "connection lost", ())
REFUSED: Status = (grpc.StatusCode.UNAVAILABLE, "connection refused", ())
LATE: Status = (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded", ())
FINE: Status = (grpc.StatusCode.OK, "", ())


def error_of(status: Status) -> grpc.aio.AioRpcError:
    """Return what a caller is raised."""
    code, details, trailing = status
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)


class Server:
    """Stands for `grpc.aio.server()`."""

    def __init__(self, network: "Network") -> None:
        self._network = network
        self._handlers: list[Any] = []
        process = present()
        assert process is not None
        self.process = process
        self.serving = False
        self.addresses: list[str] = []
        self.tasks: dict[asyncio.Task[Any], None] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """The same ones again."""

    def add_insecure_port(self, address: str) -> int:
        host, _, port = address.rpartition(":")
        number = int(port) or self._network.free_port()
        self.addresses.append(f"{host}:{number}")
        return number

    async def start(self) -> None:
        self.serving = True
        for address in self.addresses:
            self._network.servers[address] = self

    async def stop(self, grace: float | None = None) -> None:
        self.serving = False
        for task in list(self.tasks):
            task.cancel()

    def handler(self, method: str, metadata: Any) -> Any:
        """Return a method's handler, None if there is none."""
        found = (handler.service(Details(method, metadata)) for handler in self._handlers)
        return next((each for each in found if each is not None), None)


class Network:
    """All that lies between processes.

    Attributes:
        servers: By address.
        parted: By how many cuts nothing goes through between a pair of machines.
    """

    def __init__(self, loop: VirtualLoop, chance: random.Random, trace: Callable[[str], None]) -> None:
        self.loop = loop
        self.chance = chance
        self.trace = trace
        self.weather = Weather()
        # Hears of every call that was answered: method, request, response.
        self.answered: Callable[[str, bytes, bytes], None] = lambda method, request, response: None
        self.servers: dict[str, Server] = {}
        self.parted: Counter[frozenset[str]] = Counter()
        self._waiting: list[tuple[Process, Process, Callable[[], None]]] = []
        self._streams: dict[Stream, None] = {}
        self._port = 20_000

    def free_port(self) -> int:
        self._port += 1
        return self._port

    def channel(self, address: str, options: Any = None, **_: Any) -> "Channel":
        """Stands for `grpc.aio.insecure_channel`."""
        return Channel(self, address)

    def server(self, *_: Any, **__: Any) -> Server:
        """Stands for `grpc.aio.server`."""
        return Server(self)

    def send(self, source: Process, target: Process, call: Callable[[], None], *, not_before_s: float = 0.0) -> float:
        """Have something happen in another process after the way there; return when, if nothing is in between."""
        delay_s = self.weather.delay_s * (0.5 + self.chance.random())
        # Later than what was sent before it, for things of one moment have no order.
        when_s = max(self.loop.now_s + delay_s, not_before_s + 1e-6)
        self.loop.at(when_s, self._arrive, source, target, call, context=_NOBODY)
        return when_s

    def part(self, one: str, others: Sequence[str]) -> Callable[[], None]:
        """Let nothing go between a machine and some others; return what ends that."""
        pairs = [frozenset((one, other)) for other in others if other != one]
        self.parted.update(pairs)

        def heal() -> None:
            self.parted.subtract(pairs)
            self._go_on()

        return heal

    def is_parted(self, one: Process, other: Process) -> bool:
        """Whether nothing goes between the machines of two processes."""
        return self.parted[frozenset((one.machine, other.machine))] > 0

    def heal(self) -> None:
        """Let all through again, and all that has waited in its order."""
        self.parted.clear()
        self._go_on()

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for source, target, call in waiting:
            self.loop.call_soon(self._arrive, source, target, call, context=_NOBODY)

    def died(self, process: Process) -> None:
        """Tell the peers of a process that it is gone, as its machine's kernel does."""
        for stream in [s for s in self._streams if process in (s.client, s.server.process)]:
            self._streams.pop(stream, None)
            self.loop.at(self.loop.now_s + self.chance.uniform(0.001, 0.1), stream.lost, context=_NOBODY)
        for server in self.servers.values():
            if server.process is process:
                server.serving = False

    def _arrive(self, source: Process, target: Process, call: Callable[[], None]) -> None:
        if self.is_parted(source, target):
            self._waiting.append((source, target, call))
        elif target.alive:
            self.loop.call_soon(call, context=target.context())


_NOBODY = contextvars.Context()


class Channel:
    """Stands for a `grpc.aio.Channel`."""

    def __init__(self, network: Network, address: str) -> None:
        self._network = network
        self._address = address

    def unary_unary(self, method: str, request_serializer: Any, response_deserializer: Any, *_: Any, **__: Any) -> Any:
        def call(
            request: Any, *, timeout: float | None = None, metadata: Any = None, wait_for_ready: bool = False
        ) -> Any:
            data = request_serializer(request)
            return self._unary(method, data, response_deserializer, timeout, metadata, wait_for_ready)

        return call

    def unary_stream(self, method: str, request_serializer: Any, response_deserializer: Any, *_: Any, **__: Any) -> Any:
        def call(request: Any, *, timeout: float | None = None, metadata: Any = None, **___: Any) -> Any:
            stream = Stream(self._network, self._address, method, response_deserializer, metadata, timeout)
            stream.open(request_serializer(request), None)
            return stream

        return call

    def stream_stream(
        self, method: str, request_serializer: Any, response_deserializer: Any, *_: Any, **__: Any
    ) -> Any:
        def call(requests: Any, *, timeout: float | None = None, metadata: Any = None, **___: Any) -> Any:
            stream = Stream(self._network, self._address, method, response_deserializer, metadata, timeout)
            stream.open(None, _serialised(requests, request_serializer))
            return stream

        return call

    async def close(self, grace: float | None = None) -> None: ...

    async def __aenter__(self) -> "Channel":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def _unary(
        self, method: str, data: bytes, deserialise: Any, timeout: float | None, metadata: Any, patient: bool
    ) -> Any:
        network, chance, weather = self._network, self._network.chance, self._network.weather
        loop, client = network.loop, present()
        assert client is not None
        answer: asyncio.Future[tuple[Status, bytes]] = loop.create_future()
        deadline_s = None if timeout is None else loop.now_s + timeout / client.rate
        while patient and not self._ready() and (deadline_s is None or loop.now_s < deadline_s):
            await asyncio.sleep(0.1)
        server = network.servers.get(self._address)
        if server is None or not server.serving:
            await asyncio.sleep(network.weather.delay_s)
            raise error_of(REFUSED)
        fate = chance.random()
        late_s = chance.uniform(0.5, 8.0) if fate < weather.late else 0.0
        fate -= weather.late
        times = 2 if 0.0 <= fate < weather.double else 1
        fate -= weather.double
        lost = 0.0 <= fate < weather.lose_request
        fate -= weather.lose_request
        unheard = 0.0 <= fate < weather.lose_answer

        def back(status: Status, body: bytes) -> None:
            def arrive() -> None:
                if not answer.done():
                    answer.set_result((LOST, b"") if unheard else (status, body))

            assert client is not None
            network.send(server.process, client, arrive)

        for _ in range(0 if lost else times):
            handle = _Unary(network, server, method, data, metadata, deadline_s, back)
            network.send(client, server.process, handle.begin, not_before_s=loop.now_s + late_s)
        if lost:
            loop.call_later(weather.delay_s, lambda: answer.done() or answer.set_result((LOST, b"")))
        pending = _Pending(server, client, answer)
        network._streams[pending] = None
        try:
            async with asyncio.timeout(timeout):
                status, body = await answer
        except TimeoutError:
            status, body = LATE, b""
        finally:
            network._streams.pop(pending, None)
        network.trace(f"{client.name} {method.rpartition('/')[2]} {status[0].name}")
        if status[0] is not grpc.StatusCode.OK:
            raise error_of(status)
        self._network.answered(method, data, body)
        return deserialise(body)

    def _ready(self) -> bool:
        server = self._network.servers.get(self._address)
        return server is not None and server.serving


class _Pending:
    """A unary call under way."""

    def __init__(self, server: Server, client: Process, answer: "asyncio.Future[tuple[Status, bytes]]") -> None:
        self.server = server
        self.client = client
        self._answer = answer

    def lost(self) -> None:
        if self.client.alive and not self._answer.done():
            loop = self._answer.get_loop()
            loop.call_soon(
                lambda: self._answer.done() or self._answer.set_result((LOST, b"")), context=self.client.context()
            )


class _Unary:
    """A unary call at its server."""

    def __init__(
        self,
        network: Network,
        server: Server,
        method: str,
        data: bytes,
        metadata: Any,
        deadline_s: float | None,
        back: Callable[[Status, bytes], None],
    ) -> None:
        self._network, self._server, self._method, self._data = network, server, method, data
        self._metadata, self._deadline_s, self._back = metadata, deadline_s, back

    def begin(self) -> None:
        if not self._server.serving:
            self._back(REFUSED, b"")
            return
        task = asyncio.get_running_loop().create_task(self._handle())
        self._server.tasks[task] = None
        task.add_done_callback(lambda task: self._server.tasks.pop(task, None))

    async def _handle(self) -> None:
        deadline_s = None if self._deadline_s is None else self._deadline_s * self._server.process.rate
        context = Context(self._metadata, deadline_s, lambda message: None)
        try:
            handler = self._server.handler(self._method, self._metadata)
            if handler is None:
                raise Aborted(grpc.StatusCode.UNIMPLEMENTED, self._method, ())
            if handler.unary_unary is None:
                # Refused by one that waits for no message.
                await handler.stream_stream(None, context)
                assert context.status[0] is not grpc.StatusCode.OK
                self._back(context.status, b"")
                return
            response = await handler.unary_unary(handler.request_deserializer(self._data), context)
            # As gRPC does it: beside a status other than OK there is no answer.
            refused = context.status[0] is not grpc.StatusCode.OK
            self._back(context.status, b"" if refused else handler.response_serializer(response))
        except Aborted as aborted:
            self._back(aborted.status, b"")
        except asyncio.CancelledError:
            self._back(LOST, b"")
            raise
        except Exception as error:
            self._network.loop.failures.append(f"{self._method}: {error!r}")
            self._back((grpc.StatusCode.UNKNOWN, repr(error), ()), b"")


async def _serialised(requests: Any, serialise: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield serialise(request)


class Stream:
    """A streaming call: both of its ends."""

    def __init__(
        self, network: Network, address: str, method: str, deserialise: Any, metadata: Any, timeout: float | None
    ) -> None:
        self._network, self._address, self._method = network, address, method
        self._deserialise, self._metadata = deserialise, metadata
        client = present()
        assert client is not None
        self.client = client
        self.server: Server
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()
        self._up_s = self._down_s = 0.0
        self._over = False
        self._pump: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer = None if timeout is None else network.loop.call_later(timeout, self._end, LATE)

    # The client's end.

    def open(self, request: bytes | None, requests: Any) -> None:
        network = self._network
        server = network.servers.get(self._address)
        if server is None or not server.serving or network.is_parted(self.client, server.process):
            network.loop.call_later(0.05, self._end, REFUSED)
            return
        self.server = server
        network._streams[self] = None
        self._up(lambda: self._begin(request))
        if requests is not None:
            self._pump = network.loop.create_task(self._send_all(requests))

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._responses()

    async def _responses(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    async def read(self) -> Any:
        """Return the next message, EOF at the end; raise AioRpcError where it was cut."""
        kind, value = await self._inbox.get()
        if kind == "message":
            return self._deserialise(value)
        self._inbox.put_nowait((kind, value))
        if value[0] is grpc.StatusCode.OK:
            return grpc.aio.EOF
        raise error_of(value)

    def cancel(self) -> bool:
        """Let go of the call; the server hears of it a little later."""
        if not self._over:
            self._end((grpc.StatusCode.CANCELLED, "cancelled", ()))
            if hasattr(self, "server"):
                self._up(self._cancelled)
        return True

    def _end(self, status: Status) -> None:
        if not self._over:
            self._over = True
            self._network._streams.pop(self, None)
            if self._timer is not None:
                self._timer.cancel()
            if self._pump is not None:
                self._pump.cancel()
            self._inbox.put_nowait(("end", status))

    async def _send_all(self, requests: Any) -> None:
        async for data in requests:
            if self._network.chance.random() < self._network.weather.cut:
                self._network.trace(f"{self.client.name} {self._method.rpartition('/')[2]} is cut")
                self._network._streams.pop(self, None)
                self._network.loop.at(self._network.loop.now_s, self.lost, context=_NOBODY)
                return
            self._up(lambda data=data: self._outbox.put_nowait(data))
        self._up(lambda: self._outbox.put_nowait(None))

    def _up(self, call: Callable[[], None]) -> None:
        self._up_s = self._network.send(self.client, self.server.process, call, not_before_s=self._up_s)

    # The server's end.

    def _begin(self, request: bytes | None) -> None:
        if not self.server.serving:
            self._down(lambda: self._end(REFUSED))
            return
        self._task = asyncio.get_running_loop().create_task(self._serve(request))
        self.server.tasks[self._task] = None
        self._task.add_done_callback(lambda task: self.server.tasks.pop(task, None))

    async def _serve(self, request: bytes | None) -> None:
        status = FINE
        try:
            handler = self.server.handler(self._method, self._metadata)
            if handler is None:
                raise Aborted(grpc.StatusCode.UNIMPLEMENTED, self._method, ())
            parse = handler.request_deserializer or (lambda data: data)

            def write(message: Any) -> None:
                data = handler.response_serializer(message)
                self._down(lambda: self._over or self._inbox.put_nowait(("message", data)))

            context = Context(self._metadata, None, write)
            if handler.unary_stream:
                found = handler.unary_stream(parse(request), context)
            else:
                found = handler.stream_stream(self._requests(parse), context)
            if hasattr(found, "__aiter__"):
                async for message in found:
                    write(message)
            else:
                await found
        except Aborted as aborted:
            status = aborted.status
        except asyncio.CancelledError:
            status = LOST
            raise
        except Exception as error:
            self._network.loop.failures.append(f"{self._method}: {error!r}")
            status = (grpc.StatusCode.UNKNOWN, repr(error), ())
        finally:
            if self.server.process.alive:
                self._down(lambda: self._end(status))

    async def _requests(self, parse: Any) -> AsyncIterator[Any]:
        while (data := await self._outbox.get()) is not None:
            yield parse(data)

    def _down(self, call: Callable[[], Any]) -> None:
        self._down_s = self._network.send(self.server.process, self.client, call, not_before_s=self._down_s)

    def _cancelled(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def lost(self) -> None:
        """Be noticed by both ends as cut: by the client at once, by the server perhaps much later."""
        loop, chance = self._network.loop, self._network.chance
        if self.client.alive:
            loop.call_soon(self._end, LOST, context=self.client.context())
        if self.server.process.alive:
            noticed_s = loop.now_s + chance.choice((0.0, 0.01, CUT_NOTICED_S * chance.random()))
            loop.at(noticed_s, self._cancelled, context=self.server.process.context())
