"""How much of the store a vendor may have: the [store] table of the venue file, and what follows from it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scheduler import toml
from scheduler.toml import BadConfiguration

GB = 10**9
KNOWN = (
    "objects",
    "keep_days",
    "keep_rejected_days",
    "quota_gb",
    "quota_episodes",
    "warn_share",
    "copies_gb",
    "vendor",
    "dataset",
)
KNOWN_OF_VENDOR = ("id", "keep_days", "quota_gb", "quota_episodes")


class Used(Protocol):
    """What a vendor has."""

    @property
    def episodes(self) -> int:
        """How many episodes."""

    @property
    def size_bytes(self) -> int:
        """How much they are [bytes]."""


@dataclass(frozen=True)
class Quota:
    """Most that a vendor may have; None: no limit."""

    size_bytes: int | None = None
    episodes: int | None = None

    def shares(self, used: Used) -> list[tuple[float, str]]:
        """Return how much of each limit is used (1: all of it), and that in words."""
        found = []
        if self.size_bytes is not None:
            words = f"{used.size_bytes / GB:.2f} of {self.size_bytes / GB:g} GB"
            found.append((used.size_bytes / self.size_bytes, words))
        if self.episodes is not None:
            found.append((used.episodes / self.episodes, f"{used.episodes} of {self.episodes} episodes"))
        return found

    def refusal(self, used: Used, more_bytes: int = 0) -> str | None:
        """Return why no further episode fits, None if one does. more_bytes: How large it is; 0: nobody knows yet."""
        if self.episodes is not None and used.episodes + 1 > self.episodes:
            return f"{used.episodes} of {self.episodes} episodes are there"
        if self.size_bytes is not None and (
            used.size_bytes + more_bytes > self.size_bytes or used.size_bytes >= self.size_bytes
        ):
            more = f", and {more_bytes} bytes would come" if more_bytes else ""
            return f"{used.size_bytes} of {self.size_bytes} bytes are there{more}"
        return None


@dataclass(frozen=True)
class Quotas:
    """Everybody's. `warn_share`: from which share of a limit on a vendor is warned."""

    default: Quota = field(default_factory=Quota)
    vendors: Mapping[str, Quota] = field(default_factory=dict)
    warn_share: float = 0.9

    def of(self, vendor: str) -> Quota:
        """Return a vendor's."""
        return self.vendors.get(vendor, self.default)

    def warning(self, vendor: str, used: Used) -> str:
        """Return what a vendor is to know of its room; empty while there is enough."""
        nearly = [words for share, words in self.of(vendor).shares(used) if share >= self.warn_share]
        if not nearly:
            return ""
        full = self.of(vendor).refusal(used) is not None
        said = "the store's quota is full, and nothing more is recorded" if full else "the store's quota is nearly full"
        return f"{said}: {', '.join(nearly)}"


def quotas_of(tables: Mapping[str, Any], vendors: frozenset[str], source: str) -> Quotas:
    """Return the quotas of a venue file's [store] table. Raises BadConfiguration."""
    table = toml.table(tables, "store", source)
    _check_keys(table, KNOWN, "[store]", source)
    default = _quota(table, Quota(), source, "[store]")
    own: dict[str, Quota] = {}
    for row in toml.tables(table, "vendor", source):
        name = toml.id(row, source, "[[store.vendor]]")
        _check_keys(row, KNOWN_OF_VENDOR, f"[[store.vendor]] {name}", source)
        if name not in vendors:
            raise BadConfiguration(f"{source}: [[store.vendor]] {name!r} is no vendor")
        if name in own:
            raise BadConfiguration(f"{source}: [[store.vendor]] {name} occurs twice")
        own[name] = _quota(row, default, source, f"[[store.vendor]] {name}")
    warn_share = toml.fraction(table.get("warn_share", 0.9), source, "[store] warn_share")
    return Quotas(default, own, warn_share)


def _quota(table: Mapping[str, Any], default: Quota, source: str, what: str) -> Quota:
    size_bytes, episodes = default.size_bytes, default.episodes
    if "quota_gb" in table:
        size_bytes = max(1, int(toml.positive(table["quota_gb"], source, f"{what} quota_gb") * GB))
    if "quota_episodes" in table:
        episodes = toml.whole(table["quota_episodes"], source, f"{what} quota_episodes")
    return Quota(size_bytes, episodes)


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], what: str, source: str) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise BadConfiguration(f"{source}: {what} has no {unknown[0]}; it has {', '.join(known)}")
