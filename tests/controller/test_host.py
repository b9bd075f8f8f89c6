"""The unit host against a scheduler and callers over real gRPC."""

import asyncio
import logging
import math
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from controller.driver import Vector
from controller.errors import EpochFileError, HostError
from controller.host import UnitHost
from controller.plant import PlantDriver
from controller.uplink import pause_s
from palaestra.v1 import host_service_pb2 as up
from palaestra.v1 import unit_host_service_pb2 as pb
from palaestra.v1 import venue_service_pb2
from tests.controller.fake_scheduler import PATIENCE_S, FakeScheduler, eventually
from tests.controller.scene import PERIOD_S, A, B, Scene, Stream, ended_with, hosted, opening, play, settings

ROOT = Path(__file__).parents[2]


def test_a_host_declares_its_units_and_beats(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        hello = here.scheduler.hellos[0]
        assert here.scheduler.tokens == ["Bearer host-secret"]
        assert (hello.host, [unit.unit for unit in hello.units]) == ("host-1", [A, B])
        declared = hello.units[0]
        assert (declared.serial, declared.robot_model, declared.joint_count) == ("serial-a", "own_arm", 3)
        assert (declared.robot_class, declared.maker, declared.emulated) == ("arm", "Own", True)
        assert dict(declared.labels) == {"gripper": "yes"}
        await eventually("three beats", lambda: len(here.scheduler.beats) >= 3)
        assert here.scheduler.status(B).motion == up.MOTION_STATE_RESTING

    play(tmp_path, act)


def test_the_holder_of_a_lease_drives_its_unit_and_closes(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        assert list(stream.opened.joint_names) == ["joint_0", "joint_1", "joint_2"]
        assert stream.opened.control_period_s == PERIOD_S
        assert stream.opened.controller_backend in ("compiled", "numpy")
        assert stream.opened.provenance["serial"] == "serial-a"
        samples = await stream.drive_until_torque()
        assert len(samples.time_s) == samples.rows
        assert len(samples.torque_nm) == len(samples.target_rad) == 3 * samples.rows
        assert list(samples.target_rad[-3:]) == [1.0, 1.0, 1.0]
        await eventually("driven", lambda: here.scheduler.status(A).motion == up.MOTION_STATE_DRIVEN)
        assert here.scheduler.status(A).first_torque_unix_ns > 0
        assert here.scheduler.status(B).motion == up.MOTION_STATE_RESTING
        await stream.call.write(pb.DriveRequest(close=pb.DriveClose()).SerializeToString())
        ended = (await stream.receive("ended")).ended
        assert ended.reason == ""
        assert ended.first_torque_unix_ns == here.scheduler.status(A).first_torque_unix_ns
        assert await stream.call.code() is grpc.StatusCode.OK
        here.scheduler.withdraw(A)
        await here.is_resting()
        assert here.scheduler.status(A).fault == ""

    play(tmp_path, act)


def test_every_refusal_to_open_carries_its_reason(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted(A, 5)
        cases = {
            "NOT_FOUND": opening("venues/v/units/none", 5),
            "STALE_EPOCH": opening(A, 4),
            "LEASE_TOKEN_INVALID": opening(A, 5, token="token-4"),
            "MALFORMED_MESSAGE": b"\xff\xff\xff",
        }
        for reason, data in cases.items():
            assert (await here.refused(data)).reason == reason
        for data in (opening(B, 1), opening(A, 6), opening(A, 5, lease="lease-4")):
            assert (await here.refused(data)).reason == "LEASE_NOT_ACTIVE"
        for message in (
            pb.DriveRequest(),
            pb.DriveRequest(close=pb.DriveClose()),
            pb.DriveRequest(target=pb.DriveTarget()),
            pb.DriveRequest(open=pb.DriveOpen(unit="not a name", lease="l", epoch=1, token="t")),
        ):
            assert (await here.refused(message.SerializeToString())).reason == "INVALID_FIELD"
        oversized = await here.refused(opening(A, 5, token="x" * (5 << 20)))
        assert oversized.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        malformed = await here.refused(b"\xff\xff\xff")
        assert malformed.code is grpc.StatusCode.INVALID_ARGUMENT
        assert here.scheduler.status(A).motion == up.MOTION_STATE_RESTING
        await here.open(A, 5)

    play(tmp_path, act)


def test_a_second_stream_is_refused_while_the_first_drives(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        first = await here.open()
        assert (await here.refused(opening())).reason == "UNIT_BUSY"
        assert any((await first.drive_until_torque()).torque_nm)

    play(tmp_path, act)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ({"position_rad": [1.0, math.nan, 1.0]}, "COMMAND_NOT_FINITE"),
        ({"position_rad": [1.0, 1.0, math.inf]}, "COMMAND_NOT_FINITE"),
        ({"position_rad": [1.0] * 3, "feedforward_nm": [math.nan] * 3}, "COMMAND_NOT_FINITE"),
        ({"position_rad": [1.0] * 2}, "WRONG_SHAPE"),
        ({}, "WRONG_SHAPE"),
        ({"position_rad": [1.0] * 3, "velocity_rad_s": [0.0]}, "WRONG_SHAPE"),
        ({"position_rad": [1.0] * 3, "kp_nm_rad": [1.0, -1.0, 1.0]}, "INVALID_FIELD"),
    ],
)
def test_a_bad_target_is_answered_with_a_reason_and_moves_nothing(
    tmp_path: Path, target: dict[str, list[float]], reason: str
) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        await stream.send(**target)
        refused = (await stream.receive("refused")).refused
        assert (refused.sequence, refused.reason) == (1, reason)
        for _ in range(5):
            samples = (await stream.receive("samples")).samples
            assert not any(samples.torque_nm)
        assert any((await stream.drive_until_torque()).torque_nm), "a good target still works"

    play(tmp_path, act)


def test_an_old_sequence_is_ignored(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        stream.sequence = 10
        await stream.drive_until_torque()
        assert stream.sequence == 11
        for sequence in (11, 3):
            old = pb.DriveTarget(sequence=sequence, position_rad=[-1.0] * 3)
            await stream.call.write(pb.DriveRequest(target=old).SerializeToString())
            for _ in range(5):
                samples = (await stream.receive("samples")).samples
                assert set(samples.target_rad) == {1.0}
        await stream.send(position_rad=[0.5] * 3)
        while 0.5 not in (await stream.receive("samples")).samples.target_rad:
            pass

    play(tmp_path, act)


def test_a_grant_that_runs_out_stops_the_unit_and_is_confirmed(tmp_path: Path) -> None:
    """The scheduler falls silent, the caller goes on: the host stops by itself."""

    async def act(here: Scene) -> None:
        await here.granted(ttl_s=1.0)
        stream = await here.open()
        await stream.drive_until_torque()
        here.scheduler.silent = True
        ended = (await stream.receive("ended")).ended
        assert ended.reason == "LEASE_NOT_ACTIVE"
        await here.is_resting()
        assert here.scheduler.status(A).fault == ""
        assert (await here.refused(opening())).reason == "LEASE_NOT_ACTIVE"

    play(tmp_path, act)


def test_a_lease_that_ends_stops_the_unit_and_is_confirmed(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted(A, 3)
        stream = await here.open(A, 3)
        await stream.drive_until_torque()
        here.scheduler.withdraw(A)
        assert (await stream.receive("ended")).ended.reason == "LEASE_NOT_ACTIVE"
        await here.is_resting(A, 3)
        here.scheduler.grant(A, 3)
        await asyncio.sleep(0.1)
        assert (await here.refused(opening(A, 3))).reason == "LEASE_NOT_ACTIVE", "it never comes back"

    play(tmp_path, act)


def test_a_newer_lease_ends_the_older_and_drives_after_it(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted(A, 1)
        older = await here.open(A, 1)
        await older.drive_until_torque()
        await here.granted(A, 2)
        newer = await here.open(A, 2)
        await newer.drive_until_torque()
        assert (await older.receive("ended")).ended.reason == "STALE_EPOCH"
        assert here.scheduler.status(A).safe_epoch == 1
        assert (await here.refused(opening(A, 1))).reason == "STALE_EPOCH"

    play(tmp_path, act)


def test_an_older_caller_that_does_not_read_cannot_keep_the_unit(tmp_path: Path) -> None:
    """It floods its stream with nonsense and reads no refusal, until nothing goes through any more."""

    async def act(here: Scene) -> None:
        await here.granted(A, 1)
        small = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096)]
        async with grpc.aio.insecure_channel(here.scheduler.hellos[0].address, options=small) as channel:
            deaf = await Stream(channel.stream_stream("/palaestra.v1.UnitHostService/Drive")()).open(A, 1)

            async def flood() -> None:
                while True:
                    await deaf.send(position_rad=[1.0] * 900)

            flooding = asyncio.create_task(flood())
            sent = -1
            while deaf.sequence != sent:
                sent = deaf.sequence
                await asyncio.sleep(0.5)
            assert not flooding.done(), "the stream was to be blocked, not ended"
            await here.granted(A, 2)
            newer = await here.open(A, 2)
            assert any((await newer.drive_until_torque()).torque_nm)
            flooding.cancel()

    play(tmp_path, act)


def test_a_caller_that_vanishes_leaves_a_unit_at_rest(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        await stream.drive_until_torque()
        await eventually("driven", lambda: here.scheduler.status(A).motion == up.MOTION_STATE_DRIVEN)
        stream.call.cancel()
        await eventually("at rest", lambda: here.scheduler.status(A).motion == up.MOTION_STATE_RESTING)
        again = await here.open()
        assert any((await again.drive_until_torque()).torque_nm), "the lease still holds"

    play(tmp_path, act)


def test_a_caller_that_falls_silent_is_stopped_by_the_watchdog(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        await stream.send(position_rad=[1.0] * 3)
        ended = (await stream.receive("ended")).ended
        assert ended.reason == "UNIT_FAULT"
        assert "WATCHDOG: no complete target for 0.3 s" in ended.message
        assert here.scheduler.status(A).fault == "", "the unit itself is sound"

    play(tmp_path, act, watchdog_s=0.3)


def test_a_fault_is_reported_latched_and_gone_after_a_reset(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        await stream.drive_until_torque()
        here.scheduler.order(
            A,
            inject_fault=up.InjectFault(kind=venue_service_pb2.FAULT_KIND_ENCODER_DROPOUT, joint="joint_2"),
        )
        ended = (await stream.receive("ended")).ended
        assert ended.reason == "UNIT_FAULT"
        assert "SENSOR_NOT_FINITE at joint_2" in ended.message
        await eventually("reported", lambda: here.scheduler.status(A).motion == up.MOTION_STATE_LATCHED)
        assert here.scheduler.status(A).fault == "SENSOR_NOT_FINITE at joint_2"
        assert (await here.refused(opening())).reason == "UNIT_FAULT"
        here.scheduler.order(A, reset_fault=up.ResetFault())
        await eventually("reset", lambda: here.scheduler.status(A).motion == up.MOTION_STATE_RESTING)
        assert any((await (await here.open()).drive_until_torque()).torque_nm)

    play(tmp_path, act)


def test_a_protective_stop_is_carried_out_once_and_latched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The order is sent again with each message; only a reset, ordered once, ends it."""

    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        await stream.drive_until_torque()
        here.scheduler.order(A, protective_stop=up.ProtectiveStop())
        assert (await stream.receive("ended")).ended.reason == "UNIT_FAULT"
        await eventually("latched", lambda: here.scheduler.status(A).motion == up.MOTION_STATE_LATCHED)
        here.scheduler.order(A, reset_fault=up.ResetFault())
        await eventually("reset", lambda: here.scheduler.status(A).motion == up.MOTION_STATE_RESTING)
        await asyncio.sleep(0.5)
        assert here.scheduler.status(A).motion == up.MOTION_STATE_RESTING
        assert caplog.text.count("order 1 carried out") == 1
        assert caplog.text.count("order 2 carried out") == 1

    with caplog.at_level(logging.INFO, logger="controller.host"):
        play(tmp_path, act)


def test_orders_that_make_no_sense_are_survived(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        dropout = venue_service_pb2.FAULT_KIND_ENCODER_DROPOUT
        here.scheduler.order("venues/v/units/none", protective_stop=up.ProtectiveStop())
        here.scheduler.order(A)
        here.scheduler.order(A, inject_fault=up.InjectFault(kind=0))
        here.scheduler.order(A, inject_fault=up.InjectFault(kind=dropout, joint="elbow"))
        here.scheduler.order(B, protective_stop=up.ProtectiveStop())
        await eventually("the last order", lambda: here.scheduler.status(B).motion == up.MOTION_STATE_LATCHED)
        assert here.scheduler.status(A).motion == up.MOTION_STATE_RESTING
        await here.granted()
        await here.open()

    play(tmp_path, act)


def test_a_drive_goes_on_while_the_scheduler_is_away_and_is_known_when_it_is_back(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        await stream.drive_until_torque()
        port = int(here.scheduler.address.rpartition(":")[2])
        await here.scheduler.stop()
        back = FakeScheduler()
        back.grants = here.scheduler.grants
        await stream.drive_until_torque()
        await back.start(port)
        await eventually("hello again", lambda: bool(back.hellos))
        assert back.hellos[0].instance == here.scheduler.hellos[0].instance
        assert back.hellos[0].units[0].highest_epoch == 1
        await stream.drive_until_torque()
        await eventually("driven", lambda: back.status(A).motion == up.MOTION_STATE_DRIVEN)
        await back.stop()

    play(tmp_path, act)


def test_a_scheduler_that_falls_silent_is_left_for_a_new_stream(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        here.scheduler.silent = True
        await eventually("a second hello", lambda: len(here.scheduler.hellos) >= 2)

    play(tmp_path, act, silence_s=0.5)


def test_pauses_between_attempts_grow_to_a_bound_and_differ_between_hosts(tmp_path: Path) -> None:
    plan = settings(tmp_path, "127.0.0.1:1", reconnect_min_s=0.1, reconnect_max_s=2.0)

    assert [pause_s(cuts, plan, 1.0) for cuts in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    assert pause_s(10_000, plan, 0.0) == pytest.approx(1.0)


def test_a_grant_counts_only_when_its_epoch_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(here: Scene) -> None:
        await here.granted(A, 1)

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            here.scheduler.grant(B, 1)
            await eventually("the failure is told", lambda: "epochs are not on disk" in caplog.text)
            assert (await here.refused(opening(B, 1))).reason == "LEASE_NOT_ACTIVE"
            await here.open(A, 1)
        await eventually("space again", lambda: here.host.grant(B) is not None)
        await here.open(B, 1)

    play(tmp_path, act)


class DyingDriver(PlantDriver):
    """A driver with a defect: it raises what no driver may."""

    def write(self, tau: Vector) -> None:
        raise ZeroDivisionError("a defect")


def test_a_control_loop_that_dies_takes_the_host_down_with_all_torque_off(tmp_path: Path) -> None:
    async def whole() -> None:
        units = hosted(driver=DyingDriver)
        host = UnitHost(units, settings(tmp_path, "127.0.0.1:1"))
        with pytest.raises(HostError, match="a defect"):
            await asyncio.wait_for(host.run(), PATIENCE_S)

    asyncio.run(whole())


def test_a_host_that_is_told_to_end_brings_its_units_to_rest_and_tells_both_sides(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        await here.granted()
        stream = await here.open()
        await stream.drive_until_torque()
        here.host.end()
        assert (await stream.receive("ended")).ended.reason == "SHUTTING_DOWN"
        await here.is_resting()
        driver = here.units[A].driver
        assert isinstance(driver, PlantDriver)
        assert not driver.tau_nm.any()

    play(tmp_path, act)


def test_an_address_that_is_taken_is_refused(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        taken = here.scheduler.hellos[0].address
        second = UnitHost(hosted(), settings(tmp_path / "second", here.scheduler.address, listen=taken))
        with pytest.raises(HostError, match=taken):
            await second.run()

    play(tmp_path, act)


def test_a_damaged_file_of_epochs_keeps_the_host_from_starting(tmp_path: Path) -> None:
    (tmp_path / "epochs-host-1.json").write_text("{")

    async def whole() -> None:
        UnitHost(hosted(), settings(tmp_path, "127.0.0.1:1"))

    with pytest.raises(EpochFileError):
        asyncio.run(whole())


@asynccontextmanager
async def dry_run(folder: Path, scheduler: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`python -m controller host --dry-run` in a process of its own, and where it serves."""
    (folder / "token").write_text("host-secret\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller", "host", "--dry-run", "--scheduler", scheduler, "--venue", "v",
        "--token-file", str(folder / "token"), "--state-folder", str(folder / "state"), "--joints", "3",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        assert line.startswith("serving on "), line
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_S)


def test_old_epochs_are_refused_after_kill_9_and_a_restart(tmp_path: Path) -> None:
    """The new process says that all before is over, refuses it, and takes the next epoch."""
    unit = "venues/v/units/dry-1"

    async def whole() -> None:
        scheduler = FakeScheduler()
        address = await scheduler.start()
        scheduler.grant(unit, 5)
        async with dry_run(tmp_path, address) as (process, serving):
            await eventually("epoch 5 taken", lambda: scheduler.status(unit).epoch == 5)
            async with grpc.aio.insecure_channel(serving) as channel:
                method = channel.stream_stream("/palaestra.v1.UnitHostService/Drive")
                stream = await Stream(method()).open(unit, 5)
                await stream.drive_until_torque()
                process.send_signal(signal.SIGKILL)
                await process.wait()
        scheduler.beats.clear()
        async with dry_run(tmp_path, address) as (process, serving):
            await eventually("second hello", lambda: len(scheduler.hellos) >= 2)
            assert scheduler.hellos[-1].units[0].highest_epoch == 5
            assert scheduler.hellos[-1].instance != scheduler.hellos[0].instance
            await eventually("all before is over", lambda: scheduler.status(unit).safe_epoch == 5)
            async with grpc.aio.insecure_channel(serving) as channel:
                method = channel.stream_stream("/palaestra.v1.UnitHostService/Drive")
                for epoch, reason in ((4, "STALE_EPOCH"), (5, "LEASE_NOT_ACTIVE")):
                    call = method()
                    await call.write(opening(unit, epoch))
                    assert (await ended_with(call)).reason == reason
                scheduler.grant(unit, 6)
                await eventually("epoch 6 taken", lambda: scheduler.status(unit).epoch == 6)
                await (await Stream(method()).open(unit, 6)).drive_until_torque()
            process.terminate()
            assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
        assert scheduler.status(unit).motion == up.MOTION_STATE_RESTING
        await scheduler.stop()

    asyncio.run(asyncio.wait_for(whole(), 4 * PATIENCE_S))
