"""Venues as data: the project's halls, a made-up city, the floor plan, one scene and separate worlds."""

import json
import os
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.cli import run as command
from sim.__main__ import main as room
from sim.catalog import CONFIGS, find, robots
from sim.check import check_path
from sim.errors import BrokenVenue
from sim.venue import UnitTwin, VenueTwin, fixture_polygon, load_venue, parse_venue, venue_spec
from sim.venues.city import Robot, city, merged, scenarios
from sim.venues.document import toml
from sim.venues.plan import plan_svg
from sim.venues.polygon import bounds
from sim.venues.worlds import cell_worlds, contact_changes, contact_options, recorded_changes, shared_scene
from tests.sim.wheels import needs

ROOT = Path(__file__).parents[2]
HALLS = sorted((CONFIGS / "venues").glob("*.toml"))
MODELS = [Robot(entry.id, entry.robot_class) for entry in robots()]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def grand() -> VenueTwin:
    return load_venue(CONFIGS / "venues" / "grand.toml")


def test_the_grand_hall_has_sixteen_scenes_and_a_hundred_robots_of_a_dozen_makers(grand: VenueTwin) -> None:
    assert len({cell.scenario for cell in grand.cells}) == 16
    assert len({cell.sector for cell in grand.cells}) == 8
    assert len(grand.units) == 100
    assert len({find(unit.robot).maker for unit in grand.units}) >= 12
    assert {zone.kind for zone in grand.safety} == {"safeguarded", "collaborative", "restricted", "walkway"}


def test_the_workshop_runs_on_any_machine_for_all_its_robots_are_our_own() -> None:
    venue = load_venue(CONFIGS / "venues" / "workshop.toml")
    model = shared_scene(venue).compile()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    for _ in range(50):
        mujoco.mj_step(model, data)

    assert np.isfinite(data.qpos).all() and not any(data.warning[i].number for i in range(len(data.warning)))
    assert model.nu == sum(len(find(unit.robot).joint_names()) for unit in venue.units)


@pytest.mark.parametrize("units", [3, 40, 61])
def test_a_city_has_as_many_units_as_asked_for_and_every_scenario_in_a_cell(units: int) -> None:
    plays = scenarios(9)
    halls = city(units, plays, 3, MODELS, seed=5)
    found = Counter((cell["scenario"], cell["level"]) for hall in halls for cell in hall["cell"])
    serials = [unit["serial"] for hall in halls for unit in hall["unit"]]

    assert len(halls) == 3 and len(serials) == len(set(serials)) == units
    assert set(found) == {(play.id, play.level) for play in plays}


@settings(max_examples=15)
@given(st.integers(2, 80), st.integers(1, 20), st.integers(1, 2), st.integers(0, 2**32))
def test_whatever_city_is_asked_for_reads_back_and_holds_together(
    units: int, plays: int, halls: int, seed: int
) -> None:
    made = city(units, scenarios(plays), halls, MODELS, seed=seed)
    for tables in [*made, merged(made)]:
        assert tomllib.loads(toml(tables)) == {key: value for key, value in tables.items() if value != []}
        parse_venue(tables)


def test_the_same_seed_makes_the_same_city_in_any_process(tmp_path: Path) -> None:
    words = ["--units", "24", "--scenarios", "6", "--venues", "2"]
    for name, seed, salt in (("a", "7", "1"), ("b", "7", "2")):
        subprocess.run(
            [sys.executable, "-m", "sim", "venues", "generate", *words, "--seed", seed, str(tmp_path / name)],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": salt},
        )  # fmt: skip
    one, same = ((tmp_path / name / "city.toml").read_text() for name in ("a", "b"))
    here = [toml(merged(city(24, scenarios(6), 2, MODELS, seed=seed))) for seed in (7, 8)]

    assert one == same
    assert one.endswith(here[0]) and not one.endswith(here[1])
    assert check_path(tmp_path / "a") == []


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((0, 4, 1), "units: 0"), ((10, 4, 0), "venues: 0"), ((2, 4, 3), "2 do not fill 3"), ((10, 999, 1), "999"),
     ((10, 0, 1), "0 is not from 1"), ((10**9, 4, 1), "units: 1000000000")],
)  # fmt: skip
def test_a_city_that_cannot_be_is_refused_by_its_number(numbers: tuple[int, int, int], said: str) -> None:
    with pytest.raises(BrokenVenue, match=said):
        city(numbers[0], scenarios(numbers[1]), numbers[2], MODELS, seed=1)


