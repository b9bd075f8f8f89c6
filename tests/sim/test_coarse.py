"""Fewer faces for drawing: nothing moves by more than a cube, and what is cast and collides is not touched."""

import math

import mujoco
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.cameras.coarse import coarse, merge


def strip(spacing_m: float) -> mujoco.MjModel:
    """A bent strip of 200 by 3 vertices, so far apart along its length."""
    x, y = np.meshgrid(np.arange(200) * spacing_m, np.arange(3) * 0.05, indexing="ij")
    vertices = np.stack([x, y, 0.2 * x**2 + y**2], axis=-1).reshape(-1, 3)
    corner = (3 * np.arange(199)[:, None] + np.arange(2)).reshape(-1, 1)
    faces = np.concatenate([corner + np.array([0, 3, 1]), corner + np.array([1, 3, 4])])
    spec = mujoco.MjSpec()
    mesh = spec.add_mesh(name="strip", uservert=vertices.ravel(), userface=faces.ravel().astype(np.int32))
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="strip")
    return spec.compile()


@given(seed=st.integers(0, 2**32 - 1), cell_m=st.floats(1e-3, 0.5))
def test_no_corner_moves_by_more_than_a_cubes_diagonal_and_faces_with_an_area_stay(seed: int, cell_m: float) -> None:
    rng = np.random.default_rng(seed)
    vertices, faces = rng.uniform(-1, 1, (40, 3)), rng.integers(0, 40, (60, 3)).astype(np.int32)
    merged, kept = merge(vertices, faces, cell_m)

    moved = np.linalg.norm(vertices[merged] - vertices[faces], axis=-1)
    assert moved.max() <= cell_m * math.sqrt(3) * (1 + 1e-9)
    distinct = [len(set(face.tolist())) == 3 for face in merged]
    assert kept.tolist() == distinct


def test_a_model_is_drawn_with_fewer_faces_and_cast_with_all() -> None:
    """Corners 0.5 mm apart become far fewer; corners 5 mm apart stay as they are."""
    dense, wide = strip(5e-4), strip(5e-3)
    before = dense.mesh_face.copy()

    assert int(coarse(dense).mesh_facenum[0]) < 0.6 * int(dense.mesh_facenum[0])
    assert int(coarse(dense).mesh_facenum[0]) > 0
    assert int(coarse(wide).mesh_facenum[0]) == int(wide.mesh_facenum[0])
    assert np.array_equal(dense.mesh_face, before)
    assert int(dense.mesh_facenum[0]) == 199 * 4
