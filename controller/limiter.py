r"""Turns targets that jump into targets that a joint can follow: never too fast, never too sudden, and on time.

    limiter = TargetLimiter(q_min, q_max, dq_max, ddq_max, period_s)
    limiter.start(q_measured)
    q_ref, dq_ref = limiter.step(target)  # each tick

All joints of all units at once, in NumPy. Within a tick the acceleration is constant, so position and speed are
$x' = x + T (v + v')/2$ and $v'$. The distance in which speed $v \ge 0$ can be brought to zero, ending on a tick, is
$$D(v) = T (n v - a T n (n - 1)/2 - v/2), \quad n = \lceil v / (a T) \rceil.$$
The step takes the largest $v'$ from which the target can still be met without passing it,
$T (v + v')/2 + D(v') \le x^* - x$. The left side is piecewise linear in $v'$, so this is solved in closed form: with
$g = x^* - x - T v/2$ and the smallest $n$ for which $a T^2 n (n + 1)/2 \ge g$,
$$v' = g/(n T) + a T (n - 1)/2.$$
This is the time-optimal feedback of the discrete double integrator (the same switching curve as in Han, "From PID to
active disturbance rejection control", IEEE Trans. Ind. Electron. 56(3), 2009, there without a speed limit), after
which $v'$ is clamped to what acceleration and speed limits allow. Braking fully from a state that can stop inside the
range stays inside the range, so the range holds for targets that jump at any time.
"""

import numpy as np
import numpy.typing as npt

from controller.errors import CommandError

Real = npt.NDArray[np.float64]

_ARRIVED = 1e-9
"""Of what one tick of full acceleration moves: closer than this the rest is rounding, and is taken off."""


