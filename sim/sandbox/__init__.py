"""What a slot process gives up for good before it loads a model that may be anybody's. Loads no engine and no NumPy."""

from sim.sandbox.layers import Layer, enter, graphics, readable

__all__ = ["Layer", "enter", "graphics", "readable"]
