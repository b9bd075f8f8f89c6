"""Named places in the code at which a test can have a process die, fail or wait.

A process is most vulnerable between two things that belong together: a commit and its answer, a file and its entry in
the catalogue. Such places are named here, so that a test can let every one of them go wrong and show that it did.
Nothing but a test in the same process can set `Failpoint.hook`: no setting, variable or message reaches it.
"""

from collections.abc import Callable
from typing import ClassVar


class Failpoint:
    """One such place; calling it is passing it.

    Off, which is always but in tests, that costs a call and one test of an attribute.

    Attributes:
        name: "room.thing.moment", unique.
        meaning: What is done, and what is not, when a process dies here.
    """

    __slots__ = ("meaning", "name")

    # What passing any of them does, given it: return, raise, or never come back.
    hook: ClassVar["Callable[[Failpoint], None] | None"] = None
    # All that the imported modules have.
    known: ClassVar[dict[str, "Failpoint"]] = {}

    def __init__(self, name: str, meaning: str) -> None:
        assert name not in Failpoint.known, f"two failpoints are named {name}"
        self.name = name
        self.meaning = meaning
        Failpoint.known[name] = self

    def __call__(self) -> None:
        if Failpoint.hook is not None:
            Failpoint.hook(self)