def drawn(venue: VenueTwin) -> ET.Element:
    return ET.fromstring(plan_svg(venue, {model.id: model.robot_class for model in MODELS}))


@pytest.mark.parametrize("path", HALLS, ids=lambda path: path.stem)
def test_a_plan_shows_every_cell_unit_zone_and_door_where_it_is(path: Path) -> None:
    venue = load_venue(path)
    plan = drawn(venue)
    texts = [text.text for text in plan.iter(f"{SVG}text")]
    titles = {title.text: group for group in plan.iter(f"{SVG}g") for title in group.findall(f"{SVG}title")}

    assert venue.name in texts
    for cell in venue.cells:
        assert (cell.name or cell.id) in texts and cell.scenario in texts
    for unit in venue.units:
        assert unit.id in texts
        x, y = titles[f"{unit.id} ({unit.robot})"].attrib["transform"].removeprefix("translate(").rstrip(")").split()
        # Up the map is up the drawing, where y counts down.
        assert (float(x), -float(y)) == pytest.approx((unit.x_m, unit.y_m), abs=1e-3)
    polygons = [polygon.findtext(f"{SVG}title", "") for polygon in plan.iter(f"{SVG}polygon")]
    assert all(any((zone.name or zone.id) in title for title in polygons) for zone in [*venue.zones, *venue.safety])
    assert sum(title == "charger" for title in (t.text for t in plan.iter(f"{SVG}title"))) >= len(venue.chargers)
    assert {door.name or door.id for door in venue.doors} <= set(titles)


def test_names_in_a_plan_are_text_and_never_markup() -> None:
    table = {"venue": {"id": "x", "name": "<script>&\"'", "width_m": 4.0, "depth_m": 4.0},
             "cell": [{"id": "c", "name": "</svg><b>", "scenario": "a&b", "x_m": 2.0, "y_m": 2.0, "width_m": 2.0,
                       "depth_m": 2.0}]}  # fmt: skip
    plan = drawn(parse_venue(table))

    assert "<script>&\"'" in [text.text for text in plan.iter(f"{SVG}text")]
    assert not list(plan.iter("script")) and not list(plan.iter(f"{SVG}b"))


def test_everything_in_a_plan_is_inside_its_frame(grand: VenueTwin) -> None:
    plan = drawn(grand)
    left, top, width, height = (float(value) for value in plan.attrib["viewBox"].split())
    for polygon in plan.iter(f"{SVG}polygon"):
        for pair in polygon.attrib["points"].split():
            x, y = (float(value) for value in pair.split(","))
            assert left <= x <= left + width and top <= y <= top + height


def test_separate_worlds_hold_each_robot_once_where_it_stood_in_its_cell(grand: VenueTwin) -> None:
    worlds = list(cell_worlds(grand))
    units = [unit for world in worlds for unit in world.units]
    before = {unit.id: unit for unit in grand.units}

    assert sorted(unit.id for unit in units) == sorted(before)
    for world in worlds[: len(grand.cells)]:
        cell = next(cell for cell in grand.cells if world.cells[0].id == cell.id)
        for unit in world.units:
            was = before[unit.id]
            assert unit.x_m - world.cells[0].x_m == pytest.approx(was.x_m - cell.x_m)
            assert unit.y_m - world.cells[0].y_m == pytest.approx(was.y_m - cell.y_m)


def small_hall(*models: str) -> VenueTwin:
    units = tuple(UnitTwin(f"u{i}", model, 2.0 + 2.0 * i, 2.0) for i, model in enumerate(models))
    return VenueTwin("small", "Small", 2.0 + 2.0 * len(models), 4.0, (), units)


