"""A request that is known again by its bytes is what reading and checking it would have found, or is not known."""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra import jobs, rules
from palaestra.errors import PalaestraError
from palaestra.v1 import audit_service_pb2, job_pb2, job_service_pb2
from scheduler import recognition
from scheduler.commands.draft import Draft, draft_of
from scheduler.recognition import Known, Shapes
from tests.scheduler.site import LiveServer, job
from tests.scheduler.test_gate import refused, send

SubmitJobRequest, BatchSubmitJobsRequest = job_service_pb2.SubmitJobRequest, job_service_pb2.BatchSubmitJobsRequest
SEEDS = st.sampled_from([0, 1, 2, 3, 127, 128, 255, 16_383, 16_384, 2**62, 2**63 - 1, -1, -(2**63)])
# A field that this version of the contract does not know: number 900, a varint.
UNKNOWN = b"\xa0\x38\x01"
HOW = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["collect", "train", "evaluate", "serve", ""]),
        "parent": st.sampled_from(["vendors/acme", "vendors/rival", "vendors/Wrong", ""]),
        "project": st.sampled_from(["", "p", "\x30\x01"]),
        "priority": st.sampled_from([0, 5, 101]),
        "label": st.sampled_from(["", "\x30\x7f", "0" * 40]),
        "id": st.sampled_from(["", "short", "z" * 36, "-" * 36, "uuid"]),
        "more": st.sampled_from(["", "", "after", "policy", "deadline", "name", "validate_only", "places", "unknown"]),
    }
)


def made(seed: int, how: dict[str, Any]) -> SubmitJobRequest:
    body = jobs.collect(motion="sway", units=[jobs.unit(robot_model="own_arm")])
    if how["kind"]:
        if how["kind"] != "collect":
            body.ClearField("collect")
        getattr(body, how["kind"]).seed = seed
    else:
        body.ClearField("collect")
    body.project, body.priority = how["project"], how["priority"]
    if how["label"]:
        body.labels["key"] = how["label"]
    request = SubmitJobRequest(parent=how["parent"], job=body)
    request.request_id = str(uuid.uuid4()) if how["id"] == "uuid" else how["id"]
    more = how["more"]
    if more == "after":
        request.job.after.append("vendors/acme/jobs/first")
    if more == "policy":
        request.job.evaluate.policy_job = "vendors/acme/jobs/first"
    if more == "deadline":
        request.job.deadline.seconds = 4_000_000_000
    if more == "name":
        request.job.name = "vendors/acme/jobs/mine"
    if more == "validate_only":
        request.validate_only = True
    if more == "places":
        request.after_indices.append(0)
    if more == "unknown":
        request.MergeFromString(UNKNOWN)
        request.job.MergeFromString(UNKNOWN)
    return request


def learned(requests: list[SubmitJobRequest]) -> Shapes:
    """Return what knows again whatever is like those among the requests that break no rule."""
    shapes = Shapes()
    for request in requests:
        if not broken(request):
            shapes.drafts([SubmitJobRequest.FromString(request.SerializeToString()) for _ in range(2)])
    return shapes


def broken(request: Any) -> bool:
    try:
        rules.check(request)
    except PalaestraError:
        return True
    return False


def told(draft: Draft) -> tuple[Any, ...]:
    form = draft.form
    said = form.alike, form.plain, form.project, form.priority, form.deadline_ns
    return (
        draft.body,
        draft.digest,
        draft.request_id,
        draft.validate_only,
        draft.places,
        draft.problem,
        said,
        draft.spec,
    )


def stands_for(found: Known, request: Any) -> bool:
    """Whether a request breaks no rule, and what is known of it has its parent and its bytes."""
    same = found.SerializeToString(deterministic=True) == request.SerializeToString(deterministic=True)
    return same and found.parent == request.parent and not broken(request)


def same_or_unknown(shapes: Shapes, data: bytes) -> bool:
    """Return whether bytes are known again, and see to it that they are then what they would be read as."""
    found = shapes.job(data)
    if found is None:
        return False
    request = SubmitJobRequest.FromString(data)
    assert stands_for(found, request)
    assert found.validate_only == request.validate_only
    assert told(found.draft) == told(draft_of(request))
    return True


def same_or_unknown_batch(shapes: Shapes, data: bytes) -> bool:
    found = shapes.batch(data)
    if found is None:
        return False
    batch = BatchSubmitJobsRequest.FromString(data)
    assert stands_for(found, batch)
    assert found.atomic == batch.atomic
    assert {item.parent for item in batch.requests} == {batch.parent}
    assert [told(draft) for draft in found.requests] == [told(draft_of(item)) for item in batch.requests]
    return True