class TargetLimiter:
    """Online limiter of position targets, time-optimal under speed and acceleration limits.

    Attributes:
        q_ref, dq_ref: Position [rad] and speed [rad/s] of the last step, the shape that `start` was given.
    """

    def __init__(
        self,
        q_min_rad: npt.ArrayLike,
        q_max_rad: npt.ArrayLike,
        dq_max_rad_s: npt.ArrayLike,
        ddq_max_rad_s2: npt.ArrayLike,
        period_s: float,
    ) -> None:
        """Make a limiter; each limit is a number or an array that broadcasts against the targets.

        Args:
            q_min_rad, q_max_rad: Range, finite or infinite, min < max.
            dq_max_rad_s, ddq_max_rad_s2: Largest speed and acceleration, finite, > 0.
            period_s: Time between two steps, > 0.

        Raises:
            CommandError: a limit is none of these; the message names it.
        """
        self._low, self._high = np.asarray(q_min_rad, np.float64), np.asarray(q_max_rad, np.float64)
        self._v_max, self._a_max = np.asarray(dq_max_rad_s, np.float64), np.asarray(ddq_max_rad_s2, np.float64)
        if not (self._low < self._high).all():
            raise CommandError(f"q_min_rad = {q_min_rad!r}: must be below q_max_rad = {q_max_rad!r}")
        for name, value in (("dq_max_rad_s", self._v_max), ("ddq_max_rad_s2", self._a_max)):
            if not (np.isfinite(value) & (value > 0.0)).all():
                raise CommandError(f"{name} = {value!r}: must be finite and above 0")
        if not (np.isfinite(period_s) and period_s > 0.0):
            raise CommandError(f"period_s = {period_s!r}: must be finite and above 0")
        self.period_s = period_s
        self.q_ref: Real = np.zeros(np.broadcast_shapes(self._low.shape, self._v_max.shape, self._a_max.shape))
        self.dq_ref: Real = np.zeros_like(self.q_ref)

    def start(self, q_rad: npt.ArrayLike, dq_rad_s: npt.ArrayLike = 0.0) -> None:
        """Begin at a state, of any shape the limits broadcast to.

        A position outside the range begins at its edge, and a speed is cut to what can be stopped inside it.

        Raises:
            CommandError: not finite, or of a shape that the limits do not fit.
        """
        q, dq = np.asarray(q_rad, np.float64), np.asarray(dq_rad_s, np.float64)
        if not (np.isfinite(q).all() and np.isfinite(dq).all()):
            raise CommandError(f"start at {q_rad!r}, {dq_rad_s!r}: must be finite")
        try:
            shape = np.broadcast_shapes(q.shape, dq.shape, self._low.shape, self._v_max.shape, self._a_max.shape)
        except ValueError as error:
            raise CommandError(f"start: positions of shape {q.shape} do not fit the limits: {error}") from error
        self.q_ref = np.broadcast_to(np.clip(q, self._low, self._high), shape).copy()
        step_v = self._a_max * self.period_s
        fastest_up = _speed_to_stop_within(self._high - self.q_ref, step_v, self.period_s)
        fastest_down = _speed_to_stop_within(self.q_ref - self._low, step_v, self.period_s)
        dq = np.clip(dq, -self._v_max, self._v_max)
        self.dq_ref = np.broadcast_to(np.clip(dq, -fastest_down, fastest_up), shape).copy()

    def step(self, target_rad: npt.ArrayLike) -> tuple[Real, Real]:
        """Advance by one period towards the targets; return positions [rad] and speeds [rad/s], yours to keep.

        A target outside the range counts as the edge of the range. Arriving, the position equals the target exactly
        and the speed is exactly zero.

        Raises:
            CommandError: a target is not a number, or of another shape. Nothing has moved.
        """
        target = np.asarray(target_rad, np.float64)
        if np.isnan(target).any():
            raise CommandError(f"target {target_rad!r}: must be numbers")
        if not _fits(target.shape, self.q_ref.shape):
            raise CommandError(f"targets of shape {target.shape} for joints of shape {self.q_ref.shape}")
        target = np.clip(target, self._low, self._high)
        period_s = self.period_s
        step_v = self._a_max * period_s
        # An infinite range and an infinite target: far is far enough, and keeps infinities out of the arithmetic.
        far = 1e6 * (self._v_max + step_v) * period_s + self._v_max * self._v_max / self._a_max
        ahead = np.clip(target - self.q_ref, -far, far) - 0.5 * period_s * self.dq_ref
        speed = np.sign(ahead) * _next_speed(np.abs(ahead), step_v, period_s)
        speed = np.clip(speed, self.dq_ref - step_v, self.dq_ref + step_v)
        speed = np.clip(speed, -self._v_max, self._v_max)
        position = self.q_ref + 0.5 * period_s * (self.dq_ref + speed)
        grain = _ARRIVED * step_v
        arrived = (np.abs(target - position) <= grain * period_s + 4e-16 * np.abs(target)) & (np.abs(speed) <= grain)
        self.dq_ref = np.where(arrived, 0.0, speed)
        self.q_ref = np.clip(np.where(arrived, target, position), self._low, self._high)
        return self.q_ref.copy(), self.dq_ref.copy()


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _next_speed(ahead: Real, step_v: Real, period_s: float) -> Real:
    """Return the largest next speed from which `ahead` >= 0 [rad], this tick's share of the present speed taken off,
    can be covered without passing it."""
    ticks = np.ceil(0.5 * (np.sqrt(1.0 + 8.0 * ahead / (step_v * period_s)) - 1.0))
    ticks = np.maximum(ticks, 1.0)
    return ahead / (ticks * period_s) + 0.5 * step_v * (ticks - 1.0)


def _speed_to_stop_within(distance: Real, step_v: Real, period_s: float) -> Real:
    """Return the largest speed that full braking brings to zero within `distance` >= 0 [rad]: the inverse of D(v)."""
    distance = np.minimum(distance, 1e12 * step_v * period_s)
    ticks = np.maximum(np.ceil(np.sqrt(2.0 * distance / (step_v * period_s))), 1.0)
    return (distance / period_s + 0.5 * step_v * ticks * (ticks - 1.0)) / (ticks - 0.5)
