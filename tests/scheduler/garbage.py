"""Requests that nobody should send, made from the contract: what there is to break is read from the descriptors."""

import math
import random
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from palaestra.v1 import rules_pb2
from scheduler.guard import MESSAGE_BYTES_MAX
from tests.scheduler.contract import METHODS

WORDS = ("", "a", "arm", "reach", "sway", "own_arm", "reader", "1", "2026-11", "ab" * 32, "x/one", "r", "127.0.0.1:1",
         "0b5f3d0e-4a4c-4a1e-9d2c-7b9d6a3f2c11", "FREQ=DAILY", "JobService/*")  # fmt: skip
TEXTS = ("\0", "\u202e\U0001f916", "'; DROP TABLE job; --", "../../../etc/passwd", "%s%n", "NaN", "vendors/-",
         "a" * 300, "é" * 100_000)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 7, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 10**12, 2**32 - 1, 2**64 - 1)
REALS = (0.0, -1.0, 0.5, 1e300, -1e-300, math.nan, math.inf, -math.inf)
DEPTH = 4
KEPT = 100
# What is larger gRPC itself sends back, before anybody could tell a reason; a test of its own sends such.
WIRE_MAX = 4 * MESSAGE_BYTES_MAX


@dataclass(frozen=True)
class Request:
    """One call: a method by "Service/Method", what is sent, and as whom. after: sent on the same stream."""

    method: str
    data: bytes
    caller: str
    timeout: bool = True
    after: tuple[bytes, ...] = ()


class Garbage:
    """Makes requests without end, the same for the same seed.

    Args:
        names: Of things that there are, of several vendors; tokens: of pages that others got.
        callers: Who may be named as the caller.
        samples: Of some methods, good requests to begin with.
    """

    def __init__(
        self,
        seed: int,
        names: Sequence[str],
        tokens: Sequence[str],
        callers: Sequence[str],
        samples: Mapping[str, Sequence[bytes]],
    ) -> None:
        self._chance = random.Random(seed)
        self._names = list(names)
        self._tokens = list(tokens)
        self._callers = list(callers)
        self._methods = sorted(METHODS)
        self._samples = dict(samples)
        self._fitting: dict[str, list[str]] = {}
        self._made: dict[str, list[bytes]] = {}
        self._kinds: list[Callable[[str], bytes]] = [
            self._noise, self._truncated, self._flipped, self._flipped, self._wild, self._wild, self._of_another,
            self._deep, self._not_text, self._with_unknown, self._plausible, self._plausible, self._half_wrong,
        ]  # fmt: skip

    def next(self, allowed: Callable[[str], Sequence[str]]) -> Request:
        """Return another request. allowed: callers whose role may call a method; three of four calls are by them."""
        chance = self._chance
        method = chance.choice(self._methods)
        within = allowed(method)
        caller = chance.choice(within) if within and chance.random() < 0.75 else chance.choice(self._callers)
        data = chance.choice(self._kinds)(method)[:WIRE_MAX]
        after: tuple[bytes, ...] = ()
        if METHODS[method].client_streaming:
            after = tuple(chance.choice(self._kinds)(method)[:WIRE_MAX] for _ in range(chance.randrange(4)))
        return Request(method, data, caller, chance.random() < 0.98, after)

    def _noise(self, method: str) -> bytes:
        return self._chance.randbytes(self._chance.choice((0, 1, 7, 60, 300, 20_000)))

    def _plausible(self, method: str) -> bytes:
        """Return a message in which most fields keep their rules: a sample, one from before, or a new one."""
        if method in self._samples and self._chance.random() < 0.5:
            return self._chance.choice(self._samples[method])
        # Making one takes longer than sending it; what is done to it afterwards is another thing each time.
        made = self._made.setdefault(method, [])
        if len(made) < KEPT:
            made.append(self._message(METHODS[method].input_type, DEPTH, wild=0.0).SerializeToString())
            return made[-1]
        return self._chance.choice(made)

    def _wild(self, method: str) -> bytes:
        return self._message(METHODS[method].input_type, DEPTH, wild=0.2).SerializeToString()

    def _truncated(self, method: str) -> bytes:
        data = self._plausible(method)
        return data[: self._chance.randrange(len(data) + 1)]

    def _flipped(self, method: str) -> bytes:
        data = bytearray(self._plausible(method))
        for _ in range(self._chance.randrange(1, 9)):
            if data:
                data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)
        return bytes(data)

    def _of_another(self, method: str) -> bytes:
        return self._plausible(self._chance.choice(self._methods))

    def _deep(self, method: str) -> bytes:
        data = b""
        tag = self._chance.randrange(1, 16) << 3 | 2
        for _ in range(self._chance.choice((20, 99, 101, 130))):
            data = bytes([tag]) + _varint(len(data)) + data
        return data

    def _not_text(self, method: str) -> bytes:
        """Return a message in which some text is no UTF-8."""
        texts = [field for field in METHODS[method].input_type.fields if field.type == FieldDescriptor.TYPE_STRING]
        if not texts:
            return self._noise(method)
        bad = self._chance.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"venues/\xfe"))
        number = self._chance.choice(texts).number
        return self._plausible(method) + _varint(number << 3 | 2) + _varint(len(bad)) + bad

    def _with_unknown(self, method: str) -> bytes:
        number = self._chance.choice((777, 19_000 + 1_000, 2**29 - 1))
        value = struct.pack("<d", 1.5)
        return self._plausible(method) + _varint(number << 3 | 1) + value

    def _half_wrong(self, method: str) -> bytes:
        """Return a message whose repeated parts are good and wild by turns; of a batch, half of the requests."""
        message: Any = self._message(METHODS[method].input_type, DEPTH, wild=0.0)
        for field in METHODS[method].input_type.fields:
            if field.is_repeated and field.message_type is not None and not field.message_type.GetOptions().map_entry:
                for number in range(self._chance.choice((2, 10, 40))):
                    wild = 0.3 if number % 2 else 0.0
                    getattr(message, field.name).append(self._message(field.message_type, DEPTH - 1, wild=wild))
        return bytes(message.SerializeToString())

    def _message(self, descriptor: Descriptor, depth: int, *, wild: float) -> Message:
        chance = self._chance.random
        message = GetMessageClass(descriptor)()
        taken: set[str] = set()
        for form in _forms(descriptor):
            if form.only_told and chance() < 0.9:
                continue
            needed = form.required and chance() >= wild
            if form.oneof in taken or not (needed or chance() < 0.4) or (form.message is not None and not depth):
                continue
            if form.oneof:
                taken.add(form.oneof)
            self._fill(message, form, depth, wild)
        return message

    def _fill(self, message: Any, form: "Form", depth: int, wild: float) -> None:
        if form.map is not None:
            key, value = form.map
            if value.message is None:
                getattr(message, form.name)[self._value(key, wild)] = self._value(value, wild)
        elif form.repeated:
            count = self._chance.choice((1, 2, 3)) if self._chance.random() >= wild else self._chance.choice((0, 70))
            values = getattr(message, form.name)
            for _ in range(count):
                if form.message is not None:
                    values.append(self._message(form.message, depth - 1, wild=wild))
                else:
                    values.append(self._value(form, wild))
        elif form.message is not None:
            part = getattr(message, form.name)
            part.CopyFrom(self._message(form.message, depth - 1, wild=wild))
            part.SetInParent()
        else:
            setattr(message, form.name, self._value(form, wild))

    def _value(self, form: "Form", wild: float) -> Any:
        chance = self._chance
        is_wild = chance.random() < wild
        match form.type:
            case "bytes":
                return chance.randbytes(chance.choice((0, 3, 32)))
            case "text":
                if form.name == "page_token" and not is_wild:
                    return chance.choice(self._tokens)
                return chance.choice(TEXTS) if is_wild else self._text(form.pattern)
            case "bool":
                return chance.random() < 0.3
            case "real":
                return chance.choice(REALS) if is_wild else min(max(1.0, form.least), form.most or 10.0)
            case "enum":
                return chance.choice((-1, 99, 2**31 - 1)) if is_wild else chance.choice(form.known)
            case _:
                if not is_wild:
                    return chance.randint(int(form.least), min(int(form.most) or 20, int(form.least) + 20))
                low, high = form.bounds
                return min(max(chance.choice(NUMBERS), low), high)

    def _text(self, pattern: str) -> str:
        if pattern not in self._fitting:
            found = [text for text in (*self._names, *WORDS) if not pattern or re.fullmatch(pattern, text)]
            self._fitting[pattern] = found or [""]
        return self._chance.choice(self._fitting[pattern])


