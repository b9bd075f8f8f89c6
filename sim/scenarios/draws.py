"""What differs from trial to trial: quantities that a level may draw, and the drawing of one trial's numbers.

Every number belongs to seed, scenario, level and quantity (`sim.chance`), so one more quantity leaves the others alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sim.chance import philox_uniform, stream


@dataclass(frozen=True)
class Quantity:
    """Something that a level may draw.

    Attributes:
        level: The lowest level that may draw it.
        default: Its value where it is not drawn.
        low, high: What is plausible.
        what: One line, with the unit.
        whole: Whether it is a number of things.
    """

    level: int
    default: float
    low: float
    high: float
    what: str
    whole: bool = False


QUANTITIES: dict[str, Quantity] = {
    "x_m": Quantity(2, 0.0, -2.0, 2.0, "shift of the fixtures that move, away from the robot [m]"),
    "y_m": Quantity(2, 0.0, -2.0, 2.0, "shift of the fixtures that move, to the robot's left [m]"),
    "z_m": Quantity(2, 0.0, -0.3, 0.3, "shift of the fixtures that move, upwards [m]"),
    "yaw_deg": Quantity(2, 0.0, -180.0, 180.0, "turn of the fixtures that move, about the vertical [degrees]"),
    "mass_scale": Quantity(3, 1.0, 0.1, 10.0, "mass of objects and of carried loads, times"),
    "size_scale": Quantity(3, 1.0, 0.5, 2.0, "size of objects and obstacles, times"),
    "resistance_scale": Quantity(3, 1.0, 0.1, 10.0, "springs and friction of joints of fixtures, times"),
    "friction_scale": Quantity(3, 1.0, 0.2, 2.0, "sliding friction of fixtures and floor, times"),
    "light_scale": Quantity(3, 1.0, 0.02, 3.0, "brightness of the light, times"),
    "clutter": Quantity(3, 0.0, 0.0, 12.0, "things that lie about and have nothing to do with the task", whole=True),
    "person_speed_m_s": Quantity(4, 0.0, 0.0, 2.0, "speed of a person who walks by, to and fro [m/s]"),
    "target_speed_m_s": Quantity(4, 0.0, -0.5, 0.5, "speed of what the task is about [m/s]"),
    "push_n": Quantity(4, 0.0, 0.0, 300.0, "pushes at the robot's base or tool, from drawn sides [N]"),
}

POSE = ("x_m", "y_m", "z_m", "yaw_deg")
OBJECTS = ("mass_scale", "size_scale", "resistance_scale", "friction_scale")
CONDITIONS = ("light_scale", "friction_scale", "clutter")
DYNAMIC = ("person_speed_m_s", "target_speed_m_s", "push_n")

Range = tuple[float, float]


def ranges_at(levels: Mapping[int, Mapping[str, Range]], level: int) -> dict[str, Range]:
    """Return what a level draws: its own ranges over those of the levels below."""
    found: dict[str, Range] = {}
    for each in range(1, level + 1):
        found |= levels.get(each, {})
    return found


def drawn(ranges: Mapping[str, Range], *, scenario: str, level: int, seed: int) -> dict[str, float]:
    """Return one value for every quantity: drawn evenly from its range, or its default."""
    values = {}
    for name, quantity in QUANTITIES.items():
        low, high = ranges.get(name, (quantity.default, quantity.default))
        (share,) = philox_uniform(seed, level, 0, 1, stream=stream(f"{scenario}/{name}"))
        values[name] = float(int(low + share * (high + 1 - low))) if quantity.whole else low + share * (high - low)
    return values
