"""A venue's floor plan as SVG: walls and doors, zones, cells with what is trained there, units, chargers, safety zones.

Pure: from a twin to a text. Lengths inside the drawing are metres, y up the map as in the venue file.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from sim.fixtures import FIXTURES, footprint
from sim.venue import CellTwin, UnitTwin, VenueTwin, fixture_polygon
from sim.venues.areas import Door
from sim.venues.polygon import Polygon, bounds, centroid, contains

WIDTH_PX = 1400
_INK, _PALE, _FLOOR, _WALL = "#1f2a37", "#6b7785", "#fbfbf9", "#3a4552"
_ZONE_FILLS = ("#e8f0fb", "#eaf6ec", "#fdf3e2", "#f6ecf8", "#e6f5f5", "#fbeceb", "#f2f2e2", "#ececf6")
_CLASS_FILLS: Mapping[str, str] = {
    "humanoid": "#2563b8", "biped": "#4f7fd0", "quadruped": "#1c8a5a", "arm": "#c2571a", "dual_arm": "#a13a78",
    "mobile_base": "#5b5fb0", "gripper": "#8a6d1f", "robot": "#66707c",
}  # fmt: skip
_SAFETY_FILLS: Mapping[str, str] = {
    "safeguarded": "#d64545", "collaborative": "#2f9e62", "restricted": "#8b5cf6", "walkway": "#3b82c4",
}  # fmt: skip
_SAFETY_WORDS: Mapping[str, str] = {
    "safeguarded": "Safeguarded: nobody inside while robots move",
    "collaborative": "Collaborative: people beside slow robots",
    "restricted": "Restricted: trained people alone",
    "walkway": "Walkway: no robots",
}
_CLASS_WORDS: Mapping[str, str] = {"dual_arm": "Two arms", "mobile_base": "Mobile base", "robot": "Other robot"}
LABELLED_UNITS_MAX = 150
"""More units than this are drawn without their names."""
SPARSE_UNITS_MAX = 30
LABELLED_CELLS_MAX = 60
COLUMN_LETTERS = 22.5


@dataclass(frozen=True)
class _Scale:
    """Sizes [m] that look the same on every hall: of letters, margins, lines."""

    letter: float
    margin: float
    line: float


def plan_svg(venue: VenueTwin, classes: Mapping[str, str] | None = None, *, width_px: int = WIDTH_PX) -> str:
    """Return the floor plan as one SVG document.

    Args:
        venue: The twin.
        classes: Robot class by catalogue id; a robot that is not in it is drawn as a dot.
        width_px: How wide it is shown; it scales without loss.
    """
    of_robot = classes or {}
    span = max(venue.width_m, 1.4 * venue.depth_m)
    scale = _Scale(letter=span / 95, margin=max(span / 24, 0.8), line=span / 1400)
    labelled, crowded = len(venue.units) <= LABELLED_UNITS_MAX, len(venue.units) > SPARSE_UNITS_MAX
    legend = list(_legend(venue, of_robot, scale))
    rows = math.ceil(len(legend) / _columns(venue, scale))
    below = scale.letter * (5.2 + 1.9 * rows)
    width, height = venue.width_m + 2 * scale.margin, venue.depth_m + scale.margin * 2.2 + below
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_px}" height="{round(width_px * height / width)}" '
        f'viewBox="{_n(-scale.margin)} {_n(-venue.depth_m - 1.7 * scale.margin)} {_n(width)} {_n(height)}" '
        f'font-family="Inter, Segoe UI, Helvetica, Arial, sans-serif" role="img">',
        f"<title>{escape(venue.name)}: floor plan</title>",
        _defs(scale),
        f'<rect x="{_n(-scale.margin)}" y="{_n(-venue.depth_m - 1.7 * scale.margin)}" width="{_n(width)}" '
        f'height="{_n(height)}" fill="#ffffff"/>',
        *_title(venue, scale),
        f'<rect x="0" y="{_n(-venue.depth_m)}" width="{_n(venue.width_m)}" height="{_n(venue.depth_m)}" '
        f'fill="{_FLOOR}"/>',
        *_zones(venue, scale),
        *_safety(venue, scale),
        *(part for cell in venue.cells for part in _cell(cell, scale)),
        *_zone_names(venue, scale),
        *(
            _charger(charger.x_m, charger.y_m, min(0.5, max(0.15, scale.letter * 0.5)), scale)
            for charger in venue.chargers
        ),
        *(
            part
            for unit in venue.units
            for part in _unit(unit, of_robot.get(unit.robot, "robot"), scale, labelled=labelled, crowded=crowded)
        ),
        *_cell_names(venue, scale),
        *_walls(venue, scale),
        *_scale_bar(venue, scale),
        *_place_legend(legend, venue, scale),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _n(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) >= 0.0005 else "0"


def _points(polygon: Polygon) -> str:
    return " ".join(f"{_n(x)},{_n(-y)}" for x, y in polygon)


def _text(
    x: float, y: float, words: str, size: float, *, fill: str = _INK, anchor: str = "middle", weight: int = 400
) -> str:
    """Letters at a place of the drawing, y counting down."""
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{fill}" text-anchor="{anchor}"{bold}>'
        f"{escape(words)}</text>"
    )


def _defs(scale: _Scale) -> str:
    step = scale.letter * 0.9
    hatches = "".join(
        f'<pattern id="hatch-{kind}" width="{_n(step)}" height="{_n(step)}" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({-45 if i % 2 else 45})"><line x1="0" y1="0" x2="0" y2="{_n(step)}" '
        f'stroke="{fill}" stroke-width="{_n(step * 0.28)}" stroke-opacity="0.30"/></pattern>'
        for i, (kind, fill) in enumerate(_SAFETY_FILLS.items())
    )
    return f"<defs>{hatches}</defs>"


def _title(venue: VenueTwin, scale: _Scale) -> Iterator[str]:
    top = -venue.depth_m - scale.margin * 0.85
    yield _text(0, top, venue.name, scale.letter * 2.0, anchor="start", weight=600)
    facts = [
        f"{venue.width_m:g} m x {venue.depth_m:g} m", _count(len(venue.cells), "cell"),
        _count(len(venue.units), "unit"), _count(len(venue.chargers), "charger"),
    ]  # fmt: skip
    yield _text(venue.width_m, top, " · ".join(facts), scale.letter * 1.15, fill=_PALE, anchor="end")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _zones(venue: VenueTwin, scale: _Scale) -> Iterator[str]:
    for i, zone in enumerate(venue.zones):
        if zone.polygon:
            yield (
                f'<polygon points="{_points(zone.polygon)}" fill="{_ZONE_FILLS[i % len(_ZONE_FILLS)]}" '
                f'stroke="#b7c0cb" stroke-width="{_n(scale.line)}"><title>{escape(zone.name or zone.id)}</title>'
                f"</polygon>"
            )


def _zone_names(venue: VenueTwin, scale: _Scale) -> Iterator[str]:
    """In the upper left corner, over what is drawn there: a line's height is left free above the topmost edge."""
    for zone in venue.zones:
        if zone.polygon:
            top = max(y for _, y in zone.polygon)
            left = min(x for x, y in zone.polygon if y > top - 1e-6)
            words = f"{zone.name or zone.id}{' (one cell at a time)' if zone.exclusive else ''}"
            yield _haloed(left + scale.letter * 0.35, -top + scale.letter * 0.95, words, scale.letter * 0.85, scale)


