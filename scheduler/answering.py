"""Brings results from the writer's thread to those who wait in the event loop: all of a commit at once.

Waking the loop costs a system call, and both threads a turn of the interpreter's lock: once for a commit, not once for
each of its commands.
"""

import asyncio
from typing import Any


class Answer:
    """What one caller waits for: a future of the loop, and its result as the writer's thread left it."""

    __slots__ = ("_answers", "error", "future", "result")

    def __init__(self, answers: "Answers", future: "asyncio.Future[Any]") -> None:
        self._answers = answers
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def set_running_or_notify_cancel(self) -> bool:
        """Return whether the caller still waits. He may give up later, and then the result is nobody's."""
        return not self.future.cancelled()

    def set_result(self, result: Any, /) -> None:
        self.result = result
        self._answers.keep(self)

    def set_exception(self, exception: BaseException | None, /) -> None:
        self.error = exception
        self._answers.keep(self)


class Answers:
    """Results on their way. `expect` is for the loop's thread; the rest, for the writer's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: list[Answer] = []

    def expect(self) -> Answer:
        """Return where the result of a command goes; who waits, waits for its `future`."""
        return Answer(self, self._loop.create_future())

    def keep(self, answer: Answer) -> None:
        """Keep a result until `deliver`."""
        self._ready.append(answer)

    def deliver(self) -> None:
        """Wake those whose results have come."""
        if self._ready:
            ready, self._ready = self._ready, []
            self._loop.call_soon_threadsafe(_hand_over, ready)


def _hand_over(ready: list[Answer]) -> None:
    for answer in ready:
        # Who has given up meanwhile waits no more.
        if not answer.future.done():
            if answer.error is None:
                answer.future.set_result(answer.result)
            else:
                answer.future.set_exception(answer.error)
