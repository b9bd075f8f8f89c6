"""Fixtures of the client's room."""

from collections.abc import Iterator

import pytest

from palaestra import Client
from tests.client.fake_venue import OPERATOR_TOKEN, VENDOR_TOKEN, FakeVenue


@pytest.fixture
def venue() -> Iterator[FakeVenue]:
    """A venue that listens."""
    fake = FakeVenue()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def client(venue: FakeVenue) -> Iterator[Client]:
    """A vendor's client."""
    with Client(venue.address, VENDOR_TOKEN) as vendor:
        yield vendor


@pytest.fixture
def operator(venue: FakeVenue) -> Iterator[Client]:
    """An operator's client."""
    with Client(venue.address, OPERATOR_TOKEN) as client:
        yield client
