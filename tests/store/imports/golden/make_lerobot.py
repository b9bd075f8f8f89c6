"""How the folders beside this file were made: by LeRobot's own writer, from numbers that `expected` tells again.

python tests/store/imports/golden/make_lerobot.py FOLDER      # in an environment with lerobot 0.4.4
"""

import sys
from pathlib import Path

import numpy as np

FPS = 20
LENGTHS = (7, 12, 9)
TASKS = ("reach the shelf", "把红色箱子放到架子上", "reach the shelf")
NAMES = ["shoulder", "elbow", "wrist"]
PICTURE = "observation.images.front"
HEIGHT_PX, WIDTH_PX = 64, 96


def expected(episode: int) -> tuple[np.ndarray, np.ndarray]:
    """Return states and actions of an episode, (rows, 3) of float32: fractions that float32 holds exactly, and pi."""
    rows = np.arange(LENGTHS[episode], dtype=np.float32)[:, None]
    columns = np.arange(3, dtype=np.float32)[None, :]
    state = rows / np.float32(64.0) - columns + np.float32(episode)
    return state, (state * np.float32(np.pi)).astype(np.float32)


def grey(episode: int, row: int) -> int:
    """Return the shade of a whole frame, 0 to 255."""
    return 40 + 60 * episode + 4 * row


def make(folder: Path, *, pictures: bool) -> None:
    """Write one data set."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    numbers = {"dtype": "float32", "shape": (3,), "names": NAMES}
    features = {"observation.state": numbers, "action": numbers}
    if pictures:
        features[PICTURE] = {
            "dtype": "video", "shape": (HEIGHT_PX, WIDTH_PX, 3), "names": ["height", "width", "channels"],
        }  # fmt: skip
    made = LeRobotDataset.create(
        "palaestra/golden", fps=FPS, features=features, root=folder, robot_type="own_arm", use_videos=pictures
    )
    for episode, task in enumerate(TASKS):
        states, actions = expected(episode)
        for row in range(LENGTHS[episode]):
            frame = {"observation.state": states[row], "action": actions[row], "task": task}
            if pictures:
                frame[PICTURE] = np.full((HEIGHT_PX, WIDTH_PX, 3), grey(episode, row), np.uint8)
            made.add_frame(frame)
        made.save_episode()
    made.finalize()


if __name__ == "__main__":
    out = Path(sys.argv[1])
    make(out / "lerobot_v30", pictures=False)
    make(out / "lerobot_v30_video", pictures=True)