@given(st.lists(st.tuples(SEEDS, HOW), min_size=1, max_size=4), st.lists(st.tuples(SEEDS, HOW), max_size=4))
def test_what_is_known_again_is_what_it_would_be_read_as(before: Any, after: Any) -> None:
    shapes = learned([made(seed, how) for seed, how in before])

    for _, how in [*before, *after]:
        for seed in (1, 2, 127, 128, 300, 2**62 + 5, 2**63 - 1, 0, -1):
            same_or_unknown(shapes, made(seed, how).SerializeToString())


PLAIN = {
    "kind": "collect",
    "parent": "vendors/acme",
    "project": "",
    "priority": 0,
    "label": "",
    "id": "uuid",
    "more": "",
}


@given(st.integers(0, 2**32), st.sampled_from([1, 127, 300, 2**20, 2**62]), st.booleans())
def test_bytes_with_mistakes_are_what_they_would_be_read_as_or_unknown(chance: int, seed: int, batched: bool) -> None:
    """Also where the mistake makes another message of them: a rule may be broken then."""
    rng = random.Random(chance)
    requests = [made(seed + number, PLAIN) for number in range(3)]
    shapes = learned(requests)
    data = requests[0].SerializeToString()
    if batched:
        data = BatchSubmitJobsRequest(parent="vendors/acme", requests=requests, atomic=True).SerializeToString()
    check = same_or_unknown_batch if batched else same_or_unknown
    assert check(shapes, data)
    for _ in range(30):
        bad = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(bad))
            match rng.randrange(4):
                case 0:
                    bad[at] = rng.randrange(256)
                case 1:
                    bad[at] ^= 1 << rng.randrange(8)
                case 2:
                    del bad[at]
                case _:
                    bad.insert(at, rng.choice(data))
        check(shapes, bytes(bad))
        check(shapes, data[: rng.randrange(len(data))])
        check(shapes, data + bytes(bad))


def test_any_seed_of_a_known_length_is_known_and_no_other_way_to_write_it() -> None:
    shapes = learned([made(200, PLAIN)])
    for seed in (128, 129, 16_383):
        assert same_or_unknown(shapes, made(seed, PLAIN).SerializeToString())
    # Read as the number 1, which has a shorter encoding, so that no encoder wrote this.
    data = made(200, PLAIN).SerializeToString()
    assert data.count(b"\x30\xc8\x01") == 1
    assert SubmitJobRequest.FromString(data.replace(b"\x30\xc8\x01", b"\x30\x81\x00")).job.collect.seed == 1
    assert shapes.job(data.replace(b"\x30\xc8\x01", b"\x30\x81\x00")) is None
    assert shapes.job(data.replace(b"\x30\xc8\x01", b"\x30\x00\x01")) is None
    assert shapes.job(data.replace(b"\x30\xc8\x01", b"\x30\xc8\x81")) is None


def test_what_came_once_is_not_kept() -> None:
    """Jobs that are all different would fill the memory, and nobody would find them again."""
    shapes = Shapes()
    request = made(1, PLAIN)
    shapes.drafts([request])
    assert shapes.job(request.SerializeToString()) is None
    shapes.drafts([request])
    assert shapes.job(request.SerializeToString()) is not None


def test_what_is_kept_is_bounded_and_learned_again_when_it_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "SHAPES_MAX", 10)
    shapes, again = Shapes(), [made(1, PLAIN)] * 2
    for number in range(50):
        shapes.drafts([made(1, PLAIN | {"project": f"p{number}"})] * 2)
        assert sum(len(kept) for places in shapes._shapes.values() for kept in places.values()) <= 10
        assert len(shapes._seen) <= 10
    shapes.drafts(again)
    assert shapes.job(again[0].SerializeToString()) is not None


def test_a_batch_with_one_job_that_is_not_known_or_of_another_parent_is_read() -> None:
    shapes = learned([made(1, PLAIN), made(1, PLAIN | {"parent": "vendors/rival"})])

    def batch(*requests: SubmitJobRequest, parent: str = "vendors/acme") -> bytes:
        return BatchSubmitJobsRequest(parent=parent, requests=requests).SerializeToString()

    assert same_or_unknown_batch(shapes, batch(made(1, PLAIN), made(2, PLAIN)))
    assert shapes.batch(batch(made(1, PLAIN), made(1, PLAIN | {"priority": 3}))) is None
    assert shapes.batch(batch(made(1, PLAIN), made(1, PLAIN | {"parent": "vendors/rival"}))) is None
    assert shapes.batch(batch(made(1, PLAIN), parent="vendors/rival")) is None
    assert shapes.batch(batch()) is None
    assert same_or_unknown_batch(shapes, batch(*[made(1, PLAIN)] * recognition._ITEMS_MAX))
    assert shapes.batch(batch(*[made(1, PLAIN)] * (recognition._ITEMS_MAX + 1))) is None


