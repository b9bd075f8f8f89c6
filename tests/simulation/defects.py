"""Defects to plant, each of which the simulation must find: what it cannot find it does not test."""

from collections.abc import Callable

DEFECTS: dict[str, Callable[[], None]] = {}
