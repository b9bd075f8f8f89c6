"""Pictures of episodes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import store.plot
from store import read_episode
from store.plot import draw_episode, thin


@pytest.mark.parametrize("joints", [1, 5])
def test_an_episode_is_drawn(
    house: Any, make_header: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joints: int
) -> None:
    """The picture shows blue positions, orange targets and grey efforts, also with joints left out."""
    monkeypatch.setattr(store.plot, "MAX_PANELS", 4)
    header = make_header(joints, task="cost: $5 _{ 箱子")

    draw_episode(read_episode(house.seal(header).path), tmp_path / "out.png")

    pixels = imread(tmp_path / "out.png")[..., :3]
    assert min(pixels.shape[:2]) > 300
    for color in ((0x0B, 0x5F, 0xA5), (0xE0, 0x7B, 0x00), (0x9A, 0x9A, 0x9A)):
        assert (np.abs(pixels - np.array(color) / 255).max(axis=2) < 0.03).sum() > 50


def test_thinning_keeps_the_peaks_and_the_order() -> None:
    """A lone spike in 100,000 rows stays visible."""
    values = np.zeros(100_000)
    values[[31_415, 92_653]] = (5.0, -7.0)

    rows = thin(values, 500)

    assert len(rows) <= 500
    assert {31_415, 92_653} <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()
    assert thin(values[:500], 500).tolist() == list(range(500))
