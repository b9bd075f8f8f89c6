"""What the supervisor needs of a venue file: ports, hosts and the runner. The other tables are the processes' own."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaestra.policy_address import check_rule
from venue.storage import BadStorage, Storage, storage_of


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
        elsewhere: It runs on another machine, and is started there.
    """

    id: str
    watchdog_s: float | None = None
    battery_lapse: float | None = None
    actuators: str | None = None
    elsewhere: bool = False


@dataclass(frozen=True)
class Tls:
    """The way in for those from elsewhere.

    Attributes:
        listen: Address and port of the scheduler for them; empty: there is none.
        api_listen: The same of console and REST, which then are there instead of on loopback.
        sharing_listen: The same of what vendors share.
        folder: Where the certificates lie; relative to the folder of the venue's data.
        client_certificates: Whether who comes to the scheduler must show a certificate.
        standby_listen: As `listen`, of the standby.
        slots_listen: Address on which worlds are served to those who drive them from elsewhere, each job's on a port of
            its own; empty: on loopback alone.
    """

    listen: str = ""
    api_listen: str = ""
    folder: Path = Path("tls")
    client_certificates: bool = False
    standby_listen: str = ""
    slots_listen: str = ""
    sharing_listen: str = ""

    def reached(self, listen: str, names: Sequence[str]) -> str:
        """Return how others reach what listens there, "" if nobody can. names: of the server's certificate."""
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        everywhere = host in ("0.0.0.0", "::")
        known = next(iter(names), "") if everywhere else host if host in names or not names else names[0]
        return f"{f'[{known}]' if ':' in known else known}:{port}" if known and listen else ""

    def api_url(self, names: Sequence[str]) -> str:
        """Return the address of console and REST for others, "" if there is none."""
        reached = self.reached(self.api_listen, names)
        return f"https://{reached}" if reached else ""

    def sharing_url(self, names: Sequence[str]) -> str:
        """Return the address of what vendors share for others, "" if there is none."""
        reached = self.reached(self.sharing_listen, names)
        return f"https://{reached}" if reached else ""


