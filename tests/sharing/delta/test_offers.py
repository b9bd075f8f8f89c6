"""Tables are made in the background, once, and for one consumer one at a time."""

import threading
from typing import Any

import pytest

from sharing.delta.offers import WAITING_OF_ONE_MAX, NotReady, Offers
from sharing.delta.secret import Secret
from sharing.errors import InvalidTerms, NotShared
from sharing.grant import Grant
from sharing.projection.tables import Projection
from sharing.terms import Channel, Purpose

SECRET = Secret(bytes(32))


def grant(version: int = 1, consumer: str = "vendors/b", epoch: int = 1) -> Grant:
    values: dict[str, Any] = {
        "agreement": consumer[-1] * 64,
        "provider": "vendors/a",
        "consumer": consumer,
        "data_set": "vendors/a/datasets/x",
        "version": version,
        "columns": ("action",),
        "transforms": {},
        "channel": Channel.DELTA,
        "purpose": Purpose.TRAINING,
        "privacy_millionths": 0,
        "until_s": 10,
        "epoch": epoch,
    }
    return Grant(**values)


class Maker:
    """Projects when it is let."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.go, self.failure = threading.Event(), failure
        self.made: list[Grant] = []
        self.lock, self.at_once, self.most = threading.Lock(), 0, 0

    def __call__(self, of: Grant) -> Projection:
        with self.lock:
            self.made.append(of)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        assert self.go.wait(60.0)
        with self.lock:
            self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        return Projection("key", of.agreement, of.version, {}, {})


def waited(offers: Offers, of: Grant) -> Any:
    with pytest.raises(NotReady) as waiting:
        offers.ready(of)
    return waiting.value.done


def test_what_is_asked_for_twice_is_made_once() -> None:
    maker = Maker()
    offers = Offers(maker, SECRET)
    first, second = waited(offers, grant()), waited(offers, grant())
    assert first is second
    maker.go.set()
    first.result(60.0)
    assert offers.ready(grant()) is offers.ready(grant())
    assert len(maker.made) == 1
    assert waited(offers, grant(epoch=2)) is not None


def test_a_consumer_who_wants_much_holds_nobody_up() -> None:
    maker = Maker()
    offers = Offers(maker, SECRET)
    greedy = [waited(offers, grant(version)) for version in range(1, WAITING_OF_ONE_MAX + 2)]
    assert waited(offers, grant(99)) is None
    other = waited(offers, grant(1, "vendors/c"))
    maker.go.set()
    for done in (*greedy, other):
        done.result(60.0)
    assert maker.most <= 2
    assert len(maker.made) == len(greedy) + 1


@pytest.mark.parametrize("failure", [InvalidTerms("a column"), NotShared(), RuntimeError("a defect")])
def test_what_cannot_be_made_is_not_shared_and_is_tried_again_later(failure: Exception) -> None:
    maker = Maker(failure)
    maker.go.set()
    offers = Offers(maker, SECRET)
    waited(offers, grant()).result(60.0)
    with pytest.raises(NotShared):
        offers.ready(grant())
    waited(offers, grant()).result(60.0)
    assert len(maker.made) == 2
