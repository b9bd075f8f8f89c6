"""An event loop whose time is a number, and the processes that share it.

A process is all that runs in its context: tasks and callbacks inherit it. One that is killed never runs again, as by
`kill -9`, not even its `finally` blocks. One that is frozen runs on later, its clocks ahead, as after SIGSTOP.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any

STEP_S = 1e-6


class Killed(BaseException):
    """Unwinds what the process was just doing when it was killed."""


class Stuck(Exception):
    """Nothing is left to do, and somebody still waits."""


class Process:
    """One process of the venue.

    Attributes:
        name: For people, and for the order of things.
        machine: Where it runs, which partitions go by; workers run beside their runner.
        rate: Speed of its monotonic clock, 1.0 for a true one.
        wall_s: By how much its machine's wall clock is wrong.
    """

    def __init__(self, name: str, *, rate: float = 1.0, wall_s: float = 0.0) -> None:
        self.name = name
        self.machine = "runner" if name.startswith("worker#") else name
        self.rate = rate
        self.wall_s = wall_s
        self.alive = True
        self.frozen = False
        self.held: list[asyncio.Handle] = []
        # What a kernel does for a process that dies, such as closing its files; in this order.
        self.at_death: list[Callable[[], None]] = []

    def context(self) -> Context:
        """Return a fresh context of this process."""
        context = copy_context()
        context.run(_present.set, self)
        return context

    def kill(self) -> None:
        """Let it never run again."""
        if self.alive:
            self.alive = False
            self.held.clear()
            for call in self.at_death:
                call()


_present: ContextVar[Process | None] = ContextVar("process", default=None)


def present() -> Process | None:
    """Return the process that runs now, None for the world outside of all of them."""
    return _present.get()


@contextmanager
def outside() -> Iterator[None]:
    """Be no process for a while."""
    token = _present.set(None)
    try:
        yield
    finally:
        _present.reset(token)


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop that never waits: when nothing is ready, time moves to whatever comes next.

    Attributes:
        now_s: The true time.
        failures: What callbacks raised that nobody caught.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.failures: list[str] = []
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Return the monotonic time by the clock of the process that asks."""
        process = present()
        return self.now_s if process is None else self.now_s * process.rate

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        process = present() if context is None else context.get(_present)
        return self.at(when / process.rate if process is not None else when, callback, *args, context=context)

    def at(self, when_s: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        """Call back at a true time."""
        timer = asyncio.TimerHandle(max(when_s, self.now_s), callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> "asyncio.Future[Any]":
        """Do it at once: a thread that nobody can see is as good as none."""
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on with all that has come meanwhile."""
        process.frozen = False
        self._ready.extend(process.held)  # type: ignore[attr-defined]
        process.held.clear()

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise Stuck("nothing is left to do")
            self.now_s = max(self.now_s, scheduled[0]._when)
        # Work takes time: who looks again until the clock has moved would look for ever.
        self.now_s += STEP_S
        while scheduled and scheduled[0]._when <= self.now_s:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_present)
            if process is None or (process.alive and not process.frozen):
                handle._run()
            elif process.alive:
                process.held.append(handle)

    def _note(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        process = present()
        if isinstance(error, Killed) or (process is not None and not process.alive):
            return
        if "destroyed" in context["message"] or "never retrieved" in context["message"]:
            return
        self.failures.append(f"{context['message']}: {error!r}")

    # What a loop with sockets would need.
    def _process_events(self, event_list: Any) -> None: ...

    def _write_to_self(self) -> None: ...

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        process = present()
        if process is None or process.alive:
            self.call_soon(self.create_task, agen.aclose())

    def _timer_handle_cancelled(self, handle: Any) -> None: ...
