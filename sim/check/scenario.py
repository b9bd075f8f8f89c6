"""What a scenario's file must be, see `sim.scenarios`, and whether its names, levels and numbers go together.

Whether its success can be reached, and missed, only trials tell: `palaestra scenarios check` runs them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sim.catalog import ROBOT_CLASSES
from sim.check.finding import Key, nearest
from sim.check.schema import DIALECT, Schema, number, one_of, rows, table, text, violations
from sim.scenarios.draws import CONDITIONS, DYNAMIC, OBJECTS, POSE, QUANTITIES, ranges_at
from sim.scenarios.families import FAMILIES, Ref
from sim.scenarios.fixtures import KINDS, Size
from sim.scenarios.names import LEVELS, SECTORS

_EACH_LEVEL: Mapping[int, tuple[tuple[str, ...], str]] = {
    2: (POSE, "structured: it must draw a pose"),
    3: ((*OBJECTS, *CONDITIONS), "open: it must draw objects or conditions"),
    4: (DYNAMIC, "dynamic: it must draw people, targets or pushes"),
}
_NEEDS: Mapping[str, str] = {"clutter": "clutter", "person_speed_m_s": "person"}


def schema() -> Schema:
    """Return the JSON Schema of `configs/scenarios/*/*.toml`."""
    sizes: dict[str, Schema] = {}
    for kind in KINDS.values():
        for name, size in kind.sizes.items():
            sizes[name] = _loosest(sizes.get(name), _field(size))
    goal: dict[str, Schema] = {}
    for family in FAMILIES.values():
        for name, field in family.fields.items():
            if isinstance(field, Ref):
                one = text(f"a fixture's name: {field.what}")
                goal[name] = rows(one, least=1) if field.many else one
            else:
                goal[name] = _loosest(goal.get(name), _field(field))
    place = {key: number(-10.0, 10.0, f"in the work frame [{key[-1]}]") for key in ("x_m", "y_m", "z_m")}
    fixture = {
        "kind": one_of(tuple(KINDS), "what it is"),
        "name": text("unique in the scenario"),
        **place,
        "yaw_deg": number(-360.0, 360.0, "about the vertical [degrees]"),
        "moves": {"type": "boolean", "description": "whether the draws of poses shift it"},
        **sizes,
    }
    ranges = {
        name: {**rows(number(q.low, q.high, q.what), least=2), "description": f"from and to: {q.what}"}
        for name, q in QUANTITIES.items()
    }
    whole = {
        "id": text("the file's name"),
        "title": text("one line for people"),
        "sector": one_of(tuple(SECTORS), "the folder's name"),
        "family": one_of(tuple(FAMILIES), "what kind of task it is"),
        "demand": text("the functional demand"),
        "robot_classes": rows(one_of(ROBOT_CLASSES, "whom it suits"), least=1),
        "conditions": table(
            {
                "light_lux": number(0.0, 150_000.0, "illuminance [lx]"),
                "noise_db": number(0.0, 140.0, "sound level [dB(A)]"),
                "floor": text("what it is made of"),
                "people": text("who is about"),
                "weather": text("indoors, or what weather, and temperatures"),
            },
            required=("light_lux", "noise_db", "floor", "people", "weather"),
        ),
        "fixtures": rows(table(fixture, required=("kind", "name")), least=1),
        "goal": table(goal),
        "limits": table(
            {
                "time_max_s": number(1.0, 600.0, "longest time of a trial [s]"),
                "force_max_n": number(1.0, 5000.0, "largest contact force [N]; of walkers: sideways"),
                "energy_max_j": number(1.0, 1e6, "largest mechanical work of the joints [J]"),
            },
            required=("time_max_s",),
        ),
        "economics": table(
            {
                "value_per_cycle_cny": number(0.001, 1e6, "what a success is worth [CNY]"),
                "cost_per_hour_cny": number(0.0, 1e5, "running cost [CNY/h]"),
                "investment_cny": number(100.0, 1e9, "what the unit and its cell cost [CNY]"),
                "hours_per_year": number(1.0, 8784.0, "hours of work in a year"),
                "source": text("where the numbers come from; `assumption: ...` where nobody publishes them"),
            },
            required=("value_per_cycle_cny", "cost_per_hour_cny", "investment_cny", "hours_per_year", "source"),
        ),
        "level": table(
            {str(level): table(ranges, description=what) for level, what in LEVELS.items()},
            required=tuple(str(level) for level in LEVELS),
        ),
    }
    return {"$schema": DIALECT, "title": "A Palaestra scenario", **table(whole, required=tuple(whole))}


def _field(size: Any) -> Schema:
    if isinstance(size, Size):
        return number(size.low, size.high, size.what)
    return one_of(size.words, size.what)


def _loosest(one: Schema | None, other: Schema) -> Schema:
    """The same name may mean kinds' own ranges: an editor is told the widest, the check knows each."""
    if one is None:
        return other
    if "enum" in one:
        return {**one, "enum": list(dict.fromkeys([*one["enum"], *other["enum"]]))}
    low, high = min(one["minimum"], other["minimum"]), max(one["maximum"], other["maximum"])
    return {**one, "minimum": low, "maximum": high}


