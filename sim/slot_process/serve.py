"""The loop inside a slot process: asked over shared memory for steps and resets, over a socket for all that is rare."""

import json
import os
import select
import signal
import socket
import threading
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from sim import checkpoint, sandbox
from sim.body import Array
from sim.errors import BadSlot, SimError
from sim.slot import SimSlot, Transition
from sim.slot_process import confine, control, segment
from sim.slot_process.pacing import after_step, bucket, schedule_of
from sim.slot_process.program import Program, program_of
from sim.slot_process.scenario_slot import ScenarioSlot
from sim.slot_process.segment import WORD, Segment, Sizes
from sim.slot_process.work import Bounds, SlotFacts, SlotSpec

SPIN_S = 3e-4
"""Sleeping ends late by this at most on a quiet machine; the rest of a wait is spent looking at the clock."""
LINGER_NS = 50_000
BACKSTOP_S = 1.0
"""Should this process be unable to run Python, the kernel's timer ends it so long after its lease."""
WATCH_S = 0.25
FAILURES_PAGE = 200
"""So many failures go beside an answer; the holder asks for the others."""


def serve(sock: socket.socket, request_fd: int, response_fd: int) -> int:
    """Build what the first message asks for and serve it until the holder is gone. Returns the exit code."""
    try:
        message, _ = control.receive(sock)
    except EOFError:
        return 0
    bounds = Bounds(**message["bounds"])
    signal.setitimer(signal.ITIMER_REAL, bounds.start_s)
    confine.return_large_blocks()
    confine.bound(bounds)
    try:
        spec = SlotSpec.from_json(message["spec"])
        # Before the first byte of a model is read, while there is one thread.
        layers = sandbox.enter(sandbox.readable(spec.folder))
        program, facts = program_of(spec)
        confine.give_back_memory()
        sizes = _sizes(program, facts)
        shared = segment.create(sizes)
        loop = _Loop(sock, request_fd, response_fd, program, spec, facts, shared)
        told = {"facts": facts.to_json(), "sizes": sizes, "layers": [asdict(layer) for layer in layers]}
        control.send(sock, told, shared.fd)
    except SimError as error:
        control.send(sock, {"refused": type(error).__name__, "message": str(error)[:4000]})
        return 0
    except MemoryError:
        text = f"the model needs more than the {bounds.memory_bytes / 2**20:.0f} MiB that this slot may use"
        control.send(sock, {"refused": "BrokenModel", "message": text})
        return 0
    except Exception as error:
        control.send(sock, {"refused": "BadSlot", "message": f"{type(error).__name__}: {error}"[:4000]})
        return 0
    confine.started()
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    ttl_s = message.get("ttl_s")
    if ttl_s is not None:
        shared.words[WORD.lease_until_ns] = time.monotonic_ns() + int(ttl_s * 1e9)
        threading.Thread(target=_watch, args=(shared,), daemon=True).start()
    try:
        loop.run()
    except (EOFError, BrokenPipeError, ConnectionError):
        pass
    return 0


def _sizes(program: Program, facts: SlotFacts) -> Sizes:
    return Sizes(
        program.worlds,
        program.action_size,
        program.obs_size,
        len(facts.joint_names),
        sum(facts.readings.values()),
        facts.positions,
    )


def _watch(shared: Segment) -> None:
    """End the process when the holder has not extended the lease in time."""
    while True:
        left_s = (int(shared.words[WORD.lease_until_ns]) - time.monotonic_ns()) / 1e9
        if left_s <= 0.0:
            signal.setitimer(signal.ITIMER_REAL, 1e-6)
            time.sleep(BACKSTOP_S)
            os._exit(0)
        signal.setitimer(signal.ITIMER_REAL, left_s + BACKSTOP_S)
        time.sleep(min(left_s, WATCH_S))


