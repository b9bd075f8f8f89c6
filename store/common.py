"""Episodes of different bodies in one table: canonical joints, and a mask of those that a body has.

The vocabulary is the one of `sim/vocabulary`: a canonical angle is `sign * (q - zero_rad)`, speeds and efforts are
turned by the sign alone. What a body has not is 0 under a mask that says false; nothing is padded without saying so.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from store.episode import ACTION, EFFORT, STATE, VELOCITY
from store.errors import ExportRefused, ImportRefused
from store.imports.vocabulary import Robot, bodies, find_robot
from store.reader import Episode

_POSITIONS = (STATE, ACTION)
_RATES = (VELOCITY, EFFORT)


def canonical(episode: Episode, signal: str, robot: Robot) -> tuple[np.ndarray, np.ndarray]:
    """Return (values of the N canonical joints, shape (rows, N), which of them the body has, shape (N,)).

    Args:
        signal: `observation.state` or `action` [rad], `observation.velocity` [rad/s], `observation.effort` [N m].
        robot: Of the episode's model.

    Raises ExportRefused for a robot without a map, or whose joints are not in the episode.
    """
    if not robot.body:
        raise ExportRefused(f"robot {robot.model!r} has no joints in the vocabulary")
    names = bodies()[robot.body]
    own = {name: i for i, name in enumerate(episode.header.joint_names)}
    values = episode.signals.get(signal)
    rows = len(episode.time_s)
    table, mask = np.zeros((rows, len(names)), np.float32), np.zeros(len(names), bool)
    if values is None:
        return table, mask
    for i, name in enumerate(names):
        if name not in robot.joints or robot.joints[name][0] not in own:
            continue
        joint, sign, zero_rad = robot.joints[name]
        column = values[:, own[joint]].astype(np.float64)
        table[:, i] = sign * (column - zero_rad) if signal in _POSITIONS else sign * column
        mask[i] = True
    if not mask.any():
        raise ExportRefused(f"episode {episode.header.name}: none of its joints is one of {robot.model!r}'s map")
    return table, mask


def common_table(episodes: Iterable[Episode], body: str) -> pa.Table:
    """Return the rows of all episodes under one another.

    Columns: `episode`, `robot_model`, `time_s`, and for each joint signal SIGNAL and `SIGNAL.mask`, lists of the N
    canonical joints of `body`, whose names are in the schema's metadata (`joint_names`).

    Raises ExportRefused for an episode of another kind of body, or of a robot that the vocabulary does not know.
    """
    if body not in bodies():
        raise ExportRefused(f"body {body!r}: one of {', '.join(bodies())}")
    names = bodies()[body]
    tables = [_rows(episode, body, len(names)) for episode in episodes]
    if not tables:
        raise ExportRefused("no episodes: a table has at least one")
    return pa.concat_tables(tables).replace_schema_metadata({"joint_names": "\n".join(names), "body": body})


def _rows(episode: Episode, body: str, width: int) -> pa.Table:
    try:
        robot = find_robot(episode.header.robot_model)
    except ImportRefused as error:
        raise ExportRefused(f"episode {episode.header.name}: {error}") from error
    if robot.body != body:
        raise ExportRefused(
            f"episode {episode.header.name}: {robot.model!r} is no {body} but {robot.body or 'unmapped'}"
        )
    rows = len(episode.time_s)
    columns = {
        "episode": pa.array([episode.header.name] * rows).dictionary_encode(),
        "robot_model": pa.array([robot.model] * rows).dictionary_encode(),
        "time_s": pa.array(episode.time_s),
    }
    for signal in (*_POSITIONS, *_RATES):
        values, mask = canonical(episode, signal, robot)
        columns[signal] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width)
        columns[f"{signal}.mask"] = pa.FixedSizeListArray.from_arrays(pa.array(np.tile(mask, rows)), width)
    return pa.table(columns)
