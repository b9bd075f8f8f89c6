"""A published policy server as a policy: the websocket protocol of openpi, spoken as its client.

The server sends a message about itself first; after that, each message with an observation is answered by one with
`actions`, (steps, action size): a chunk, to be carried out open loop for some of its steps. A text instead of bytes is
the server's error. `GET /healthz` answers 200. (openpi-client 0.1.2, `websocket_client_policy.py`; openpi,
`websocket_policy_server.py`.)
"""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from sim.body import Array
from sim.env.wire import MESSAGE_MAX_B, pack, unpack
from sim.errors import PolicyServerError, PolicyServerGone

Observation = dict[str, Any]
STATE, PROMPT = "observation/state", "prompt"
TEXT_MAX = 500
_LOOK_S = 0.1


class PolicyServer:
    """A connection to a policy server. One question at a time; use it as a context.

    Attributes:
        address: Where it is.
        metadata: What it told about itself.
        timing: What it told with its last answer, `infer_ms` for example.
    """

    def __init__(
        self, address: str, *, api_key: str = "", timeout_s: float = 30.0, wait: Callable[[], None] = lambda: None
    ) -> None:
        """Connect, and wait for the server's message about itself. Nobody is followed to another address.

        Args:
            address: `ws://host:port` or `wss://host:port`.
            api_key: Sent as `Authorization: Api-Key ...`; none by default.
            timeout_s: Longest wait for the connection and for each answer.
            wait: Called some times a second while an answer is waited for; what it raises ends the waiting.

        Raises:
            PolicyServerError: not such an address, nobody there, or no proper answer in time.
        """
        host, port = _end_of(address)
        self.address, self._timeout_s, self._wait = address, timeout_s, wait
        headers = {"Authorization": f"Api-Key {api_key}"} if api_key else None
        self.timing: dict[str, Any] = {}
        self._open = ExitStack()
        try:
            self._socket = self._open.enter_context(
                connect(
                    address,
                    # With a socket of ours, the server cannot send us elsewhere by a redirect.
                    sock=socket.create_connection((host, port), timeout_s),
                    compression=None,
                    max_size=MESSAGE_MAX_B,
                    additional_headers=headers,
                    open_timeout=timeout_s,
                    close_timeout=1.0,
                    proxy=None,
                )
            )
        except (OSError, ValueError, WebSocketException) as error:
            raise PolicyServerGone(f"{address}: no policy server: {type(error).__name__}: {error}") from error
        try:
            self.metadata = self._answer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "PolicyServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def infer(self, observation: Mapping[str, Any]) -> Array:
        """Return the server's actions for an observation, (steps, action size).

        Args:
            observation: Arrays, numbers and texts under the names that the policy was trained with.

        Raises:
            PolicyServerError: broken connection, too late, the server's own error, or an answer without finite actions.
        """
        data = pack(dict(observation))
        try:
            self._socket.send(data)
        except (OSError, WebSocketException) as error:
            raise PolicyServerGone(f"{self.address}: connection lost: {error}") from error
        answer = self._answer()
        timing = answer.get("server_timing")
        self.timing = timing if isinstance(timing, dict) else {}
        actions = answer.get("actions")
        if not isinstance(actions, np.ndarray) or actions.ndim not in (1, 2) or actions.size == 0:
            raise PolicyServerError(f"{self.address}: answered without actions; it sent {sorted(map(str, answer))}")
        chunk = np.atleast_2d(actions).astype(np.float64)
        if not np.isfinite(chunk).all():
            raise PolicyServerError(f"{self.address}: answered actions that are not finite")
        return chunk

    def close(self) -> None:
        """End the connection."""
        self._open.close()

    def _answer(self) -> dict[str, Any]:
        until_s = time.monotonic() + self._timeout_s
        try:
            while True:
                self._wait()
                left_s = until_s - time.monotonic()
                try:
                    data = self._socket.recv(timeout=min(_LOOK_S, max(left_s, 0.0)))
                    break
                except TimeoutError as error:
                    if left_s <= _LOOK_S:
                        self.close()
                        raise PolicyServerGone(f"{self.address}: no answer within {self._timeout_s:g} s") from error
        except (OSError, WebSocketException) as error:
            raise PolicyServerGone(f"{self.address}: connection lost: {error}") from error
        if isinstance(data, str):
            # Its last line is what went wrong; those before are the way there.
            lines = data.strip().splitlines() or [""]
            raise PolicyServerError(f"{self.address}: the server's error: {lines[-1][:TEXT_MAX]}")
        answer = unpack(data)
        if not isinstance(answer, dict):
            raise PolicyServerError(f"{self.address}: answered {type(answer).__name__}, not a table")
        return answer


def state_and_prompt(prompt: str) -> Callable[[Array], Observation]:
    """Return what makes openpi's plainest observation of a row: `observation/state` in float32, and a prompt."""

    def observation(row: Array) -> Observation:
        return {STATE: row.astype(np.float32), PROMPT: prompt}

    return observation


class Inference(Protocol):
    """What a served policy asks of its server, as `PolicyServer`."""

    @property
    def address(self) -> str: ...

    def infer(self, observation: Mapping[str, Any]) -> Array: ...


class ServedPolicy:
    """A policy server as a policy for many worlds: each has its chunk of actions, and asks anew when it is used up."""

    def __init__(
        self,
        server: Inference,
        action_size: int,
        *,
        observe: Callable[[Array], Observation],
        chunk_steps: int = 1,
    ) -> None:
        """Use a server.

        Args:
            server: The connection.
            action_size: Numbers of an action. A server whose actions are longer is taken at their beginning, as
                published policies pad theirs; a shorter one is refused.
            observe: Makes the server's observation of a row of ours.
            chunk_steps: So many steps of each chunk are carried out, at least 1.

        Raises:
            ValueError: `chunk_steps` is less than 1.
        """
        if chunk_steps < 1:
            raise ValueError(f"chunk_steps = {chunk_steps}: must be at least 1")
        self._server, self._size, self._observe, self._steps = server, action_size, observe, chunk_steps
        self._chunks: dict[int, Array] = {}
        self._used: dict[int, int] = {}

    def reset(self, worlds: Sequence[int] | None = None) -> None:
        """Forget the chunks of worlds that begin an episode; all by default."""
        for world in list(self._chunks) if worlds is None else worlds:
            self._chunks.pop(world, None)

    def has_next(self, world: int) -> bool:
        """Return whether the world's next action is there already, so that `act` asks nobody."""
        chunk = self._chunks.get(world)
        return chunk is not None and self._used[world] < min(self._steps, len(chunk))

    def act(self, obs: Array) -> Array:
        """Return actions for observations (N, obs_size), (N, action_size).

        Raises PolicyServerError as `PolicyServer.infer`, and for chunks that are too narrow.
        """
        actions = np.zeros((len(obs), self._size))
        for world, row in enumerate(obs):
            if not self.has_next(world):
                chunk = self._server.infer(self._observe(row))
                if chunk.shape[1] < self._size:
                    raise PolicyServerError(
                        f"{self._server.address}: actions have {chunk.shape[1]} numbers, the robot needs {self._size}"
                    )
                self._chunks[world], self._used[world] = chunk, 0
            actions[world] = self._chunks[world][self._used[world], : self._size]
            self._used[world] += 1
        return actions


def _end_of(address: str) -> tuple[str, int]:
    """Return host and port. Raises PolicyServerError."""
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError("it begins with ws:// or wss://")
        return parts.hostname, parts.port or (443 if parts.scheme == "wss" else 80)
    except ValueError as error:
        raise PolicyServerError(f"{address!r} is no address of a policy server: {error}") from error
