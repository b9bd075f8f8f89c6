"""Orders of the scheduler, reported as carried out."""

from pathlib import Path

from palaestra.v1 import host_service_pb2 as up
from tests.controller.fake_scheduler import eventually
from tests.controller.scene import A, Scene, play


def test_beats_report_an_order_as_done_for_as_long_as_it_is_listed(tmp_path: Path) -> None:
    """The report that got lost with a cut stream is made again, because the scheduler lists the order again."""

    async def act(here: Scene) -> None:
        assert list(here.scheduler.beats[-1].orders_done) == []
        here.scheduler.order(A, protective_stop=up.ProtectiveStop())
        await eventually("reported", lambda: list(here.scheduler.beats[-1].orders_done) == [1])
        latched = here.scheduler.status(A).motion == up.MOTION_STATE_LATCHED
        assert latched, "done is said with the beat that shows the effect, or later"
        here.scheduler.orders.clear()
        await eventually("no longer reported", lambda: list(here.scheduler.beats[-1].orders_done) == [])

    play(tmp_path, act)


def test_an_epoch_that_ended_before_it_was_heard_of_is_confirmed_and_never_obeyed(tmp_path: Path) -> None:
    """The grant got lost on the way; were it to arrive late, it would have to be refused."""

    async def act(here: Scene) -> None:
        here.scheduler.ended = [up.EndedEpoch(unit=A, epoch=7)]
        await eventually("confirmed", lambda: here.scheduler.status(A).safe_epoch >= 7)
        here.scheduler.grant(A, 7)
        await eventually("seen again", lambda: len(here.scheduler.beats) > 2)
        assert here.host.highest(A) == 7
        assert here.host.grant(A) is None
        here.scheduler.ended = []
        here.scheduler.grant(A, 8)
        await eventually("the next one holds", lambda: here.host.grant(A) is not None)

    play(tmp_path, act)
