"""What the supervisor needs of a venue file: ports, hosts and the runner. The other tables are the processes' own."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


class BadProfile(Exception):
    """A venue file that cannot be used; the message names the field."""


@dataclass(frozen=True)
class Profile:
    """One venue file.

    Attributes:
        path: The file, handed on to the processes.
        venue: Its id.
        scheduler_port, api_port: 0 takes a free one.
        hosts: Names of the unit host processes.
        vendors: Ids of the vendors.
    """

    path: Path
    venue: str
    name: str
    scheduler_port: int
    api_port: int
    hosts: tuple[str, ...]
    vendors: tuple[str, ...]
    sim_slots: int
    warm_workers: int
    ray_cpus: int
    ray_address: str

    @classmethod
    def load(cls, path: Path) -> "Profile":
        """Read a venue file. Raises BadProfile."""
        try:
            tables = tomllib.loads(path.read_text())
            venue, ports, runner = tables["venue"], tables.get("ports", {}), tables.get("runner", {})
            return cls(
                path=path.resolve(),
                venue=venue["id"],
                name=venue.get("name", venue["id"]),
                scheduler_port=_port(ports.get("scheduler", 7400), "[ports] scheduler"),
                api_port=_port(ports.get("api", 7480), "[ports] api"),
                hosts=tuple(host["id"] for host in tables.get("host", [])),
                vendors=tuple(vendor["id"] for vendor in tables.get("vendor", [])),
                sim_slots=int(runner.get("sim_slots", 2)),
                warm_workers=int(runner.get("warm_workers", 3)),
                ray_cpus=int(runner.get("ray_cpus", 2)),
                ray_address=str(runner.get("ray_address", "")),
            )
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise BadProfile(f"{path}: {error}") from error
        except KeyError as error:
            raise BadProfile(f"{path}: {error} is missing") from error


def _port(value: object, what: str) -> int:
    if not isinstance(value, int) or not 0 <= value < 65536:
        raise BadProfile(f"{what} is {value!r}, must be 0 to 65535")
    return value
