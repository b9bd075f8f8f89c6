"""What the one decision answers: everything that a channel has to know, and nothing that it has to ask again."""

from collections.abc import Mapping
from dataclasses import dataclass

from sharing.terms import Channel, Purpose


@dataclass(frozen=True)
class Ask:
    """What somebody wants.

    Attributes:
        consumer: `vendors/{vendor}`, from the credential and from nowhere else.
        agreement: Which agreement is meant, its digest.
        channel: By which way.
        purpose: For what, as the credential or the job declares it.
        version: Of the data set; 0 means the newest that is granted.
        columns: Which of the granted columns; empty: all.
        about: What exactly, for the audit, such as a file's name or a query's hash.
    """

    consumer: str
    agreement: str
    channel: Channel
    purpose: Purpose
    version: int = 0
    columns: tuple[str, ...] = ()
    about: str = ""


@dataclass(frozen=True)
class Grant:
    """A decision in the asker's favour, good for one use now. Made by `sharing.gate.Gate.authorize` alone.

    Attributes:
        agreement: Digest of the terms.
        data_set, version: `vendors/{vendor}/datasets/{name}`, and the number of its version.
        columns: What may leave: those of the terms and of the ask, less what its class forbids.
        transforms: What is done to them, name to parameters.
        privacy_millionths: The agreement's whole budget of epsilon, in millionths.
        until_s: Seconds since 1970 at which it is over at the latest: the end of the term.
        epoch: Grows with each revocation or change of standing; what was made under an older one is not served.
    """

    agreement: str
    provider: str
    consumer: str
    data_set: str
    version: int
    columns: tuple[str, ...]
    transforms: Mapping[str, Mapping[str, str]]
    channel: Channel
    purpose: Purpose
    privacy_millionths: int
    until_s: int
    epoch: int

    def parties(self) -> dict[str, str | int]:
        """Return whose affair it is and by which agreement, as a note has it."""
        return {"provider": self.provider, "consumer": self.consumer, "agreement": self.agreement}
