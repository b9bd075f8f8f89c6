"""An emulated battery: it empties by what the robot does, and fills on a charger.

A robot whose torque is off draws its rest power (computers only). One under control draws its idle power, which makers
publish as standing time, and on top of it what its joints do mechanically, divided by the drives' efficiency. Energy
that flows back while a joint brakes is lost: not every maker's drives take it in.
"""

from controller.unit import Battery

DRIVE_EFFICIENCY = 0.7
"""Share of electrical power that reaches a joint; own choice within what is usual for motor, gear and inverter."""

S_PER_H = 3600.0


class EmulatedBattery:
    """The charge of one emulated robot. It starts full."""

    def __init__(self, battery: Battery, *, lapse: float = 1.0, level: float = 1.0) -> None:
        """Take the figures. `lapse`: it empties and fills that many times as fast, as if it were that much smaller."""
        self._battery = battery
        self._capacity_wh = battery.capacity_wh / lapse
        self._energy_wh = level * self._capacity_wh
        self.charging = False

    @property
    def level(self) -> float:
        """The state of charge, 0 to 1."""
        return self._energy_wh / self._capacity_wh

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return self._energy_wh <= 0.0

    def pass_time(self, duration_s: float, *, powered: bool, mechanical_w: float = 0.0) -> None:
        """Let time pass, with the joints' torque on or off, and with this power from the joints into the world [W]."""
        if self.charging:
            power_w = -self._battery.charge_power_w
        elif powered:
            power_w = self._battery.idle_power_w + max(mechanical_w, 0.0) / DRIVE_EFFICIENCY
        else:
            power_w = self._battery.rest_power_w
        left_wh = self._energy_wh - power_w * duration_s / S_PER_H
        self._energy_wh = min(max(left_wh, 0.0), self._capacity_wh)
        if self._energy_wh >= self._capacity_wh:
            self.charging = False
