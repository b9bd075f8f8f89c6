"""A moment of deciding as bytes, and its token: with both, any decision can be made again and compared.

Canonical: equal states have equal bytes, and the bytes give the state back. The token is the SHA-256 of the bytes. The
fields of the contract (`state.py`) go by place, so bytes carry a digest of its classes and their fields, and those of
another version of the scheduler, which might decide otherwise anyway, are refused.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from scheduler.state import Claim, Config, Decisions, State

# The value, and where its claims are told.
Encode = Callable[[Any, "_Claims"], Any]
Decode = Callable[[Any], Any]
_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)
# Parts of packed changes; a whole state has fewer.
CHANGES_PARTS = 6


class BadBytes(Exception):
    """Bytes that are no state of this version of the scheduler."""


# Parts of a state in which no claim is told, so that each thing of them has one text wherever it stands.
CLAIMLESS = ("units", "slots", "cells", "vendors", "leases")
Texts = Mapping[str, Mapping[Any, str]]


def text_of(field: str, thing: Any) -> str:
    """Return how a thing is told in packed bytes. field: One of CLAIMLESS."""
    (kind, _) = get_args(_hints(State)[field])
    return _json(_encoder(kind)(thing, _NO_CLAIMS))


def pack(state: State, config: Config, texts: Texts | None = None) -> bytes:
    """Return what was decided on as bytes.

    texts: How all things of some fields are told, in their order, from `text_of`: the bytes are the same, and sooner
    there.
    """
    claims, texts = _Claims(), texts or {}
    told = []
    for field in fields(State):
        if field.name in texts:
            told.append(f"[{','.join(texts[field.name].values())}]")
        else:
            told.append(_json(_encoder(_hints(State)[field.name])(getattr(state, field.name), claims)))
    after = _json(_encoder(Config)(config, claims))
    return f"[{_json(_shape())},{_json(claims.rows)},[{','.join(told)}],{after}]".encode()


def unpack(data: bytes) -> tuple[State, Config]:
    """Return what was packed. Raises BadBytes."""
    try:
        shape, rows, state, config = json.loads(data)
        if shape != _shape():
            raise BadBytes("written by another version of the scheduler")
        claims = _claims(rows)
        return _decoder(State, claims)(state), _decoder(Config, claims)(config)
    except (ValueError, TypeError, LookupError, UnicodeDecodeError) as error:
        raise BadBytes(f"no state: {error}") from error


# The parts of a state that are told by name, and the field that names each.
NAMED = {"units": "unit", "slots": "slot", "cells": "cell", "vendors": "vendor", "jobs": "job", "leases": "lease"}
Changed = Mapping[str, Mapping[Any, Any]]


def pack_changes(
    previous: str, changed: Changed, others: Mapping[str, Any], config: Config, texts: Texts | None = None
) -> bytes:
    """Return what was decided on as bytes, told by how it differs from what the decision `previous` was made on.

    previous: A token; that of what is returned therefore stands for all that it builds on. changed: By field of the
    state and by name, None for what is gone. others: Fields that are told whole, at least the time. texts: How the
    things of some fields are told, as for `pack`.
    """
    claims, known = _Claims(), texts or {}
    named = []
    for field, things in changed.items():
        if field in known:
            of_field = known[field]
            told = [f"[{_json(name)},{of_field.get(name, 'null')}]" for name in sorted(things)]
        else:
            (kind, _) = get_args(_hints(State)[field])
            encode = _encoder(kind)
            rows = [[name, None if thing is None else encode(thing, claims)] for name, thing in sorted(things.items())]
            told = [_json(row) for row in rows]
        named.append(f"{_json(field)}:[{','.join(told)}]")
    whole = _json({field: _encoder(_hints(State)[field])(value, claims) for field, value in sorted(others.items())})
    after = _json(_encoder(Config)(config, claims))
    head = f"{_json(_shape())},{_json(previous)},{_json(claims.rows)}"
    return f"[{head},{{{','.join(named)}}},{whole},{after}]".encode()


def previous_of(data: bytes) -> str | None:
    """Return the token of what packed changes build on, None for a whole state. Raises BadBytes."""
    try:
        told = json.loads(data)
        return str(told[1]) if len(told) == CHANGES_PARTS else None
    except (ValueError, TypeError, LookupError) as error:
        raise BadBytes(f"no state: {error}") from error


def unpack_changes(whole: bytes, changes: Iterable[bytes]) -> tuple[State, Config]:
    """Return what was packed as a whole state and changes of it, in order. Raises BadBytes."""
    state, config = unpack(whole)
    named = {field: {getattr(thing, key): thing for thing in getattr(state, field)} for field, key in NAMED.items()}
    others: dict[str, Any] = {}
    try:
        for data in changes:
            shape, _, rows, told, fields, config_told = json.loads(data)
            if shape != _shape():
                raise BadBytes("written by another version of the scheduler")
            claims = _claims(rows)
            for field, things in told.items():
                (kind, _) = get_args(_hints(State)[field])
                decode = _decoder(kind, claims)
                for name, thing in things:
                    if thing is None:
                        # Perhaps it had come since, too.
                        named[field].pop(name, None)
                    else:
                        named[field][name] = decode(thing)
            others |= {field: _decoder(_hints(State)[field], claims)(value) for field, value in fields.items()}
            config = _decoder(Config, claims)(config_told)
    except (ValueError, TypeError, LookupError, UnicodeDecodeError) as error:
        raise BadBytes(f"no changes of a state: {error}") from error
    others |= {field: tuple(things.values()) for field, things in named.items()}
    return replace(state, **others), config


def token_of(data: bytes) -> str:
    """Return the token of packed bytes: 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def pack_decisions(decisions: Decisions) -> bytes:
    """Return decisions as bytes: equal ones, and only those, have equal bytes."""
    return _dump(_encoder(Decisions)(decisions, _Claims()))


