"""The tree of groups, vendors and projects: what is refused when a venue file is read, and when a job is submitted."""

from pathlib import Path
from typing import Any

import pytest

from palaestra.v1 import job_pb2
from scheduler import snapshot
from scheduler.commands import ending, inventory
from scheduler.configuration import BadConfiguration, settings_of
from scheduler.state import Amounts, CellRequest, Claim, UnitRequest, Vendor
from scheduler.tree import beyond_limit, path, problem
from tests.scheduler.site import VENUE, Site, job, play, refusal

NATION: dict[str, Any] = {
    "group": [{"id": "labs", "weight": 2.0, "guarantee": {"units": 2}}, {"id": "young", "parent": "labs"}],
    "vendor": [
        {"id": "acme", "parent": "labs", "guarantee": {"units": 1}, "limit": {"units": 2}, "leases_max": 4},
        {"id": "rival", "parent": "young", "starts_per_hour": 2},
        {"id": "third", "weight": 2.0},
    ],
    "project": [
        {"id": "legs", "vendor": "acme", "weight": 3.0},
        {"id": "arms", "vendor": "acme", "limit": {"units": 1}},
    ],
}

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "nobody's child": ({"vendor": [{"id": "a", "parent": "x"}]}, "a: parent 'x' is no group"),
    "a vendor is no group": ({"vendor": [{"id": "a"}, {"id": "b", "parent": "a"}]}, "b: parent 'a' is no group"),
    "nobody's project": ({"project": [{"id": "p", "vendor": "x"}]}, "project p: 'x' is no vendor"),
    "a circle": (
        {"group": [{"id": "g", "parent": "h"}, {"id": "h", "parent": "g"}]},
        "g is above itself: g in h in g",
    ),
    "its own parent": ({"group": [{"id": "g", "parent": "g"}]}, "g is above itself"),
    "one name for two": ({"group": [{"id": "acme"}]}, "group or vendor acme occurs twice"),
    "one project twice": ({"project": [{"id": "p", "vendor": "acme"}] * 2}, "project acme/p occurs twice"),
    "the rest is taken": ({"project": [{"id": "-", "vendor": "acme"}]}, "stands for what a vendor does outside"),
    "no weight": ({"group": [{"id": "g", "weight": 0}]}, "group g: weight is 0"),
    "a project without weight": ({"project": [{"id": "p", "vendor": "acme", "weight": -1}]}, "project p: weight is -1"),
    "children promised more than their parent": (
        {
            "group": [{"id": "g", "guarantee": {"units": 1}}],
            "vendor": [{"id": "a", "parent": "g", "guarantee": {"units": 2}}],
        },
        "g: guarantees of 2 units below it, its own is 1",
    ),
    "promised more than there is": (
        {"vendor": [{"id": "a", "guarantee": {"units": 2}}, {"id": "b", "guarantee": {"units": 2}}]},
        "guarantees of 4 units together, the venue has 3",
    ),
    "promised more cells than there are": (
        {"vendor": [{"id": "a", "guarantee": {"cells": 2}}]},
        "guarantees of 2 cells together, the venue has 1",
    ),
    "promised more slots than the runner has": (
        {"vendor": [{"id": "a", "guarantee": {"slots": 3}}], "runner": {"sim_slots": 2}},
        "guarantees of 3 slots together, the venue has 2",
    ),
    "promised more than allowed": (
        {"vendor": [{"id": "a", "guarantee": {"units": 2}, "limit": {"units": 1}}]},
        "a: a guarantee of 2 units, its limit is 1",
    ),
    "children promised more than the group may have": (
        {
            "group": [{"id": "g", "limit": {"units": 1}}],
            "vendor": [{"id": n, "parent": "g", "guarantee": {"units": 1}} for n in "ab"],
        },
        "g: a guarantee of 2 units, its limit is 1",
    ),
    "a share of what?": ({"vendor": [{"id": "a", "limit": {"robots": 1}}]}, "vendor a: limit has no robots"),
    "half a robot": ({"vendor": [{"id": "a", "limit": {"units": 0.5}}]}, "vendor a: limit units is 0.5"),
    "less than nothing": ({"vendor": [{"id": "a", "guarantee": {"cells": -1}}]}, "vendor a: guarantee cells is -1"),
    "never a start": ({"vendor": [{"id": "a", "starts_per_hour": 0}]}, "vendor a: starts_per_hour is 0"),
    "never a lease": ({"vendor": [{"id": "a", "leases_max": 0}]}, "vendor a: leases_max is 0"),
    "forgets at once": ({"scheduler": {"usage_half_life_s": 0}}, "[scheduler] usage_half_life_s is 0"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_tree_that_cannot_be_is_refused_by_name(case: str) -> None:
    tables, expected = BROKEN[case]
    with pytest.raises(BadConfiguration) as caught:
        settings_of(VENUE | tables, "file.toml")

    assert expected in str(caught.value)


def test_units_that_come_with_their_hosts_may_be_promised() -> None:
    tables = {"unit": [], "vendor": [{"id": "a", "guarantee": {"units": 50, "slots": 9}}]}

    assert settings_of(VENUE | tables, "test").venue.vendors[0].guarantee == Amounts(50, 9, 0)


PARTIES = {
    party.vendor: party
    for party in (
        Vendor("g", limit=Amounts(units=3)),
        Vendor("a", parent="g", limit=Amounts(slots=4, cells=0)),
        Vendor("a/p", parent="a", limit=Amounts(units=1)),
        Vendor("a/-", parent="a"),
    )
}
BEYOND = {
    "within": (Claim((UnitRequest(3),), 4), "a/-", None),
    "the project's limit": (Claim((UnitRequest(2),)), "a/p", "asks for 2 units, the limit of a/p is 1"),
    "the vendor's limit": (Claim(sim_slots=5), "a/p", "asks for 5 sim slots, the limit of a is 4"),
    "no cell at all": (Claim(sim_slots=1, cell=CellRequest()), "a/-", "asks for 1 cells, the limit of a is 0"),
    "the group's limit, unnamed": (Claim((UnitRequest(2), UnitRequest(2))), "a/-", "limit of the group of this vendor"),
    "an alternative may do": (Claim((UnitRequest(9),), alternatives=(Claim(sim_slots=1),)), "a/-", None),
    "no alternative does": (Claim((UnitRequest(9),), alternatives=(Claim(sim_slots=5),)), "a/-", "9 units"),
}


@pytest.mark.parametrize("case", BEYOND)
def test_a_claim_is_measured_against_every_limit_above_it(case: str) -> None:
    claim, leaf, expected = BEYOND[case]
    found = beyond_limit(claim, leaf, PARTIES)

    assert (found is None) if expected is None else (found is not None and expected in found)


def test_a_path_leads_to_the_root() -> None:
    assert [node.vendor for node in path("a/p", PARTIES)] == ["a/p", "a", "g"]
    assert problem(list(PARTIES.values()), Amounts(3, 4, 1)) is None


def test_the_database_holds_the_tree_of_the_file(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        tree = {party.vendor: party for party in snapshot.tree(site.core.read)}
        assert set(tree) == {"labs", "young", "acme", "acme/-", "acme/legs", "acme/arms", "rival", "third"}
        assert [node.vendor for node in path("acme/arms", tree)] == ["acme/arms", "acme", "labs"]
        assert [node.vendor for node in path("rival", tree)] == ["rival", "young", "labs"]
        assert tree["acme"].guarantee == Amounts(1, 0, 0)
        assert (tree["acme"].limit, tree["acme"].leases_max) == (Amounts(units=2), 4)
        assert snapshot.leaves(site.core.read, "acme") == {"": "acme/-", "legs": "acme/legs", "arms": "acme/arms"}
        assert snapshot.leaves(site.core.read, "third") == {"": "third"}

    play(tmp_path, scene, **NATION)


def test_a_job_counts_against_its_project(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(project="legs"))
        await site.submit(job())
        await site.submit(job(), vendor="third")
        await site.settle()
        held = {v.vendor: (v.held_units, v.leases) for v in snapshot.vendors(site.core.read, site.clock.now_ns())}
        assert {name: what for name, what in held.items() if any(what)} == {
            "acme/legs": (1, 1),
            "acme/-": (1, 1),
            "third": (1, 1),
        }
        assert [row["vendor"] for row in site.rows("SELECT vendor FROM lease ORDER BY id")] == ["acme", "acme", "third"]

    play(tmp_path, scene, **NATION)


def test_what_is_beyond_a_limit_or_in_no_project_is_refused(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        over = await refusal(site.submit(job(2, project="arms")))
        assert (over.reason, "the limit of acme/arms is 1" in over.message) == ("QUOTA_EXCEEDED", True)
        over = await refusal(site.submit(job(3)))
        assert (over.reason, "the limit of acme is 2" in over.message) == ("QUOTA_EXCEEDED", True)
        strange = await refusal(site.submit(job(project="wings")))
        assert (strange.reason, "projects: arms, legs" in strange.message) == ("INVALID_FIELD", True)
        strange = await refusal(site.submit(job(project="legs"), vendor="third"))
        assert (strange.reason, "it has none" in strange.message) == ("INVALID_FIELD", True)
        assert (await refusal(site.submit(job(project="-")))).reason == "INVALID_FIELD"
        assert site.row("SELECT count(*) FROM job")[0] == 0
        await site.submit(job(3), vendor="third")

    play(tmp_path, scene, **NATION)


def test_starts_are_counted_over_the_last_hour(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()

        def left() -> dict[str, float]:
            found = snapshot.vendors(site.core.read, site.clock.now_ns())
            return {vendor.vendor: vendor.starts_left for vendor in found}

        assert (left()["rival"], left()["acme"]) == (2, float("inf"))
        await site.submit(job(), vendor="rival")
        await site.settle()
        assert left()["rival"] == 1
        site.clock.pass_s(3599.0)
        assert left()["rival"] == 1
        site.clock.pass_s(1.0)
        assert left()["rival"] == 2

    play(tmp_path, scene, **NATION)


def test_projects_may_come_and_go_while_jobs_wait_and_run(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        plain = [await site.submit(job(2)) for _ in range(2)]
        await site.settle()
        await site.run(inventory.apply(settings_of(VENUE | NATION, "test").venue))
        state = snapshot.load(site.core.read, site.clock.now_ns(), runner_ready=True)
        assert [found.vendor for found in state.jobs] == ["acme/-"]
        assert {v.vendor: v.held_units for v in state.vendors if v.held_units} == {"acme/-": 2}
        in_project = await site.submit(job(2, project="legs"))
        await site.run(inventory.apply(settings_of(VENUE, "test").venue))
        state = snapshot.load(site.core.read, site.clock.now_ns(), runner_ready=True)
        assert sorted(found.vendor for found in state.jobs) == ["acme/-", "acme/legs"]
        assert {vendor.vendor for vendor in state.vendors} >= {"acme", "acme/-", "acme/legs"}
        assert all(vendor.guarantee == Amounts(0, 0, 0) for vendor in state.vendors)
        assert (await refusal(site.submit(job(project="legs")))).reason == "INVALID_FIELD"
        await site.run(ending.cancel("acme", plain[1].name.split("/")[3], ""))
        await site.finish(await site.start(plain[0]), job_pb2.ATTEMPT_STATE_SUCCEEDED)
        for unit in ("arm-1", "arm-2"):
            await site.status(unit, safe_epoch=1)
        await site.settle()
        assert site.get(in_project.name).attempts, "it runs though its project is no more"

    play(tmp_path, scene)
