"""A connection to PostgreSQL that fits `database.sql.Connection`."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from database.postgres.dialect import Statement, Translator
from database.postgres.wire import Answer, Wire
from database.sql import Failed

# What vendors' calls read as, see `vendors.py`.
ROLE = "palaestra_vendor"


class Row(tuple[Any, ...]):
    """One row, by column name or number; each statement's rows have a class of their own."""

    __slots__ = ()
    places: Mapping[str, int] = {}

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self.places[key] if isinstance(key, str) else key)

    def keys(self) -> Iterable[str]:
        """Return the columns' names in order."""
        return list(self.places)


def make_row(columns: tuple[str, ...]) -> Callable[[Sequence[Any]], Row]:
    """Return the class of rows with these columns; of like names the first counts."""
    places: dict[str, int] = {}
    for place, column in enumerate(columns):
        places.setdefault(column, place)
    return type("Row", (Row,), {"__slots__": (), "places": places})


class Cursor:
    """The result of one statement, which may still be on its way: asking for anything waits for it."""

    __slots__ = ("_answer", "_at", "_lastrowid")

    def __init__(self, answer: Answer, lastrowid: int | None = None) -> None:
        self._answer = answer
        self._lastrowid = lastrowid
        self._at = 0

    @property
    def rowcount(self) -> int:
        self._answer.wait()
        return self._answer.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._lastrowid

    @property
    def description(self) -> list[tuple[str, ...]]:
        """Return a tuple for each column that begins with its name."""
        self._answer.wait()
        return [(column,) for column in self._answer.columns]

    def fetchone(self) -> Any:
        self._answer.wait()
        if self._at >= len(self._answer.rows):
            return None
        self._at += 1
        return self._answer.rows[self._at - 1]

    def fetchall(self) -> list[Any]:
        self._answer.wait()
        at, self._at = self._at, len(self._answer.rows)
        return self._answer.rows[at:] if at else self._answer.rows

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row


