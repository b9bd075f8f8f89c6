"""Requests to submit jobs, known again by their bytes: like one that was read and checked, but for seed and request id.

Most of what vendors submit is that. To read such a request, to check it by the rules of the contract and to find out
what it has in common with others takes several times as long as to see that its bytes are those of an earlier one.

On the wire a field is its number and type followed by its value, and a number's value ends with the first byte below
128 (https://protobuf.dev/programming-guides/encoding). So what equals a request's bytes everywhere but within the value
of one number, which ends where that ended, is the same request with another number there. Learned is only from what our
own encoder made of a request, so that what is known again is in that form too.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

from google.protobuf.message import Message

from palaestra import rules
from palaestra.v1 import job_service_pb2, rules_pb2
from scheduler.commands.draft import FORM_BYTES_MAX, Draft, Form, draft_of
from scheduler.encoding import length_delimited, varint

# Shapes that are kept, and requests of which it is kept whether they came twice.
SHAPES_MAX = 4096
_ONE: Any = job_service_pb2.SubmitJobRequest.DESCRIPTOR
_MANY: Any = job_service_pb2.BatchSubmitJobsRequest.DESCRIPTOR
_PARENT, _JOB, _ID = (_ONE.fields_by_name[name].number for name in ("parent", "job", "request_id"))
_ID_LENGTH = 36
# What stands before a request id's characters, which are the last of a request.
_BEFORE_ID = length_delimited(_ID, bytes(_ID_LENGTH))[:-_ID_LENGTH]
# Neither 0, which is not sent, nor below: the values with one encoding of one to nine bytes.
_SEED = re.compile(rb"[\x80-\xff]{0,8}[\x01-\x7f]")
_BATCH_PARENT, _BATCH_ITEM = (_MANY.fields_by_name[name].number << 3 | 2 for name in ("parent", "requests"))
_ATOMIC = bytes((_MANY.fields_by_name["atomic"].number << 3, 1))
_ITEMS_MAX: int = _MANY.fields_by_name["requests"].GetOptions().Extensions[rules_pb2.rules].max_items


@dataclass(frozen=True, slots=True)
class Known:
    """A request that is known again; it breaks no rule, and has of its message what is asked for later.

    Attributes:
        parent: "vendors/{vendor}".
    """

    DESCRIPTOR: ClassVar[Any]
    validate_only: ClassVar[bool] = False
    data: bytes
    parent: str

    def SerializeToString(self, *, deterministic: bool = False) -> bytes:
        """Return the bytes, which are those of the message."""
        return self.data


@dataclass(frozen=True, slots=True)
class KnownJob(Known):
    """A SubmitJobRequest."""

    DESCRIPTOR: ClassVar[Any] = _ONE
    draft: Draft


@dataclass(frozen=True, slots=True)
class KnownBatch(Known):
    """A BatchSubmitJobsRequest, all jobs of which are known again."""

    DESCRIPTOR: ClassVar[Any] = _MANY
    requests: Sequence[Draft]
    atomic: bool


@dataclass(frozen=True, slots=True)
class _Shape:
    """What requests have in common. job: Where the job's bytes are."""

    parent: str
    form: Form
    job: slice


