"""Checks messages against the rules that stand beside their fields in the contract.

One walk for all messages: `check(message)` raises INVALID_FIELD with the path of the field and the rule it
breaks. Servers call it in one interceptor before any handler; the SDK calls it before it sends.
"""

import math
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

from google.api import field_behavior_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from palaestra.errors import PalaestraError
from palaestra.v1 import rules_pb2

Check = Callable[[Any], str | None]
# Messages that break no rule, of the kinds that are remembered.
REMEMBERED_MAX = 4096
REMEMBERED_BYTES_MAX = 1024
_fine: set[bytes] = set()
_DURATION = "google.protobuf.Duration"
_TIMESTAMP = "google.protobuf.Timestamp"
_NANOS_MAX = 999_999_999
# Times are kept as whole nanoseconds since 1970 in 64 bits, which end in the year 2262.
_TIME_MAX_S = (2**63 - 1) // 1_000_000_000 - 1


def check(message: Message) -> None:
    """Raise PalaestraError INVALID_FIELD if a field of the message, at any depth, breaks its rule."""
    # Nearly all messages break none, and which rule it is that one breaks takes longer to find.
    if _is_fine(message):
        return
    for path, problem in violations(message):
        raise PalaestraError("INVALID_FIELD", f"{path}: {problem}", metadata={"field": path, "rule": problem})


def tester(field: FieldDescriptor) -> Callable[[Any], bool]:
    """Return what tells whether a value breaks no rule of a field. Raises KeyError for one that has none."""
    tests, _ = _quick_plan(field.containing_type)
    return tests[field.number][0]


