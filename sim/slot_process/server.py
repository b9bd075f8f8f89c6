"""Lets remote clients drive a slot over gRPC: who shows the lease's token, one at a time, for as long as it lasts."""

import contextlib
import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from palaestra import rules
from palaestra.errors import PalaestraError, trailing
from palaestra.v1 import slot_service_pb2 as pb
from palaestra.v1 import slot_service_pb2_grpc
from sim.body import Array
from sim.errors import BadAction, SimError, SlotDied
from sim.slot import Transition
from sim.slot_process.leased import LeasedSlot

MESSAGE_BYTES_MAX = 256 * 2**20
IDLE_S = 30.0
_LOOK_S = 0.2


@dataclass(frozen=True)
class SlotLease:
    """By what a caller is known: the lease's name, its epoch, and the SHA-256 [hex] of its token."""

    name: str
    epoch: int
    token_sha256: str


class SlotServer(slot_service_pb2_grpc.SlotServiceServicer):
    """Serves one slot under one lease.

    Attributes:
        address: Where it listens.
    """

    def __init__(
        self,
        slot: LeasedSlot,
        lease: SlotLease,
        *,
        listen: str = "127.0.0.1:0",
        credentials: grpc.ServerCredentials | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        """Listen. Without `credentials` on loopback alone.

        Args:
            slot: Ends with this server.
            lease: Who may come.
            listen: Host and port; port 0 takes a free one.
            credentials: For TLS.
            idle_s: A caller that neither asks nor takes answers for so long is sent away.

        Raises:
            ValueError: beyond loopback without credentials.
            RuntimeError: the address is taken.
        """
        host = listen.rpartition(":")[0]
        if credentials is None and host not in ("127.0.0.1", "localhost", "[::1]"):
            raise ValueError(f"{listen}: beyond loopback a slot is served with TLS alone")
        self._slot, self._lease, self._idle_s = slot, lease, idle_s
        self._lock = threading.Lock()
        self._caller: Any = None
        self._over = False
        # One works, one is told that the slot is busy.
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="slot-server")
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.max_send_message_length", -1)]
        self._server = grpc.server(self._pool, options=[*options, ("grpc.so_reuseport", 0)])
        slot_service_pb2_grpc.add_SlotServiceServicer_to_server(self, self._server)
        port = (
            self._server.add_insecure_port(listen)
            if credentials is None
            else self._server.add_secure_port(listen, credentials)
        )
        self.address = f"{host}:{port}"
        self._server.start()

    def close(self) -> None:
        """End the lease here: the slot's process is killed first, so that nobody waits for it; then the stream."""
        self._over = True
        self._slot.kill()
        self._server.stop(grace=0.5).wait(2.0)
        self._pool.shutdown(wait=True)
        self._slot.close()

    def StepWorlds(self, requests: Iterator[pb.StepWorldsRequest], context: Any) -> Iterator[pb.StepWorldsResponse]:
        """See the contract."""
        try:
            yield from self._serve(requests, context)
        except PalaestraError as error:
            context.set_trailing_metadata(trailing(error))
            context.abort(error.code, error.message)

    def _serve(self, requests: Iterator[pb.StepWorldsRequest], context: Any) -> Iterator[pb.StepWorldsResponse]:
        # Whoever says nothing at all is sent away too: there is room for few.
        beat = _Beat(context, self._idle_s)
        try:
            first = next(requests, None)
            if first is None:
                return
            self._admit(first)
            yield from self._drive(requests, beat)
        finally:
            beat.stop()

    def _drive(self, requests: Iterator[pb.StepWorldsRequest], beat: "_Beat") -> Iterator[pb.StepWorldsResponse]:
        if not self._lock.acquire(blocking=False):
            raise PalaestraError("UNIT_BUSY", f"another stream drives the slot of {self._lease.name}")
        try:
            yield pb.StepWorldsResponse(opened=self._opened())
            for request in requests:
                beat.touch()
                # Read and checked by us, not by the interceptors of the scheduler's server.
                yield self._answer(request)
                beat.touch()
        except SlotDied as error:
            reason = "LEASE_NOT_ACTIVE" if self._over else "WORK_FAILED"
            raise PalaestraError(reason, str(error)) from error
        finally:
            self._lock.release()

    def _admit(self, request: pb.StepWorldsRequest) -> None:
        """Raise PalaestraError unless the caller shows the lease's token."""
        if not request.HasField("open"):
            raise PalaestraError("MALFORMED_MESSAGE", "the first message is `open`")
        rules.check(request)
        given, lease = request.open, self._lease
        # A wrong token and another lease's look the same.
        digest = hashlib.sha256(given.token.encode()).hexdigest()
        if not hmac.compare_digest(digest, lease.token_sha256) or given.lease != lease.name:
            raise PalaestraError("LEASE_TOKEN_INVALID", "the token does not open this slot")
        if given.epoch < lease.epoch:
            raise PalaestraError("STALE_EPOCH", f"epoch {given.epoch} is over; the slot is at {lease.epoch}")
        if self._over or given.epoch > lease.epoch:
            raise PalaestraError("LEASE_NOT_ACTIVE", f"{lease.name} is not active here at epoch {given.epoch}")

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
                return pb.StepWorldsResponse(transition=self._message(self._slot.step(self._actions(request.action))))
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
        return self._message(Transition(obs, np.zeros(slot.worlds), slot.terminated, slot.truncated))

    def _message(self, transition: Transition) -> pb.SlotTransition:
        slot = self._slot
        return pb.SlotTransition(
            observations=transition.obs.tobytes(),
            rewards=transition.reward.tobytes(),
            terminated=transition.terminated.tobytes(),
            truncated=transition.truncated.tobytes(),
            success=slot.success.tobytes(),
            readings=slot.all_readings().tobytes() if slot.facts.readings else b"",
            failures=slot.failures,
        )


class _Beat:
    """Sends a caller away that has been silent for too long, whichever way it is."""

    def __init__(self, context: Any, idle_s: float) -> None:
        self._context, self._idle_s = context, idle_s
        self._last_s = time.monotonic()
        self._done = threading.Event()
        threading.Thread(target=self._watch, name="slot-idle", daemon=True).start()

    def touch(self) -> None:
        """Note that the caller is there."""
        self._last_s = time.monotonic()

    def stop(self) -> None:
        """Look no longer."""
        self._done.set()

    def _watch(self) -> None:
        while not self._done.wait(min(_LOOK_S, self._idle_s / 4)):
            if time.monotonic() - self._last_s > self._idle_s:
                with contextlib.suppress(Exception):
                    self._context.cancel()
                return
