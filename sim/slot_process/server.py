"""Lets remote clients drive a slot over gRPC: who shows a ticket of the lease, one at a time, while it lasts."""

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from palaestra import rules, tickets
from palaestra.channel import is_loopback
from palaestra.errors import PalaestraError, trailing
from palaestra.v1 import slot_service_pb2 as pb
from palaestra.v1 import slot_service_pb2_grpc
from palaestra_env.remote import MESSAGE_BYTES_MAX
from sim.body import Array
from sim.errors import BadAction, SimError, SlotDied
from sim.slot import Transition
from sim.slot_process.leased import LeasedSlot

IDLE_S = 30.0
HELLO_S = 15.0
"""Whoever has a ticket and has not opened so long after, and whoever has not ended its TLS handshake, is sent away."""
END_S = 5.0
CALLS_MAX = 16
_LOOK_S = 0.2
# A network that swallows packets tells nobody: a peer that answers no ping for so long is gone.
_KEEPALIVE = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.server_handshake_timeout_ms", round(1e3 * HELLO_S)),
    # Of one connection: whoever wants more of them at once waits, and a stranger's are over at once.
    ("grpc.max_concurrent_streams", CALLS_MAX),
]


@dataclass(frozen=True)
class SlotLease:
    """By what a caller is known: the lease's name, its epoch, and the secret that its tickets are made with."""

    name: str
    epoch: int
    key: str = field(repr=False)


