"""Groups, vendors and projects of a venue file, and the tree that they make."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scheduler import state, toml
from scheduler.health import VENUE_VENDOR
from scheduler.state import EVERYTHING, NOTHING, Amounts
from scheduler.tree import FIELDS, REST


@dataclass(frozen=True)
class Group:
    """Vendors, or groups of them, that share what they are due. `parent`: a group."""

    id: str
    parent: str = ""
    weight: float = 1.0
    guarantee: Amounts = NOTHING
    limit: Amounts = EVERYTHING


@dataclass(frozen=True)
class Vendor:
    """`starts_per_hour` and `leases_max`: None for no limit."""

    id: str
    name: str = ""
    weight: float = 1.0
    parent: str = ""
    guarantee: Amounts = NOTHING
    limit: Amounts = EVERYTHING
    starts_per_hour: int | None = None
    leases_max: int | None = None


@dataclass(frozen=True)
class Project:
    """A part of a vendor's work with a share of its own."""

    id: str
    vendor: str
    weight: float = 1.0
    guarantee: Amounts = NOTHING
    limit: Amounts = EVERYTHING


@dataclass(frozen=True)
class Party:
    """A node of the tree; of a leaf, which owns jobs, `vendor` and `project` say whose. A group has no vendor."""

    node: state.Vendor
    vendor: str = ""
    project: str = ""
    leaf: bool = False
    starts_per_hour: int | None = None


def parties_of(groups: Sequence[Group], vendors: Sequence[Vendor], projects: Sequence[Project]) -> tuple[Party, ...]:
    """Return the tree between whose nodes the venue is shared."""
    divided = {project.vendor for project in projects}
    found = [Party(_node(group.id, group.parent, group)) for group in groups]
    for vendor in vendors:
        node = replace(_node(vendor.id, vendor.parent, vendor), leases_max=_or_infinite(vendor.leases_max))
        found.append(Party(node, vendor.id, leaf=vendor.id not in divided, starts_per_hour=vendor.starts_per_hour))
        if vendor.id in divided:
            found.append(Party(state.Vendor(f"{vendor.id}/{REST}", parent=vendor.id), vendor.id, leaf=True))
    for project in projects:
        node = _node(f"{project.vendor}/{project.id}", project.vendor, project)
        found.append(Party(node, project.vendor, project.id, leaf=True))
    return tuple(found)


def _node(name: str, parent: str, share: Group | Vendor | Project) -> state.Vendor:
    return state.Vendor(name, share.weight, parent=parent, guarantee=share.guarantee, limit=share.limit)


def _or_infinite(value: int | None) -> float:
    return math.inf if value is None else value


def vendor_of(table: Mapping[str, Any], source: str) -> Vendor:
    """Return the vendor of a [[vendor]] table. Raises BadConfiguration."""
    name = toml.id(table, source, "vendor")
    if name == VENUE_VENDOR:
        raise toml.BadConfiguration(f"{source}: no vendor may be called {name}; that name is the venue's own")
    what = f"vendor {name}"
    return Vendor(
        name,
        toml.text(table, "name", name, source, what),
        parent=toml.text(table, "parent", "", source, what),
        starts_per_hour=toml.whole(table["starts_per_hour"], source, f"{what}: starts_per_hour")
        if "starts_per_hour" in table
        else None,
        leases_max=toml.whole(table["leases_max"], source, f"{what}: leases_max") if "leases_max" in table else None,
        **_share(table, source, what),
    )


def group_of(table: Mapping[str, Any], source: str) -> Group:
    """Return the group of a [[group]] table. Raises BadConfiguration."""
    name = toml.id(table, source, "group")
    what = f"group {name}"
    return Group(name, toml.text(table, "parent", "", source, what), **_share(table, source, what))


def project_of(table: Mapping[str, Any], source: str) -> Project:
    """Return the project of a [[project]] table. Raises BadConfiguration."""
    name = toml.id(table, source, "project")
    what = f"project {name}"
    if name == REST:
        raise toml.BadConfiguration(f"{source}: {what}: {REST!r} stands for what a vendor does outside of its projects")
    return Project(name, toml.text(table, "vendor", "", source, what), **_share(table, source, what))


def _share(table: Mapping[str, Any], source: str, what: str) -> dict[str, Any]:
    return {
        "weight": toml.positive(table.get("weight", 1.0), source, f"{what}: weight"),
        "guarantee": _amounts(table, "guarantee", NOTHING, source, what),
        "limit": _amounts(table, "limit", EVERYTHING, source, what),
    }


def _amounts(table: Mapping[str, Any], key: str, default: Amounts, source: str, what: str) -> Amounts:
    """Return a table such as { units = 4, cells = 1 }; what it leaves out is as in the default."""
    found = toml.table(table, key, source)
    for name, amount in found.items():
        if name not in FIELDS:
            raise toml.BadConfiguration(f"{source}: {what}: {key} has no {name}; it has {', '.join(FIELDS)}")
        toml.whole(amount, source, f"{what}: {key} {name}", least=0)
    return Amounts(*(float(found.get(name, getattr(default, name))) for name in FIELDS))
