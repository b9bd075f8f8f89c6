"""What can go wrong in the simulation room. Every error names the offending value."""

from palaestra_env.seeds import BadSeed as BadSeed


class SimError(Exception):
    """Base of all errors raised by `sim`."""


class UnknownRobot(SimError):
    """No catalogue entry has this id; the message offers the closest ids."""


class MissingModel(SimError):
    """The entry exists but its model files are not on this machine.

    The message names the package that carries them and the robots that are available without it.
    """


class BrokenCatalogue(SimError):
    """A robot or motion description file is incomplete or contradicts itself or its model."""


class BrokenModel(SimError):
    """An MJCF model is malformed, incomplete, too large, not finite, or reaches outside its folder."""


class BrokenVenue(SimError):
    """A venue configuration misses a field, has a wrong value, or names a fixture kind that does not exist."""


class BrokenScenario(SimError):
    """A scenario's file misses a field, names something unknown, or contradicts itself. The message names it."""


class UnknownScenario(SimError):
    """No scenario has this id; the message offers the closest ids."""


class UnknownTask(SimError):
    """No task has this name; the message offers the closest names."""


class UnknownMotion(SimError):
    """No motion has this name; the message offers the closest names."""


class Misfit(SimError):
    """A task or a motion was asked of a robot whose class or body it does not fit."""


class BadAction(SimError):
    """Actions for a slot have the wrong shape or are not finite; the worlds were not stepped."""


class BadSnapshot(SimError):
    """A snapshot belongs to another model, engine version, architecture, task or number of worlds."""


class NoDisplay(SimError):
    """No offscreen OpenGL (EGL or OSMesa) is available, so no picture can be drawn."""


class BadSlot(SimError):
    """What a slot is asked to be, or what a slot process says, makes no sense. The message names the value."""


class SlotDied(SimError):
    """A slot process is gone. The message says during what, and by what: a signal, a bound, the end of its lease."""


class SlotTimeout(SlotDied):
    """A slot process took longer than its bound for a start, a step or a reset; it was killed."""


class BadSensor(SimError):
    """A sensor's description has a field, a body or a number that makes no sense. The message names it."""


class BadRandomisation(SimError):
    """A randomisation names an unknown quantity or target, a range that makes no sense, or drawn values of another."""


class BadJobSeed(BadSeed, SimError):
    """A job's seed is not from -2^63 to 2^63 - 1: it would be another's in the generator."""


class PolicyServerError(SimError):
    """A policy server cannot be reached, broke off, answered too late, or answered what is no action."""


class BrokenRecording(SimError):
    """A recording cannot be read, or not be compared: what misses, differs or is no finite number is named."""


class PolicyServerGone(PolicyServerError):
    """Nobody answers there, or not in time: the same question may be answered later, by a new connection."""


class BadCamera(SimError):
    """A camera's description has a field, a name or a size that makes no sense, or cannot be had here; it is named."""


class CamerasDied(SimError):
    """The process that draws is gone. The message says during what, and by what; the slot has nothing to do with it."""


class CamerasTimeout(CamerasDied):
    """The process that draws took longer than its bound; it was killed."""
