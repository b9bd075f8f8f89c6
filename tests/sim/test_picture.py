"""Pictures and the command line."""

import importlib
import zlib
from pathlib import Path

import numpy as np
import pytest

from sim import picture
from sim.__main__ import main
from sim.errors import NoDisplay
from sim.venue import parse_venue


def has_display() -> bool:
    try:
        picture.offscreen(16, 16)[0].free()
    except NoDisplay:
        return False
    return True


needs_display = pytest.mark.skipif(not has_display(), reason="no offscreen OpenGL")


@needs_display
def test_a_robot_fills_its_picture() -> None:
    """Shell white, accent blue and dark drive units are all there, in front of floor and sky."""
    image = picture.robot_picture("own_arm")
    middle = image[100:560, 250:710].reshape(-1, 3).astype(int)

    assert image.shape == (picture.HEIGHT_PX, picture.WIDTH_PX, 3)
    assert (middle.min(axis=1) > 200).sum() > 500
    assert ((middle[:, 2] - middle[:, 0]) > 60).sum() > 200
    assert (middle.max(axis=1) < 60).sum() > 500


@needs_display
def test_a_venue_shows_its_cells() -> None:
    table = {
        "venue": {"id": "v", "width_m": 10.0, "depth_m": 6.0},
        "cell": [{"id": "c", "x_m": 5.0, "y_m": 3.0, "width_m": 6.0, "depth_m": 4.0}],
    }
    image = picture.venue_picture(parse_venue(table)).astype(int)
    yellow = (image[:, :, 0] - image[:, :, 2] > 60) & (image[:, :, 1] - image[:, :, 2] > 30)

    assert yellow.sum() > 300


def test_png_files_hold_exactly_the_pixels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    picture.write_png(image, tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()

    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data[16:24] == (7).to_bytes(4) + (5).to_bytes(4)
    start = data.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompress(data[start:]), dtype=np.uint8).reshape(5, 22)
    assert np.array_equal(rows[:, 1:].reshape(5, 7, 3), image)


def test_without_opengl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        raise ImportError(f"no {name}")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(NoDisplay, match="libosmesa6"):
        picture.offscreen(8, 8)


def test_the_catalogue_is_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robots"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].split()[:3] == ["id", "maker", "name"]
    assert any(line.startswith("own_humanoid") and " 29 " in line for line in lines)
    assert main(["motions"]) == 0
    assert main(["tasks"]) == 0


def test_an_unknown_robot_on_the_command_line_ends_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["picture", "own_amr", str(tmp_path / "x.png")]) == 2
    assert "own_arm" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