class Shapes:
    """What requests were like. For one thread."""

    def __init__(self) -> None:
        # By length: where the seed begins and ends, and the shapes with it there by the bytes around it.
        self._shapes: dict[int, dict[tuple[int, int], dict[bytes, _Shape]]] = {}
        # Forms with the parent and the length of the seed, and whether a shape was made of that. One comes alone, and
        # two are the beginning of many.
        self._seen: dict[tuple[Form, str, int], bool] = {}
        self._is_request_id = rules.tester(_ONE.fields_by_name["request_id"])

    def readers(self) -> dict[str, Callable[[bytes], Known | None]]:
        """Return by method what knows its requests again."""
        return {
            "palaestra.v1.JobService/SubmitJob": self.job,
            "palaestra.v1.JobService/BatchSubmitJobs": self.batch,
        }

    def job(self, data: bytes) -> KnownJob | None:
        """Return the SubmitJobRequest of some bytes if it is known again, or None."""
        found = self._find(data)
        return None if found is None else KnownJob(data, *found)

    def batch(self, data: bytes) -> KnownBatch | None:
        """Return the BatchSubmitJobsRequest of some bytes if all of its jobs are known again, or None."""
        size, drafts = len(data), []
        try:
            if data[0] != _BATCH_PARENT:
                return None
            # Its rule and an item's are the same, so that what is an item's parent breaks none.
            at = 2 + data[1]
            parent = data[2:at]
            while at < size and data[at] == _BATCH_ITEM:
                length, first = data[at + 1], at + 2
                if length >= 0x80:
                    high = data[first]
                    if not 0 < high < 0x80:
                        return None
                    length, first = length & 0x7F | high << 7, first + 1
                at = first + length
                found = self._find(data[first:at]) if at <= size else None
                if found is None or found[0].encode() != parent:
                    return None
                drafts.append(found[1])
        except IndexError:
            return None
        rest = data[at:]
        if (rest and rest != _ATOMIC) or not 0 < len(drafts) <= _ITEMS_MAX:
            return None
        return KnownBatch(data, parent.decode(), drafts, bool(rest))

    def _find(self, data: bytes) -> tuple[str, Draft] | None:
        """Return the parent and the draft of a SubmitJobRequest's bytes."""
        places = self._shapes.get(len(data))
        if places is None:
            return None
        id_at = len(data) - _ID_LENGTH
        for (first, last), shapes in places.items():
            shape = shapes.get(data[:first] + data[last:id_at])
            if shape is None or _SEED.fullmatch(data, first, last) is None:
                continue
            # What is an id in this alphabet is one in any.
            request_id = data[id_at:].decode("latin-1")
            if not self._is_request_id(request_id):
                return None
            body = data[shape.job]
            return shape.parent, Draft(shape.form, body, sha256(body).digest(), request_id)
        return None

    def drafts(self, requests: Sequence[job_service_pb2.SubmitJobRequest]) -> list[Draft]:
        """Return the drafts of requests that break no rule, to know such ones again."""
        found = []
        for request in requests:
            draft = draft_of(request)
            self._learn(request, draft)
            found.append(draft)
        return found

    def _learn(self, request: job_service_pb2.SubmitJobRequest, draft: Draft) -> None:
        form, job = draft.form, request.job
        if not form.plain or draft.spec is not job or draft.problem is not None or len(draft.body) > FORM_BYTES_MAX:
            return
        work: Any = getattr(job, job.WhichOneof("work") or "", None)
        seed: int = getattr(work, "seed", 0)
        if seed <= 0 or not request.request_id or request.validate_only or draft.places:
            return
        seed_length = len(varint(seed))
        key = form, request.parent, seed_length
        made = self._seen.get(key)
        if made is None and len(self._seen) >= SHAPES_MAX:
            self._seen.clear()
            self._shapes.clear()
        self._seen[key] = made is not None
        if made is not False:
            return
        data = _bytes(request)
        # Bytes of the two are otherwise where the lowest seven bits of the seed are, the first of its value.
        work.seed = seed ^ 1 if seed > 1 else 2
        other = _bytes(request)
        work.seed = seed
        head = length_delimited(_PARENT, request.parent.encode()) + length_delimited(_JOB, draft.body)
        if data != head + _BEFORE_ID + request.request_id.encode() or len(other) != len(data):
            # As with a field that this version of the contract does not know.
            return
        first = next(at for at, (one, two) in enumerate(zip(data, other, strict=True)) if one != two)
        place = first, first + seed_length
        around = data[: place[0]] + data[place[1] : len(data) - _ID_LENGTH]
        shape = _Shape(request.parent, form, slice(len(head) - len(draft.body), len(head)))
        self._shapes.setdefault(len(data), {}).setdefault(place, {})[around] = shape


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