def _haloed(x: float, y: float, words: str, size: float, scale: _Scale) -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{_PALE}" font-weight="600" '
        f'stroke="#ffffff" stroke-width="{_n(scale.letter * 0.22)}" paint-order="stroke">{escape(words)}</text>'
    )


def _safety(venue: VenueTwin, scale: _Scale) -> Iterator[str]:
    for zone in venue.safety:
        speed = f", at most {zone.speed_max_m_s:g} m/s" if zone.speed_max_m_s else ""
        fill = _SAFETY_FILLS[zone.kind]
        yield (
            f'<polygon points="{_points(zone.polygon)}" fill="url(#hatch-{zone.kind})" stroke="{fill}" '
            f'stroke-width="{_n(scale.line * 1.5)}" stroke-dasharray="{_n(scale.line * 8)} {_n(scale.line * 5)}">'
            f"<title>{escape(zone.name or zone.id)} ({zone.kind}{speed})</title></polygon>"
        )
        left, low, right, high = bounds(zone.polygon)
        if zone.kind in ("restricted", "walkway"):
            x, y = centroid(zone.polygon)
            size = scale.letter * 0.85
            words = zone.name or zone.id
            if 0.62 * size * len(words) < right - left:
                # Off the middle, where ways cross.
                at = x if zone.kind == "restricted" else left + 0.25 * (right - left)
                yield _text(at, -y + size / 3, words, size, fill=fill, weight=600)
            elif 0.62 * size * len(words) < high - low:
                turned = _text(0, size / 3, words, size, fill=fill, weight=600)
                yield f'<g transform="translate({_n(x)} {_n(-(low + 0.25 * (high - low)))}) rotate(-90)">{turned}</g>'


