"""Every error of this room. One base class, so that a caller can catch the room with one name."""


class ControllerError(Exception):
    """Base of all errors that the control core raises on purpose."""


class SpecError(ControllerError):
    """A robot or joint specification is not finite, not positive or contradicts itself."""


class CommandError(ControllerError):
    """A call names an unknown joint or unit, or an array of the wrong shape."""


class StateError(ControllerError):
    """The unit's state has no such step: nothing was changed."""


class StopHeldError(ControllerError):
    """A reset or arm was refused because the cause of the stop is still there."""


class DriverError(ControllerError):
    """A robot did not answer, answered nonsense, or was used after `close`."""


class KernelUnavailableError(ControllerError):
    """The compiled kernel was asked for by name and cannot be used; the message says why."""


class EpochFileError(ControllerError):
    """The file of highest epochs is there and cannot be understood: the host must not start."""


class NotReadyError(ControllerError):
    """The unit cannot be driven yet: it is still braking, or its sensors are not read yet."""


class LatchedError(ControllerError):
    """The unit has a latched fault or a protective stop and needs a reset by an operator."""


class NoAuthorityError(ControllerError):
    """The epoch does not, or no longer, permit to drive the unit."""


class HostError(ControllerError):
    """The host cannot serve, or can no longer: its address is taken, or its control loop died."""


class TraceError(ControllerError):
    """A recording lacks a column, is too short, or holds what cannot be evaluated."""


class NotExcitedError(ControllerError):
    """The measurements do not determine a parameter; the message names it and says what to measure."""


class QueueFullError(ControllerError):
    """A command was not queued because too many wait already: the loop is slower than its caller."""


class LoopError(ControllerError):
    """The loop cannot do that now, or ended by an error; the message says which."""
