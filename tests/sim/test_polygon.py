"""Polygons on the floor: inside, across, out of each other, for any shape that a venue file may have."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.venues.polygon import (
    Polygon,
    area_m2,
    bounds,
    centroid,
    contains,
    crosses_itself,
    overlap,
    overlapping,
    reach_m,
    rectangle,
)

L_SHAPE: Polygon = ((0.0, 0.0), (4.0, 0.0), (4.0, 1.0), (1.0, 1.0), (1.0, 4.0), (0.0, 4.0))
place, side, turn = st.floats(-50.0, 50.0), st.floats(0.5, 20.0), st.floats(-180.0, 180.0)
rectangles = st.builds(rectangle, place, place, side, side, turn)


@settings(max_examples=50)
@given(place, place, side, side, turn)
def test_a_rectangle_has_its_area_its_middle_and_holds_itself_however_it_is_turned(
    x: float, y: float, width: float, depth: float, yaw: float
) -> None:
    found = rectangle(x, y, width, depth, yaw)

    assert area_m2(found) == pytest.approx(width * depth, rel=1e-6)
    assert centroid(found) == pytest.approx((x, y), abs=1e-5)
    assert contains(found, (x, y)) and all(contains(found, corner) for corner in found)
    assert reach_m(found, found) == 0.0
    assert not crosses_itself(found)


@settings(max_examples=50)
@given(rectangles, rectangles)
def test_two_rectangles_share_floor_if_no_line_divides_them(one: Polygon, other: Polygon) -> None:
    """Against the theorem of separating axes, for convex shapes; what touches by less than a hair is left out."""
    gaps = []
    for polygon in (one, other):
        for (ax, ay), (bx, by) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            length = math.hypot(bx - ax, by - ay)
            axis = ((by - ay) / length, (ax - bx) / length)
            first, second = ([x * axis[0] + y * axis[1] for x, y in shape] for shape in (one, other))
            gaps.append(max(min(first) - max(second), min(second) - max(first)))
    if abs(max(gaps)) > 1e-3:
        assert overlap(one, other) == overlap(other, one) == (max(gaps) < 0.0)


@settings(max_examples=50)
@given(st.lists(rectangles, max_size=8))
def test_the_pairs_that_share_floor_are_all_pairs_that_do(shapes: list[Polygon]) -> None:
    pairs = {(i, j) for j in range(len(shapes)) for i in range(j) if overlap(shapes[i], shapes[j])}

    assert set(overlapping(shapes)) == pairs


@settings(max_examples=50)
@given(rectangles, st.floats(0.01, 5.0), turn)
def test_what_is_pushed_out_reaches_out_by_as_much_at_most(outer: Polygon, push: float, way: float) -> None:
    dx, dy = push * math.cos(math.radians(way)), push * math.sin(math.radians(way))
    moved = tuple((x + dx, y + dy) for x, y in outer)

    assert 0.0 < reach_m(outer, moved) <= push + 1e-6


def test_an_angled_zone_does_not_hold_what_stands_in_its_notch() -> None:
    """All corners of the bar are in the L, its middle is not."""
    bar: Polygon = ((0.2, 3.8), (0.2, 3.5), (3.5, 0.2), (3.8, 0.2))

    assert all(contains(L_SHAPE, corner) for corner in bar)
    assert reach_m(L_SHAPE, bar) > 0.5
    assert reach_m(L_SHAPE, rectangle(0.5, 2.0, 0.8, 3.0)) == 0.0
    assert not overlap(L_SHAPE, rectangle(2.5, 2.5, 2.0, 2.0))
    assert overlap(L_SHAPE, rectangle(1.5, 1.5, 2.0, 2.0))
    assert area_m2(L_SHAPE) == pytest.approx(7.0)
    assert bounds(L_SHAPE) == (0.0, 0.0, 4.0, 4.0)


def test_shapes_side_by_side_share_nothing_and_one_in_another_all() -> None:
    a = rectangle(1.0, 1.0, 2.0, 2.0)

    assert not overlap(a, rectangle(3.0, 1.0, 2.0, 2.0))
    assert overlap(a, rectangle(1.0, 1.0, 0.5, 0.5)) and overlap(a, a)
    # A cross: no corner of either is in the other.
    assert overlap(rectangle(0, 0, 6, 1), rectangle(0, 0, 1, 6))


@pytest.mark.parametrize(
    "polygon",
    [
        ((0.0, 0.0), (2.0, 2.0), (2.0, 0.0), (0.0, 2.0)),
        ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)),
    ],
)
def test_a_bow_tie_crosses_itself(polygon: Polygon) -> None:
    assert crosses_itself(polygon)
