"""The checker of lease histories: against the definition itself, and on histories with and without doubled grants."""

from collections.abc import Iterator, Sequence
from itertools import combinations, count, islice, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.leases.linearizability import Kind, Operation, Outcome, check
from tests.leases.random_history import make


def is_linearizable(operations: Sequence[Operation]) -> bool:
    """By the definition: some order of some of the unknown ones and all others, one after the other, is legal."""
    return any(_is_legal(order) for chosen in _chosen(operations) for order in permutations(chosen))


def _chosen(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    known = [each for each in operations if each.outcome is not Outcome.UNKNOWN]
    unknown = [each for each in operations if each.outcome is Outcome.UNKNOWN]
    for size in range(len(unknown) + 1):
        for some_of_them in combinations(unknown, size):
            yield [*known, *some_of_them]


def _is_legal(order: Sequence[Operation]) -> bool:
    holder, epoch = "", 0
    for number, now in enumerate(order):
        for later in order[number + 1 :]:
            if later.outcome is not Outcome.UNKNOWN and later.return_s < now.call_s:
                return False
        if now.kind is Kind.ACQUIRE:
            fits = not holder and (now.epoch is None or now.epoch > epoch)
        else:
            fits = holder == now.holder and now.epoch in (None, epoch)
        if fits is (now.outcome is Outcome.REFUSED):
            return False
        if now.outcome is Outcome.REFUSED:
            continue
        if now.kind is Kind.ACQUIRE:
            holder, epoch = now.holder, epoch if now.epoch is None else now.epoch
        elif now.kind is Kind.RELEASE:
            holder = ""
    return True


@some.composite
def small_histories(draw: some.DrawFn) -> list[Operation]:
    operations = []
    for _ in range(draw(some.integers(1, 5))):
        call_s = draw(some.integers(0, 8))
        operations.append(
            Operation(
                "u",
                draw(some.sampled_from(("a", "b"))),
                draw(some.sampled_from(Kind)),
                call_s,
                call_s + draw(some.integers(0, 5)),
                draw(some.sampled_from((Outcome.DONE, Outcome.DONE, Outcome.REFUSED, Outcome.UNKNOWN))),
                draw(some.sampled_from((None, 1, 2))),
            )
        )
    return operations


@settings(max_examples=500)
@given(small_histories())
def test_it_agrees_with_the_definition_on_every_small_history(operations: list[Operation]) -> None:
    assert (not check(operations)) is is_linearizable(operations)


@pytest.mark.parametrize("unknown_share", [0.02, 0.1])
def test_a_right_history_of_64_units_and_500_operations_each_is_accepted(unknown_share: float) -> None:
    made = (make(f"u-{unit}", 500, seed=1, unknown_share=unknown_share) for unit in range(64))
    history = [each for unit in made for each in unit.operations]

    assert check(history) == []


def test_of_a_hundred_histories_with_visibly_doubled_grants_every_one_is_caught() -> None:
    """One grant in a hundred is doubled; visible: both clients knew for a while that they had the unit."""
    made = (make("u", 500, seed, doubled_share=0.01) for seed in count())
    visible = list(islice((history for history in made if history.visible), 100))

    caught = [check(history.operations) for history in visible]
    assert all(caught)
    doubled, seen = sum(each.doubled for each in visible), sum(each.visible for each in visible)
    print(f"{seen} of {doubled} doubled grants were visible; {len(caught)} of 100 histories were caught")


def test_a_grant_that_no_client_can_tell_to_be_doubled_is_no_violation() -> None:
    """The first holder had begun to give the unit back before the second one heard that it has it."""
    history = [
        Operation("u", "a", Kind.ACQUIRE, 0.0, 1.0, epoch=1),
        Operation("u", "b", Kind.ACQUIRE, 1.5, 2.5, epoch=2),
        Operation("u", "a", Kind.RELEASE, 2.0, 3.0, epoch=1),
        Operation("u", "b", Kind.RELEASE, 4.0, 5.0, epoch=2),
    ]

    assert check(history) == []


def test_a_violation_says_who_held_the_unit() -> None:
    history = [
        Operation("u", "a", Kind.ACQUIRE, 0.0, 1.0, epoch=1),
        Operation("u", "b", Kind.ACQUIRE, 1.5, 2.0, epoch=2),
        Operation("u", "a", Kind.RELEASE, 3.0, 4.0, epoch=1),
    ]
    (found,) = check(history)

    assert (found.operation.holder, found.held_by) == ("b", {("a", 1)})
    assert "u: acquire by b (epoch 2)" in str(found)
    assert "held by a at 1" in str(found)


def test_a_use_under_an_old_epoch_is_a_violation() -> None:
    history = [
        Operation("u", "a", Kind.ACQUIRE, 0.0, 1.0, epoch=1),
        Operation("u", "a", Kind.RELEASE, 2.0, 0.0, Outcome.UNKNOWN, epoch=1),
        Operation("u", "b", Kind.ACQUIRE, 3.0, 4.0, epoch=2),
        Operation("u", "a", Kind.USE, 5.0, 5.0, epoch=1),
    ]

    assert [found.operation.epoch for found in check(history)] == [1]
