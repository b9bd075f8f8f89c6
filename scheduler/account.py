"""The tree of vendors, their groups and projects, with what each holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scheduler.state import NOTHING, Amounts, Vendor

# Of an account among its brothers: rank and weighted share, then time of creation (ns) and number of its first job, and
# its name.
Place = tuple[int, float, int, int, str]


@dataclass(slots=True)
class Holding:
    """Units, slots, cells and leases of one account, its children's included."""

    units: int = 0
    slots: int = 0
    cells: int = 0
    leases: int = 0

    def add(self, amounts: tuple[int, int, int], leases: int) -> None:
        self.units += amounts[0]
        self.slots += amounts[1]
        self.cells += amounts[2]
        self.leases += leases

    @property
    def anything(self) -> bool:
        return bool(self.leases or self.units or self.slots or self.cells)

    def copy(self) -> "Holding":
        return Holding(self.units, self.slots, self.cells, self.leases)


@dataclass(slots=True)
class Accounts:
    """All accounts by name. `chains`: of each, itself and what stands above it, the root excluded."""

    vendors: dict[str, Vendor] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    # Names with a finite limit somewhere: all others need not be looked at for it.
    limited: set[str] = field(default_factory=set)
    # Names with a guarantee of their own or above them.
    guaranteed: set[str] = field(default_factory=set)
    # Of each account that has any, the children in the order of their names.
    children: dict[str, list[str]] = field(default_factory=dict)
    # Places among brothers, as far as they have been asked for and are still true.
    places: dict[str, Place] = field(default_factory=dict)

    @classmethod
    def of(cls, vendors: Iterable[Vendor]) -> "Accounts":
        """Return the accounts of a tree. Raises ValueError for an unknown parent or a cycle."""
        accounts = cls()
        accounts.vendors = {vendor.vendor: vendor for vendor in vendors}
        for name in sorted(accounts.vendors):
            accounts.children.setdefault(accounts.vendors[name].parent, []).append(name)
        for name in accounts.vendors:
            accounts.chains[name] = _chain(name, accounts.vendors)
            accounts.holdings[name] = Holding()
            if any(_is_limited(accounts.vendors[link]) for link in accounts.chains[name]):
                accounts.limited.add(name)
            if any(promises(accounts.vendors[link].guarantee) for link in accounts.chains[name]):
                accounts.guaranteed.add(name)
        for vendor in accounts.vendors.values():
            amounts = (vendor.held_units, vendor.held_slots, vendor.held_cells)
            accounts.hold(vendor.vendor, amounts, vendor.leases)
        return accounts

    def hold(self, name: str, amounts: tuple[int, int, int], leases: int = 1) -> None:
        """Add what a lease holds to its account and all above it. The house has leases, for checks, and no account."""
        holdings, places = self.holdings, self.places
        for link in self.chains.get(name, ()):
            holdings[link].add(amounts, leases)
            places.pop(link, None)

    def put(self, vendor: Vendor) -> None:
        """Take over what an account itself holds and has used by now, and its weight.

        Its place in the tree, its guarantee and whether it is limited stay.
        """
        name, before = vendor.vendor, self.vendors[vendor.vendor]
        self.vendors[name] = vendor
        more = (
            vendor.held_units - before.held_units,
            vendor.held_slots - before.held_slots,
            vendor.held_cells - before.held_cells,
        )
        if any(more) or vendor.leases != before.leases:
            self.hold(name, more, vendor.leases - before.leases)
        self.places.pop(name, None)

    def forget_ranks(self) -> None:
        """Rank everybody anew: what the venue has is another amount."""
        self.places.clear()

    def place(self, name: str, totals: tuple[int, int, int]) -> Place:
        """Return the place of an account among its brothers, `totals` being what the venue has.

        Those below what they are guaranteed come first; then the smaller weighted share. Whose job is older decides
        where the share alone does not: as that is looked up only then, the place is told as if it were the oldest.
        """
        known = self.places.get(name)
        if known is None:
            below, share = rank_of(self.vendors[name], self.holdings[name], totals)
            known = self.places[name] = (below, share, -1, -1, name)
        return known


def rank_of(vendor: Vendor, held: Holding, totals: tuple[int, int, int]) -> tuple[int, float]:
    """Return an account's rank and weighted share if it holds so much.

    First rank is for what is guaranteed: who holds more of anything than that has it no longer.
    """
    guarantee = vendor.guarantee
    below = (
        # Nothing is guaranteed to most.
        guarantee is not NOTHING
        and short_of(held, guarantee)
        and (held.units <= guarantee.units and held.slots <= guarantee.slots and held.cells <= guarantee.cells)
    )
    of_units, of_slots, of_cells = totals
    # As `dominant_share`, without the cost of a call: a rank is found for every grant.
    share = max(held.units / (of_units or 1), held.slots / (of_slots or 1), held.cells / (of_cells or 1))
    return 0 if below else 1, (share + vendor.used_share) / vendor.weight


def short_of(held: Holding, guarantee: Amounts) -> bool:
    """Whether an account holds less of something than it is guaranteed."""
    return held.units < guarantee.units or held.slots < guarantee.slots or held.cells < guarantee.cells


def promises(guarantee: Amounts) -> bool:
    """Whether anything is guaranteed."""
    return guarantee.units > 0 or guarantee.slots > 0 or guarantee.cells > 0


def dominant_share(units: int, slots: int, cells: int, totals: tuple[int, int, int]) -> float:
    """Return the largest of the shares of units, slots and cells."""
    of_units, of_slots, of_cells = totals
    return max(units / (of_units or 1), slots / (of_slots or 1), cells / (of_cells or 1))


def _chain(name: str, vendors: Mapping[str, Vendor]) -> tuple[str, ...]:
    chain: list[str] = []
    while name:
        if name in chain:
            raise ValueError(f"the accounts {' -> '.join([*chain, name])} are a cycle")
        if name not in vendors:
            raise ValueError(f"account {chain[-1] if chain else name!r} stands under {name!r}, which does not exist")
        chain.append(name)
        name = vendors[name].parent
    return tuple(chain)


def _is_limited(vendor: Vendor) -> bool:
    infinite = float("inf")
    return (
        min(vendor.limit.units, vendor.limit.slots, vendor.limit.cells, vendor.starts_left, vendor.leases_max)
        < infinite
    )
