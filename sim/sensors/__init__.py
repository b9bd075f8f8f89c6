"""Sensors of simulated robots: what they read, and how wrong they read it."""

from sim.sensors.spec import Contact, Depth, Encoders, Error, ForceTorque, Imu, Sensor, from_tables, to_tables
from sim.sensors.suite import Suite

__all__ = [
    "Contact",
    "Depth",
    "Encoders",
    "Error",
    "ForceTorque",
    "Imu",
    "Sensor",
    "Suite",
    "from_tables",
    "to_tables",
]
