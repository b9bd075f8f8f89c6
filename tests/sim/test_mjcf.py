"""Foreign MJCF: whatever is wrong with it is named, and nothing outside its folder is read."""

from pathlib import Path

import pytest

from sim import mjcf
from sim.errors import BrokenModel
from sim.mjcf import compile_model, load_mjcf

BOX = '<mujoco><worldbody><body><freejoint/><geom type="box" size=".1 .1 .1"/></body></worldbody></mujoco>'
TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


def test_a_sound_model_loads_from_text_and_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "box.xml").write_text(BOX)

    assert load_mjcf(BOX, tmp_path).compile().nv == 6
    assert load_mjcf(tmp_path / "box.xml", tmp_path).compile().nv == 6
    assert load_mjcf(Path("box.xml"), tmp_path).compile().nv == 6


def test_includes_and_meshes_inside_the_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "t.obj").write_text(TETRAHEDRON)
    (tmp_path / "parts" / "body.xml").write_text(
        '<mujocoinclude><body><freejoint/><geom type="mesh" mesh="t"/></body></mujocoinclude>'
    )
    text = (
        '<mujoco><compiler assetdir="none" meshdir="meshes"/><asset><mesh name="t" file="t.obj"/></asset>'
        '<worldbody><include file="parts/body.xml"/></worldbody></mujoco>'
    )
    (tmp_path / "scene.xml").write_text(text)

    assert load_mjcf(tmp_path / "scene.xml", tmp_path).compile().nmesh == 1
    assert load_mjcf(text, tmp_path).compile().nmesh == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<mujoco><worldbody>", "syntax"),
        ("<mujoco><worldbody><blob/></worldbody></mujoco>", "blob"),
        (BOX.replace(".1 .1 .1", ".1 nan .1"), "not finite"),
        (BOX.replace(".1 .1 .1", ".1 -INF .1"), "not finite"),
        ('<mujoco><include file="/etc/hostname"/></mujoco>', "outside"),
        ('<mujoco><include file="../secret.xml"/></mujoco>', "outside"),
        ('<mujoco><include file="none.xml"/></mujoco>', "missing"),
        (f'<mujoco><include file="{"a" * 5000}.xml"/></mujoco>', "too long"),
        (f"<mujoco><worldbody>{'<body>' * 3000}{'</body>' * 3000}</worldbody></mujoco>", "nested too deeply"),
        (f'<mujoco><size memory="{"9" * 5000}"/></mujoco>', "digits"),
        (f'<mujoco><asset><texture width="{"9" * 4000}" height="{"9" * 4000}"/></asset></mujoco>', "digits"),
        ('<mujoco><asset><mesh file="../secret.xml"/></asset></mujoco>', "outside"),
        ('<mujoco><asset><mesh file="none.obj"/></asset></mujoco>', "missing"),
        ('<mujoco><compiler meshdir="/etc"/><asset><mesh file="hostname"/></asset></mujoco>', "outside"),
        ('<mujoco><asset><texture type="cube" fileright="../secret.xml"/></asset></mujoco>', "outside"),
        ('<mujoco><asset><model name="m" file="../secret.xml"/></asset></mujoco>', "outside"),
        (
            '<mujoco><worldbody><body><flexcomp name="f" type="mesh" file="../t.obj"/></body></worldbody></mujoco>',
            "outside",
        ),
        ('<robot name="r"><mujoco><compiler strippath="false"/></mujoco><link name="a"/></robot>', "no MJCF"),
        ('<mujoco><compiler meshdir="in" assetdir=".."/><asset><mesh file="t.obj"/></asset></mujoco>', "outside"),
        ('<mujoco><extension><plugin plugin="mujoco.sdf.nut"/></extension></mujoco>', "plugin"),
        ('<mujoco><size memory="900G"/></mujoco>', "memory"),
        ('<mujoco><size nuser_body="2000000000"/></mujoco>', "nuser_body"),
        ('<mujoco><asset><hfield name="h" nrow="90000" ncol="90000" size="1 1 1 1"/></asset></mujoco>', "grid"),
        ('<mujoco><asset><texture builtin="flat" width="90000" height="90000"/></asset></mujoco>', "grid"),
        ('<!DOCTYPE m [<!ENTITY a "b">]><mujoco model="&a;"/>', "entities"),
        (
            '<mujoco><worldbody><replicate count="1000"><replicate count="1000"><geom size="1"/></replicate>'
            "</replicate></worldbody></mujoco>",
            "copies",
        ),
    ],
)
def test_a_broken_or_hostile_model_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.xml").write_text(BOX)
    (folder / "model.xml").write_text(text)

    with pytest.raises(BrokenModel, match=said):
        load_mjcf(text, folder)
    with pytest.raises(BrokenModel, match=said):
        load_mjcf(folder / "model.xml", folder)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        # From the main model's folder MuJoCo looks for what a part names, not from the part's own.
        (
            '<mujoco><include file="sub/part.xml"/></mujoco>',
            '<mujocoinclude><include file="../box.xml"/></mujocoinclude>',
        ),
        # An attached model has a folder and folders of files of its own.
        (
            '<mujoco><asset><model file="sub/part.xml"/></asset><compiler meshdir="sub"/></mujoco>',
            '<mujoco><compiler meshdir="../.."/><asset><mesh file="t.obj"/></asset></mujoco>',
        ),
    ],
)
def test_no_part_of_a_model_leads_outside_by_another_folder_than_was_checked(
    tmp_path: Path, text: str, part: str
) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder, folder / "sub"):
        (place / "box.xml").write_text("<mujocoinclude><worldbody/></mujocoinclude>")
        (place / "t.obj").write_text(TETRAHEDRON)
    (folder / "model.xml").write_text(text)
    (folder / "sub" / "part.xml").write_text(part)

    with pytest.raises(BrokenModel, match="outside"):
        load_mjcf(folder / "model.xml", folder)