class _Loop:
    """One slot at work."""

    def __init__(
        self,
        sock: socket.socket,
        request_fd: int,
        response_fd: int,
        program: Program,
        spec: SlotSpec,
        facts: SlotFacts,
        shared: Segment,
    ) -> None:
        self._sock, self._request_fd, self._response_fd = sock, request_fd, response_fd
        self._program, self._pace, self._period_s, self._shared = program, spec.pace, facts.period_s, shared
        self._schedule = schedule_of(self._pace, self._period_s, time.monotonic())
        self._free = False
        self._cost_s = 0.0
        self._show(program.reset(np.zeros(program.worlds, np.bool_)))

    def run(self) -> None:
        """Serve until the holder closes its socket. Raises EOFError then."""
        watched: list[Any] = [self._sock, self._request_fd]
        while True:
            self._linger()
            ready = select.select(watched, (), (), self._patience_s())[0]
            if self._sock in ready:
                self._converse()
            elif ready:
                os.eventfd_read(self._request_fd)
                self._answer()
            else:
                self._step(None)

    def _linger(self) -> None:
        """Look out for the next request for a moment before going to sleep: waking up takes as long."""
        words = self._shared.words
        end_ns = time.perf_counter_ns() + LINGER_NS
        while words[WORD.request] == words[WORD.response] and time.perf_counter_ns() < end_ns:
            pass

    def _patience_s(self) -> float | None:
        """How long to wait for an action: in real time until a step has to begin so as to be in time."""
        if not self._free:
            return None
        return max(self._schedule.due_s - self._cost_s - time.monotonic(), 0.0)

    def _answer(self) -> None:
        shared, words = self._shared, self._shared.words
        # A holder that was interrupted while it waited may ask for the next thing before this one is done.
        asked = int(words[WORD.request])
        if asked == words[WORD.response]:
            return
        words[WORD.status] = segment.OK
        try:
            if int(words[WORD.command]) == segment.RESET:
                self._reset()
            else:
                self._step(shared.actions, contain=bool(words[WORD.contain]))
        except (SimError, ValueError) as error:
            words[WORD.status] = segment.REFUSED
            shared.put_text(f"{type(error).__name__}: {error}")
        except Exception as error:
            words[WORD.status] = segment.FAILED
            shared.put_text(f"{type(error).__name__}: {error}")
        words[WORD.response] = asked
        os.eventfd_write(self._response_fd, 1)

    def _reset(self) -> None:
        shared = self._shared
        mask = shared.mask.copy()
        ids = np.flatnonzero(mask)
        # A negative number asks for none in particular; all or none of them are.
        worlds, episodes = (
            None if len(ids) == 0 or (numbers[ids] < 0).any() else numbers[ids].copy()
            for numbers in (shared.worlds, shared.episodes)
        )
        obs = self._program.reset(mask, worlds=worlds, episodes=episodes)
        self._schedule = schedule_of(self._pace, self._period_s, time.monotonic())
        self._free = False
        self._show(obs)

    def _show(self, obs: Array) -> None:
        """Show where the worlds stand without a step."""
        program = self._program
        self._shared.words[WORD.sequence] += 1
        self._put(Transition(obs, np.zeros(program.worlds), program.terminated, program.truncated), fresh=True)

    def _step(self, actions: Array | None, *, contain: bool = False) -> None:
        """Step, under the last actions where none are given, and show what came at the time it is due."""
        began_s = time.monotonic()
        if self._pace.mode == "real_time" and not self._free:
            self._schedule = schedule_of(self._pace, self._period_s, began_s)
        transition = self._program.step(self._program.taken if actions is None else actions, contain=contain)
        self._free = self._pace.mode == "real_time"
        now_s = time.monotonic()
        # A little more than the last one took, and slow to forget: a step that begins too late cannot be in time.
        self._cost_s = max(1.5 * (now_s - began_s), 0.98 * self._cost_s)
        late_s = None
        if self._schedule.interval_s:
            _wait_until(self._schedule.due_s)
            # What counts is when the worlds were ready, not when the wait ended.
            self._schedule, late_s = after_step(self._schedule, self._pace, now_s)
        words = self._shared.words
        words[WORD.sequence] += 1
        words[WORD.steps] += 1
        words[WORD.held] += actions is None
        if late_s is not None:
            words[WORD.lateness + bucket(late_s)] += 1
        self._put(transition)

    def _put(self, transition: Transition, *, fresh: bool = False) -> None:
        """Write down what the worlds have come to; `sequence` was made odd by the caller, and is even again then."""
        shared, program, words = self._shared, self._program, self._shared.words
        if fresh:
            shared.world_numbers[:], shared.episode_numbers[:] = program.world_numbers, program.episodes
        shared.obs[:], shared.reward[:] = transition.obs, transition.reward
        shared.terminated[:], shared.truncated[:] = transition.terminated, transition.truncated
        shared.success[:] = program.success
        want = int(words[WORD.want])
        if want & segment.SIGNALS and isinstance(program, (SimSlot, ScenarioSlot)):
            shared.q[:], shared.dq[:], shared.tau[:], shared.q_ref[:] = program.joint_state()
            shared.base_pose[:] = program.base_pose()
        if isinstance(program, SimSlot) and program.sensors.readings:
            np.concatenate(list(program.sensors.rows.values()), axis=1, out=shared.readings)
        if want & segment.POSITIONS:
            shared.qpos[:] = program.positions()
        if want & segment.DIGESTS:
            shared.digests[:], shared.taken[:] = program.digests(), program.taken
        words[WORD.failing] = len(program.failures)
        if program.failures:
            shared.put_text(_listed(program.failures))
        words[WORD.sequence] += 1

    def _converse(self) -> None:
        """Answer one message of the control socket. Raises EOFError where the holder is gone."""
        message, fds = control.receive(self._sock)
        try:
            if message.get("do") == "checkpoint":
                fd = control.blob(checkpoint.to_bytes(self._program.snapshot()))
                control.send(self._sock, {"ok": True}, fd)
                os.close(fd)
            elif message.get("do") == "restore" and len(fds) == 1:
                obs = self._program.restore(checkpoint.from_bytes(control.unblob(fds.pop(), checkpoint.BYTES_MAX)))
                self._schedule, self._free = schedule_of(self._pace, self._period_s, time.monotonic()), False
                self._show(obs)
                control.send(self._sock, {"ok": True})
            elif message.get("do") == "failures":
                page = _page(self._program.failures, int(message["after"]), 300)
                control.send(self._sock, {"failures": page})
            elif message.get("do") == "drawn":
                fd = control.blob(json.dumps(_drawn(self._program, message["worlds"])).encode())
                control.send(self._sock, {"ok": True}, fd)
                os.close(fd)
            else:
                raise BadSlot(f"no such request: {str(message)[:200]}")
        except (SimError, MemoryError) as error:
            control.send(self._sock, {"refused": type(error).__name__, "message": str(error)[:4000]})
        finally:
            for fd in fds:
                os.close(fd)