def test_the_parents_of_a_batch_and_of_its_jobs_obey_one_rule() -> None:
    """Recognition relies on it."""
    one, many = (kind.DESCRIPTOR.fields_by_name["parent"] for kind in (SubmitJobRequest, BatchSubmitJobsRequest))
    assert one.GetOptions().SerializeToString() == many.GetOptions().SerializeToString()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("known")) as server:
        yield server


def wish(seed: int, request_id: str = "", parent: str = "vendors/acme") -> SubmitJobRequest:
    body = job(collect={"motion": "sway", "robot_model": "own_arm", "seed": seed})
    return SubmitJobRequest(parent=parent, job=body, request_id=request_id or str(uuid.uuid4()))


def test_a_known_request_is_served_as_one_that_is_read(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def counted(request: SubmitJobRequest) -> Draft:
        nonlocal read
        read += 1
        return draft_of(request)

    monkeypatch.setattr(recognition, "draft_of", counted)
    names = set()
    for seed in range(1, 9):
        found = send(live, "JobService/SubmitJob", wish(seed))
        assert (found.collect.seed, found.state, found.collect.motion) == (seed, job_pb2.JOB_STATE_QUEUED, "sway")
        names.add(found.name)
    assert len(names) == 8
    assert read == 2

    request_id = str(uuid.uuid4())
    first = send(live, "JobService/SubmitJob", wish(9, request_id))
    assert send(live, "JobService/SubmitJob", wish(9, request_id)) == first
    assert refused(live, "JobService/SubmitJob", wish(10, request_id)).reason == "REQUEST_ID_REUSED"
    batch = BatchSubmitJobsRequest(
        parent="vendors/acme", requests=[wish(11), wish(9, request_id), wish(10, request_id)]
    )
    new, repeated, reused = send(live, "JobService/BatchSubmitJobs", batch).results
    assert new.job.collect.seed == 11
    assert repeated.job == first
    assert reused.failure.reason == "REQUEST_ID_REUSED"
    assert read == 2


def test_a_known_request_is_written_down_as_it_was_sent(live: LiveServer) -> None:
    requests = [wish(seed) for seed in range(20, 24)]
    for request in requests:
        send(live, "JobService/SubmitJob", request)
    listed = audit_service_pb2.ListAuditEntriesRequest(parent="vendors/acme", page_size=1000)
    entries = send(live, "AuditService/ListAuditEntries", listed).entries
    sent = [recognition.sha256(request.SerializeToString(deterministic=True)).digest() for request in requests]
    assert [entry.request_sha256 for entry in entries[-4:]] == sent
    assert {entry.method for entry in entries[-4:]} == {"JobService/SubmitJob"}


def test_a_known_request_of_somebody_else_is_refused_as_one_that_is_read(live: LiveServer) -> None:
    for seed in range(30, 33):
        send(live, "JobService/SubmitJob", wish(seed))
    request = wish(33)
    batch = BatchSubmitJobsRequest(parent="vendors/acme", requests=[request])
    never = wish(34, parent="vendors/nobody")
    for who in ("vendor-rival",):
        errors = [
            refused(live, "JobService/SubmitJob", request, who),
            refused(live, "JobService/SubmitJob", never, who),
            refused(live, "JobService/BatchSubmitJobs", batch, who),
        ]
        assert {(error.reason, error.code) for error in errors} == {("NOT_FOUND", errors[0].code)}
    for who in ("host", "operator"):
        assert refused(live, "JobService/SubmitJob", request, who).reason == "ROLE_DENIED"


def test_a_known_claim_that_can_no_longer_be_met_is_refused(tmp_path: Path) -> None:
    """What is known is the request, and never what came of it."""
    with LiveServer(tmp_path) as live:
        for seed in range(1, 4):
            send(live, "JobService/SubmitJob", wish(seed))
        live.run(lambda tx: tx.db.execute("UPDATE unit SET robot_model = 'other', robot_class = 'leg'") and None)
        assert refused(live, "JobService/SubmitJob", wish(4)).reason in ("UNKNOWN_SELECTOR", "IMPOSSIBLE_CLAIM")