def test_an_attached_model_reads_its_own_folders(tmp_path: Path) -> None:
    (tmp_path / "arm" / "meshes").mkdir(parents=True)
    (tmp_path / "arm" / "meshes" / "t.obj").write_text(TETRAHEDRON)
    (tmp_path / "arm" / "arm.xml").write_text(
        '<mujoco><compiler assetdir="none" meshdir="meshes"/><asset><mesh name="t" file="t.obj"/></asset>'
        '<worldbody><body name="b"><geom type="mesh" mesh="t"/></body></worldbody></mujoco>'
    )
    (tmp_path / "model.xml").write_text(
        '<mujoco><compiler meshdir="arm"/><asset><model name="arm" file="arm/arm.xml"/></asset>'
        '<worldbody><frame><attach model="arm" body="b" prefix="a"/></frame></worldbody></mujoco>'
    )

    assert load_mjcf(tmp_path / "model.xml", tmp_path).compile().nmesh == 1


def test_a_model_that_includes_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text('<mujoco><include file="a.xml"/></mujoco>')

    with pytest.raises(BrokenModel, match="more than once"):
        load_mjcf(tmp_path / "a.xml", tmp_path)


def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.xml").write_text(BOX)
    (folder / "a.xml").symlink_to(tmp_path / "secret.xml")

    with pytest.raises(BrokenModel, match="outside"):
        load_mjcf(folder / "a.xml", folder)


def test_a_mesh_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mjcf, "MAX_ASSET_BYTES", 1000)
    with open(tmp_path / "big.obj", "wb") as file:
        file.truncate(1001)

    with pytest.raises(BrokenModel, match="too large"):
        load_mjcf('<mujoco><asset><mesh file="big.obj"/></asset></mujoco>', tmp_path)


def test_a_model_that_does_not_compile_says_which_and_why(tmp_path: Path) -> None:
    massless = "<mujoco><worldbody><body><freejoint/></body></worldbody></mujoco>"

    with pytest.raises(BrokenModel, match=r"vendor robot: .*mass"):
        compile_model(load_mjcf(massless, tmp_path), label="vendor robot")
