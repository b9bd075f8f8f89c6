"""What is said to whom is refused: as little as possible, and the same for what is missing and what is another's."""


class SharingError(Exception):
    """Of everything that this room refuses or cannot do. The message is for the one who asked."""


class NotShared(SharingError):
    """There is nothing here for the one who asks: no such thing, another's, not granted, expired, embargoed, revoked.

    The message never differs between these; the audit knows which it was.
    """

    def __init__(self) -> None:
        super().__init__("not found")


class InvalidTerms(SharingError):
    """Terms that break a rule of their form; the message names the field. Told to the parties alone."""


class BadSignature(SharingError):
    """A signature that is not the party's over exactly these terms."""


class BadStep(SharingError):
    """A step of a negotiation that cannot follow the one before: not this side's turn, an old one again, or ended."""


class NotReleasable(SharingError):
    """The data cannot leave as the terms say, such as video without what covers faces; told to the provider alone."""


class BudgetExhausted(SharingError):
    """The agreement's privacy budget does not cover this question; nothing was computed."""


class InvalidQuestion(SharingError):
    """A question that breaks a rule of its form or asks about what is not granted; nothing was computed or charged."""


class InvalidAlgorithm(SharingError):
    """An algorithm that breaks a rule of its form, or a job that it cannot do; the message names the field."""


class WorkEnded(SharingError):
    """A confined process ended without an answer: too long, too much, or by an error. Tells nothing more."""


class NotNoted(SharingError):
    """The audit could not take note, such as on a full disk; what cannot be noted is not done, and looks not shared."""

    def __init__(self) -> None:
        super().__init__("not found")