class SlotServer(slot_service_pb2_grpc.SlotServiceServicer):
    """Serves one slot under one lease.

    Attributes:
        address: Where it listens, without TLS, on this machine.
        tls_address: Where it listens with TLS; empty: nowhere.
    """

    def __init__(
        self,
        slot: LeasedSlot,
        lease: SlotLease,
        *,
        listen: str = "127.0.0.1:0",
        tls_listen: str = "",
        credentials: grpc.ServerCredentials | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        """Listen.

        Args:
            slot: Ends with this server.
            lease: Who may come.
            listen: Host and port on loopback; port 0 takes a free one.
            tls_listen: The same for callers from elsewhere, with `credentials`; empty: none.
            credentials: For TLS.
            idle_s: A caller that neither asks nor takes answers for so long is sent away.

        Raises:
            ValueError: beyond loopback without TLS.
            RuntimeError: the address is taken.
        """
        if not is_loopback(listen) or bool(tls_listen) != (credentials is not None):
            raise ValueError(f"{tls_listen or listen}: beyond loopback a slot is served with TLS alone")
        self._slot, self._lease, self._idle_s = slot, lease, idle_s
        self._lock, self._lock_of_calls = threading.Lock(), threading.Lock()
        # Callers that have been let in; each has a queue that an end can be put into.
        self._calls: set[_Call] = set()
        self._over = ""
        self._finished = threading.Event()
        self._since_s = time.monotonic()
        self._told: dict[int, str] = {}
        # One works, the others have a ticket too and are told that the slot is busy, or have yet to open.
        self._pool = ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="slot-server")
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.max_send_message_length", -1)]
        self._server = grpc.server(self._pool, options=[*options, *_KEEPALIVE, ("grpc.so_reuseport", 0)])
        slot_service_pb2_grpc.add_SlotServiceServicer_to_server(self, self._server)
        self.address = _at(listen, self._server.add_insecure_port(listen))
        self.tls_address = ""
        if credentials is not None:
            self.tls_address = _at(tls_listen, self._server.add_secure_port(tls_listen, credentials))
        self._server.start()

    @property
    def alive(self) -> bool:
        """Whether the slot's process is there."""
        return self._slot.alive

    @property
    def finished(self) -> bool:
        """Whether the caller has said that nobody needs the slot any more."""
        return self._finished.is_set()

    @property
    def unused_s(self) -> float:
        """For how long nobody has driven the slot; 0 while somebody does."""
        return 0.0 if self._lock.locked() else time.monotonic() - self._since_s

    def close(self, why: str = "its lease has ended") -> None:
        """End the lease here: the slot's process is killed first, so that nobody waits for it; then the streams."""
        with self._lock_of_calls:
            self._over = why
            calls = list(self._calls)
        self._slot.kill()
        for call in calls:
            call.end()
        # Time enough to tell each caller why; who takes no answers is not waited for longer.
        self._server.stop(grace=END_S).wait(2 * END_S)
        self._pool.shutdown(wait=True)
        self._slot.close()

    def StepWorlds(self, requests: Iterator[pb.StepWorldsRequest], context: Any) -> Iterator[pb.StepWorldsResponse]:
        """See the contract."""
        try:
            # Before anything else is read: of a stranger we hold neither a message nor, for longer than this, a thread.
            self._admit(*tickets.seen(context.invocation_metadata()))
        except PalaestraError as error:
            context.set_trailing_metadata(trailing(error))
            context.abort(error.code, error.message)
        call = _Call(requests, context, min(HELLO_S, self._idle_s))
        with self._lock_of_calls:
            self._calls.add(call)
            over = self._over
        try:
            if over:
                call.end()
            yield from self._serve(call)
        except PalaestraError as error:
            context.set_trailing_metadata(trailing(error))
            context.abort(error.code, error.message)
        finally:
            call.stop()
            with self._lock_of_calls:
                self._calls.discard(call)

    def _serve(self, call: "_Call") -> Iterator[pb.StepWorldsResponse]:
        # Whoever says nothing at all is sent away too: there is room for few.
        first = call.next()
        if first is None:
            self._check_over()
            return
        if not first.HasField("open"):
            raise PalaestraError("MALFORMED_MESSAGE", "the first message is `open`")
        rules.check(first)
        self._admit(first.open.lease, first.open.epoch, first.open.token)
        call.idle_s = self._idle_s
        if not self._lock.acquire(blocking=False):
            raise PalaestraError("UNIT_BUSY", f"another stream drives the slot of {self._lease.name}")
        try:
            self._told = {}
            opened = pb.StepWorldsResponse(opened=self._opened())
            call.answered()
            yield opened
            while (request := call.next()) is not None:
                if request.HasField("finish"):
                    self._finished.set()
                    return
                # Read and checked by us, not by the interceptors of the scheduler's server.
                answer = self._answer(request)
                call.answered()
                yield answer
            self._check_over()
        except SlotDied as error:
            self._check_over()
            raise PalaestraError("WORK_FAILED", str(error)) from error
        finally:
            self._since_s = time.monotonic()
            self._lock.release()

    def _check_over(self) -> None:
        if self._over:
            raise PalaestraError("LEASE_NOT_ACTIVE", f"{self._lease.name}: {self._over}")

    def _admit(self, name: str, epoch: int, ticket: str) -> None:
        """Raise PalaestraError unless the ticket is one of the lease."""
        lease = self._lease
        # A wrong ticket and one of another lease look the same.
        if name != lease.name:
            raise PalaestraError("LEASE_TOKEN_INVALID", "the ticket does not open this slot")
        tickets.check(ticket, lease.key, lease.name, epoch, time.time_ns())
        if epoch < lease.epoch:
            raise PalaestraError("STALE_EPOCH", f"epoch {epoch} is over; the slot is at {lease.epoch}")
        self._check_over()
        if epoch > lease.epoch:
            raise PalaestraError("LEASE_NOT_ACTIVE", f"{lease.name} is not active here at epoch {epoch}")

    def _opened(self) -> pb.SlotOpened:
        slot, facts = self._slot, self._slot.facts
        return pb.SlotOpened(
            worlds=slot.worlds,
            action_size=slot.action_size,
            observation_names=facts.obs_names,
            horizon_steps=facts.horizon_steps,
            period_s=facts.period_s,
            provenance={**facts.provenance, "model_sha256": facts.model_sha256},
            sensors=list(facts.readings),
            sensor_widths=list(facts.readings.values()),
            sensor_units=[facts.reading_units[name] for name in facts.readings],
            start=self._still(slot.observe()),
        )

    def _answer(self, request: pb.StepWorldsRequest) -> pb.StepWorldsResponse:
        """Do one thing; what is wrong with it alone is answered and ends nothing."""
        try:
            kind = request.WhichOneof("message")
            if kind == "action":
                return self._step(request.action)
            rules.check(request)
            if kind == "reset":
                return pb.StepWorldsResponse(transition=self._reset(request.reset))
            if kind == "checkpoint":
                data = self._slot.checkpoint()
                return pb.StepWorldsResponse(checkpointed=pb.SlotCheckpointed(checkpoint=data))
            if kind == "restore":
                obs = self._slot.restore(request.restore.checkpoint)
                return pb.StepWorldsResponse(transition=self._still(obs))
            raise PalaestraError("MALFORMED_MESSAGE", f"{kind or 'nothing'}: not after `open`")
        except SlotDied:
            raise
        except PalaestraError as error:
            return pb.StepWorldsResponse(refused=pb.SlotRefused(reason=error.reason, message=error.message))
        except BadAction as error:
            return pb.StepWorldsResponse(refused=pb.SlotRefused(reason="COMMAND_NOT_FINITE", message=str(error)))
        except (SimError, ValueError) as error:
            return pb.StepWorldsResponse(refused=pb.SlotRefused(reason="INVALID_FIELD", message=str(error)))

    def _step(self, action: pb.SlotAction) -> pb.StepWorldsResponse:
        transition = self._slot.step(self._actions(action), contain=action.contain)
        return pb.StepWorldsResponse(transition=self._message(transition))

    def _actions(self, action: pb.SlotAction) -> Array:
        slot = self._slot
        wanted = 8 * slot.worlds * slot.action_size
        if len(action.actions) != wanted:
            raise PalaestraError(
                "WRONG_SHAPE",
                f"{len(action.actions)} bytes of actions; {slot.worlds} worlds of {slot.action_size} take {wanted}",
            )
        return np.frombuffer(action.actions, "<f8").reshape(slot.worlds, slot.action_size)

    def _reset(self, reset: pb.SlotReset) -> pb.SlotTransition:
        worlds = self._slot.worlds
        mask = np.frombuffer(reset.mask, np.uint8) != 0 if reset.mask else np.ones(worlds, np.bool_)
        numbers = []
        for name, data in (("worlds", reset.worlds), ("episodes", reset.episodes)):
            if data and len(data) != 8 * worlds:
                raise PalaestraError("WRONG_SHAPE", f"{len(data)} bytes of {name}; {worlds} of them take {8 * worlds}")
            numbers.append(np.frombuffer(data, "<i8")[mask] if data and len(mask) == worlds else None)
        return self._still(self._slot.reset(mask, worlds=numbers[0], episodes=numbers[1]))

    def _still(self, obs: Array) -> pb.SlotTransition:
        """Return how the worlds stand where none has stepped."""
        slot = self._slot
        message = self._message(Transition(obs, np.zeros(slot.worlds), slot.terminated, slot.truncated))
        message.worlds = slot.world_numbers.astype("<i8").tobytes()
        message.episodes = slot.episodes.astype("<i8").tobytes()
        return message

    def _message(self, transition: Transition) -> pb.SlotTransition:
        slot = self._slot
        failures = slot.failures
        new = {world: why for world, why in failures.items() if self._told.get(world) != why}
        self._told = dict(failures)
        return pb.SlotTransition(
            observations=transition.obs.tobytes(),
            rewards=transition.reward.tobytes(),
            terminated=transition.terminated.tobytes(),
            truncated=transition.truncated.tobytes(),
            success=slot.success.tobytes(),
            readings=slot.all_readings().tobytes() if slot.facts.readings else b"",
            failures=new,
        )


