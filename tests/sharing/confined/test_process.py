"""A confined process is looked after until it has gone, whatever it says."""

import threading

import pytest

from sharing.confined import process
from sharing.confined.fence import Limits
from sharing.confined.parcel import packed
from sharing.errors import NotShared


def test_who_closed_its_mouth_still_ends_with_the_agreement() -> None:
    """Code that visits may close what it answers by, and would otherwise go on for as long as its limits let it."""

    def still() -> None:
        if not any(thread.name == "confined-answer" for thread in threading.enumerate()):
            raise NotShared

    class Nothing:
        def read(self, file: object, begin: int, size_bytes: int) -> bytes:
            return b""

    with packed({}, Nothing(), lambda: None) as parcel, pytest.raises(NotShared):
        process.run("tests.sharing.confined.mute", {}, parcel, Limits(time_s=60.0), still, look_s=0.02)
