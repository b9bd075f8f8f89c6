r"""Learned actuators in NumPy: the specification of how the compiled kernel evaluates them, bit for bit.

A layer's sums begin with the bias and run over the inputs in their order, $s \leftarrow s + w_i x_i$. Activations:
softsign $x/(1 + |x|)$; tanh as $1 - 2/(2^y + 1)$ with $y = 2x/\ln 2$ clamped to $\pm80$; relu. A unit that does not run
has a history of zeros.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from controller.learned import LearnedActuator

if TYPE_CHECKING:
    from controller.physics import Physics

Real = npt.NDArray[np.floating[Any]]


class Network:
    """A `LearnedActuator` made ready for ticks of one length and one element type.

    Attributes:
        made: What it was made from.
        stride: Ticks between two moments.
        slots: Ticks of history, a power of two, so that a wrapping tick counter does no harm.
        weights: As `LearnedActuator.weights`, in the element type.
    """

    def __init__(self, made: LearnedActuator, period_s: float, dtype: np.dtype[Any]) -> None:
        moments = made.widths[0] // 2
        self.made = made
        self.stride = max(1, round(made.history_s / period_s)) if moments > 1 else 0
        self.slots = 1 << (self.stride * (moments - 1)).bit_length()
        self.weights: Real = np.array(made.weights, dtype)

    def torque(self, inputs: list[Real]) -> Real:
        """Return the torque before scaling, shaped like each of the inputs."""
        values, at = inputs, 0
        widths = self.made.widths
        for layer, outputs in enumerate(widths[1:]):
            rows = self.weights[at : at + len(values) * outputs].reshape(outputs, len(values))
            at += rows.size
            biases = self.weights[at : at + outputs]
            at += outputs
            sums = []
            for row, bias in zip(rows, biases, strict=True):
                total = np.full_like(values[0], bias)
                for weight, value in zip(row, values, strict=True):
                    total = total + weight * value
                sums.append(total)
            values = sums if layer == len(widths) - 2 else [self._activate(total) for total in sums]
        return values[0]

    def _activate(self, x: Real) -> Real:
        # Imported here, for the physics build networks.
        from controller.physics import LARGEST_POWER, LOG2_E, exp2

        real = x.dtype.type
        if self.made.activation == "softsign":
            softsign: Real = x / (1 + np.abs(x))
            return softsign
        if self.made.activation == "relu":
            return np.where(x > 0, x, real(0))
        y = real(2.0 * LOG2_E) * x
        y = np.where(y > LARGEST_POWER, real(LARGEST_POWER), y)
        tanh: Real = 1 - 2 / (exp2(y) + 1)
        return tanh


def learn(
    x: "Physics", commands: tuple[Real, ...], q_limits: tuple[Real, Real], q: Real, dq: Real, run: npt.NDArray[np.bool_]
) -> tuple[Real, ...]:
    """Return the commands with the networks' torques in place of gains and feed-forward torque.

    Args:
        commands: q_ref, dq_ref, tau_ff, kp, kd, each (J, P).
        q_limits: Range of the positions, each (J, 1).
        q, dq: Measurements, (J, P).
        run: Units that run, (P,).
    """
    now = int(x.tick[0]) % x.history_slots
    error = np.where(commands[0] > q_limits[1], q_limits[1], commands[0])
    error = np.where(error < q_limits[0], q_limits[0], error) - q
    told = [np.array(command) for command in commands]
    for row, index in enumerate(x.network_of):
        if index < 0:
            continue
        network = x.networks[index]
        slots = x.history_slots
        x.history[now, 0, row], x.history[now, 1, row] = error[row], dq[row]
        x.history[:, :, row][..., ~run] = 0
        moments = network.made.widths[0] // 2
        then = [(now + slots - i * network.stride) % slots for i in range(moments)]
        real = x.dtype.type
        inputs = [x.history[k, 0, row] * real(network.made.position_scale) for k in then]
        inputs += [x.history[k, 1, row] * real(network.made.velocity_scale) for k in then]
        told[2][row] = network.torque(inputs) * real(network.made.torque_scale)
        told[3][row] = told[4][row] = 0
    for kept, values in zip(x.told, told, strict=True):
        kept[:] = values
    return tuple(x.told)