def _page(failures: dict[int, str], after: int, length: int) -> dict[str, str]:
    """Return the next failures after that of a world, in order, each cut to so many characters."""
    some = sorted(item for item in failures.items() if item[0] > after)[:FAILURES_PAGE]
    return {str(world): why[:length] for world, why in some}


def _listed(failures: dict[int, str]) -> str:
    """Return the first failures as JSON that fits into the segment's text: half of it could not be read."""
    length = 300
    while len(text := json.dumps(_page(failures, -1, length))) > segment.TEXT_BYTES:
        length //= 2
    return text


def _drawn(program: Program, worlds: list[int]) -> dict[str, list[list[float]]]:
    """Return what the present episodes of some worlds have drawn, by term, a row for each. Raises BadSlot."""
    if not isinstance(program, (SimSlot, ScenarioSlot)):
        return {}
    if not all(0 <= world < program.worlds for world in worlds):
        raise BadSlot(f"worlds {worlds[:5]}: from 0 to {program.worlds - 1}")
    if isinstance(program, ScenarioSlot):
        return program.drawn(worlds)
    return {name: rows[worlds].tolist() for name, rows in program.randomiser.memory().items()}


def _wait_until(due_s: float) -> None:
    while (left_s := due_s - time.monotonic()) > 0.0:
        if left_s > SPIN_S:
            time.sleep(left_s - SPIN_S)
