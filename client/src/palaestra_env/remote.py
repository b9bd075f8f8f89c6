"""A slot somewhere else, driven over gRPC: the same calls and the same numbers as of a slot on this machine."""

import queue
import threading
from collections.abc import Iterator
from typing import Any, Self

import grpc
import numpy as np
import numpy.typing as npt

from palaestra import tickets
from palaestra.channel import check_private, is_loopback
from palaestra.errors import PalaestraError, from_rpc
from palaestra.v1 import slot_service_pb2 as pb
from palaestra.v1 import slot_service_pb2_grpc
from palaestra_env.slot import Array, Mask, Transition

MESSAGE_BYTES_MAX = 256 * 2**20
FINISH_S = 60.0


class RemoteSlot:
    """A slot behind an address. Not for several threads at once.

    Attributes:
        worlds, action_size, obs_size, horizon_steps: Number of worlds N, widths of actions and of observations, steps
            of an episode that does not end early (0: none does).
        opened: All that the slot says of itself.
        terminated, truncated, success: Of each world, as of the last answer, (N,).
        world_numbers, episodes: Of each world: which chance it meets, (N,).
        failures: Why, by world, for those that blew up, were stopped or refused, until they are reset.
    """

    def __init__(
        self, address: str, *, lease: str, epoch: int, token: str, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        """Open the stream.

        Args:
            address: Host and port.
            lease, epoch, token: As in `SlotTicket`.
            credentials: For TLS; None only on this machine.

        Raises:
            PalaestraError: with the server's reason; INVALID_FIELD for another machine without TLS.
        """
        check_private(address, token, encrypted=credentials is not None)
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            # A proxy could not reach this machine.
            ("grpc.enable_http_proxy", 0 if is_loopback(address) else 1),
        ]
        self._channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self._requests: queue.SimpleQueue[pb.StepWorldsRequest | None] = queue.SimpleQueue()
        self._unread = 0
        self._responses: Any = slot_service_pb2_grpc.SlotServiceStub(self._channel).StepWorlds(
            self._until_none(), metadata=tickets.shown(lease, epoch, token)
        )
        try:
            first = self._ask(pb.StepWorldsRequest(open=pb.SlotOpen(lease=lease, epoch=epoch, token=token)))
        except BaseException:
            self.close()
            raise
        self.opened = first.opened
        self.worlds, self.action_size = self.opened.worlds, self.opened.action_size
        self.obs_size, self.horizon_steps = len(self.opened.observation_names), self.opened.horizon_steps
        self._readings: Array = np.zeros((self.worlds, 0))
        self.failures: dict[int, str] = {}
        self.terminated, self.truncated, self.success = (np.zeros(self.worlds, np.bool_) for _ in range(3))
        self.world_numbers, self.episodes = (np.zeros(self.worlds, np.int64) for _ in range(2))
        self._take(self.opened.start)

    def reset(
        self,
        mask: npt.ArrayLike | None = None,
        *,
        worlds: npt.ArrayLike | None = None,
        episodes: npt.ArrayLike | None = None,
    ) -> Array:
        """Start the next episode, or given ones, and return the observations of all worlds, (N, obs_size).

        Args:
            mask: Which worlds to reset, (N,); all by default.
            worlds, episodes: Numbers from 0, one for each world that is reset; as they are, and the next, by default.

        Raises:
            ValueError: a mask of another shape, or a number below 0.
            PalaestraError: the slot refused it, or is gone.
        """
        chosen = np.ones(self.worlds, np.bool_) if mask is None else np.asarray(mask, np.bool_)
        if chosen.shape != (self.worlds,):
            raise ValueError(f"mask has shape {chosen.shape}, not ({self.worlds},)")
        request = pb.SlotReset(mask=chosen.astype(np.uint8).tobytes())
        for name, numbers in (("worlds", worlds), ("episodes", episodes)):
            if numbers is not None:
                given, rows = np.asarray(numbers, np.int64), np.full(self.worlds, -1, "<i8")
                if (given < 0).any():
                    raise ValueError(f"{name}: {given[given < 0][:5].tolist()} are below 0")
                rows[chosen] = given
                setattr(request, name, rows.tobytes())
        for world in np.flatnonzero(chosen):
            self.failures.pop(int(world), None)
        return self._take(self._ask(pb.StepWorldsRequest(reset=request)).transition).obs

    def step(self, actions: npt.ArrayLike, *, contain: bool = False) -> Transition:
        """Advance the worlds whose episode has not ended by one policy step.

        Args:
            actions: (N, action_size); what lies beyond [-1, 1] is clipped.
            contain: One that is no number ends the episode of its world alone, instead of being refused with all.

        Raises:
            PalaestraError: COMMAND_NOT_FINITE or WRONG_SHAPE, and nothing was stepped; or the slot is gone.
        """
        data = np.ascontiguousarray(actions, "<f8").tobytes()
        request = pb.StepWorldsRequest(action=pb.SlotAction(actions=data, contain=contain))
        return self._take(self._ask(request).transition)

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
        answer = self._ask(request).transition
        self.failures = {}
        return self._take(answer).obs

    def finish(self) -> None:
        """Say that nobody needs the slot any more, which ends its lease, and end the stream. Raises PalaestraError."""
        late = threading.Timer(FINISH_S, self._responses.cancel)
        try:
            self._requests.put(pb.StepWorldsRequest(finish=pb.SlotFinish()))
            # Whatever else it says, it ends the stream; one that says nothing is not waited for.
            late.start()
            for _ in self._responses:
                pass
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        finally:
            late.cancel()
            self.close()

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
        self._unread += 1
        try:
            while True:
                response: pb.StepWorldsResponse = next(self._responses)
                self._unread -= 1
                if not self._unread:
                    break
                # Of a request whose caller was interrupted while it waited: what it tells of the worlds still holds.
                if response.HasField("transition"):
                    self._take(response.transition)
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
                self._flags(data) for data in (message.terminated, message.truncated, message.success)
            )
            if message.worlds:
                self.world_numbers, self.episodes = (
                    np.frombuffer(data, "<i8").reshape(self.worlds).astype(np.int64)
                    for data in (message.worlds, message.episodes)
                )
            self.failures |= dict(message.failures)
            self._readings = np.frombuffer(message.readings, "<f8").reshape(self.worlds, -1)
            obs = np.frombuffer(message.observations, "<f8").reshape(self.worlds, self.obs_size).copy()
            reward = np.frombuffer(message.rewards, "<f8").reshape(self.worlds).copy()
        except ValueError as error:
            raise PalaestraError("MALFORMED_MESSAGE", f"an answer of another shape: {error}") from error
        return Transition(obs, reward, self.terminated, self.truncated)

    def _flags(self, data: bytes) -> Mask:
        return np.frombuffer(data, np.bool_).reshape(self.worlds).copy()
