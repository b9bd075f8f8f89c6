"""Histories of a lock as its clients see them, right ones and such with doubled grants, from a seed."""

import random
from dataclasses import dataclass

from tests.leases.linearizability import Kind, Operation, Outcome

CLIENTS = 8


@dataclass(frozen=True)
class Made:
    """A history of one unit.

    Attributes:
        operations: What the clients saw.
        doubled: Grants that were given while another client had the unit.
        visible: Those of which any witness could tell: for a time both clients knew that they held the unit, and
            neither had begun to give it back.
    """

    operations: list[Operation]
    doubled: int
    visible: int


@dataclass(frozen=True)
class _Hold:
    holder: str
    acquire: Operation
    release: Operation


def make(unit: str, operations: int, seed: int, *, doubled_share: float = 0.0, unknown_share: float = 0.02) -> Made:
    """Return so many operations of eight clients.

    doubled_share: Of the grants, so many are given a second time.
    unknown_share: Of the answers, so many are lost.
    """
    chance = random.Random(f"{unit} {seed}")
    now_s, epoch, doubled, visible = 0.0, 0, 0, 0
    client_free_s = dict.fromkeys(range(CLIENTS), 0.0)
    made: list[Operation] = []
    while len(made) < operations:
        now_s += chance.expovariate(20.0)
        epoch += 1
        first = _hold(
            unit, _next(client_free_s, now_s, chance), epoch, now_s, now_s + 0.1, client_free_s, chance, unknown_share
        )
        made += [first.acquire, first.release]
        end_s = now_s + 0.1
        if chance.random() < doubled_share:
            epoch += 1
            doubled += 1
            begin_s = now_s + 0.1 * chance.random()
            client = _next(client_free_s, begin_s, chance)
            second = _hold(unit, client, epoch, begin_s, begin_s + 0.1, client_free_s, chance, unknown_share)
            made += [second.acquire, second.release]
            end_s = begin_s + 0.1
            both = (first, second)
            known = all(o.outcome is Outcome.DONE for h in both for o in (h.acquire, h.release))
            since_s, until_s = max(h.acquire.return_s for h in both), min(h.release.call_s for h in both)
            visible += known and since_s < until_s
        now_s = end_s
    return Made(made, doubled, visible)


def _next(free_s: dict[int, float], now_s: float, chance: random.Random) -> int:
    return chance.choice([client for client, since_s in free_s.items() if since_s <= now_s])


def _hold(
    unit: str,
    client: int,
    epoch: int,
    begin_s: float,
    end_s: float,
    free_s: dict[int, float],
    chance: random.Random,
    unknown_share: float,
) -> _Hold:
    """Return what a client saw of a lease that began and ended at these moments."""
    holder = f"client-{client}/{epoch}"
    # Waiting for a grant takes long, so that clients overlap; messages take a little.
    call_s = max(free_s[client], begin_s - chance.expovariate(5.0))
    heard_s = begin_s + 0.04 * chance.random()
    let_go_s = max(heard_s, end_s - 0.04 * chance.random())
    done_s = end_s + 0.04 * chance.random()
    free_s[client] = done_s

    def seen(kind: Kind, since_s: float, until_s: float) -> Operation:
        lost = chance.random() < unknown_share
        return Operation(unit, holder, kind, since_s, until_s, Outcome.UNKNOWN if lost else Outcome.DONE, epoch)

    return _Hold(holder, seen(Kind.ACQUIRE, call_s, heard_s), seen(Kind.RELEASE, let_go_s, done_s))
