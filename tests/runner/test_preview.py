"""What a job's cameras would see, before the job is submitted."""

from pathlib import Path

import numpy as np
import pytest

from runner.preview import main
from tests.runner.test_film import need_pictures

ROOT = Path(__file__).resolve().parents[2]
JOB = """
[collect]
motion = "reach_around"
robot_model = "own_arm"
[[collect.cameras]]
name = "small"
picture = "ray_depth"
width_px = 32
height_px = 24
[[collect.cameras]]
name = "large"
picture = "ray_depth"
width_px = 48
height_px = 32
"""


def test_a_preview_has_the_pictures_of_all_cameras_side_by_side(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "job.toml").write_text(JOB)
    assert main([str(tmp_path / "job.toml"), str(tmp_path / "out.png"), "--at-s", "0.1"]) == 0

    sheet = np.asarray(Image.open(tmp_path / "out.png"))
    assert sheet.shape == (32, 80, 3)
    assert sheet[:24, :32].std() > 5.0
    assert sheet[:, 32:].std() > 5.0
    assert (sheet[24:, :32] == 255).all()


def test_a_job_without_cameras_or_with_a_wrong_one_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, out = tmp_path / "job.toml", tmp_path / "out.png"
    for text, says in (
        (JOB.partition("[[")[0], "the job has no cameras"),
        (JOB.replace('"small"', '"large"'), "each once"),
        (JOB.replace("ray_depth", "x_ray"), "x_ray"),
    ):
        job.write_text(text)
        assert main([str(job), str(out)]) == 2
        assert says in capsys.readouterr().err
    assert not out.exists()


def test_the_example_of_the_docs_is_drawn(tmp_path: Path) -> None:
    need_pictures()
    assert main([str(ROOT / "docs/examples/cameras.toml"), str(tmp_path / "out.png"), "--at-s", "0.1"]) == 0

    assert (tmp_path / "out.png").stat().st_size > 20_000
