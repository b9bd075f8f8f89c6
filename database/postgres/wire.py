"""One connection to PostgreSQL over libpq, in its pipeline mode: statements go out at once, answers are fetched late.

A statement whose rows nobody waits for costs no round trip of its own; its error comes with the next answer that is
waited for, at the latest with the savepoint's or the transaction's end. psycopg brings libpq and reads rows in C; its
cursors are left out, since they cost more than the server does ([figures](../../docs/postgres.md#why-this-driver)).
"""

import select
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap, Loader, Transformer
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from database.sql import Failed

_int8 = struct.Struct("!q").pack
_float8 = struct.Struct("!d").pack
_INT8, _TEXT, _BYTEA, _FLOAT8, _NUMERIC = 20, 25, 17, 701, 1700
_GOOD = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
# So many statements go out before one answer is read: what those answer fits into a socket's buffer many times over, so
# that neither side waits for the other to read.
_AHEAD_MAX = 256
# So many statements are kept prepared by a session; whoever can make up conditions must not fill the server's memory.
_PREPARED_MAX = 1024


# A machine that is gone without a word, by a power cut or a cut cable, must be noticed. By default the kernel takes
# a quarter of an hour, or two hours where nothing is under way; event loop and writer stand still meanwhile.
_LIMITS = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class _Number(Loader):
    """Sums and means of whole numbers are decimals in PostgreSQL; here an int, or a float if it has a point."""

    format = pq.Format.BINARY

    def load(self, data: Any) -> int | float:
        count, weight, sign, scale = struct.unpack_from("!HhHH", data)
        digits = struct.unpack_from(f"!{count}H", data, 8)
        value = 0
        for digit in digits:
            value = value * 10_000 + digit
        shift = 4 * (weight - count + 1)
        signed = -value if sign == 0x4000 else value
        whole: int = 10 ** abs(shift)
        if scale == 0:
            return signed * whole
        return float(signed * whole) if shift >= 0 else signed / whole


_adapters = AdaptersMap(psycopg.adapters)
_adapters.register_loader(_NUMERIC, _Number)
_context = SimpleNamespace(adapters=_adapters, connection=None)


class Answer:
    """What one statement answered; empty until it has been waited for."""

    __slots__ = ("_wire", "columns", "done", "rowcount", "rows", "status")

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire
        self.done = False
        self.rowcount = -1
        self.status = b""
        self.columns: tuple[str, ...] = ()
        self.rows: list[Any] = []

    def wait(self) -> None:
        """Make sure that it has been carried out. Raises Failed if it, or one before it, was not."""
        if not self.done:
            self._wire.wait()


