"""The rays of a camera without a lens: what sensors cast and cameras draw."""

import numpy as np

from sim.body import Array


def rays(width_px: int, height_px: int, field_of_view_rad: float) -> Array:
    """Return where the pixels' middles look, row by row from the upper left, (height * width, 3).

    Components are ahead, left, up; ahead is 1, so that a distance in units of such a vector is a depth.

    Args:
        width_px, height_px: Size of the picture; pixels are square.
        field_of_view_rad: From its top to its bottom.
    """
    half = np.tan(field_of_view_rad / 2)
    rows = half * (1.0 - 2.0 * (np.arange(height_px) + 0.5) / height_px)
    wide = half * width_px / height_px
    columns = wide * (1.0 - 2.0 * (np.arange(width_px) + 0.5) / width_px)
    up, left = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([np.ones(up.size), left.ravel(), up.ravel()], axis=1)


def turn(yaw_rad: float, pitch_rad: float) -> Array:
    """Return the rotation to a heading and an inclination, (3, 3); positive pitch looks down."""
    cy, sy, cp, sp = (f(a) for a in (yaw_rad, pitch_rad) for f in (np.cos, np.sin))
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(yaw @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]]))
