"""A slot for remote clients: the same bits, the lease's holder alone, and nobody who can keep it from others."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from palaestra import tickets
from palaestra.errors import PalaestraError, from_rpc
from palaestra.tls_files import ServerFiles
from palaestra.v1 import slot_service_pb2 as pb
from palaestra.v1 import slot_service_pb2_grpc
from palaestra_env.remote import RemoteSlot
from sim.sensors import Encoders, Error, to_tables
from sim.slot_process import LeasedSlot, SlotSpec, TaskWork
from sim.slot_process.program import open_task
from sim.slot_process.server import CALLS_MAX, SlotLease, SlotServer
from venue.authority import Authority

NAME, KEY = "vendors/acme/leases/7", "open sesame"
LEASE = SlotLease(NAME, 3, KEY)
WORK = TaskWork(
    "own_arm",
    motion="reach_around",
    horizon_s=4.0,
    sensors=to_tables([Encoders("enc", angle=Error(noise=1e-3, delay_s=0.02))]),
)
SPEC = SlotSpec(WORK, worlds=3, seed=5)
PATIENCE_S = 60.0


@pytest.fixture
def server() -> Iterator[SlotServer]:
    served = SlotServer(LeasedSlot(SPEC), LEASE, idle_s=20.0)
    yield served
    served.close()


def ticket(epoch: int = 3, *, lease: str = NAME, key: str = KEY, left_s: float = 60.0) -> str:
    return tickets.issue(key, lease, epoch, time.time_ns() + int(left_s * 1e9))


def shown_ticket() -> tuple[tuple[str, str], ...]:
    return tickets.shown(NAME, 3, ticket())


def remote(server: SlotServer, *, epoch: int = 3, token: str | None = None, lease: str = NAME) -> RemoteSlot:
    token = ticket(epoch) if token is None else token
    return RemoteSlot(server.address, lease=lease, epoch=epoch, token=token)


def test_a_remote_client_gets_the_same_bits_as_a_slot_here(server: SlotServer) -> None:
    here = open_task(SPEC, WORK)
    with remote(server) as there:
        first = there.reset([True, False, True], worlds=[8, 9], episodes=[4, 5])
        assert first.tobytes() == here.reset([True, False, True], worlds=[8, 9], episodes=[4, 5]).tobytes()
        for step in range(8):
            action = np.sin(step + np.arange(21)).reshape(3, 7)
            for one, other in zip(there.step(action), here.step(action), strict=True):
                assert one.tobytes() == other.tobytes()
            assert there.readings()["enc.angle"].tobytes() == here.sensors.rows["enc.angle"].tobytes()
        kept = there.checkpoint()
        after = there.step(np.ones((3, 7))).obs.tobytes()
        there.restore(kept)
        assert there.step(np.ones((3, 7))).obs.tobytes() == after
        assert there.opened.provenance["model_sha256"] == here.model_sha256


class _InterruptedOnce:
    """Answers, of which the first is waited for in vain: the caller is interrupted before it comes."""

    def __init__(self, responses: Any) -> None:
        self._responses, self._waits = responses, True

    def __next__(self) -> Any:
        if self._waits:
            self._waits = False
            raise KeyboardInterrupt
        return next(self._responses)


def test_the_answer_to_a_request_that_was_interrupted_is_not_taken_for_the_next_ones(server: SlotServer) -> None:
    here = open_task(SPEC, WORK)
    with remote(server) as there:
        responses = there._responses
        there._responses = _InterruptedOnce(responses)
        with pytest.raises(KeyboardInterrupt):
            there.reset(worlds=[8, 9, 10], episodes=[4, 5, 6])
        there._responses = responses
        here.reset(worlds=[8, 9, 10], episodes=[4, 5, 6])
        for step in range(2):
            action = np.sin(step + np.arange(21)).reshape(3, 7)
            assert there.step(action).obs.tobytes() == here.step(action).obs.tobytes()
        assert (there.world_numbers.tolist(), there.episodes.tolist()) == ([8, 9, 10], [4, 5, 6])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"token": "close sesame"}, "LEASE_TOKEN_INVALID"),
        ({"token": ticket(key="close sesame")}, "LEASE_TOKEN_INVALID"),
        ({"token": ticket(lease="vendors/evil/leases/7")}, "LEASE_TOKEN_INVALID"),
        ({"token": ticket(4)}, "LEASE_TOKEN_INVALID"),
        ({"token": ticket(left_s=-1.0)}, "LEASE_TOKEN_INVALID"),
        ({"lease": "vendors/evil/leases/7"}, "LEASE_TOKEN_INVALID"),
        ({"epoch": 2}, "STALE_EPOCH"),
        ({"epoch": 4}, "LEASE_NOT_ACTIVE"),
        ({"token": ""}, "LEASE_TOKEN_INVALID"),
        ({"token": "ö\n"}, "LEASE_TOKEN_INVALID"),
        ({"epoch": -1}, "LEASE_TOKEN_INVALID"),
    ],
)
def test_nobody_without_the_lease_gets_in(server: SlotServer, wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(PalaestraError) as refused:
        remote(server, **wrong)  # type: ignore[arg-type]
    assert refused.value.reason == reason


def test_a_stream_that_does_not_begin_with_open_is_refused(server: SlotServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = slot_service_pb2_grpc.SlotServiceStub(channel)
        request = pb.StepWorldsRequest(action=pb.SlotAction(actions=bytes(8 * 21)))
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.StepWorlds(iter([request]), metadata=shown_ticket()))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        tickets.shown("vendors/evil/leases/7", 3, ticket()),
        tickets.shown(NAME, 3, ticket(key="close sesame")),
        tickets.shown(NAME, 3, ticket())[:2],
        (*tickets.shown(NAME, 3, ticket())[::2], ("palaestra-epoch", "three")),
    ],
    ids=["nothing", "another lease", "a false one", "no ticket", "no epoch"],
)
def test_of_whoever_shows_no_ticket_no_message_is_read(
    server: SlotServer, metadata: tuple[tuple[str, str], ...]
) -> None:
    """It is refused before it has sent any: had the server waited for one, it would have been sent away instead."""
    over = threading.Event()

    def silence() -> Iterator[pb.StepWorldsRequest]:
        over.wait(PATIENCE_S)
        yield from ()

    with grpc.insecure_channel(server.address) as channel:
        stub = slot_service_pb2_grpc.SlotServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            next(stub.StepWorlds(silence(), metadata=metadata))
        over.set()
    assert from_rpc(refused.value).reason == "LEASE_TOKEN_INVALID"
    with remote(server) as slot:
        slot.step(np.zeros((3, 7)))


def test_what_is_wrong_with_one_request_ends_nothing(server: SlotServer) -> None:
    with remote(server) as slot:
        for wrong, reason in (
            (lambda: slot.step(np.full((3, 7), np.nan)), "COMMAND_NOT_FINITE"),
            (lambda: slot.step(np.zeros((2, 7))), "WRONG_SHAPE"),
            (lambda: slot.restore(b"rubbish"), "INVALID_FIELD"),
            (lambda: slot._ask(pb.StepWorldsRequest()), "MALFORMED_MESSAGE"),
            (lambda: slot._ask(pb.StepWorldsRequest(reset=pb.SlotReset(episodes=b"1"))), "WRONG_SHAPE"),
        ):
            with pytest.raises(PalaestraError) as refused:
                wrong()
            assert refused.value.reason == reason
        assert np.isfinite(slot.step(np.zeros((3, 7))).obs).all()


def test_an_action_that_is_no_number_may_end_its_own_world_alone(server: SlotServer) -> None:
    with remote(server) as slot:
        actions = np.zeros((3, 7))
        actions[1, 0] = np.inf
        assert slot.step(actions, contain=True).terminated.tolist() == [False, True, False]
        assert list(slot.failures) == [1]
        slot.step(np.zeros((3, 7)))
        assert list(slot.failures) == [1], "it is told once and holds until the world is reset"
        slot.reset([False, True, False])
        assert slot.failures == {}
    with _in_time(lambda: remote(server)) as after:
        after.step(actions, contain=True)
        after.close()
    with _in_time(lambda: remote(server)) as last:
        assert list(last.failures) == [1], "who comes later hears of it, too"


def test_whoever_drives_it_says_when_nobody_needs_it_any_more(server: SlotServer) -> None:
    assert not server.finished
    with remote(server) as slot:
        assert server.unused_s == 0.0
        slot.step(np.zeros((3, 7)))
        slot.finish()
    assert server.finished


def test_a_caller_that_waits_is_told_why_its_stream_ends(server: SlotServer) -> None:
    """It has asked for nothing when the lease ends, and finds the reason with its next request."""
    with remote(server) as slot:
        slot.step(np.zeros((3, 7)))
        server.close("its time is over")
        with pytest.raises(PalaestraError, match="its time is over") as told:
            slot.step(np.zeros((3, 7)))
    assert told.value.reason == "LEASE_NOT_ACTIVE"


def test_a_slot_that_dies_is_not_taken_for_the_end_of_the_lease(server: SlotServer) -> None:
    with remote(server) as slot:
        slot.step(np.zeros((3, 7)))
        server._slot.kill()
        with pytest.raises(PalaestraError, match="SIGKILL") as told:
            slot.step(np.zeros((3, 7)))
    assert told.value.reason == "WORK_FAILED"
    assert not server.alive


def test_with_tls_it_is_open_to_those_from_elsewhere(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, "hall")
    authority.sign_server(["localhost"], days=1.0)
    files = ServerFiles(tmp_path / "server.crt", tmp_path / "server.key")
    served = SlotServer(LeasedSlot(SPEC), LEASE, tls_listen="127.0.0.1:0", credentials=files.credentials())
    try:
        port = served.tls_address.rpartition(":")[2]
        trusted = grpc.ssl_channel_credentials((tmp_path / "ca.crt").read_bytes())
        with RemoteSlot(f"localhost:{port}", lease=NAME, epoch=3, token=ticket(), credentials=trusted) as slot:
            slot.step(np.zeros((3, 7)))
        with pytest.raises(PalaestraError):
            RemoteSlot(f"localhost:{port}", lease=NAME, epoch=3, token=ticket())
    finally:
        served.close()


def test_a_ticket_goes_to_no_other_machine_for_everybody_to_read() -> None:
    with pytest.raises(PalaestraError, match="unencrypted"):
        RemoteSlot("192.0.2.1:7", lease=NAME, epoch=3, token=ticket())


def test_one_stream_at_a_time_and_the_next_when_it_has_ended(server: SlotServer) -> None:
    with remote(server) as first:
        with pytest.raises(PalaestraError) as refused:
            remote(server)
        assert refused.value.reason == "UNIT_BUSY"
        first.step(np.zeros((3, 7)))
    with _in_time(lambda: remote(server)) as second:
        second.step(np.zeros((3, 7)))


def test_a_client_that_stops_reading_is_sent_away() -> None:
    """It asks for a thousand steps and reads none of the answers; the slot is free for the next one."""
    slot = LeasedSlot(SlotSpec(WORK, worlds=3, seed=5))
    server = SlotServer(slot, LEASE, idle_s=0.5)
    over = threading.Event()

    def ask() -> Iterator[pb.StepWorldsRequest]:
        yield pb.StepWorldsRequest(open=pb.SlotOpen(lease=NAME, epoch=3, token=ticket()))
        for _ in range(1000):
            yield pb.StepWorldsRequest(checkpoint=pb.SlotCheckpoint())
        over.wait(30.0)

    with grpc.insecure_channel(server.address) as channel:
        responses = slot_service_pb2_grpc.SlotServiceStub(channel).StepWorlds(ask(), metadata=shown_ticket())
        next(responses)
        with _in_time(lambda: remote(server)) as other:
            other.step(np.zeros((3, 7)))
        over.set()
        responses.cancel()
    server.close()


def test_who_waits_for_an_answer_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many worlds may take longer for a reset than a caller may be silent."""
    slot = LeasedSlot(SPEC)
    server, observe, reset = SlotServer(slot, LEASE, idle_s=0.4), slot.observe, slot.reset

    def slowly(answer: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any, **options: Any) -> Any:
            time.sleep(1.0)
            return answer(*args, **options)

        return slow

    monkeypatch.setattr(slot, "observe", slowly(observe))
    monkeypatch.setattr(slot, "reset", slowly(reset))
    try:
        with remote(server) as client:
            client.reset()
            with pytest.raises(PalaestraError, match="sent this caller away"):
                time.sleep(1.0)
                client.step(np.zeros((3, 7)))
    finally:
        server.close()


