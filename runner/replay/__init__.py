"""Runs an episode again: a world's to the last bit, a unit's in its twin, with what is left between the two."""
