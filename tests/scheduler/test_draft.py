"""What is read of a job before its transaction is the same whether or not one like it was read before."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from palaestra import jobs
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler.commands import draft
from scheduler.commands.draft import draft_of

SEEDS = st.sampled_from([0, 1, -1, 127, 128, 2**63 - 1, -(2**63)])
# A field that this version of the contract does not know: number 900, a varint.
UNKNOWN = b"\xa0\x38\x01"


def made(seed: int, **how: Any) -> job_pb2.Job:
    job = jobs.collect(motion="sway", units=[jobs.unit(robot_model="own_arm")])
    if how["kind"] == "train":
        job = jobs.train("reach", "own_arm")
    if how["kind"]:
        getattr(job, how["kind"]).seed = seed
    else:
        job.ClearField("collect")
    job.priority, job.project = how["priority"], how["project"]
    if how["named"]:
        job.name = "vendors/acme/jobs/mine"
    if how["after"]:
        job.after.append("vendors/acme/jobs/first")
    if how["unknown"]:
        job.MergeFromString(UNKNOWN)
    return job


HOW = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["collect", "train", ""]),
        "priority": st.sampled_from([0, 5]),
        "project": st.sampled_from(["", "p"]),
        "named": st.booleans(),
        "after": st.booleans(),
        "unknown": st.booleans(),
    }
)


def read(job: job_pb2.Job) -> tuple[Any, ...]:
    sent = job.SerializeToString(deterministic=True)
    request = job_service_pb2.SubmitJobRequest.FromString(job_service_pb2.SubmitJobRequest(job=job).SerializeToString())
    found = draft_of(request)
    form = found.form
    assert job.SerializeToString(deterministic=True) == sent
    assert found.body == found.spec.SerializeToString(deterministic=True)
    said = form.alike, form.plain, form.project, form.priority, form.deadline_ns
    return found.body, found.digest, said, found.spec.SerializeToString(deterministic=True), found.problem


@given(st.lists(st.tuples(SEEDS, HOW), min_size=1, max_size=6))
def test_a_job_is_read_as_if_none_had_been_read_before(drawn: Any) -> None:
    together = [read(made(seed, **how)) for seed, how in drawn]

    for (seed, how), found in zip(drawn, together, strict=True):
        draft._forms.clear()
        assert read(made(seed, **how)) == found


def test_jobs_that_differ_in_their_seed_alone_share_a_form() -> None:
    draft._forms.clear()
    how = {"kind": "collect", "priority": 0, "project": "", "named": False, "after": False, "unknown": False}
    requests = [job_service_pb2.SubmitJobRequest(job=made(seed, **how)) for seed in (0, 1, 128, 2**40)]

    first, *others = map(draft_of, requests)

    assert all(other.form is first.form for other in others)
    assert len({other.digest for other in (first, *others)}) == 4
    assert [one.spec.collect.seed for one in (first, *others)] == [0, 1, 128, 2**40]