@dataclass(frozen=True)
class Form:
    """What the contract says of a field."""

    name: str
    type: str
    repeated: bool
    required: bool
    only_told: bool
    oneof: str
    message: Descriptor | None
    map: "tuple[Form, Form] | None"
    pattern: str
    least: float
    most: float
    known: tuple[int, ...]
    bounds: tuple[int, int]


@cache
def _forms(descriptor: Descriptor) -> tuple[Form, ...]:
    return tuple(_form(field) for field in descriptor.fields)


_TYPES = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_DOUBLE: "real",
    FieldDescriptor.CPPTYPE_FLOAT: "real",
    FieldDescriptor.CPPTYPE_ENUM: "enum",
}
_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
}


def _form(field: FieldDescriptor) -> Form:
    options: Any = field.GetOptions()
    marks, rules = options.Extensions[field_behavior_pb2.field_behavior], options.Extensions[rules_pb2.rules]
    part = field.message_type
    is_map = part is not None and part.GetOptions().map_entry
    return Form(
        name=field.name,
        type="bytes" if field.type == FieldDescriptor.TYPE_BYTES else _TYPES.get(field.cpp_type, "whole"),
        repeated=field.is_repeated,
        required=field_behavior_pb2.REQUIRED in marks,
        only_told=field_behavior_pb2.OUTPUT_ONLY in marks,
        oneof=field.containing_oneof.name if field.containing_oneof is not None else "",
        message=part,
        map=(_form(part.fields_by_name["key"]), _form(part.fields_by_name["value"])) if is_map else None,
        pattern=rules.pattern,
        least=rules.min,
        most=rules.max,
        known=tuple(value.number for value in field.enum_type.values) if field.enum_type is not None else (),
        bounds=_BOUNDS.get(field.cpp_type, (0, 2**64 - 1)),
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