def mistakes(tables: Mapping[str, Any], path: Path) -> Iterator[tuple[Key, str, bool]]:
    """Yield (key, reason, whether it is a note) for what does not go together, of a file that fits its schema."""
    for key, reason in (
        *_named(tables, path),
        *_fixtures(tables),
        *_goal(tables),
        *_classes(tables),
        *_levels(tables),
    ):
        yield key, reason, False


def _named(tables: Mapping[str, Any], path: Path) -> Iterator[tuple[Key, str]]:
    if tables["id"] != path.stem:
        yield ("id",), f"{tables['id']!r} is not the file's name {path.stem!r}"
    if tables["sector"] != path.parent.name:
        yield ("sector",), f"{tables['sector']!r} is not the folder's name {path.parent.name!r}"


def _fixtures(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    common = {"kind", "name", "x_m", "y_m", "z_m", "yaw_deg", "moves"}
    first: dict[str, int] = {}
    for i, row in enumerate(tables["fixtures"]):
        name = row["name"]
        if name in first:
            yield ("fixtures", i, "name"), f"two fixtures are named {name!r}: this one and number {first[name] + 1}"
        first.setdefault(name, i)
        kind = KINDS[row["kind"]]
        for key in row:
            if key in common:
                continue
            if key not in kind.sizes:
                known = nearest(key, kind.sizes) or f"; it has {', '.join(sorted(kind.sizes)) or 'none'}"
                yield ("fixtures", i, key), f"a {row['kind']} has no such field{known}"
            else:
                for _, reason in violations(row[key], _field(kind.sizes[key]), (key,)):
                    yield ("fixtures", i, key), reason


def _goal(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    family = FAMILIES[tables["family"]]
    names = {row["name"]: KINDS[row["kind"]] for row in tables["fixtures"]}
    goal = tables["goal"]
    for key in goal:
        if key not in family.fields:
            known = nearest(key, family.fields) or f"; it has {', '.join(sorted(family.fields))}"
            yield ("goal", key), f"the goal of {family.name!r} has no such field{known}"
    for key, field in family.fields.items():
        if not isinstance(field, Ref):
            if key in goal:
                for _, reason in violations(goal[key], _field(field), (key,)):
                    yield ("goal", key), reason
            continue
        if key not in goal:
            yield ("goal",), f"{key} is missing: {field.what}"
            continue
        for name in goal[key] if field.many else [goal[key]]:
            wanted = [one.__name__ for one in field.parts]
            if name not in names:
                yield ("goal", key), f"no fixture {name!r}{nearest(name, names)}"
            elif not set(wanted) & set(names[name].offers):
                kinds = ", ".join(kind for kind, one in KINDS.items() if set(wanted) & set(one.offers))
                yield ("goal", key), f"fixture {name!r} is no {wanted[0].lower()}; those are {kinds}"
    if {"low_n", "high_n"} <= set(goal) and goal["low_n"] >= goal["high_n"]:
        yield ("goal", "low_n"), f"{goal['low_n']:g} N is not below high_n = {goal['high_n']:g} N"
    if {"near_m", "far_m"} <= set(goal) and goal["near_m"] >= goal["far_m"]:
        yield ("goal", "near_m"), f"{goal['near_m']:g} m is not below far_m = {goal['far_m']:g} m"
    if goal.get("hold_s", 0.0) >= tables["limits"]["time_max_s"]:
        yield ("goal", "hold_s"), f"cannot be met within limits.time_max_s = {tables['limits']['time_max_s']:g} s"


def _classes(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    family = FAMILIES[tables["family"]]
    for i, name in enumerate(tables["robot_classes"]):
        if name not in family.robot_classes:
            can = ", ".join(family.robot_classes)
            yield ("robot_classes", i), f"nobody has scripted {family.name!r} for a {name}; there are {can}"


def _levels(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    kinds = {row["kind"] for row in tables["fixtures"]}
    levels = {int(level): ranges for level, ranges in tables["level"].items()}
    for name in levels[1]:
        yield ("level", "1", name), "level 1 is fixed: it draws nothing"
    for level, (names, what) in _EACH_LEVEL.items():
        known = ranges_at({k: v for k, v in levels.items() if k <= level}, level)
        if not set(known) & set(names):
            yield ("level", str(level)), f"level {level} is {what}: one of {', '.join(names)}"
    for level, ranges in levels.items():
        for name, span in ranges.items():
            key: Key = ("level", str(level), name)
            if len(span) != 2:
                yield key, "must be two numbers, from and to"
            elif span[0] > span[1]:
                yield key, f"{span[0]:g} is above {span[1]:g}"
            elif span[0] == span[1] and level > 1 and name not in DYNAMIC:
                yield key, f"draws nothing: both ends are {span[0]:g}"
            if 1 < level < QUANTITIES[name].level:
                yield key, f"may be drawn from level {QUANTITIES[name].level} on"
            if name in _NEEDS and _NEEDS[name] not in kinds:
                yield key, f"needs a fixture of kind {_NEEDS[name]!r}"
