"""A slot somewhere else, driven over gRPC: the same calls and the same numbers as of a slot on this machine."""

import queue
from collections.abc import Iterator
from typing import Any, Self

import grpc
import numpy as np
import numpy.typing as npt

from palaestra.errors import PalaestraError, from_rpc
from palaestra.v1 import slot_service_pb2 as pb
from palaestra.v1 import slot_service_pb2_grpc
from sim.body import Array
from sim.errors import BadSlot
from sim.slot import Transition
from sim.slot_process.server import MESSAGE_BYTES_MAX

OPTIONS = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.max_send_message_length", MESSAGE_BYTES_MAX)]


class RemoteSlot:
    """A slot behind an address. Not for several threads at once.

    Attributes:
        worlds, action_size, horizon_steps: As of `SimSlot`.
        opened: All that the slot says of itself.
        terminated, truncated, success, failures: Of each world, as of the last answer.
    """

    def __init__(
        self, address: str, *, lease: str, epoch: int, token: str, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        """Open the stream. Raises PalaestraError with the server's reason."""
        self._channel = (
            grpc.insecure_channel(address, OPTIONS)
            if credentials is None
            else grpc.secure_channel(address, credentials, OPTIONS)
        )
        self._requests: queue.SimpleQueue[pb.StepWorldsRequest | None] = queue.SimpleQueue()
        self._responses: Any = slot_service_pb2_grpc.SlotServiceStub(self._channel).StepWorlds(self._until_none())
        try:
            first = self._ask(pb.StepWorldsRequest(open=pb.SlotOpen(lease=lease, epoch=epoch, token=token)))
        except BaseException:
            self.close()
            raise
        self.opened = first.opened
        self.worlds, self.action_size = self.opened.worlds, self.opened.action_size
        self.obs_size, self.horizon_steps = len(self.opened.observation_names), self.opened.horizon_steps
        self._readings: Array = np.zeros((self.worlds, 0))
        self._take(self.opened.start)

    def reset(
        self,
        mask: npt.ArrayLike | None = None,
        *,
        worlds: npt.ArrayLike | None = None,
        episodes: npt.ArrayLike | None = None,
    ) -> Array:
        """As `SimSlot.reset`. Raises PalaestraError."""
        chosen = np.ones(self.worlds, np.bool_) if mask is None else np.asarray(mask, np.bool_)
        request = pb.SlotReset(mask=chosen.astype(np.uint8).tobytes())
        for name, numbers in (("worlds", worlds), ("episodes", episodes)):
            if numbers is not None:
                rows = np.full(self.worlds, -1, "<i8")
                rows[chosen] = numbers
                setattr(request, name, rows.tobytes())
        return self._take(self._ask(pb.StepWorldsRequest(reset=request)).transition).obs

    def step(self, actions: npt.ArrayLike) -> Transition:
        """As `SimSlot.step`. Raises PalaestraError."""
        data = np.ascontiguousarray(actions, "<f8").tobytes()
        return self._take(self._ask(pb.StepWorldsRequest(action=pb.SlotAction(actions=data))).transition)

    def readings(self) -> dict[str, Array]:
        """Return what the sensors read after the last step, by name, each (N, width)."""
        found, first = dict[str, Array](), 0
        for name, width in zip(self.opened.sensors, self.opened.sensor_widths, strict=True):
            found[name] = self._readings[:, first : first + width]
            first += width
        return found

    def checkpoint(self) -> bytes:
        """Return the whole state. Raises PalaestraError."""
        return self._ask(pb.StepWorldsRequest(checkpoint=pb.SlotCheckpoint())).checkpointed.checkpoint

    def restore(self, data: bytes) -> Array:
        """Continue from a checkpoint and return the observations. Raises PalaestraError."""
        request = pb.StepWorldsRequest(restore=pb.SlotRestore(checkpoint=data))
        return self._take(self._ask(request).transition).obs

    def close(self) -> None:
        """End the stream. The slot stays as it is until its lease ends."""
        self._requests.put(None)
        self._responses.cancel()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _until_none(self) -> Iterator[pb.StepWorldsRequest]:
        while (request := self._requests.get()) is not None:
            yield request

    def _ask(self, request: pb.StepWorldsRequest) -> pb.StepWorldsResponse:
        self._requests.put(request)
        try:
            response: pb.StepWorldsResponse = next(self._responses)
        except StopIteration:
            raise PalaestraError("LEASE_NOT_ACTIVE", "the slot's server has ended the stream") from None
        except grpc.RpcError as error:
            call: Any = error
            if call.code() is grpc.StatusCode.CANCELLED:
                raise PalaestraError("LEASE_NOT_ACTIVE", "the slot's server has sent this caller away") from None
            raise from_rpc(error) from None
        if response.HasField("refused"):
            raise PalaestraError(response.refused.reason, response.refused.message)
        return response

    def _take(self, message: pb.SlotTransition) -> Transition:
        try:
            self.terminated, self.truncated, self.success = (
                np.frombuffer(data, np.bool_).copy()
                for data in (message.terminated, message.truncated, message.success)
            )
            self.failures = dict(message.failures)
            self._readings = np.frombuffer(message.readings, "<f8").reshape(self.worlds, -1)
            obs = np.frombuffer(message.observations, "<f8").reshape(self.worlds, self.obs_size).copy()
            reward = np.frombuffer(message.rewards, "<f8").copy()
        except ValueError as error:
            raise BadSlot(f"an answer of another shape: {error}") from error
        return Transition(obs, reward, self.terminated, self.truncated)