def violations(message: Message, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, problem) for every broken rule, in field order."""
    present = {field.number for field, _ in message.ListFields()}
    for field, whole_checks, item_checks, may_be_absent in _plan(message.DESCRIPTOR):
        if may_be_absent and field.number not in present:
            continue
        path = f"{prefix}{field.name}"
        value = getattr(message, field.name)
        repeated = field.is_repeated
        if field.message_type is not None and not repeated and not message.HasField(field.name):
            if _required(field):
                yield path, "is required"
            continue
        for test in whole_checks:
            problem = test(value)
            if problem:
                yield path, problem
        for where, item in _items(field, value, path):
            for test in item_checks:
                problem = test(item)
                if problem:
                    yield where, problem
            if isinstance(item, Message) and item.DESCRIPTOR.full_name.startswith("palaestra."):
                yield from violations(item, f"{where}.")


def _is_fine(message: Message) -> bool:
    """Whether no rule is broken: the same walk as that of `violations`, of the fields alone that are set."""
    tests, needed = _quick_plan(message.DESCRIPTOR)
    for field, value in message.ListFields():
        found = tests.get(field.number)
        if found is not None:
            test, counts = found
            if not test(value):
                return False
            needed -= counts
    return needed == 0


def _is_known(message: Message, key: Callable[[Any], bytes]) -> bool:
    """The same of a message of which many are alike: by its bytes it is known again faster than it is read."""
    data = key(message)
    if data in _fine:
        return True
    if not _is_fine(message):
        return False
    if len(data) <= REMEMBERED_BYTES_MAX:
        # Threads may be here together; then one more or less is kept.
        if len(_fine) >= REMEMBERED_MAX:
            _fine.clear()
        _fine.add(data)
    return True


def _of_claim(claim: Message) -> bytes:
    return claim.SerializeToString(deterministic=True)


def _of_job(job: Any) -> bytes:
    """Return the bytes of a job but for the seed of its work, which has no rule and differs from job to job."""
    kind = job.WhichOneof("work")
    if kind is not None and kind != "check":
        # A copy: the job is the caller's, and another thread may look at it.
        copy = type(job)()
        copy.CopyFrom(job)
        getattr(copy, kind).ClearField("seed")
        job = copy
    # Begins as no message does, so that it is no claim's. Labels may come in another order: then it is not known.
    data: bytes = b"\0" + job.SerializeToString()
    return data


# By what those of a kind are known again: what the rules say of two with the same is the same.
_REMEMBERED: dict[str, Callable[[Any], bytes]] = {"palaestra.v1.Claim": _of_claim, "palaestra.v1.Job": _of_job}


@cache
def _quick_plan(descriptor: Descriptor) -> tuple[dict[int, tuple[Callable[[Any], bool], bool]], int]:
    """Return by number the test of each field worth visiting and whether it must be set; and how many must be."""
    tests = {}
    for field, whole, each, may_be_absent in _plan(descriptor):
        tests[field.number] = _test(field, whole, each), not may_be_absent
    return tests, sum(must for _, must in tests.values())


def _test(field: FieldDescriptor, whole: list[Check], each: list[Check]) -> Callable[[Any], bool]:
    """Return what tells whether the value of a field that is set, of any kind, breaks no rule."""
    of_map, inner = _is_map(field), field.message_type
    if of_map and inner is not None:
        inner = inner.fields_by_name["value"].message_type
    walk: Callable[[Any], bool] | None = None
    if inner is not None and inner.full_name.startswith("palaestra."):
        key = _REMEMBERED.get(inner.full_name)
        walk = _is_fine if key is None else partial(_is_known, key=key)
    item = _passes(each, walk)
    if not field.is_repeated:
        return _passes([*whole, *each], walk)
    of_whole = _passes(whole, None)
    if of_map:
        return lambda value: of_whole(value) and all(map(item, value.values()))
    return lambda value: of_whole(value) and all(map(item, value))


def _passes(checks: list[Check], more: Callable[[Any], bool] | None) -> Callable[[Any], bool]:
    """Return what tells whether a value passes all checks: without a loop where there are few, as there mostly are."""
    if not checks:
        return more or (lambda value: True)
    first, *others = checks
    if not others:
        return (lambda value: not first(value) and more(value)) if more else (lambda value: not first(value))
    rest = _passes(others, more)
    return lambda value: not first(value) and rest(value)


def _items(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not field.is_repeated:
        yield path, value
    elif _is_map(field):
        for key in value:
            yield f"{path}[{key!r}]", value[key]
    else:
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item


@cache
def _plan(descriptor: Descriptor) -> list[tuple[FieldDescriptor, list[Check], list[Check], bool]]:
    """Return the fields worth visiting.

    Each with checks of the whole value and of every item, and whether its default breaks none of them: most fields
    of most messages are not set, and need no look then.
    """
    plan = []
    for field in descriptor.fields:
        options: Any = field.GetOptions()
        rules = options.Extensions[rules_pb2.rules] if options.HasExtension(rules_pb2.rules) else None
        if _output_only(field):
            continue
        whole: list[Check] = []
        each: list[Check] = []
        if _required(field) and (field.message_type is None or field.is_repeated):
            whole.append(lambda value: None if value else "is required")
        if field.message_type is not None:
            each += _TIMES.get(field.message_type.full_name, [])
        if rules is not None:
            whole += _count_checks(rules)
            each += _value_checks(field, rules)
        nested = field.message_type is not None
        if whole or each or nested:
            plan.append((field, whole, each, _default_is_fine(field, whole, each)))
    return plan


def _default_is_fine(field: FieldDescriptor, whole: list[Check], each: list[Check]) -> bool:
    if field.is_repeated:
        return not any(test([]) for test in whole)
    if field.message_type is not None:
        return not _required(field)
    return not any(test(field.default_value) for test in [*whole, *each])


def _count_checks(rules: rules_pb2.Rules) -> list[Check]:
    checks: list[Check] = []
    if rules.HasField("min_items"):
        checks.append(lambda v: None if len(v) >= rules.min_items else f"needs {rules.min_items} items or more")
    if rules.HasField("max_items"):
        checks.append(lambda v: None if len(v) <= rules.max_items else f"has {len(v)} items, at most {rules.max_items}")
    return checks


def _value_checks(field: FieldDescriptor, rules: rules_pb2.Rules) -> list[Check]:
    checks: list[Check] = []
    if rules.HasField("min_len"):
        checks.append(lambda v: None if len(v) >= rules.min_len else f"is shorter than {rules.min_len}")
    if rules.HasField("max_len"):
        checks.append(lambda v: None if len(v) <= rules.max_len else f"has length {len(v)}, at most {rules.max_len}")
    if rules.HasField("pattern"):
        pattern = re.compile(rules.pattern)
        checks.append(lambda v: None if not v or pattern.fullmatch(v) else f"{v[:80]!r} does not match {rules.pattern}")
    number = _seconds if field.message_type is not None and field.message_type.full_name == _DURATION else _itself
    if rules.finite or rules.HasField("min") or rules.HasField("max"):
        checks.append(lambda v: None if math.isfinite(number(v)) else f"is {number(v)}, not a finite number")
    if rules.HasField("min"):
        checks.append(lambda v: None if not number(v) < rules.min else f"is {number(v):g}, at least {rules.min:g}")
    if rules.HasField("max"):
        checks.append(lambda v: None if not number(v) > rules.max else f"is {number(v):g}, at most {rules.max:g}")
    return checks


def _timestamp(value: Any) -> str | None:
    """Whole nanoseconds count forward, also before 1970 (google/protobuf/timestamp.proto)."""
    if not 0 <= value.nanos <= _NANOS_MAX:
        return f"has {value.nanos} nanoseconds, must be 0 to {_NANOS_MAX}"
    return None if 0 <= value.seconds <= _TIME_MAX_S else f"is {value.seconds} s since 1970, must be 1970 to 2262"


def _duration(value: Any) -> str | None:
    """Seconds and nanoseconds have one sign (google/protobuf/duration.proto)."""
    if abs(value.nanos) > _NANOS_MAX or value.seconds * value.nanos < 0:
        return f"has {value.seconds} s and {value.nanos} ns, which is no duration"
    return None if abs(value.seconds) <= _TIME_MAX_S else f"is {value.seconds} s, at most {_TIME_MAX_S}"


_TIMES: dict[str, list[Check]] = {_TIMESTAMP: [_timestamp], _DURATION: [_duration]}


def _seconds(duration: Any) -> float:
    return float(duration.seconds) + float(duration.nanos) / 1e9


def _itself(value: Any) -> float:
    return float(value)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _required(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _output_only(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
