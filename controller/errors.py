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