def _cell(cell: CellTwin, scale: _Scale) -> Iterator[str]:
    half_w, half_d = cell.width_m / 2, cell.depth_m / 2
    words = " · ".join(word for word in (cell.name or cell.id, cell.scenario, cell.sector) if word)
    yield f'<g transform="translate({_n(cell.x_m)} {_n(-cell.y_m)}) rotate({_n(-cell.yaw_deg)})">'
    yield (
        f'<rect x="{_n(-half_w)}" y="{_n(-half_d)}" width="{_n(cell.width_m)}" height="{_n(cell.depth_m)}" '
        f'fill="#ffffff" fill-opacity="0.72" stroke="#e0a613" stroke-width="{_n(scale.line * 2.2)}">'
        f"<title>{escape(words)}</title></rect>"
    )
    for fixture in cell.fixtures:
        size = {**FIXTURES[fixture.kind].size, **fixture.size}
        along, across = footprint(fixture.kind, size)
        yield (
            f'<g transform="translate({_n(fixture.x_m)} {_n(-fixture.y_m)}) rotate({_n(-fixture.yaw_deg)})">'
            f'<rect x="{_n(along[0])}" y="{_n(-across)}" width="{_n(along[1] - along[0])}" height="{_n(2 * across)}" '
            f'fill="#d9dde2" stroke="#8c96a3" stroke-width="{_n(scale.line)}"><title>{fixture.kind}</title></rect></g>'
        )
    yield "</g>"


def _cell_names(venue: VenueTwin, scale: _Scale) -> Iterator[str]:
    if len(venue.cells) <= LABELLED_CELLS_MAX:
        for cell in venue.cells:
            within = [unit for unit in venue.units if contains(cell.polygon, (unit.x_m, unit.y_m))]
            yield from _cell_name(cell, within, scale)


def _cell_name(cell: CellTwin, units: Sequence[UnitTwin], scale: _Scale) -> Iterator[str]:
    """Upright whichever way the cell is turned, inside its bounds, where least stands."""
    left, low, right, high = bounds(cell.polygon)
    name = cell.name or cell.id
    size = min(scale.letter, (right - left) / (0.6 * max(len(name), 1)), (high - low) / 3)
    small = min(size * 0.8, (right - left) / (0.56 * max(len(cell.scenario), 1)))
    half = 0.3 * max(size * len(name), small * len(cell.scenario))
    x = (left + right) / 2
    taken = [(unit.y_m - scale.letter * 1.3, unit.y_m + 0.5) for unit in units if abs(unit.x_m - x) < half + 0.5]
    for fixture in cell.fixtures:
        fx_low, fy_low, fx_high, fy_high = bounds(fixture_polygon(cell, fixture))
        if fx_low < x + half and fx_high > x - half:
            taken.append((fy_low, fy_high))
    # The lowest of the places with the most room about them.
    count = 24
    places = [low + 1.1 * size + i * (high - low - 2.2 * size) / count for i in range(count + 1)]
    y = max(places, key=lambda at: (min(_clear(at, span, size) for span in taken), -at) if taken else (0.0, -at))
    yield _text(x, -y - 0.15 * size, name, size, weight=600)
    if cell.scenario:
        yield _text(x, -y + 0.85 * size, cell.scenario, small, fill=_PALE)


def _clear(at: float, span: tuple[float, float], size: float) -> float:
    """How far the two lines of letters about a height are from what stands there; a line's height is far enough."""
    return min(max(span[0] - (at + 1.0 * size), (at - 1.0 * size) - span[1]), size)


