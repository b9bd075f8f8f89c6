"""Submissions of many callers in one commit, and what is known of the venue from one commit to the next."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.errors import PalaestraError
from palaestra.v1 import event_pb2, job_pb2, job_service_pb2
from scheduler import encoding, resources
from scheduler.commands import submitting
from scheduler.commands.draft import draft_of
from scheduler.commands.submitting import Catalogue, Limits
from scheduler.writer import Joint, Transaction
from tests.scheduler.site import PATIENCE_S, Site, batch_command, job

# Of each request: which id it carries, which of two jobs it asks for, and whether that one is impossible.
REQUESTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.booleans()), min_size=1, max_size=5)
CALLS = st.lists(st.tuples(REQUESTS, st.booleans(), st.sampled_from(["acme", "rival"])), min_size=1, max_size=5)


def request_of(vendor: str, ident: int, which: int, impossible: bool) -> job_service_pb2.SubmitJobRequest:
    body = job(9 if impossible else 1, priority=which)
    request_id = f"00000000-0000-7000-8000-00000000000{ident}" if ident else ""
    return job_service_pb2.SubmitJobRequest(parent=f"vendors/{vendor}", job=body, request_id=request_id)


def told(answer: Any) -> Any:
    """Return what an answer says, without names and times."""
    if isinstance(answer, PalaestraError):
        return answer.reason, answer.message
    return [
        (result.failure.reason, result.failure.message, result.job.priority, result.job.etag, bool(result.job.name))
        for result in job_service_pb2.BatchSubmitJobsResponse.FromString(answer).results
    ]


async def served(folder: Path, calls: list[Any], *, together: bool) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """Return the answers to batches that are run in one savepoint, or each in its own, and the rows that they leave."""
    async with Site(folder) as site:
        await site.connect()
        # So that none is granted while we look.
        await site.run(lambda tx: tx.db.execute("UPDATE unit SET online = 0").fetchall())
        commands = []
        for requests, atomic, vendor in calls:
            batch = job_service_pb2.BatchSubmitJobsRequest(
                parent=f"vendors/{vendor}", atomic=atomic, requests=[request_of(vendor, *one) for one in requests]
            )
            commands.append(batch_command(vendor, batch, Catalogue(), Limits(6)))

        def all_together(tx: Transaction) -> list[Any]:
            joint = [command for command in commands if isinstance(command, Joint)]
            assert len(joint) == len(commands)
            found = joint[0].run(tx, [command.item for command in joint])
            return [
                each if isinstance(each, PalaestraError) else command.answer(each)
                for command, each in zip(joint, found, strict=True)
            ]

        if together:
            answers = await site.run(all_together)
        else:
            answers = []
            for command in commands:
                try:
                    answers.append(await site.run(command))
                except PalaestraError as error:
                    answers.append(error)
        jobs = [tuple(row) for row in site.rows("SELECT vendor, priority, request_id, state FROM job ORDER BY id")]
        # Each job's event is its own and says what reading the row says.
        for row in site.rows("SELECT * FROM job"):
            event = site.row("SELECT * FROM event WHERE seq = ?", row["event_seq"])
            body = event_pb2.Event.FromString(event["body"]).job
            body.sequence = row["event_seq"]
            assert body == resources.job(site.core.read, row)
            assert (event["kind"], event["vendor"]) == ("job.submitted", row["vendor"])
        return [told(answer) for answer in answers], jobs


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
def test_calls_that_share_a_savepoint_answer_and_leave_what_they_would_alone(
    tmp_path_factory: pytest.TempPathFactory, calls: list[Any]
) -> None:
    """With repeats, reused ids, refused items, atomic batches and a full queue among them."""
    folders = [tmp_path_factory.mktemp(name) for name in ("together", "alone")]

    together = asyncio.run(served(folders[0], calls, together=True))
    alone = asyncio.run(served(folders[1], calls, together=False))

    assert together == alone


@pytest.mark.usefixtures("each_backend")
def test_what_is_known_of_the_venue_is_known_anew_once_a_unit_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Site(tmp_path) as site:
            await site.connect(units=("arm-1",))
            with pytest.raises(PalaestraError, match="the venue has"):
                await site.submit(job(9))
            await site.submit(job(1))
            before = site.core._writer._lasting
            assert before is not None
            assert before._values, "the next submission need not read the venue again"
            with pytest.raises(PalaestraError) as caught:
                await site.submit(job(1, model="other_arm"))
            assert caught.value.reason == "UNKNOWN_SELECTOR"
            await site.run(
                lambda tx: tx.db.execute("UPDATE unit SET robot_model = 'other_arm' WHERE id = 'arm-2'") and None
            )

            assert (await site.submit(job(1, model="other_arm"))).name

    asyncio.run(scenario())


@pytest.mark.usefixtures("each_backend")
def test_room_that_is_made_in_a_full_queue_is_found(tmp_path: Path) -> None:
    """The number of waiting jobs is not counted each time; it is before anybody is turned away."""

    async def scenario() -> None:
        async with Site(tmp_path) as site:
            await site.connect()
            request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(1))

            async def submit() -> job_pb2.Job:
                return await site.run(submitting.submit("acme", draft_of(request), Catalogue(), Limits(2)))

            await site.run(lambda tx: tx.db.execute("UPDATE unit SET online = 0").fetchall())
            await submit()
            await submit()
            with pytest.raises(PalaestraError, match="at most 2 are allowed"):
                await submit()
            await site.run(lambda tx: tx.db.execute("UPDATE job SET state = 7 WHERE id = 1").fetchall())
            await submit()
            # One comes back into the queue: nobody may rely on what was counted before.
            await site.run(lambda tx: tx.db.execute("UPDATE job SET state = 1 WHERE id = 1").fetchall())
            with pytest.raises(PalaestraError, match="3 jobs of this vendor"):
                await submit()

    asyncio.run(scenario())


@given(st.integers(0, 2**63 - 1), st.binary(max_size=300))
def test_parts_put_together_are_read_as_the_message(number: int, data: bytes) -> None:
    field = job_pb2.Job.DESCRIPTOR.fields_by_name["display_name"].number
    text = data.hex()
    put = encoding.length_delimited(field, text.encode()) + job_pb2.Job(episode_count=number).SerializeToString()

    assert job_pb2.Job.FromString(put) == job_pb2.Job(display_name=text, episode_count=number)
    assert encoding.varint(number) == job_pb2.Job(episode_count=number).SerializeToString()[2:] or number == 0


def test_what_a_failed_command_counted_is_not_held_against_its_neighbours(tmp_path: Path) -> None:
    """The checks are shared by a transaction's commands; the second here comes to them by what the first has found."""

    async def scene() -> None:
        async with Site(tmp_path) as site:
            await site.connect()
            limits, going, held = Limits(3), threading.Event(), threading.Event()

            def hold(tx: Transaction) -> None:
                held.set()
                assert going.wait(PATIENCE_S)

            def submission() -> Any:
                request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(1))
                return submitting.submit("acme", draft_of(request), Catalogue(), limits)

            def fails(tx: Transaction) -> None:
                for _ in range(2):
                    submission()(tx)
                raise ValueError("a defect")

            site.core._writer.submit(hold)
            assert await asyncio.to_thread(held.wait, PATIENCE_S)
            first, second, third = (site.core._writer.submit(one) for one in (submission(), fails, submission()))
            going.set()
            assert (await asyncio.wrap_future(first)).name
            assert isinstance(
                (await asyncio.gather(asyncio.wrap_future(second), return_exceptions=True))[0], ValueError
            )
            assert (await asyncio.wrap_future(third)).name

    asyncio.run(scene())