class Wire:
    """Sends statements and reads what they answer. One thread at a time.

    Args:
        conninfo: What libpq connects by: "postgresql://..." or "key=value ...".
        make_row: Returns what makes a row of a tuple of values, given the columns' names.
        yields: Whether other threads run while an answer is waited for, which psycopg's `get_result` does not let them.
            It costs a system call and their turn, so that it is for whoever is in no hurry.

    Raises Failed if there is no connection to be had.
    """

    def __init__(
        self,
        conninfo: str,
        make_row: Callable[[tuple[str, ...]], Callable[[Sequence[Any]], Any]],
        *,
        yields: bool = False,
    ) -> None:
        self._make_row = make_row
        self._yields = yields
        self._pg = pq.PGconn.connect(limited(conninfo).encode())
        if self._pg.status != pq.ConnStatus.OK:
            message = self._pg.get_error_message().strip()
            self._pg.finish()
            raise Failed("08001", message)
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        # Never given twice: a name stays taken even where nobody knows it any more.
        self._names = 0
        self._shapes: dict[bytes, tuple[tuple[str, ...], Callable[[Sequence[Any]], Any]]] = {}
        # Statements on their way, each with the name under which its rows are known, None for one that prepares.
        self._waiting: deque[tuple[Answer | None, bytes]] = deque()
        self._pg.enter_pipeline_mode()
        self.script("SET client_encoding TO 'UTF8'")

    @property
    def process_id(self) -> int:
        """Return the process id of the server's side."""
        return self._pg.backend_pid

    def send(self, text: str, values: Sequence[Any] = ()) -> Answer:
        """Send a statement, prepared at its first use; its answer is read later."""
        if len(self._waiting) >= _AHEAD_MAX:
            self.wait()
        types, data, formats = [], [], []
        for value in values:
            oid, encoded, encoding = _encoded(value)
            types.append(oid)
            data.append(encoded)
            formats.append(encoding)
        key = text, tuple(types)
        name = self._prepared.get(key)
        if name is None and len(self._prepared) >= _PREPARED_MAX:
            self.script("DEALLOCATE ALL")
            self._prepared.clear()
            self._shapes.clear()
        answer = Answer(self)
        try:
            if name is None:
                self._names += 1
                name = b"s%d" % self._names
                self._pg.send_prepare(name, text.encode(), types)
                self._waiting.append((None, name))
                self._prepared[key] = name
            self._pg.send_query_prepared(name, data, formats, pq.Format.BINARY)
        except psycopg.Error as error:
            raise self._lost(error) from None
        self._waiting.append((answer, name))
        return answer

    def run(self, text: str, values: Sequence[Any] = ()) -> Answer:
        """Send a statement and wait for its answer. Raises Failed."""
        answer = self.send(text, values)
        self.wait()
        return answer

    def script(self, text: str) -> None:
        """Run several statements without parameters, in one transaction unless they begin one. Raises Failed."""
        self.wait()
        self._pg.exit_pipeline_mode()
        try:
            result = self._pg.exec_(text.encode())
            if result.status not in _GOOD:
                raise _failed(result)
        except psycopg.Error as error:
            raise self._lost(error) from None
        finally:
            if self._pg.status == pq.ConnStatus.OK:
                self._pg.enter_pipeline_mode()

    def copy(self, text: str, blocks: Iterable[bytes]) -> int:
        """Run a COPY ... FROM STDIN and return how many rows it stored. Raises Failed."""
        self.wait()
        self._pg.exit_pipeline_mode()
        try:
            result = self._pg.exec_(text.encode())
            if result.status != pq.ExecStatus.COPY_IN:
                raise _failed(result)
            try:
                for block in blocks:
                    self._pg.put_copy_data(block)
            except BaseException:
                self._pg.put_copy_end(b"the sender gave up")
                while self._pg.get_result() is not None:
                    pass
                raise
            self._pg.put_copy_end()
            ended = self._pg.get_result()
            if ended is None:
                raise Failed("08006", "the server gave no answer to a copy")
            while self._pg.get_result() is not None:
                pass
            if ended.status not in _GOOD:
                raise _failed(ended)
            return ended.command_tuples or 0
        except psycopg.Error as error:
            raise self._lost(error) from None
        finally:
            if self._pg.status == pq.ConnStatus.OK:
                self._pg.enter_pipeline_mode()

    def wait(self) -> None:
        """Read every answer that is on its way. Raises Failed for the first statement that failed."""
        if not self._waiting:
            return
        error: Failed | None = None
        try:
            self._pg.pipeline_sync()
            while True:
                if self._yields:
                    self._let_others_run()
                result = self._pg.get_result()
                if result is None:
                    # Between the answers of two statements; or for ever, from a server that is gone.
                    if self.is_lost:
                        raise error or Failed("08006", self._pg.get_error_message().strip())
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    break
                if not self._waiting:
                    # The server ends the session, and says why.
                    raise _failed(result)
                answer, name = self._waiting.popleft()
                if result.status in _GOOD:
                    if answer is not None:
                        self._read(answer, name, result)
                else:
                    if answer is None:
                        # It was not prepared.
                        self._prepared = {key: known for key, known in self._prepared.items() if known != name}
                    if result.status != pq.ExecStatus.PIPELINE_ABORTED and error is None:
                        error = _failed(result)
        except psycopg.Error as lost:
            raise self._lost(error or lost) from None
        finally:
            self._waiting.clear()
        if error is not None:
            raise error

    def _let_others_run(self) -> None:
        """Wait until there is something to read. A descriptor of any number, so no `select`."""
        while self._pg.is_busy():
            waiting = select.poll()
            waiting.register(self._pg.socket, select.POLLIN)
            waiting.poll()
            self._pg.consume_input()

    @property
    def is_lost(self) -> bool:
        return bool(self._pg.status != pq.ConnStatus.OK)

    def close(self) -> None:
        """End the connection; what was not committed is undone by the server."""
        self._pg.finish()

    def _read(self, answer: Answer, name: bytes, result: Any) -> None:
        answer.done = True
        answer.status = result.command_status or b""
        if result.status == pq.ExecStatus.TUPLES_OK:
            shape = self._shapes.get(name)
            if shape is None:
                columns = tuple(result.fname(n).decode() for n in range(result.nfields))
                shape = self._shapes[name] = columns, self._make_row(columns)
            answer.columns = shape[0]
            if result.ntuples:
                transformer = Transformer(_context)
                transformer.set_pgresult(result, set_loaders=True, format=pq.Format.BINARY)
                answer.rows = transformer.load_rows(0, result.ntuples, shape[1])
        answer.rowcount = result.command_tuples if result.command_tuples is not None else -1

    def _lost(self, error: Exception) -> Failed:
        self._waiting.clear()
        if isinstance(error, Failed):
            return error
        return Failed("08006" if self.is_lost else "", str(error).strip() or "the connection is lost")


def limited(conninfo: str) -> str:
    """Return what libpq connects by with `_LIMITS` for what it says nothing of."""
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # libpq tells what is wrong with it.
        return conninfo
    return make_conninfo(conninfo, **{name: limit for name, limit in _LIMITS.items() if name not in given})


def _encoded(value: Any) -> tuple[int, bytes | None, int]:
    """Return a value's type, bytes and encoding (0: text, 1: binary)."""
    if isinstance(value, str):
        # A text ends at its first zero byte for libpq, which would leave out the rest without a word.
        return _TEXT, value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(), 0
    if isinstance(value, int):
        return _INT8, _int8(value), 1
    if value is None:
        return 0, None, 0
    if isinstance(value, bytes):
        return _BYTEA, value, 1
    if isinstance(value, float):
        return _FLOAT8, _float8(value), 1
    raise TypeError(f"{type(value).__name__} is no type of the database: {value!r}")


def _failed(result: Any) -> Failed:
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
    detail = result.error_field(pq.DiagnosticField.MESSAGE_DETAIL)
    return Failed(_text(state) or "08006", _text(message) + (f" ({_text(detail)})" if detail else ""))


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace").strip()
