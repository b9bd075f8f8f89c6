"""An error is the same on both sides of the wire, and in other processes."""

import pickle
import re

import grpc
import pytest

from palaestra.errors import REASONS, PalaestraError, Unreachable, from_status, http_status, to_status


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_each_reason_crosses_the_wire_whole(reason: str) -> None:
    sent = PalaestraError(reason, "it is 3, must be 2", metadata={"field": "x"}, retry_after_s=1.25)
    got = from_status(to_status(sent))

    assert got is not None
    assert (got.reason, got.message, got.metadata, got.retry_after_s) == (
        reason,
        sent.message,
        {"field": "x"},
        1.25,
    )
    assert got.code is sent.code


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_each_reason_has_a_status_a_help_and_an_http_status(reason: str) -> None:
    error = PalaestraError(reason, "x")

    assert error.code is not grpc.StatusCode.OK
    assert error.help.endswith(".")
    assert 400 <= http_status(error) < 600
    assert re.fullmatch("[A-Z][A-Z0-9_]{0,62}", reason)


def test_an_error_survives_pickling() -> None:
    """Ray carries errors between processes so."""
    sent = PalaestraError("QUEUE_FULL", "full", metadata={"a": "b"}, retry_after_s=2.0)
    got = pickle.loads(pickle.dumps(sent))

    assert vars(got) == vars(sent)
    assert type(pickle.loads(pickle.dumps(Unreachable("nobody")))) is Unreachable


def test_a_status_of_another_domain_is_not_ours() -> None:
    status = to_status(PalaestraError("NOT_FOUND", "x"))
    foreign = type(status)(code=status.code, message="x")

    assert from_status(foreign) is None


def test_the_text_of_an_error_names_its_reason() -> None:
    assert str(PalaestraError("NOT_FOUND", "job x not found")) == "job x not found [NOT_FOUND]"