@dataclass(frozen=True)
class Profile:
    """One venue file.

    Attributes:
        path: The file, handed on to the processes.
        venue: Its id.
        scheduler_port, api_port, standby_port: 0 takes a free one.
        storage: Where sealed episodes are kept, how long, and how much of them here.
        encrypted: Whether sealed episodes are encrypted with a key for each vendor.
        catalogue: Where what was recorded is listed if not in a file, `postgresql://...`.
        sharing: Whether vendors may let each other have data.
        sharing_port: As the other ports, of what they share.
        standby: Whether a second scheduler waits for the end of the first.
        hosts: The unit host processes.
        vendors: Ids of the vendors.
        sim_slots, warm_workers, ray_cpus, ray_address: As the runner's options.
        policy_servers: Where the runner calls served policies; nowhere by default.
        tls: The way in for those from elsewhere.
        sharing, sharing_cluster: Whether there is such a process, and whether its compute jobs run at `ray_address`.
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
    policy_servers: tuple[str, ...] = ()
    tls: Tls = field(default_factory=Tls)
    standby: bool = False
    standby_port: int = 0
    storage: Storage = field(default_factory=Storage)
    catalogue: str = ""
    encrypted: bool = False
    sharing: bool = False
    sharing_port: int = 0
    sharing_cluster: bool = False

    @property
    def objects_at(self) -> str:
        """Where sealed episodes are kept if not in the data folder, `s3://bucket/prefix`."""
        return self.storage.objects_at

    @property
    def hosts_here(self) -> tuple[Host, ...]:
        """The unit hosts that are started with the venue."""
        return tuple(host for host in self.hosts if not host.elsewhere)

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
    standby = _table(tables, "scheduler").get("standby", False)
    if not isinstance(standby, bool):
        raise BadProfile(f"[scheduler] standby is {standby!r}, must be true or false")
    sharing = _table(tables, "sharing")
    if unknown := sorted(set(sharing) - {"enabled", "compute"}):
        raise BadProfile(f"[sharing] has no {unknown[0]}")
    ray_address = _text(runner, "ray_address", "", "[runner]", empty=True)
    compute = sharing.get("compute", "here")
    if compute not in ("here", "cluster"):
        raise BadProfile(f'[sharing] compute is {compute!r}, must be "here" or "cluster"')
    if compute == "cluster" and not ray_address:
        raise BadProfile('[sharing] compute is "cluster", and [runner] ray_address names none')
    enabled = sharing.get("enabled", False)
    if not isinstance(enabled, bool):
        raise BadProfile(f"[sharing] enabled is {enabled!r}, must be true or false")
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
        ray_address=ray_address,
        policy_servers=_policy_servers(runner),
        tls=_tls(_table(tables, "tls"), standby=standby),
        standby=standby,
        standby_port=_whole(ports, "standby", 7401, "[ports]", at_most=65535),
        storage=_storage(_table(tables, "store")),
        catalogue=_catalogue(_table(tables, "catalogue")),
        encrypted=_encrypted(_table(tables, "store")),
        sharing=enabled,
        sharing_cluster=compute == "cluster",
        sharing_port=_whole(ports, "sharing", 7490, "[ports]", at_most=65535),
    )


def _storage(store: Mapping[str, Any]) -> Storage:
    try:
        return storage_of(store)
    except BadStorage as error:
        raise BadProfile(str(error)) from error


def _catalogue(table: Mapping[str, Any]) -> str:
    if unknown := sorted(set(table) - {"database"}):
        raise BadProfile(f"[catalogue] has no {unknown[0]}")
    address = _text(table, "database", "", "[catalogue]", empty=True)
    if address and not address.startswith(("postgresql://", "postgres://")):
        raise BadProfile("[catalogue] database must be postgresql://...; a file needs no setting")
    if re.search(r"//[^/@?]*:[^/@?]*@|password=", address):
        # It would stand in the processes' arguments, which every user of the machine can read.
        raise BadProfile("[catalogue] database has a password in it, which belongs into PALAESTRA_CATALOGUE")
    return address


def _encrypted(store: Mapping[str, Any]) -> bool:
    kind = _text(store, "encryption", "", "[store]", empty=True)
    if kind not in ("", "vendor-keys"):
        raise BadProfile(f"[store] encryption is {kind!r}, must be vendor-keys, or left out")
    if kind and store.get("objects"):
        raise BadProfile(
            "[store] encryption is of objects in the data folder; with objects elsewhere it is not there yet"
        )
    return bool(kind)


def _policy_servers(runner: Mapping[str, Any]) -> tuple[str, ...]:
    given = runner.get("policy_servers", [])
    if not isinstance(given, list) or not all(isinstance(rule, str) for rule in given):
        raise BadProfile(f"[runner] policy_servers is {given!r}, must be a list of texts, host:port or host:*")
    try:
        return tuple(check_rule(rule) for rule in given)
    except ValueError as error:
        raise BadProfile(f"[runner] policy_servers: {error}") from error


def _tls(table: Mapping[str, Any], *, standby: bool) -> Tls:
    unknown = sorted(
        set(table)
        - {"listen", "api_listen", "sharing_listen", "standby_listen", "slots_listen", "folder", "client_certificates"}
    )
    if unknown:
        raise BadProfile(f"[tls] has no {unknown[0]}")
    addresses = {}
    for key in ("listen", "api_listen", "sharing_listen", "standby_listen"):
        address = _text(table, key, "", "[tls]", empty=True)
        host, _, port = address.rpartition(":")
        if address and not (host and port.isdigit() and 0 < int(port) < 65536):
            raise BadProfile(f"[tls] {key} is {address!r}, must be an address and a port")
        addresses[key] = address
    if addresses["listen"] and standby and not addresses["standby_listen"]:
        raise BadProfile("[tls] needs standby_listen too, since [scheduler] standby is true and [tls] listen is set")
    slots_listen = _text(table, "slots_listen", "", "[tls]", empty=True)
    if slots_listen and (":" in slots_listen.strip("[]") and "[" not in slots_listen):
        raise BadProfile(f"[tls] slots_listen is {slots_listen!r}, must be an address without a port")
    certificates = table.get("client_certificates", False)
    if not isinstance(certificates, bool):
        raise BadProfile(f"[tls] client_certificates is {certificates!r}, must be true or false")
    return Tls(
        addresses["listen"],
        addresses["api_listen"],
        Path(_text(table, "folder", "tls", "[tls]")),
        certificates,
        addresses["standby_listen"],
        slots_listen,
        addresses["sharing_listen"],
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
    elsewhere = table.get("elsewhere", False)
    if not isinstance(elsewhere, bool):
        raise BadProfile(f"host {name}: elsewhere is {elsewhere!r}, must be true or false")
    return Host(name, watchdog_s, lapse, actuators, elsewhere)


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