class Connection:
    """See `database.sql.Connection`.

    Rows of tables in `counted` get numbers here, one more than the last, and a number that a roll-back takes away is
    given again: there is one writer, and it leaves the same numbers as SQLite.

    Args:
        conninfo: What libpq connects by.
        counted: By table, the column that numbers its rows.
        remembered: Of these, the tables none of whose numbers may come twice.
        read_only: Whether nothing may be written. Then a connection that is lost outside of a transaction is made anew.
        vendor: Says for whom a statement, or what begins a transaction, reads: that vendor's rows only; None: all.
        settings: Statements in PostgreSQL's own words that each new session begins with.
        yields: See `Wire`.
        alone: Whether nobody else writes. Else the last numbers are looked up in each transaction.
    """

    def __init__(
        self, conninfo: str, counted: Mapping[str, str], remembered: Iterable[str] = (), *, read_only: bool = False,
        vendor: Callable[[], str | None] = lambda: None, settings: str = "", alone: bool = True,
        yields: bool = False,
    ) -> None:  # fmt: skip
        self._conninfo = conninfo
        self._counted = counted
        self._remembered = frozenset(remembered)
        self._translator = Translator(counted)
        self._read_only = read_only
        self._vendor = vendor
        self._settings = settings
        self._yields = yields
        self._alone_writes = alone
        self._last: dict[str, int] = {}
        # What `_last` was when each savepoint was made, the transaction's beginning first.
        self._before: list[tuple[str, dict[str, int]]] = []
        self.wire = self._connect()

    @property
    def in_transaction(self) -> bool:
        return bool(self._before)

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> Cursor:
        statement = self._translator.translate(sql)
        control = _CONTROL.get(statement.verb)
        if control is not None:
            return Cursor(control(self, statement))
        return self._execute(statement, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any] | Mapping[str, Any]], /) -> Cursor:
        statement = self._translator.translate(sql)
        cursor = None
        for each in parameters:
            cursor = self._execute(statement, each)
        return cursor or Cursor(_nothing(self.wire))

    def script(self, text: str) -> None:
        """Run statements in PostgreSQL's own words."""
        self.wire.script(text)
        self._last.clear()

    def close(self) -> None:
        self.wire.close()

    def _connect(self) -> Wire:
        wire = Wire(self._conninfo, make_row, yields=self._yields)
        try:
            if self._read_only:
                wire.script("SET default_transaction_read_only TO on")
            if self._settings:
                wire.script(self._settings)
        except BaseException:
            wire.close()
            raise
        return wire

    def revive(self) -> None:
        """Connect anew if the connection is lost; whatever it was about was undone. Raises Failed."""
        if self.wire.is_lost:
            self.wire.close()
            self._before.clear()
            self._last.clear()
            self.wire = self._connect()

    def _execute(self, statement: Statement, parameters: Sequence[Any] | Mapping[str, Any]) -> Cursor:
        values = _in_order(statement, parameters)
        lastrowid = None
        if statement.counts:
            given = [self._next(statement.counts) for _ in range(statement.rows)]
            lastrowid, values = given[-1], (*given, *values)
        if statement.numbers:
            self._last.pop(statement.numbers, None)
        if self._before:
            answer = self.wire.send(statement.text, values)
            if statement.has_rows:
                self.wire.wait()
        else:
            answer = self._alone(statement, values)
        return Cursor(answer, lastrowid)

    def _alone(self, statement: Statement, values: Sequence[Any]) -> Answer:
        """Run a statement that is a transaction by itself."""
        try:
            return self._run(statement, values)
        except Failed:
            if not (self._read_only and self.wire.is_lost):
                raise
        # Reading twice changes nothing; the server may have been started anew meanwhile.
        self.wire.close()
        self.wire = self._connect()
        return self._run(statement, values)

    def _run(self, statement: Statement, values: Sequence[Any]) -> Answer:
        vendor = self._vendor()
        begins = statement.verb == "BEGIN"
        if vendor is None and not begins:
            return self.wire.run(statement.text, values)
        try:
            # All in one round trip.
            answer = self.wire.send(statement.text if begins else "BEGIN")
            self._read_for(vendor)
            if not begins:
                answer = self.wire.send(statement.text, values)
                self.wire.send("COMMIT")
            self.wire.wait()
        except BaseException:
            # Whatever it was, also a value that has no bytes: the next one must not read as this vendor.
            with contextlib.suppress(Failed):
                self.wire.wait()
            with contextlib.suppress(Failed):
                self.wire.run("ROLLBACK")
            raise
        return answer

    def _read_for(self, vendor: str | None) -> None:
        """See a vendor's rows only until the transaction ends."""
        if vendor is not None:
            self.wire.send(f"SET LOCAL ROLE {ROLE}")
            self.wire.send("SELECT set_config('app.vendor', $1, true)", (vendor,))

    def _next(self, table: str) -> int:
        """Return the number of the next row of a table."""
        if table not in self._last:
            column = self._counted[table]
            query = f"SELECT coalesce(max({column}), 0) FROM {table}"
            if table in self._remembered:
                query = f"SELECT greatest(({query}), (SELECT last FROM numbered WHERE name = '{table}'))"
            answer = self.wire.run(query)
            self._last[table] = answer.rows[0][0]
        self._last[table] += 1
        return self._last[table]

    def _begin(self, statement: Statement) -> Answer:
        if not self._alone_writes:
            self._last.clear()
        if not self._read_only:
            answer = self.wire.send(statement.text)
        else:
            # At once and not with the first read, so that a connection that is lost is made anew.
            answer = self._alone(Statement("BEGIN ISOLATION LEVEL REPEATABLE READ", (), False, "BEGIN"), ())
        self._before.append(("", dict(self._last)))
        return answer

    def _commit(self, statement: Statement) -> Answer:
        answer = self.wire.run("COMMIT")
        if answer.status != b"COMMIT":
            raise Failed("25P02", "the transaction had failed and was rolled back")
        self._before.clear()
        return answer

    def _savepoint(self, statement: Statement) -> Answer:
        self._before.append((statement.text.split()[1], dict(self._last)))
        return self.wire.send(statement.text)

    def _release(self, statement: Statement) -> Answer:
        """Everything since the savepoint has been carried out when this returns, so that no error comes later."""
        answer = self.wire.run(statement.text)
        self._after(statement.text.split()[-1])
        self._before.pop()
        return answer

    def _rollback(self, statement: Statement) -> Answer:
        words = statement.text.split()
        # What is still on its way is undone with the rest, and so is its error.
        with contextlib.suppress(Failed):
            self.wire.wait()
        answer = self.wire.run(statement.text)
        if len(words) == 1:
            self._last = self._before[0][1] if self._before else {}
            self._before.clear()
        else:
            self._last = dict(self._after(words[-1]))
        return answer

    def _after(self, name: str) -> dict[str, int]:
        """Forget the savepoints made after the named one; return what the numbers were when that was made."""
        while self._before[-1][0] != name:
            self._before.pop()
        return self._before[-1][1]


_CONTROL: Mapping[str, Callable[[Connection, Statement], Answer]] = {
    "BEGIN": Connection._begin,
    "COMMIT": Connection._commit,
    "SAVEPOINT": Connection._savepoint,
    "RELEASE": Connection._release,
    "ROLLBACK": Connection._rollback,
}


def _in_order(statement: Statement, parameters: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any]:
    if isinstance(parameters, Mapping):
        return [parameters[name] for name in statement.names]
    return parameters


def _nothing(wire: Wire) -> Answer:
    answer = Answer(wire)
    answer.done, answer.rowcount = True, 0
    return answer
