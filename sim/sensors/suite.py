"""The sensors of all worlds of a slot at work.

What MuJoCo computes from accelerations (IMU, force and torque, contact) describes the state before the last substep,
as all its derived fields do: such a reading is one substep old. Reading changes nothing: worlds with and without
sensors go through the same states.
"""

from collections.abc import Callable, Sequence
from functools import partial

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from sim.body import Array, Body
from sim.drives import Drives
from sim.pinhole import rays, turn
from sim.sensors.noise import deviations, key_of
from sim.sensors.spec import Contact, Depth, Encoders, Imu, Reading, Sensor

Ids = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.int64]


class Suite:
    """Sensors of N worlds.

    Attributes:
        readings: What they read: name, width, unit, error.
        rows: The present readings of all worlds by name, each (N, width), live.
    """

    def __init__(
        self,
        sensors: Sequence[Sensor],
        *,
        model: mujoco.MjModel,
        batch: Batch,
        body: Body,
        drives: Drives,
        seed: int,
        period_s: float,
    ) -> None:
        """Bind the sensors that `Sensor.furnish` has put into the model."""
        self._batch, self._seed = batch, seed
        self.readings: tuple[Reading, ...] = ()
        sources: list[Callable[[], Array]] = []
        for sensor in sensors:
            found = sensor.readings(len(body.spec.joints))
            self.readings += found
            if isinstance(sensor, Encoders):
                sources.append(partial(_angles, drives, batch.bind("qpos"), body))
            elif isinstance(sensor, Depth):
                sources.append(_Rays(sensor, model, batch, body.base).look)
            elif isinstance(sensor, Imu) and (fixed := _fixed_site(model, found[0].name)) is not None:
                sources += [partial(_felt, batch.bind("cacc"), batch.bind("site_xmat"), *fixed)]
                sources += [_columns(model, batch, found[1].name, 1.0)]
            else:
                # MuJoCo tells what the body does to others.
                sign = -1.0 if isinstance(sensor, Contact) else 1.0
                sources += [_columns(model, batch, reading.name, sign) for reading in found]
        self._sources = sources
        worlds = batch.nsim
        self.rows = {r.name: np.zeros((worlds, r.width)) for r in self.readings}
        self._bias = {r.name: np.zeros((worlds, r.width)) for r in self.readings}
        self._late = {r.name: np.zeros((round(r.error.delay_s / period_s) + 1, worlds, r.width)) for r in self.readings}

    def begin(self, ids: Ids, worlds: Numbers, episodes: Numbers) -> None:
        """Start episodes in the worlds `ids`, which stand at their start: draw biases, read, forget what was before."""
        for reading in self.readings:
            error = reading.error
            if error.bias:
                key = key_of(self._seed, reading.name, "bias")
                drawn = deviations(key, worlds[ids], episodes[ids], np.zeros(len(ids), np.int64), reading.width)
                self._bias[reading.name][ids] = error.bias * drawn
        # Accelerations too, which a reset does not compute; the states themselves must not change by that.
        state = self._batch.state.copy()
        self._batch.forward(ids)
        self._batch.state[:] = state
        for reading, value in self._read(ids, worlds, episodes, np.zeros(len(worlds), np.int64)):
            self._late[reading.name][:, ids] = value
            self.rows[reading.name][ids] = value

    def sample(self, running: npt.NDArray[np.bool_], worlds: Numbers, episodes: Numbers, steps: Numbers) -> None:
        """Read in the worlds that are running, (N,), at their step; the readings of the others stay."""
        ids = np.flatnonzero(running)
        for reading, value in self._read(ids, worlds, episodes, steps):
            late = self._late[reading.name]
            late[:-1, ids] = late[1:, ids]
            late[-1, ids] = value
            self.rows[reading.name][ids] = late[0, ids]

    def memory(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all arrays that make the sensors' state, live, by name."""
        parts = (("rows", self.rows), ("bias", self._bias), ("late", self._late))
        return {f"{part}.{name}": array for part, arrays in parts for name, array in arrays.items()}

    def _read(self, ids: Ids, worlds: Numbers, episodes: Numbers, steps: Numbers) -> list[tuple[Reading, Array]]:
        found = []
        for reading, source in zip(self.readings, self._sources, strict=True):
            error = reading.error
            value = np.asarray(source()[ids] + self._bias[reading.name][ids])
            if error.noise:
                key = key_of(self._seed, reading.name, "noise")
                value += error.noise * deviations(key, worlds[ids], episodes[ids], steps[ids], reading.width)
            if error.resolution:
                value = np.rint(value / error.resolution) * error.resolution
            found.append((reading, value))
        return found


def _angles(drives: Drives, qpos: Array, body: Body) -> Array:
    return np.asarray(drives.motor_side(qpos[:, body.q]))


def _columns(model: mujoco.MjModel, batch: Batch, name: str, sign: float) -> Callable[[], Array]:
    sensor = model.sensor(name)
    first, width = int(sensor.adr[0]), int(sensor.dim[0])
    data = batch.bind("sensordata")
    return lambda: sign * data[:, first : first + width]


def _fixed_site(model: mujoco.MjModel, name: str) -> tuple[int, int] | None:
    """Return body and site of an accelerometer that no joint lets move; None for one that moves."""
    site = int(model.sensor(name).objid[0])
    body = int(model.site_bodyid[site])
    return (body, site) if model.body_weldid[body] == 0 else None


def _felt(cacc: Array, site_xmat: Array, body: int, site: int) -> Array:
    """Return the specific force at a site that nothing turns or moves [m/s^2], (N, 3).

    MuJoCo's own accelerometer reads 0 there before 4.0, although the acceleration that it keeps for the body
    (`mjData.cacc`, of which gravity is a part) is right in all versions. Without turning, it is the same everywhere.
    """
    turn = site_xmat[:, site].reshape(-1, 3, 3)
    # Written out by components, so that a world's result does not depend on the others.
    return np.asarray(sum(cacc[:, body, 3 + i, None] * turn[:, i] for i in range(3)))


class _Rays:
    """The rays of a depth sensor in all worlds."""

    def __init__(self, sensor: Depth, model: mujoco.MjModel, batch: Batch, base: int) -> None:
        self._batch, self._range_m = batch, sensor.range_m
        self._body = int(model.body(sensor.body).id) if sensor.body else base
        self._xpos, self._xmat = batch.bind("xpos"), batch.bind("xmat")
        self._at_m = np.array(sensor.at_m)
        ahead = rays(sensor.width_px, sensor.height_px, sensor.field_of_view_rad)
        self._vec = ahead @ turn(sensor.yaw_rad, sensor.pitch_rad).T
        self._length = np.sqrt((self._vec * self._vec).sum(axis=1))

    def look(self) -> Array:
        """Return depths [m], (N, rays)."""
        worlds = len(self._xpos)
        turn = self._xmat[:, self._body].reshape(worlds, 3, 3)
        # Written out by components, so that a world's result does not depend on the others.
        vec = sum(turn[:, None, :, i] * self._vec[None, :, None, i] for i in range(3))
        at = self._xpos[:, self._body] + sum(turn[:, :, i] * self._at_m[i] for i in range(3))
        points = np.broadcast_to(at[:, None], vec.shape)
        lengths, _ = self._batch.ray(points, vec / self._length[None, :, None], bodyexclude=self._body)
        depths = np.where(lengths < 0.0, self._range_m, lengths / self._length)
        return np.minimum(depths, self._range_m)