@pytest.mark.parametrize("with_tickets", [False, True], ids=["strangers", "holders of tickets"])
def test_callers_that_never_say_anything_keep_nobody_from_the_slot(with_tickets: bool) -> None:
    slot = LeasedSlot(SlotSpec(WORK, worlds=3, seed=5))
    server = SlotServer(slot, LEASE, idle_s=0.5)
    over = threading.Event()

    def silence() -> Iterator[pb.StepWorldsRequest]:
        over.wait(60.0)
        yield from ()

    with grpc.insecure_channel(server.address) as channel:
        stub = slot_service_pb2_grpc.SlotServiceStub(channel)
        metadata = shown_ticket() if with_tickets else ()
        silent = [stub.StepWorlds(silence(), metadata=metadata) for _ in range(CALLS_MAX)]
        attempt = threading.Thread(target=lambda: remote(server).close(), daemon=True)
        attempt.start()
        attempt.join(PATIENCE_S)
        let_in = not attempt.is_alive()
        over.set()
        for call in silent:
            call.cancel()
    server.close()
    assert let_in


def test_with_its_lease_the_slot_ends_under_whoever_drives_it(server: SlotServer) -> None:
    with remote(server) as slot:
        slot.step(np.zeros((3, 7)))
        threading.Timer(0.1, server.close).start()
        with pytest.raises(PalaestraError):
            for _ in range(100_000):
                slot.step(np.zeros((3, 7)))
        with pytest.raises(PalaestraError):
            remote(server)


def test_beyond_loopback_there_is_no_slot_without_tls() -> None:
    with LeasedSlot(SPEC) as slot, pytest.raises(ValueError, match="with TLS alone"):
        SlotServer(slot, LEASE, listen="0.0.0.0:0")


def _in_time(attempt: Callable[[], RemoteSlot], patience_s: float = 20.0) -> RemoteSlot:
    """Try again for as long as the slot is busy."""
    until_s = time.monotonic() + patience_s
    while True:
        try:
            return attempt()
        except PalaestraError as error:
            if error.reason != "UNIT_BUSY" or time.monotonic() > until_s:
                raise
            time.sleep(0.02)
