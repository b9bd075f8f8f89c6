"""What the supervisor needs of a venue file: ports, hosts and the runner. The other tables are the processes' own."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class BadProfile(Exception):
    """A venue file that cannot be used; the message names the field."""


@dataclass(frozen=True)
class Host:
    """One unit host process.

    Attributes:
        id: Its name within the venue.
        watchdog_s: A driven unit that hears no target for this long stops; None keeps what each robot model says.
        battery_lapse: Emulated batteries empty and fill that many times as fast; None keeps real time.
        actuators: What drives emulated joints, "physical" or "ideal"; None leaves it to the host.
    """

    id: str
    watchdog_s: float | None = None
    battery_lapse: float | None = None
    actuators: str | None = None


@dataclass(frozen=True)
class Profile:
    """One venue file.

    Attributes:
        path: The file, handed on to the processes.
        venue: Its id.
        scheduler_port, api_port: 0 takes a free one.
        hosts: The unit host processes.
        vendors: Ids of the vendors.
        sim_slots, warm_workers, ray_cpus, ray_address: As the runner's options.
    """

    path: Path
    venue: str
    name: str
    scheduler_port: int
    api_port: int
    hosts: tuple[Host, ...]
    vendors: tuple[str, ...]
    sim_slots: int
    warm_workers: int
    ray_cpus: int
    ray_address: str

    @classmethod
    def load(cls, path: Path) -> "Profile":
        """Read a venue file. Raises BadProfile."""
        try:
            return _profile(tomllib.loads(path.read_text(encoding="utf-8")), path.resolve())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, BadProfile) as error:
            raise BadProfile(f"{path}: {error}") from error


def _profile(tables: Mapping[str, Any], path: Path) -> Profile:
    venue, ports, runner = (_table(tables, key) for key in ("venue", "ports", "runner"))
    if "id" not in venue:
        raise BadProfile("[venue] id is missing")
    name = _text(venue, "id", "", "[venue]")
    vendors = tuple(_text(table, "id", "", "[[vendor]]") for table in _tables(tables, "vendor"))
    hosts = tuple(_host(table) for table in _tables(tables, "host"))
    for what, ids in (("vendor", vendors), ("host", tuple(host.id for host in hosts))):
        if not ids:
            raise BadProfile(f"a venue needs at least one [[{what}]]")
        if len(set(ids)) < len(ids):
            raise BadProfile(f"[[{what}]] ids are not distinct: {', '.join(ids)}")
    return Profile(
        path=path,
        venue=name,
        name=_text(venue, "name", name, "[venue]"),
        scheduler_port=_whole(ports, "scheduler", 7400, "[ports]", at_most=65535),
        api_port=_whole(ports, "api", 7480, "[ports]", at_most=65535),
        hosts=hosts,
        vendors=vendors,
        sim_slots=_whole(runner, "sim_slots", 2, "[runner]"),
        warm_workers=_whole(runner, "warm_workers", 3, "[runner]"),
        ray_cpus=_whole(runner, "ray_cpus", 2, "[runner]", at_least=1),
        ray_address=_text(runner, "ray_address", "", "[runner]", empty=True),
    )


def _host(table: Mapping[str, Any]) -> Host:
    name = _text(table, "id", "", "[[host]]")
    watchdog_s = table.get("watchdog_s")
    if watchdog_s is not None and not (_is_number(watchdog_s) and 0.0 < watchdog_s < math.inf):
        raise BadProfile(f"host {name}: watchdog_s is {watchdog_s!r}, must be a time in seconds above 0")
    lapse = table.get("battery_lapse")
    if lapse is not None and not (_is_number(lapse) and 0.0 < lapse < math.inf):
        raise BadProfile(f"host {name}: battery_lapse is {lapse!r}, must be a factor above 0")
    actuators = table.get("actuators")
    if actuators not in (None, "physical", "ideal"):
        raise BadProfile(f"host {name}: actuators is {actuators!r}, must be 'physical' or 'ideal'")
    return Host(name, watchdog_s, lapse, actuators)


def _table(tables: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = tables.get(key, {})
    if not isinstance(found, Mapping):
        raise BadProfile(f"{key} is {found!r}, must be a table")
    return found


def _tables(tables: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = tables.get(key, [])
    if not isinstance(found, list) or not all(isinstance(table, Mapping) for table in found):
        raise BadProfile(f"{key} must be tables, [[{key}]]")
    return found


def _text(table: Mapping[str, Any], key: str, default: str, where: str, *, empty: bool = False) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not (value or empty):
        raise BadProfile(f"{where} {key} is {value!r}, must be text")
    return value


def _whole(
    table: Mapping[str, Any], key: str, default: int, where: str, *, at_least: int = 0, at_most: int = 10_000
) -> int:
    value = table.get(key, default)
    # True is an int to Python, and no number of anything.
    if type(value) is not int or not at_least <= value <= at_most:
        raise BadProfile(f"{where} {key} is {value!r}, must be {at_least} to {at_most}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