class _Call:
    """One stream: its requests, until it ends, its caller is silent for too long, or its end is asked for.

    Attributes:
        idle_s: How long the caller may be silent, or take no answer. What it waits for itself does not count.
    """

    def __init__(self, requests: Iterator[pb.StepWorldsRequest], context: Any, idle_s: float) -> None:
        self._context, self.idle_s = context, idle_s
        self._last_s = time.monotonic()
        self._working = False
        self._done = threading.Event()
        # No longer than needed: whoever asks faster than it is answered waits.
        self._waiting: queue.Queue[pb.StepWorldsRequest | None] = queue.Queue(maxsize=1)
        self._ended = False
        threading.Thread(target=self._read, args=(requests,), name="slot-requests", daemon=True).start()
        threading.Thread(target=self._watch, name="slot-idle", daemon=True).start()

    def next(self) -> pb.StepWorldsRequest | None:
        """Return the next request, None after the last one and where the end was asked for."""
        self._last_s = time.monotonic()
        request = None if self._ended else self._waiting.get()
        self._last_s = time.monotonic()
        self._working = True
        return None if self._ended else request

    def answered(self) -> None:
        """Begin to wait for the caller: the answer to its request is there."""
        self._last_s = time.monotonic()
        self._working = False

    def end(self) -> None:
        """Have `next` return None, now and from now on."""
        self._ended = True
        self._put(None)

    def stop(self) -> None:
        """Look no longer."""
        self._done.set()

    def _read(self, requests: Iterator[pb.StepWorldsRequest]) -> None:
        try:
            for request in requests:
                if not self._put(request):
                    return
        except Exception:  # What gRPC raises where the caller is gone is a bare one.
            pass
        self._put(None)

    def _put(self, request: pb.StepWorldsRequest | None) -> bool:
        """Hand a request over; False if nobody takes it any more."""
        while not self._done.is_set() and not (self._ended and request is not None):
            try:
                self._waiting.put(request, timeout=_LOOK_S)
                return True
            except queue.Full:
                if self._ended:
                    # `next` will not take another one, and whoever waits in it has one.
                    return False
        return False

    def _watch(self) -> None:
        while not self._done.wait(min(_LOOK_S, self.idle_s / 4)):
            if not self._working and time.monotonic() - self._last_s > self.idle_s:
                try:
                    self._context.cancel()
                except Exception:  # It has ended meanwhile.
                    pass
                return


def _at(listen: str, port: int) -> str:
    return f"{listen.rpartition(':')[0]}:{port}"
