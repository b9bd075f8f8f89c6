"""The tree of groups, vendors and projects between which a venue is shared. Pure.

A name of the tree is a group's or a vendor's id, "vendor/project" for a project, or "vendor/-" for what a vendor with
projects does outside of them. Only leaves own jobs. A limit bounds everything below its node together; a guarantee is
part of its parent's, so that all guarantees can be kept at once.
"""

import math
from collections.abc import Mapping, Sequence

from scheduler.state import NOTHING, Amounts, Claim, Vendor

REST = "-"
FIELDS = ("units", "slots", "cells")


def vendor_of(name: str) -> str:
    """Return the vendor of a leaf."""
    return name.partition("/")[0]


def path(name: str, parties: Mapping[str, Vendor]) -> list[Vendor]:
    """Return the node of that name and what is above it, the root last. Raises ValueError if it runs in a circle."""
    found: list[Vendor] = []
    while name:
        node = parties[name]
        if node in found:
            raise ValueError(f"{node.vendor} is above itself: {' in '.join(each.vendor for each in [*found, node])}")
        found.append(node)
        name = node.parent
    return found


def beyond_limit(claim: Claim, leaf: str, parties: Mapping[str, Vendor]) -> str | None:
    """Return a sentence if the claim, whichever of its alternatives, is over a limit even if nothing else ran."""
    problems = [_beyond(option, leaf, parties) for option in (claim, *claim.alternatives)]
    return problems[0] if all(problems) else None


def _beyond(claim: Claim, leaf: str, parties: Mapping[str, Vendor]) -> str | None:
    asked = (sum(request.count for request in claim.units), claim.sim_slots, int(claim.cell is not None))
    for node in path(leaf, parties):
        if node.limit.holds(*asked):
            continue
        for count, field in zip(asked, FIELDS, strict=True):
            most = getattr(node.limit, field)
            if count > most:
                words = "sim slots" if field == "slots" else field
                # The group's name is the venue's affair; that there is a limit is the vendor's.
                whose = (
                    "the group of this vendor"
                    if "/" not in node.vendor and node.vendor != vendor_of(leaf)
                    else (node.vendor)
                )
                return f"the claim asks for {count} {words}, the limit of {whose} is {most:g}"
    return None


def problem(parties: Sequence[Vendor], venue: Amounts) -> str | None:
    """Return what makes the tree impossible, in a sentence, or None.

    venue: What the venue has, infinite where nobody knows yet.
    """
    known = {party.vendor: party for party in parties}
    for party in parties:
        if party.parent and party.parent not in known:
            return f"{party.vendor}: parent {party.parent!r} is no group"
    try:
        for party in parties:
            path(party.vendor, known)
    except ValueError as error:
        return str(error)
    children: dict[str, list[Vendor]] = {}
    for party in parties:
        children.setdefault(party.parent, []).append(party)
    promised: dict[str, Amounts] = {}
    for party in sorted(parties, key=lambda each: -len(path(each.vendor, known))):
        promised[party.vendor], wrong = _promise(party, [promised[c.vendor] for c in children.get(party.vendor, [])])
        if wrong:
            return wrong
    everything = _sum([promised[party.vendor] for party in children.get("", [])])
    for field in FIELDS:
        asked, there = getattr(everything, field), getattr(venue, field)
        if asked > there:
            return f"guarantees of {asked:g} {field} together, the venue has {there:g}"
    return None


def _promise(party: Vendor, below: Sequence[Amounts]) -> tuple[Amounts, str | None]:
    """Return what the node and those below it are promised together, and what is wrong with that.

    A node that states no guarantee of its own is promised what those below it are.
    """
    total = _sum(below)
    stated = party.guarantee != NOTHING
    for field in FIELDS:
        mine, theirs, most = (getattr(amounts, field) for amounts in (party.guarantee, total, party.limit))
        if stated and theirs > mine:
            return total, f"{party.vendor}: guarantees of {theirs:g} {field} below it, its own is {mine:g}"
        if max(mine, theirs) > most:
            return total, f"{party.vendor}: a guarantee of {max(mine, theirs):g} {field}, its limit is {most:g}"
    return (party.guarantee if stated else total), None


def _sum(amounts: Sequence[Amounts]) -> Amounts:
    return Amounts(*(math.fsum(getattr(each, field) for each in amounts) for field in FIELDS))
