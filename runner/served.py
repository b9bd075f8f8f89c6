"""A policy that a vendor serves elsewhere, as the runner calls it: only where the venue allows it.

A server that has gone is looked for again; what was asked is then asked once more, by a new connection. Chunks belong
to worlds and not to connections, so nothing else changes.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from palaestra import policy_address
from palaestra.v1 import worlds_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError, RunnerError
from sim.body import Array
from sim.env.openpi import PolicyServer, ServedPolicy, state_and_prompt
from sim.errors import PolicyServerError, PolicyServerGone

TIMEOUT_S = 10.0
OUTAGE_S = 15.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 2.0


class Over(RunnerError):
    """What asked has ended meanwhile; the answer is nobody's any more."""


class Line:
    """A policy server through its outages, for one thread. Raises AttemptError POLICY_SERVER_LOST; Stopped, Over."""

    def __init__(self, attempt: Attempt, address: str, *, timeout_s: float, outage_s: float) -> None:
        self.address = address
        self._attempt, self._timeout_s, self._outage_s = attempt, timeout_s, outage_s
        self._server: PolicyServer | None = None
        self._over = False

    def infer(self, observation: Mapping[str, Any]) -> Array:
        """As `PolicyServer.infer`, again and again while nobody answers."""
        since_s: float | None = None
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                if self._server is None:
                    self._server = PolicyServer(self.address, timeout_s=self._timeout_s, wait=self._check)
                return self._server.infer(observation)
            except PolicyServerGone as error:
                self.close()
                now_s = time.monotonic()
                if since_s is None:
                    since_s = now_s
                    self._attempt.log(f"the policy server has gone and is looked for: {error}")
                if now_s - since_s >= self._outage_s:
                    lost = f"{error}; looked for it for {self._outage_s:g} s"
                    raise AttemptError("POLICY_SERVER_LOST", lost, retryable=True) from error
            except PolicyServerError as error:
                raise AttemptError("POLICY_SERVER_LOST", str(error), retryable=False) from error
            self._check()
            self._attempt.wait(pause_s)
            pause_s = min(2.0 * pause_s, PAUSE_MAX_S)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def end(self) -> None:
        """Let nobody wait for an answer any longer, also in another thread; some tenths of a second later none does."""
        self._over = True

    def _check(self) -> None:
        self._attempt.check()
        if self._over:
            raise Over(f"{self.address}: the answer is not waited for any longer")


def line_to(attempt: Attempt, spec: worlds_pb2.ServedPolicy) -> Line:
    """Return the way to a served policy; nobody has been called yet.

    Raises AttemptError: POLICY_SERVER_REFUSED where this runner does not call; UNKNOWN_WORK for another protocol.
    """
    address, allowed = spec.openpi, attempt.settings.policy_servers
    if not address:
        raise AttemptError("UNKNOWN_WORK", "this runner speaks openpi with served policies", retryable=False)
    try:
        fine = policy_address.is_allowed(address, allowed)
    except ValueError as error:
        raise AttemptError("POLICY_SERVER_REFUSED", str(error), retryable=False) from error
    if not fine:
        message = f"{address} is none of those that this venue's runner calls: {', '.join(allowed) or 'none'}"
        raise AttemptError("POLICY_SERVER_REFUSED", message, retryable=False)
    return Line(
        attempt,
        address,
        timeout_s=spec.timeout.ToNanoseconds() / 1e9 or TIMEOUT_S,
        outage_s=spec.outage.ToNanoseconds() / 1e9 or OUTAGE_S,
    )


def policy_over(line: Line, spec: worlds_pb2.ServedPolicy, action_size: int, *, title: str) -> ServedPolicy:
    """Return the policy at the other end, for actions of that width.

    title: What the task is called, for a policy that is given no prompt of its own.
    """
    observe = state_and_prompt(spec.prompt or title)
    return ServedPolicy(line, action_size, observe=observe, chunk_steps=spec.chunk_steps or 1)


@contextmanager
def served_policy(
    attempt: Attempt, spec: worlds_pb2.ServedPolicy, action_size: int, *, title: str
) -> Iterator[ServedPolicy]:
    """Have a served policy for worlds, which wait for its answers. Raises AttemptError as `line_to`."""
    line = line_to(attempt, spec)
    try:
        yield policy_over(line, spec, action_size, title=title)
    except PolicyServerError as error:
        # Chunks that are too narrow.
        raise AttemptError("POLICY_SERVER_LOST", str(error), retryable=False) from error
    finally:
        line.close()
