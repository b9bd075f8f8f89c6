"""Meshes with as many faces as a small picture can show.

Makers' meshes are made for machining: the G1 has 393,000 faces, five for each pixel of a picture of 320 x 240, and
without a graphics processor they are what a frame costs. Vertices that share a small cube become one (vertex
clustering, Rossignac and Borrel 1993), and faces that thereby lose their area are left out.
"""

import copy
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim.body import Array

CELL_M = 2e-3
"""A pixel of a camera of 45 degrees and 240 rows is as wide at a distance of 0.6 m."""
CELL_SHARE = 0.01
"""Of a mesh's own size at most, so that small things keep their shape."""

Faces = npt.NDArray[np.int32]


def coarse(model: mujoco.MjModel) -> mujoco.MjModel:
    """Return a copy of a model whose meshes have fewer faces. For drawing alone: rays and collisions need all faces."""
    model = copy.copy(model)
    for mesh in range(model.nmesh):
        vertices = _part(model.mesh_vert, model.mesh_vertadr[mesh], model.mesh_vertnum[mesh])
        faces = _part(model.mesh_face, model.mesh_faceadr[mesh], model.mesh_facenum[mesh])
        extent_m = float((vertices.max(axis=0) - vertices.min(axis=0)).max())
        merged, kept = merge(vertices, faces, min(CELL_M, CELL_SHARE * extent_m))
        if not kept.any():
            continue
        count = int(kept.sum())
        faces[:count] = merged[kept]
        # Corners keep the normals and the places in the texture that they had.
        for corners in (model.mesh_facenormal, model.mesh_facetexcoord):
            part = _part(corners, model.mesh_faceadr[mesh], model.mesh_facenum[mesh])
            part[:count] = part[kept]
        model.mesh_facenum[mesh] = count
    return model


def merge(vertices: Array, faces: Faces, cell_m: float) -> tuple[Faces, npt.NDArray[np.bool_]]:
    """Merge vertices that share a cube.

    Args:
        vertices: Where they are [m], (V, 3).
        faces: Indices of each face's corners, (F, 3).
        cell_m: Edge of a cube, above 0.

    Returns:
        The faces' corners after the merge, the first vertex of each cube for all of it, (F, 3); and which faces still
        have an area, (F,).
    """
    cube = np.floor(vertices / cell_m).astype(np.int64)
    cube -= cube.min(axis=0)
    sides = cube.max(axis=0) + 1
    number = (cube[:, 0] * sides[1] + cube[:, 1]) * sides[2] + cube[:, 2]
    _, first, place = np.unique(number, return_index=True, return_inverse=True)
    merged = first[place][faces].astype(np.int32)
    a, b, c = merged.T
    return merged, (a != b) & (b != c) & (a != c)


def _part(rows: Any, first: int, count: int) -> Any:
    return rows[first : first + count]
