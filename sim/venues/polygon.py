"""Polygons on the floor: inside, outside, across each other. Points are (x, y) in metres."""

import itertools
import math
from collections.abc import Iterator, Sequence

Point = tuple[float, float]
Polygon = tuple[Point, ...]

NEAR_M = 1e-6
"""Closer than this is on the line: numbers of a file have rounding of their own."""


def rectangle(x_m: float, y_m: float, width_m: float, depth_m: float, yaw_deg: float = 0.0) -> Polygon:
    """Return the corners of a rectangle about its centre, counter-clockwise from the lower left one."""
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    half_w, half_d = width_m / 2, depth_m / 2
    corners = ((-half_w, -half_d), (half_w, -half_d), (half_w, half_d), (-half_w, half_d))
    return tuple((x_m + cos * x - sin * y, y_m + sin * x + cos * y) for x, y in corners)


def area_m2(polygon: Polygon) -> float:
    """Return the area, whichever way round the corners are told (the shoelace formula)."""
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in _edges(polygon))) / 2


def centroid(polygon: Polygon) -> Point:
    """Return the middle of the area; of a polygon without area, of its corners."""
    twice = sum(ax * by - bx * ay for (ax, ay), (bx, by) in _edges(polygon))
    if abs(twice) < NEAR_M**2:
        return sum(x for x, _ in polygon) / len(polygon), sum(y for _, y in polygon) / len(polygon)
    x = sum((ax + bx) * (ax * by - bx * ay) for (ax, ay), (bx, by) in _edges(polygon))
    y = sum((ay + by) * (ax * by - bx * ay) for (ax, ay), (bx, by) in _edges(polygon))
    return x / (3 * twice), y / (3 * twice)


def bounds(polygon: Polygon) -> tuple[float, float, float, float]:
    """Return (x_min, y_min, x_max, y_max)."""
    xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
    return min(xs), min(ys), max(xs), max(ys)


def crosses_itself(polygon: Polygon) -> bool:
    """Return whether two edges meet that are no neighbours, or a corner occurs twice."""
    edges = list(_edges(polygon))
    if len({(round(x, 6), round(y, 6)) for x, y in polygon}) < len(polygon):
        return True
    for i, j in itertools.combinations(range(len(edges)), 2):
        if j - i not in (1, len(edges) - 1) and _cross(*edges[i], *edges[j]):
            return True
    return False


def distance_m(polygon: Polygon, point: Point) -> float:
    """Return how far a point is from the polygon's edge, inside or outside."""
    return min(_to_segment_m(point, a, b) for a, b in _edges(polygon))


def contains(polygon: Polygon, point: Point) -> bool:
    """Return whether a point is inside or on the edge (the even-odd rule)."""
    return distance_m(polygon, point) <= NEAR_M or _within(polygon, point)


def reach_m(outer: Polygon, inner: Polygon) -> float:
    """Return how far `inner` reaches out of `outer`, 0 if it does not: its corners, and the middles of what is outside
    of its edges, which may all lie outside although no corner does, where `outer` is not convex.
    """
    probes = list(inner)
    for a, b in _edges(inner):
        cuts = sorted({0.0, 1.0, *(at for c, d in _edges(outer) if (at := _cut(a, b, c, d)) is not None)})
        middles = ((first + second) / 2 for first, second in itertools.pairwise(cuts))
        probes += [(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])) for t in middles]
    return max((distance_m(outer, point) for point in probes if not contains(outer, point)), default=0.0)


def overlap(one: Polygon, other: Polygon) -> bool:
    """Return whether two polygons share any area; a common edge is none."""
    a, b = bounds(one), bounds(other)
    if min(a[2], b[2]) - max(a[0], b[0]) <= NEAR_M or min(a[3], b[3]) - max(a[1], b[1]) <= NEAR_M:
        return False
    if any(_cross(*edge, *another) for edge in _edges(one) for another in _edges(other)):
        return True
    for inner, outer in ((one, other), (other, one)):
        # Edges that do not cross: one holds the other, or they touch. Middles too, for corners may all lie on edges.
        middles = (((ax + bx) / 2, (ay + by) / 2) for (ax, ay), (bx, by) in _edges(inner))
        probes = [*inner, *middles]
        middle = centroid(inner)
        if contains(inner, middle):
            probes.append(middle)
        if any(_within(outer, point) and distance_m(outer, point) > NEAR_M for point in probes):
            return True
    return False


def overlapping(polygons: Sequence[Polygon]) -> Iterator[tuple[int, int]]:
    """Yield the pairs (i, j), i < j, that share any area; costs what lies beside each other in x, not all pairs."""
    order = sorted(range(len(polygons)), key=lambda i: bounds(polygons[i])[0])
    active: list[int] = []
    for j in order:
        left = bounds(polygons[j])[0]
        active = [i for i in active if bounds(polygons[i])[2] > left]
        yield from ((min(i, j), max(i, j)) for i in active if overlap(polygons[i], polygons[j]))
        active.append(j)


def _edges(polygon: Polygon) -> Iterator[tuple[Point, Point]]:
    return zip(polygon, (*polygon[1:], polygon[0]), strict=True)


def _within(polygon: Polygon, point: Point) -> bool:
    x, y = point
    inside = False
    for (ax, ay), (bx, by) in _edges(polygon):
        if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
            inside = not inside
    return inside


def _side_m(a: Point, b: Point, point: Point) -> float:
    """How far a point is to the left of the line from a to b."""
    length = math.dist(a, b)
    if length < NEAR_M:
        return 0.0
    return ((b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])) / length


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two segments cross, each on both sides of the other."""
    return (
        _side_m(a, b, c) * _side_m(a, b, d) < 0
        and _side_m(c, d, a) * _side_m(c, d, b) < 0
        and min(abs(_side_m(a, b, c)), abs(_side_m(a, b, d)), abs(_side_m(c, d, a)), abs(_side_m(c, d, b))) > NEAR_M
    )


def _cut(a: Point, b: Point, c: Point, d: Point) -> float | None:
    """Where on the way from a to b (0 to 1) the segment from c to d crosses it."""
    if not _cross(a, b, c, d):
        return None
    before, after = _side_m(c, d, a), _side_m(c, d, b)
    return before / (before - after)


def _to_segment_m(point: Point, a: Point, b: Point) -> float:
    length_squared = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
    if length_squared < NEAR_M**2:
        return math.dist(point, a)
    along = ((point[0] - a[0]) * (b[0] - a[0]) + (point[1] - a[1]) * (b[1] - a[1])) / length_squared
    along = min(1.0, max(0.0, along))
    return math.dist(point, (a[0] + along * (b[0] - a[0]), a[1] + along * (b[1] - a[1])))