def _claims(rows: list[Any]) -> list[Claim]:
    claims: list[Claim] = []
    for row in rows:
        claims.append(_decoder(Claim, claims, root=True)(row))
    return claims


class _Claims:
    """The distinct claims of a state, told once: alternatives before the claim that has them."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._places: dict[Claim, int] = {}
        # Many jobs share one object, and that is quicker to see than that two are equal.
        self._of_object: dict[int, int] = {}

    def place(self, claim: Claim) -> int:
        found = self._of_object.get(id(claim))
        if found is None:
            found = self._places.get(claim)
            if found is None:
                row = _encoder(Claim, root=True)(claim, self)
                found = self._places[claim] = len(self.rows)
                self.rows.append(row)
            self._of_object[id(claim)] = found
        return found


_NO_CLAIMS = _Claims()
_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


def _dump(told: Any) -> bytes:
    return _json(told).encode()


@cache
def _shape() -> str:
    """Return a digest of the contract: every class that a state reaches, its fields and their defaults."""
    seen: dict[str, list[str]] = {}

    def look(kind: Any) -> None:
        for part in get_args(kind):
            look(part)
        if isinstance(kind, type) and issubclass(kind, Enum):
            seen[kind.__name__] = [repr(member.value) for member in kind]
        elif is_dataclass(kind) and kind.__name__ not in seen:  # type: ignore[union-attr]
            hints = _hints(kind)
            names = [(field.name, hints[field.name], field.default) for field in fields(kind)]
            seen[kind.__name__] = [  # type: ignore[union-attr]
                f"{name}:{hint!r}={'' if default is MISSING else repr(default)}" for name, hint, default in names
            ]
            for _, hint, _ in names:
                look(hint)

    for kind in (State, Config, Decisions):
        look(kind)
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:16]


@cache
def _encoder(kind: Any, *, root: bool = False) -> Encode:
    """Return what turns a value of this type into JSON's types. root: a claim itself, not its place among all."""
    if kind is Claim and not root:
        return lambda value, claims: claims.place(value)
    if is_dataclass(kind):
        hints = _hints(kind)
        names = [field.name for field in fields(kind)]
        get = attrgetter(*names)
        # Most fields are JSON's own types: only the others are touched one by one.
        special = [(n, encode) for n, name in enumerate(names) if (encode := _encoder(hints[name])) is not _as_it_is]

        def rows(value: Any, claims: _Claims) -> list[Any]:
            row = list(get(value)) if len(names) > 1 else [get(value)]
            for n, encode in special:
                row[n] = encode(row[n], claims)
            return row

        return rows
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (inner,) = (_encoder(part) for part in parts if part is not type(None))
        return inner if inner is _as_it_is else lambda value, claims: None if value is None else inner(value, claims)
    if origin is tuple:
        inners = [_encoder(part) for part in parts if part is not Ellipsis]
        if all(inner is _as_it_is for inner in inners):
            return _as_it_is
        if parts[-1] is Ellipsis:
            return lambda value, claims: [inners[0](item, claims) for item in value]
        return lambda value, claims: [inner(item, claims) for inner, item in zip(inners, value, strict=True)]
    if origin is frozenset:
        return lambda value, claims: sorted(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda value, claims: sorted(value.items())
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value, claims: value.value
    if kind is float:
        # Equal numbers, equal bytes: 60 and 60.0 are the same length of time, 0.0 and -0.0 the same share.
        return lambda value, claims: float(value) + 0.0
    if kind in (int, str, bool):
        return _as_it_is
    raise TypeError(f"{kind} has no bytes")


def _decoder(kind: Any, claims: list[Claim], *, root: bool = False) -> Decode:
    if kind is Claim and not root:
        return claims.__getitem__
    if is_dataclass(kind):
        hints = _hints(kind)
        decoders = [_decoder(hints[field.name], claims) for field in fields(kind)]
        make: Any = kind
        return lambda row: make(*(decode(part) for decode, part in zip(decoders, row, strict=True)))
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (inner,) = (_decoder(part, claims) for part in parts if part is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        inners = [_decoder(part, claims) for part in parts if part is not Ellipsis]
        if parts[-1] is Ellipsis:
            return lambda value: tuple(inners[0](item) for item in value)
        return lambda value: tuple(inner(item) for inner, item in zip(inners, value, strict=True))
    if origin is frozenset:
        return frozenset
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _exactly(kind)


def _exactly(kind: type) -> Decode:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}")
        if value != value:
            raise ValueError("not a number")
        return value

    return check


def _as_it_is(value: Any, claims: _Claims) -> Any:
    """Return what JSON takes as it is."""
    return value
