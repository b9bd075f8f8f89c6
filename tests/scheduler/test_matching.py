"""Which units satisfy a list of requests, compared with trying everything."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from scheduler.matching import _augment, choose, matches
from scheduler.state import Unit, UnitRequest

MODELS = ("a", "b", "c")
units = st.lists(
    st.builds(
        lambda number, model, label: Unit(f"u-{number}", model, f"class-{model}", labels={"hand": label}),
        st.integers(0, 30), st.sampled_from(MODELS), st.sampled_from(("yes", "no")),
    ),
    max_size=6, unique_by=lambda unit: unit.unit,
)  # fmt: skip
requests = st.lists(
    st.builds(
        UnitRequest,
        count=st.integers(1, 2),
        robot_model=st.sampled_from(("", *MODELS)),
        unit=st.sampled_from(("", "", "u-1", "u-2")),
        labels=st.sampled_from(((), (("hand", "yes"),))),
    ),
    max_size=3,
)


def possible(wanted: Sequence[UnitRequest], pool: Sequence[Unit]) -> bool:
    """Whether some assignment exists, by trying all."""
    if not wanted:
        return True
    return any(
        possible(wanted[1:], [*pool[:index], *pool[index + 1 :]])
        for index, unit in enumerate(pool)
        if matches(wanted[0], unit)
    )


@given(requests, units)
def test_units_are_found_exactly_when_there_are_some(asked: list[UnitRequest], pool: list[Unit]) -> None:
    wanted = [request for request in asked for _ in range(request.count)]
    chosen = choose(asked, pool)

    assert (chosen is not None) == possible(wanted, pool)
    if chosen is not None:
        named = {unit.unit: unit for unit in pool}
        assert len(set(chosen)) == len(chosen) == len(wanted)
        assert all(matches(request, named[name]) for request, name in zip(wanted, chosen, strict=True))


@given(requests, units, st.randoms())
def test_the_order_of_units_does_not_matter(asked: list[UnitRequest], pool: list[Unit], random: object) -> None:
    shuffled = list(pool)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert choose(asked, shuffled) == choose(asked, pool)


def test_a_picky_request_gets_the_unit_that_an_easy_one_could_do_without() -> None:
    pool = [Unit("u-1", "a"), Unit("u-2", "b")]

    assert choose([UnitRequest(), UnitRequest(robot_model="a")], pool) == ("u-2", "u-1")


def test_a_chain_of_moves_may_be_longer_than_pythons_stack() -> None:
    """Request k fits units k and k + 1; the last fits only what the first would take: everybody moves by one."""
    size = 3000
    names = [f"u-{n:05}" for n in range(size + 1)]
    fits = [(names[n], names[n + 1]) for n in range(size)] + [(names[0],)]
    chosen = {n: names[n] for n in range(size)}
    holder = {unit: n for n, unit in chosen.items()}

    assert _augment(size, fits, chosen, holder)
    assert chosen == {n: names[n + 1] for n in range(size)} | {size: names[0]}
    assert holder == {unit: n for n, unit in chosen.items()}


def test_many_units_of_one_kind_are_found_at_once() -> None:
    pool = [Unit(f"u-{n:05}", "a") for n in range(3000)]

    assert choose([UnitRequest(count=3000, robot_model="a")], pool) == tuple(unit.unit for unit in pool)
    assert choose([UnitRequest(count=3001, robot_model="a")], pool) is None
