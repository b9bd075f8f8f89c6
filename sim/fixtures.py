"""What stands in a venue's cells: kinds of fixtures, their default sizes, and how they are built from boxes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import mujoco

_CONCRETE = (0.72, 0.73, 0.75, 1.0)
_STEEL = (0.45, 0.48, 0.52, 1.0)
_WOOD = (0.72, 0.55, 0.36, 1.0)
_BELT = (0.13, 0.14, 0.15, 1.0)
_BLUE = (0.12, 0.32, 0.55, 1.0)
_CARTON = (0.76, 0.60, 0.42, 1.0)


def _box(
    body: mujoco.MjsBody,
    at: Sequence[float],
    half: Sequence[float],
    rgba: Sequence[float],
    *,
    pitch_rad: float = 0.0,
    surface_m_s: float = 0.0,
) -> None:
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=at,
        size=half,
        rgba=rgba,
        quat=(math.cos(pitch_rad / 2), 0.0, math.sin(pitch_rad / 2), 0.0),
    )
    if surface_m_s:
        # A moving surface: what lies on it is carried along without any joint.
        geom.surfacevel = (surface_m_s, 0.0, 0.0, 0.0, 0.0, 0.0)


def _bench(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    w, d, h = s["width_m"] / 2, s["depth_m"] / 2, s["height_m"]
    _box(body, (0, 0, h - 0.02), (w, d, 0.02), _WOOD)
    for x in (-w + 0.05, w - 0.05):
        for y in (-d + 0.05, d - 0.05):
            _box(body, (x, y, (h - 0.04) / 2), (0.025, 0.025, (h - 0.04) / 2), _STEEL)
    _box(body, (0.25 * w, 0, h + 0.05), (0.08, 0.06, 0.05), _BLUE)
    _box(body, (-0.3 * w, 0.2 * d, h + 0.03), (0.05, 0.05, 0.03), _CARTON)


def _shelf(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    w, d, h = s["width_m"] / 2, s["depth_m"] / 2, s["height_m"]
    levels = max(1, round(s["levels"]))
    for x in (-w, w):
        for y in (-d, d):
            _box(body, (x, y, h / 2), (0.02, 0.02, h / 2), _BLUE)
    for level in range(levels):
        z = 0.15 + level * (h - 0.3) / max(1, levels - 1)
        _box(body, (0, 0, z), (w, d, 0.015), _STEEL)
        for i in range(3):
            _box(body, ((i - 1) * 0.6 * w, 0, z + 0.115), (0.16 * s["width_m"] / 1.2, 0.8 * d, 0.10), _CARTON)


def _conveyor(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    w, d, h = s["length_m"] / 2, s["width_m"] / 2, s["height_m"]
    _box(body, (0, 0, h - 0.04), (w, d, 0.04), _BELT, surface_m_s=s["speed_m_s"])
    for y in (-d - 0.03, d + 0.03):
        _box(body, (0, y, h), (w, 0.03, 0.05), _STEEL)
    for x in (-0.85 * w, 0.85 * w):
        _box(body, (x, 0, (h - 0.08) / 2), (0.04, d, (h - 0.08) / 2), _STEEL)


def _stairs(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    steps, rise, tread, w = max(1, round(s["steps"])), s["rise_m"], s["tread_m"], s["width_m"] / 2
    for i in range(steps):
        _box(body, (i * tread, 0, (i + 1) * rise / 2), (tread / 2, w, (i + 1) * rise / 2), _CONCRETE)
    _box(body, (steps * tread + 0.3, 0, steps * rise / 2), (0.3 + tread / 2, w, steps * rise / 2), _CONCRETE)


def _ramp(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    length, rise, w = s["length_m"], s["rise_m"], s["width_m"] / 2
    angle = math.atan2(rise, length)
    half = math.hypot(length, rise) / 2
    # The upper face runs from the floor to the landing's edge; the slab lies below it.
    thick = 0.03
    x, z = -thick * math.sin(-angle), rise / 2 - thick * math.cos(angle)
    _box(body, (x, 0, z), (half, w, thick), _STEEL, pitch_rad=-angle)
    _box(body, (length / 2 + 0.5, 0, rise / 2), (0.5, w, rise / 2), _CONCRETE)


def _crate(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    _box(body, (0, 0, s["height_m"] / 2), (s["width_m"] / 2, s["depth_m"] / 2, s["height_m"] / 2), _CARTON)


@dataclass(frozen=True)
class Kind:
    """A kind of fixture: its default sizes and how it is built from boxes."""

    size: Mapping[str, float]
    build: Callable[[mujoco.MjsBody, Mapping[str, float]], None]


FIXTURES: dict[str, Kind] = {
    "bench": Kind({"width_m": 1.8, "depth_m": 0.8, "height_m": 0.75}, _bench),
    "shelf": Kind({"width_m": 1.2, "depth_m": 0.5, "height_m": 1.8, "levels": 4}, _shelf),
    "conveyor": Kind({"length_m": 3.5, "width_m": 0.6, "height_m": 0.7, "speed_m_s": 0.2}, _conveyor),
    "stairs": Kind({"steps": 5, "rise_m": 0.12, "tread_m": 0.30, "width_m": 1.6}, _stairs),
    "ramp": Kind({"length_m": 2.0, "rise_m": 0.35, "width_m": 1.6}, _ramp),
    "crate": Kind({"width_m": 0.6, "depth_m": 0.4, "height_m": 0.4}, _crate),
}


def footprint(kind: str, size: Mapping[str, float]) -> tuple[tuple[float, float], float]:
    """Return where a fixture reaches along its own x, and half its width across [m], all of its kind's sizes given."""
    if kind == "stairs":
        run, tread = max(1, round(size["steps"])) * size["tread_m"], size["tread_m"]
        return (-tread / 2, run + 0.6 + tread / 2), size["width_m"] / 2
    if kind == "ramp":
        return (-size["length_m"] / 2, size["length_m"] / 2 + 1.0), size["width_m"] / 2
    if kind == "conveyor":
        return (-size["length_m"] / 2, size["length_m"] / 2), size["width_m"] / 2 + 0.06
    return (-size["width_m"] / 2, size["width_m"] / 2), size["depth_m"] / 2