def _glyph(kind: str, size: float) -> str:
    """A robot seen from above, facing right, about 2 `size` long."""
    fill = _CLASS_FILLS.get(kind, _CLASS_FILLS["robot"])
    front = f"{_n(size * 1.15)} 0 L {_n(size * 0.2)} {_n(-size * 0.42)} V {_n(size * 0.42)}"
    nose = f'<path d="M {front} z" fill="{fill}"/>'
    body = {
        "humanoid": f'<ellipse rx="{_n(size * 0.45)}" ry="{_n(size * 0.85)}"',
        "biped": f'<ellipse rx="{_n(size * 0.45)}" ry="{_n(size * 0.7)}"',
        "quadruped": f'<rect x="{_n(-size)}" y="{_n(-size * 0.45)}" width="{_n(size * 1.8)}" height="{_n(size * 0.9)}" '
        f'rx="{_n(size * 0.25)}"',
        "mobile_base": f'<rect x="{_n(-size * 0.75)}" y="{_n(-size * 0.65)}" width="{_n(size * 1.5)}" '
        f'height="{_n(size * 1.3)}" rx="{_n(size * 0.15)}"',
        "dual_arm": f'<rect x="{_n(-size * 0.5)}" y="{_n(-size * 0.9)}" width="{_n(size)}" height="{_n(size * 1.8)}" '
        f'rx="{_n(size * 0.3)}"',
    }.get(kind, f'<circle r="{_n(size * 0.62)}"')
    return f'{body} fill="{fill}"/>{nose}'


def _unit(unit: UnitTwin, kind: str, scale: _Scale, *, labelled: bool, crowded: bool) -> Iterator[str]:
    size = max(0.36, scale.letter * 0.5) if labelled else 0.42
    # Robots of one cell stand side by side: their names must fit between them.
    letters = 0.58 if crowded else 0.85
    yield (
        f'<g transform="translate({_n(unit.x_m)} {_n(-unit.y_m)})"><title>{escape(unit.id)} ({escape(unit.robot)})'
        f'</title><g transform="rotate({_n(-unit.yaw_deg)})">{_glyph(kind, size)}</g>'
    )
    if labelled:
        yield _text(0, size + scale.letter * 0.7, unit.id, scale.letter * letters)
    yield "</g>"


def _charger(x_m: float, y_m: float, half: float, scale: _Scale) -> str:
    corners = ((0.15, -0.7), (-0.4, 0.15), (0.0, 0.15), (-0.1, 0.75), (0.45, -0.15), (0.05, -0.15))
    bolt = f"M {' L '.join(f'{_n(half * x)} {_n(half * y)}' for x, y in corners)} z"
    return (
        f'<g transform="translate({_n(x_m)} {_n(-y_m)})"><title>charger</title><rect x="{_n(-half)}" y="{_n(-half)}" '
        f'width="{_n(2 * half)}" height="{_n(2 * half)}" rx="{_n(half * 0.3)}" fill="#f5c518" stroke="#8a6d00" '
        f'stroke-width="{_n(scale.line)}"/><path d="{bolt}" fill="#3d3200"/></g>'
    )


def _walls(venue: VenueTwin, scale: _Scale) -> Iterator[str]:
    """Walls outside the floor, open where doors are; an emergency exit has a green leaf."""
    w, d, thick = venue.width_m, venue.depth_m, max(0.15, scale.letter * 0.35)
    yield (
        f'<path d="M {_n(-thick)} {_n(thick)} H {_n(w + thick)} V {_n(-d - thick)} H {_n(-thick)} Z '
        f'M 0 0 V {_n(-d)} H {_n(w)} V 0 Z" fill="{_WALL}" fill-rule="evenodd"/>'
    )
    for door in venue.doors:
        yield from _door(door, venue, thick, scale)


def _door(door: Door, venue: VenueTwin, thick: float, scale: _Scale) -> Iterator[str]:
    half = door.width_m / 2
    # Outwards of the wall that the door is in, in the drawing's y-down.
    south, north = door.y_m <= 1e-6, door.y_m >= venue.depth_m - 1e-6
    angle = 0 if south else 180 if north else 90 if door.x_m <= 1e-6 else -90
    ink = "#0f9d58" if door.emergency else _PALE
    yield (
        f'<g transform="translate({_n(door.x_m)} {_n(-door.y_m)}) rotate({angle})">'
        f'<title>{escape(door.name or door.id)}</title><rect x="{_n(-half)}" y="0" width="{_n(door.width_m)}" '
        f'height="{_n(thick * 1.02)}" fill="#ffffff"/>'
        f'<path d="M {_n(-half)} {_n(thick)} A {_n(half)} {_n(half)} 0 0 0 0 {_n(thick + half)}" fill="none" '
        f'stroke="{ink}" stroke-width="{_n(scale.line * 1.4)}"/>'
        f'<path d="M {_n(half)} {_n(thick)} A {_n(half)} {_n(half)} 0 0 1 0 {_n(thick + half)}" fill="none" '
        f'stroke="{ink}" stroke-width="{_n(scale.line * 1.4)}"/>'
        f'<path d="M {_n(-half)} {_n(thick)} v {_n(half)} M {_n(half)} {_n(thick)} v {_n(half)}" stroke="{ink}" '
        f'stroke-width="{_n(scale.line * 2.5)}"/></g>'
    )


