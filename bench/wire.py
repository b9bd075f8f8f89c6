"""gRPC calls as bare HTTP/2 frames: a caller that costs far less than the server which it measures.

A Python gRPC client takes as much processor time for a call as the server does, so that on two cores half of what would
be measured is the client. Here the headers of a method are encoded once (HPACK, RFC 7541, section 6) and each call is
two frames (RFC 9113, section 6) around the bytes of a request. It speaks plainly and to a server that it trusts: for
measurements alone.
"""

import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 3, 4
WINDOW = 2**31 - 1
FRAME_MAX = 16_384
# Indices of HPACK's static table: method POST, scheme http.
POST, HTTP = b"\x83", b"\x86"
STATIC_ENTRIES = 61
NO_ERROR = bytes(4)
REFUSED_STREAM = bytes((0, 0, 0, 7))
SUCCESS = b"grpc-status\x010"


class CallFailed(Exception):
    """A call ended otherwise than with OK."""


class Connection:
    """One connection with any number of calls under way. Raises CallFailed where nobody is told of a failure."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._authority, self._token = address.encode(), token
        self._methods: dict[str, bytes] = {}
        self._indexed = 0
        self._next = 1
        self._received = bytearray()
        self._waiting = bytearray()
        # What the server still takes on the connection; what waits is sent as it allows more.
        self._window = 65_535
        # So many calls at a time; the others wait here. Before the server has said how many, what any should take
        # (RFC 9113, 6.5.2): it refuses what is more.
        self._streams_max, self._streams = 100, 0
        self._blocked: list[tuple[bytes, bytes]] = []
        # By stream: told of each message, and of the end.
        self._on_message: dict[int, Callable[[bytes], None]] = {}
        self._on_end: dict[int, Callable[[], None]] = {}
        self._on_refused: dict[int, Callable[[bytes], None]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._calls: dict[int, tuple[str, bytes]] = {}
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, WINDOW)
        more = struct.pack(">I", WINDOW - 65_535)
        self._waiting += PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, more)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    @property
    def under_way(self) -> int:
        return len(self._on_end)

    def call(
        self,
        method: str,
        request: bytes,
        on_end: Callable[[], None],
        on_message: Callable[[bytes], None] | None = None,
        on_refused: Callable[[bytes], None] | None = None,
    ) -> None:
        """Begin a call of `method` ("package.Service/Method").

        on_message: Told of the bytes of each answer. on_refused: Told of the trailers if the call fails; otherwise that
        raises CallFailed.
        """
        stream, self._next = self._next, self._next + 2
        body = b"\0" + struct.pack(">I", len(request)) + request
        self._on_end[stream] = on_end
        self._calls[stream] = method, request
        if on_refused is not None:
            self._on_refused[stream] = on_refused
        if on_message is not None:
            self._on_message[stream] = on_message
            self._bodies[stream] = bytearray()
        head = _frame(HEADERS, END_HEADERS, stream, self._headers(method))
        parts = [body[at : at + FRAME_MAX] for at in range(0, len(body), FRAME_MAX)]
        for number, part in enumerate(parts):
            flags = END_STREAM if number == len(parts) - 1 else 0
            self._blocked.append((head if number == 0 else b"", _frame(DATA, flags, stream, part)))

    def send(self) -> bool:
        """Send what the server takes; return whether all of what waits has left."""
        sent = 0
        for head, data in self._blocked:
            if len(data) - 9 > self._window or (head and self._streams >= self._streams_max):
                break
            self._streams += bool(head)
            self._window -= len(data) - 9
            self._waiting += head + data
            sent += 1
        del self._blocked[:sent]
        while self._waiting:
            try:
                del self._waiting[: self._socket.send(self._waiting, socket.MSG_DONTWAIT)]
            except BlockingIOError:
                return False
        return True

    def receive(self) -> None:
        """Take what has come and tell those whom it concerns. Raises CallFailed."""
        try:
            came = self._socket.recv(1 << 18, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not came:
            raise CallFailed("the server closed the connection")
        buffer = self._received
        buffer += came
        at, end = 0, len(buffer)
        while end - at >= 9:
            length = buffer[at] << 16 | buffer[at + 1] << 8 | buffer[at + 2]
            if end - at < 9 + length:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            if kind == HEADERS and not flags & END_STREAM:
                # The headers of a good answer say nothing.
                at += 9 + length
                continue
            stream = int.from_bytes(buffer[at + 5 : at + 9])
            payload = bytes(buffer[at + 9 : at + 9 + length])
            at += 9 + length
            if kind == HEADERS:
                self._end(stream, payload)
            elif kind == DATA:
                self._message(stream, payload)
            elif kind == WINDOW_UPDATE and stream == 0:
                self._window += int.from_bytes(payload)
            elif kind == SETTINGS and not flags & ACK:
                self._streams_max = dict(struct.iter_unpack(">HI", payload)).get(MAX_CONCURRENT_STREAMS, WINDOW)
                self._waiting += _frame(SETTINGS, ACK, 0, b"")
            elif kind == PING and not flags & ACK:
                self._waiting += _frame(PING, ACK, 0, payload)
            elif kind == RST_STREAM and payload == NO_ERROR and stream not in self._on_end:
                # Answered before all of the request had been read: what is left of it is not wanted.
                continue
            elif kind == RST_STREAM and payload == REFUSED_STREAM:
                self._again(stream)
            elif kind in (GOAWAY, RST_STREAM):
                raise CallFailed(f"the server ended {'the connection' if kind == GOAWAY else 'a call'}: {payload!r}")
        del buffer[:at]

    def _again(self, stream: int) -> None:
        """Send a call again that the server has not looked at, as every client of gRPC does without asking."""
        self._streams -= 1
        self._bodies.pop(stream, None)
        ended, told = self._on_end.pop(stream), self._on_message.pop(stream, None)
        self.call(*self._calls.pop(stream), ended, told, self._on_refused.pop(stream, None))

    def _end(self, stream: int, trailers: bytes) -> None:
        self._streams -= 1
        del self._calls[stream]
        refused = self._on_refused.pop(stream, None)
        self._on_message.pop(stream, None)
        self._bodies.pop(stream, None)
        ended = self._on_end.pop(stream)
        if SUCCESS in trailers:
            ended()
        elif refused is not None:
            refused(trailers)
        else:
            raise CallFailed(f"a call failed: {trailers!r}")

    def _message(self, stream: int, part: bytes) -> None:
        told = self._on_message.get(stream)
        if told is None:
            return
        body = self._bodies[stream]
        body += part
        while len(body) >= 5 and len(body) >= 5 + (length := int.from_bytes(body[1:5])):
            message = bytes(body[5 : 5 + length])
            del body[: 5 + length]
            told(message)

    def _headers(self, method: str) -> bytes:
        """Return the header block of a call; the first call of a method leaves its headers in the server's table."""
        known = self._methods.get(method)
        if known is not None:
            return known
        fields = (
            (b":path", b"/" + method.encode()),
            (b":authority", self._authority),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"grpc-timeout", b"60S"),
            (b"authorization", f"Bearer {self._token}".encode()),
        )
        block, places = POST + HTTP, []
        for name, value in fields:
            block += b"\x40" + _string(name) + _string(value)
            places.append(self._indexed)
            self._indexed += 1
        # The newest entry has the smallest index; this connection has not more of them than the table holds, and it
        # learns no other method afterwards.
        newest = self._indexed - 1
        indices = [STATIC_ENTRIES + 1 + newest - place for place in places]
        self._methods = {method: POST + HTTP + bytes(0x80 | index for index in indices)}
        return block


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _string(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text


def closed_loop(
    connections: Iterable[Connection], method: str, requests: Iterator[bytes], in_flight: int, seconds: float
) -> tuple[int, float, list[float]]:
    """Keep so many calls under way on each connection for a time; return how many ended, over [s], and each one's [s].

    Raises CallFailed.
    """
    begun_s = time.perf_counter()
    until_s = begun_s + seconds
    times_s: list[float] = []

    def begin(connection: Connection) -> None:
        started_s = time.perf_counter()

        def end() -> None:
            now_s = time.perf_counter()
            times_s.append(now_s - started_s)
            if now_s < until_s:
                begin(connection)

        connection.call(method, next(requests), end)

    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
            for _ in range(in_flight):
                begin(connection)
            connection.send()
        while any(connection.under_way for connection in connections):
            for key, _ in selector.select(10.0) or ():
                key.fileobj.receive()  # type: ignore[union-attr]
                key.fileobj.send()  # type: ignore[union-attr]
            for connection in connections:
                connection.send()
    return len(times_s), time.perf_counter() - begun_s, times_s
