"""The holder's end of a slot process: starts it, steps it, extends its lease, ends it, and says what became of it."""

import contextlib
import json
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sim import checkpoint, errors
from sim.body import Array
from sim.errors import BadAction, BadSlot, SimError, SlotDied, SlotTimeout
from sim.sandbox import Layer
from sim.slot import Transition
from sim.slot_process import control, segment
from sim.slot_process.process import Process, alive, closing, how_ended, readable
from sim.slot_process.segment import LATENESS_EDGES_S, WORD, Segment, Sizes
from sim.slot_process.work import Bounds, SlotFacts, SlotSpec


@dataclass(frozen=True)
class Pacing:
    """How a slot has kept its pace.

    Attributes:
        steps: Steps made.
        held: Of these, in real time, without an action: the last one was held.
        lateness: How many were late by at most `edges_s[k]`; the last number is of those beyond all edges.
    """

    steps: int
    held: int
    lateness: tuple[int, ...]
    edges_s: tuple[float, ...] = LATENESS_EDGES_S

    @property
    def missed(self) -> int:
        """Steps that were not ready in time."""
        return sum(self.lateness[1:])


class LeasedSlot:
    """A slot in a process of its own. Not for several threads at once, except `kill` and `extend`.

    Attributes:
        spec, facts: What was asked for, and what it is.
        worlds, obs_size, action_size, horizon_steps, joint_names: As of `SimSlot`.
        terminated, truncated, success, world_numbers, episodes: Of each world, as of the last answer.
        pid: Of the process.
        layers: What the process gave up before it read its model, and what this machine did not let it give up.
    """

    def __init__(self, spec: SlotSpec, *, bounds: Bounds | None = None, ttl_s: float | None = None) -> None:
        """Start the process and wait until its worlds stand.

        Args:
            spec: What it shall be.
            bounds: What it may use.
            ttl_s: The process ends by itself so long after the start or the last `extend`; None: with its starter.

        Raises:
            SimError: of the kind that building the worlds in this process would have raised.
            SlotDied, SlotTimeout: it did not get so far.
        """
        self.spec, self.bounds = spec, bounds or Bounds()
        self._what = "while it was started"
        process = self._process = Process()
        self.pid = process.pid
        self._finalizer = weakref.finalize(self, process.end)
        try:
            hello = {"spec": spec.to_json(), "bounds": asdict(self.bounds), "ttl_s": ttl_s}
            with self._told():
                control.send(process.sock, hello)
                message, fds = self._receive(self.bounds.start_s)
            with closing(fds):
                self.facts = SlotFacts.from_json(str(message.get("facts")))
                sizes = _checked(message.get("sizes"), spec, self.facts)
                self.layers = layers_of(message.get("layers"))
                if len(fds) != 1:
                    raise BadSlot(f"{len(fds)} segments instead of one")
                process.segment = self._shared = segment.attach(fds[0], sizes)
                fds.clear()
        except BaseException:
            self._finalizer()
            raise
        self.worlds, self.seed = spec.worlds, spec.seed
        self.obs_size, self.action_size = sizes.observations, sizes.actions
        self.horizon_steps, self.joint_names = self.facts.horizon_steps, self.facts.joint_names
        self._failures: dict[int, str] = {}
        self._want = 0
        self._note()

    def reset(
        self,
        mask: npt.ArrayLike | None = None,
        *,
        worlds: npt.ArrayLike | None = None,
        episodes: npt.ArrayLike | None = None,
    ) -> Array:
        """As `SimSlot.reset`. Raises also SlotDied, SlotTimeout."""
        chosen = np.ones(self.worlds, np.bool_) if mask is None else np.asarray(mask, dtype=np.bool_)
        if chosen.shape != (self.worlds,):
            raise ValueError(f"mask has shape {chosen.shape}, not ({self.worlds},)")
        shared = self._alive()
        shared.mask[:] = chosen
        for name, numbers, rows in (("worlds", worlds, shared.worlds), ("episodes", episodes, shared.episodes)):
            rows[:] = -1
            if numbers is not None:
                given = np.asarray(numbers, dtype=np.int64)
                if (given < 0).any():
                    raise ValueError(f"{name}: {given[given < 0][:5].tolist()} are below 0")
                rows[chosen] = given
        for world in np.flatnonzero(chosen):
            self._failures.pop(int(world), None)
        self._ask(segment.RESET, "during a reset")
        return np.array(shared.obs)

    def step(self, actions: npt.ArrayLike, *, contain: bool = False) -> Transition:
        """As `SimSlot.step`. Raises also SlotDied, SlotTimeout."""
        shared = self._alive()
        action = np.asarray(actions, dtype=np.float64)
        if action.shape != (self.worlds, self.action_size):
            raise BadAction(f"actions have shape {action.shape}, not ({self.worlds}, {self.action_size})")
        shared.actions[:] = action
        shared.words[WORD.contain] = contain
        self._ask(segment.STEP, "during a step")
        return Transition(np.array(shared.obs), np.array(shared.reward), self.terminated, self.truncated)

    def record(self, *, signals: bool = False, digests: bool = False, positions: bool = False) -> None:
        """Say what the slot shall show after each step beside observations: it costs a little time."""
        self._want = segment.SIGNALS * signals | segment.DIGESTS * digests | segment.POSITIONS * positions
        self._alive().words[WORD.want] = self._want

    def joint_state(self) -> tuple[Array, Array, Array, Array]:
        """As `SimSlot.joint_state`; `record(signals=True)` must have been asked for."""
        assert self._want & segment.SIGNALS, "record(signals=True) comes first"
        shared = self._alive()
        return np.array(shared.q), np.array(shared.dq), np.array(shared.tau), np.array(shared.q_ref)

    def base_pose(self) -> Array:
        """As `SimSlot.base_pose`; `record(signals=True)` must have been asked for."""
        assert self._want & segment.SIGNALS, "record(signals=True) comes first"
        return np.array(self._alive().base_pose)

    def positions(self) -> Array:
        """As `SimSlot.positions`; `record(positions=True)` must have been asked for."""
        assert self._want & segment.POSITIONS, "record(positions=True) comes first"
        return np.array(self._alive().qpos)

    def readings(self) -> dict[str, Array]:
        """Return what the sensors read after the last step, by name, each (N, width), in `facts.reading_units`."""
        rows, found, first = self.all_readings(), dict[str, Array](), 0
        for name, width in self.facts.readings.items():
            found[name] = rows[:, first : first + width]
            first += width
        return found

    def all_readings(self) -> Array:
        """Return the same side by side, (N, sum of widths)."""
        return np.array(self._alive().readings)

    def observe(self) -> Array:
        """Return the observations of the last answer, (N, obs_size)."""
        return np.array(self._alive().obs)

    @property
    def taken(self) -> Array:
        """As `SimSlot.taken`; `record(digests=True)` must have been asked for."""
        assert self._want & segment.DIGESTS, "record(digests=True) comes first"
        return np.array(self._alive().taken)

    def digests(self) -> npt.NDArray[np.uint64]:
        """As `SimSlot.digests`; `record(digests=True)` must have been asked for."""
        assert self._want & segment.DIGESTS, "record(digests=True) comes first"
        return np.array(self._alive().digests)

    def checkpoint(self) -> bytes:
        """Return the whole state as bytes that `restore` continues from, to the last bit. Raises SlotDied."""
        _, fds = self._converse({"do": "checkpoint"}, "during a checkpoint")
        with closing(fds):
            if len(fds) != 1:
                raise BadSlot("no checkpoint came")
            return control.unblob(fds.pop(), checkpoint.BYTES_MAX)

    def restore(self, data: bytes) -> Array:
        """Continue from a checkpoint and return the observations. Raises BadSnapshot, SlotDied."""
        fd = control.blob(data)
        try:
            _, fds = self._converse({"do": "restore"}, "during a restore", fd)
            with closing(fds):
                pass
        finally:
            os.close(fd)
        self._failures = {}
        self._note()
        return np.array(self._shared.obs)

    def pacing(self) -> Pacing:
        """Return how the slot has kept its pace so far."""
        shared, self._what = self._alive(), "while it told its pace"
        # Until nobody has written meanwhile; a slot that is stopped in the middle of it never gets done.
        until_s = time.monotonic() + self.bounds.step_s
        while True:
            words = shared.words.copy()
            if words[WORD.sequence] % 2 == 0 and shared.words[WORD.sequence] == words[WORD.sequence]:
                break
            if not alive(self._process.pidfd):
                raise self._died()
            if time.monotonic() > until_s:
                raise self._late(self.bounds.step_s)
        count = len(LATENESS_EDGES_S) + 1
        lateness = tuple(int(n) for n in words[WORD.lateness : WORD.lateness + count])
        return Pacing(int(words[WORD.steps]), int(words[WORD.held]), lateness)

    def watch(self) -> Array | None:
        """Return the latest observations without asking for a step, (N, obs_size); None while they are written."""
        words = self._alive().words
        before = int(words[WORD.sequence])
        obs = np.array(self._shared.obs)
        return obs if before % 2 == 0 and int(words[WORD.sequence]) == before else None

    def extend(self, ttl_s: float) -> None:
        """Let the process live for so long from now; of use only where it was opened with a `ttl_s`."""
        self._alive().words[WORD.lease_until_ns] = time.monotonic_ns() + int(ttl_s * 1e9)

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._finalizer.alive and alive(self._process.pidfd)

    def kill(self) -> None:
        """End the process at once, whatever it is doing; whoever waits for it gets SlotDied."""
        self._process.kill()

    def close(self) -> None:
        """End the process and let go of everything. Nothing happens the second time."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _alive(self) -> Segment:
        if not self._finalizer.alive:
            raise SlotDied("the slot is closed")
        return self._shared

    def _ask(self, command: int, what: str) -> None:
        """Have the slot do one thing and wait for its answer."""
        words, process, self._what = self._shared.words, self._process, what
        words[WORD.command] = command
        words[WORD.request] += 1
        os.eventfd_write(process.request_fd, 1)
        # One that answers something else than what was asked goes unheard.
        until_s = time.monotonic() + self.bounds.step_s
        while words[WORD.response] != words[WORD.request]:
            if not self._wait(process.response_fd, max(until_s - time.monotonic(), 0.0)):
                raise self._late(self.bounds.step_s)
            os.eventfd_read(process.response_fd)
        status = int(words[WORD.status])
        if status == segment.OK:
            self._note(fresh=command == segment.RESET)
            return
        kind, _, why = self._shared.get_text().partition(": ")
        raise (_error(kind, why) if status == segment.REFUSED else SlotDied(f"the slot failed {what}: {kind}: {why}"))

    def _note(self, *, fresh: bool = True) -> None:
        """Take over what the slot says of its worlds."""
        shared = self._shared
        self.terminated, self.truncated, self.success = (
            np.array(flags) for flags in (shared.terminated, shared.truncated, shared.success)
        )
        if fresh:
            self.world_numbers, self.episodes = np.array(shared.world_numbers), np.array(shared.episode_numbers)
        self._failing = int(shared.words[WORD.failing])
        if not self._failing:
            self._failures = {}
            return
        try:
            # A world's reason stays as it is until the world is reset, so what was heard before still holds.
            self._failures |= _reasons(json.loads(shared.get_text()))
        except (ValueError, AttributeError):
            self._failures, self._failing = {-1: "the slot's failures cannot be read"}, 1

    @property
    def failures(self) -> dict[int, str]:
        """Why, by world, for those that blew up, were stopped or refused. Asks the slot for what it has not told yet.

        Raises SlotDied, SlotTimeout.
        """
        if len(self._failures) < self._failing:
            found: dict[int, str] = {}
            while page := self._page(max(found, default=-1)):
                found |= page
            self._failures, self._failing = found, len(found)
        return self._failures

    def _page(self, after: int) -> dict[int, str]:
        answer, fds = self._converse({"do": "failures", "after": after}, "while it told of failures")
        with closing(fds):
            try:
                page = {world: why for world, why in _reasons(answer["failures"]).items() if world > after}
            except (KeyError, ValueError, AttributeError) as error:
                raise BadSlot(f"failures that cannot be read: {error}") from error
        return page

    def drawn(self, worlds: Sequence[int]) -> dict[str, Array]:
        """Return what the present episodes of some worlds have drawn, by term of the randomisation, (n, width).

        worlds: Their places in the slot. Raises BadSlot for one that is not there, SlotDied.
        """
        _, fds = self._converse({"do": "drawn", "worlds": [int(world) for world in worlds]}, "while it told its draws")
        with closing(fds):
            if len(fds) != 1:
                raise BadSlot("no draws came")
            data = control.unblob(fds.pop(), checkpoint.BYTES_MAX)
        try:
            return {str(name): np.array(rows, dtype=np.float64) for name, rows in json.loads(data).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise BadSlot(f"draws that cannot be read: {error}") from error

    def _converse(self, message: Mapping[str, Any], what: str, *fds: int) -> tuple[dict[str, Any], list[int]]:
        self._alive()
        self._what = what
        with self._told():
            control.send(self._process.sock, dict(message), *fds)
            return self._receive(self.bounds.step_s)

    @contextlib.contextmanager
    def _told(self) -> Any:
        """Turn a broken socket into what became of the process."""
        try:
            yield
        except (OSError, EOFError):
            raise self._died() from None

    def _receive(self, patience_s: float) -> tuple[dict[str, Any], list[int]]:
        if not self._wait(self._process.sock.fileno(), patience_s):
            raise self._late(patience_s)
        answer, fds = control.receive(self._process.sock)
        if "refused" in answer:
            with closing(fds):
                raise _error(str(answer["refused"]), str(answer.get("message")))
        return answer, fds

    def _wait(self, fd: int, patience_s: float) -> bool:
        """Wait until `fd` can be read; False if it took too long. Raises SlotDied."""
        ready = readable((fd, self._process.pidfd), patience_s)
        if ready and fd not in ready:
            # It may have answered just before its end.
            if readable((fd,), 0.0):
                return True
            raise self._died()
        return bool(ready)

    def _late(self, patience_s: float) -> SlotTimeout:
        self.close()
        return SlotTimeout(f"the slot took longer than {patience_s:g} s {self._what}; it was killed")

    def _died(self) -> SlotDied:
        # A broken socket may be seen before the end that broke it.
        self._process.kill()
        code = self._process.code()
        self.close()
        return SlotDied(f"the slot {how_ended(code, self.bounds)} {self._what}")


def _reasons(table: Any) -> dict[int, str]:
    """Return why worlds failed, from JSON. Raises ValueError, AttributeError for anything else."""
    return {int(world): str(why) for world, why in table.items()}


def layers_of(told: Any) -> tuple[Layer, ...]:
    """Return what a slot says of its layers. Raises BadSlot."""
    try:
        return tuple(Layer(str(each["name"]), bool(each["holds"]), str(each["what"])) for each in told)
    except (TypeError, KeyError) as error:
        raise BadSlot(f"layers {str(told)[:100]}: {error}") from error


def _error(kind: str, message: str) -> SimError:
    """Return the error of that name; of a name that there is not, BadSlot."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, SimError):
        return found(message)
    return BadSlot(f"{kind}: {message}")


def _checked(values: Any, spec: SlotSpec, facts: SlotFacts) -> Sizes:
    """Return the sizes that a slot claims. Raises BadSlot unless they fit what was asked for and what it says."""
    try:
        sizes = Sizes(*(int(value) for value in values))
    except (TypeError, ValueError) as error:
        raise BadSlot(f"sizes {str(values)[:100]}: {error}") from error
    said = Sizes(
        spec.worlds,
        facts.action_size,
        len(facts.obs_names),
        len(facts.joint_names),
        sum(facts.readings.values()),
        facts.positions,
    )
    if sizes != said or min(sizes) < 0:
        raise BadSlot(f"{sizes} where the slot's own facts say {said}")
    return sizes