def _scale_bar(venue: VenueTwin, scale: _Scale) -> Iterator[str]:
    """A round length of about a sixth of the hall."""
    wish = venue.width_m / 6
    power = 10.0 ** math.floor(math.log10(wish))
    length = max(factor * power for factor in (1, 2, 5) if factor * power <= wish)
    x, y, high = venue.width_m - length, scale.margin * 0.5 + scale.letter * 2.2, scale.letter * 0.4
    for i in range(4):
        fill = _INK if i % 2 == 0 else "#ffffff"
        yield (
            f'<rect x="{_n(x + i * length / 4)}" y="{_n(y)}" width="{_n(length / 4)}" height="{_n(high)}" '
            f'fill="{fill}" stroke="{_INK}" stroke-width="{_n(scale.line)}"/>'
        )
    yield _text(x, y - high * 0.6, "0", scale.letter * 0.8)
    yield _text(x + length, y - high * 0.6, f"{length:g} m", scale.letter * 0.8)


def _columns(venue: VenueTwin, scale: _Scale) -> int:
    return max(1, min(4, int((venue.width_m * 0.8) // (scale.letter * COLUMN_LETTERS))))


def _legend(venue: VenueTwin, classes: Mapping[str, str], scale: _Scale) -> Iterator[tuple[str, str]]:
    """Yield (what is drawn, about the origin, its words) for all that the plan has."""
    size = scale.letter * 0.55
    there = {classes.get(unit.robot, "robot") for unit in venue.units}
    for kind in _CLASS_FILLS:
        if kind in there:
            yield _glyph(kind, size), _CLASS_WORDS.get(kind, kind.capitalize())
    box = f'x="{_n(-size)}" y="{_n(-size * 0.7)}" width="{_n(2 * size)}" height="{_n(1.4 * size)}"'
    if venue.cells:
        yield f'<rect {box} fill="#ffffff" stroke="#e0a613" stroke-width="{_n(scale.line * 2.2)}"/>', "Cell"
    if any(cell.fixtures for cell in venue.cells):
        yield f'<rect {box} fill="#d9dde2" stroke="#8c96a3" stroke-width="{_n(scale.line)}"/>', "Fixture"
    if venue.chargers:
        yield _charger(0, 0, size, scale), "Charger"
    for kind, fill in _SAFETY_FILLS.items():
        if any(zone.kind == kind for zone in venue.safety):
            yield (
                f'<rect {box} fill="url(#hatch-{kind})" stroke="{fill}" stroke-width="{_n(scale.line)}"/>',
                (_SAFETY_WORDS[kind]),
            )
    if any(door.emergency for door in venue.doors):
        leaf = f'd="M {_n(-size)} 0 h {_n(2 * size)}" stroke="#0f9d58" stroke-width="{_n(size * 0.4)}"'
        yield f"<path {leaf}/>", "Emergency exit"


def _place_legend(legend: Sequence[tuple[str, str]], venue: VenueTwin, scale: _Scale) -> Iterator[str]:
    columns = _columns(venue, scale)
    rows = math.ceil(len(legend) / columns)
    top = scale.margin * 0.5 + scale.letter * 2.6
    for i, (drawn, words) in enumerate(legend):
        x = scale.letter + (i // rows) * scale.letter * COLUMN_LETTERS
        y = top + (i % rows) * scale.letter * 1.9
        yield f'<g transform="translate({_n(x)} {_n(y)})">{drawn}'
        yield _text(scale.letter * 1.2, scale.letter * 0.32, words, scale.letter * 0.85, anchor="start")
        yield "</g>"