@pytest.mark.parametrize("robot", [pytest.param("boston_dynamics_spot", marks=needs("boston_dynamics_spot"))])
def test_a_shared_scene_says_what_contact_options_its_robots_do_not_get(robot: str) -> None:
    venue = small_hall("own_arm", robot)
    model = shared_scene(venue).compile()
    told = recorded_changes(model)
    asked = contact_options(find(robot).mjspec(visuals=False))

    assert {change.option for change in contact_changes(venue)[robot]} == {"cone", "impratio"}
    assert ["cone", asked["cone"], "mjCONE_PYRAMIDAL"] in told["changed"][robot]
    assert told["changed"]["own_arm"] == []
    # What it says of the scene is what the compiled scene has.
    assert told["scene"]["impratio"] == model.opt.impratio
    assert int(getattr(mujoco.mjtCone, told["scene"]["cone"])) == model.opt.cone
    assert recorded_changes(find("own_arm").model()) == {}


@pytest.mark.parametrize("robot", [pytest.param("booster_t1", marks=needs("booster_t1"))])
def test_leaving_what_is_only_seen_changes_no_step(robot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same masses and, after some steps, the same positions to the last bit; and fewer meshes to compile."""
    venue = small_hall(robot, "own_quadruped")
    meshes, ends = [], []
    for kept in (False, True):
        if kept:
            monkeypatch.setattr("sim.venue._leave_what_is_only_seen", lambda robot: None)
        spec = venue_spec(venue, visuals=False)
        meshes.append(len(spec.meshes))
        model = spec.compile()
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
        for _ in range(40):
            mujoco.mj_step(model, data)
        ends.append((model.body_mass.tobytes(), data.qpos.tobytes()))

    assert ends[0] == ends[1]
    assert meshes[0] < meshes[1]


def test_a_fixtures_floor_is_where_its_shapes_are() -> None:
    """The check and the plan ask for a rectangle; the scene has boxes: they agree on every kind."""
    from sim.venue import FIXTURES

    for kind in FIXTURES:
        table = {"venue": {"id": "h", "width_m": 20.0, "depth_m": 20.0}, "cell": [{
            "id": "c", "x_m": 10.0, "y_m": 10.0, "width_m": 9.0, "depth_m": 9.0, "yaw_deg": 90.0,
            "fixtures": [{"kind": kind, "x_m": 1.0, "y_m": 0.5, "yaw_deg": 90.0}]}]}  # fmt: skip
        venue = parse_venue(table)
        left, low, right, high = bounds(fixture_polygon(venue.cells[0], venue.cells[0].fixtures[0]))
        model = venue_spec(venue).compile()
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        for geom in np.flatnonzero(model.geom_bodyid == model.body(f"cell:c:{kind}0").id):
            half = np.abs(data.geom_xmat[geom].reshape(3, 3)) @ model.geom_size[geom]
            x, y = data.geom_xpos[geom][:2]
            assert left - 0.06 <= x - half[0] and x + half[0] <= right + 0.06, kind
            assert low - 0.06 <= y - half[1] and y + half[1] <= high + 0.06, kind


def test_the_command_lists_shows_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert room(["venues", "--json"]) == 0
    listed = {venue["id"]: venue for venue in json.loads(capsys.readouterr().out)["venues"]}
    assert {"demo", "grand", "workshop"} <= set(listed)
    assert listed["grand"]["units"] == 100 and listed["grand"]["makers"] >= 12

    assert room(["venues", "show", "workshop", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["contact_changes"]["own_arm"] == []
    assert {zone["id"]: zone["exclusive"] for zone in shown["zone_list"]} == {"lab": True, "yard": False}

    assert room(["venues", "show", "workshp"]) == 2
    assert "did you mean workshop?" in capsys.readouterr().err
    assert room(["venues", "show", str(tmp_path / "no.toml")]) == 2


def test_the_client_asks_the_room(tmp_path: Path) -> None:
    out = tmp_path / "plan.svg"

    assert command(["venues", "plan", "workshop", str(out)]) == 0
    assert ET.parse(out).getroot().tag == f"{SVG}svg"
