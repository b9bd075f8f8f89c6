"""Writes down the target shares that the slow loop found, as factors of weights."""

from collections.abc import Mapping

from scheduler.writer import Command, Transaction

# However unlike the speeds, nobody's weight is changed by more than that: a measurement may be wrong.
FACTOR_MAX = 4.0


def put(factors: Mapping[str, float]) -> Command[None]:
    """Return the command that replaces all factors; a leaf without one counts with its weight as it is."""

    def command(tx: Transaction) -> None:
        tx.db.execute("DELETE FROM target")
        tx.db.executemany(
            "INSERT INTO target (leaf, factor, time_ns) SELECT id, ?, ? FROM party WHERE id = ? AND leaf = 1",
            [
                (min(max(factor, 1 / FACTOR_MAX), FACTOR_MAX), tx.now_ns, leaf)
                for leaf, factor in sorted(factors.items())
            ],
        )
        tx.wants_cycle = True

    return command
