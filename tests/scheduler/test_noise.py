"""A vendor that calls ten times as often as it may, beside one that keeps to its rate: real processes, real calls."""

import base64
import re
from pathlib import Path

from google.rpc import error_details_pb2, status_pb2

from bench import scheduler_noise as noise
from bench.served import scheduler


def reason_of(trailers: bytes) -> tuple[str, bool]:
    """Return the reason of a refusal, and whether it says when to come again."""
    found = re.search(rb"grpc-status-details-bin.{1,4}?([A-Za-z0-9+/]{40,})", trailers, re.DOTALL)
    assert found is not None, trailers
    text = found[1]
    status = status_pb2.Status.FromString(base64.b64decode(text + b"=" * (-len(text) % 4)))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    unpacked = [detail.Unpack(info) or detail.Unpack(retry) for detail in status.details]
    return info.reason, all(unpacked) and retry.HasField("retry_delay")


def test_who_keeps_to_the_rate_is_served_and_who_does_not_is_told_when_to_come_again(tmp_path: Path) -> None:
    with scheduler(noise.TWO_VENDORS, tmp_path / "data") as served:
        modest, loud = noise.turn(served, 2.0, noisy=True)

    assert not modest.refusals
    assert len(modest.times_s) == modest.sent > 0
    # Its rate for as long as the turn took, and the half second of it that the bucket holds.
    took_s = loud.sent / loud.per_s + max(loud.times_s)
    assert 0 < len(loud.times_s) <= noise.RATE_PER_S * (0.5 + took_s) + 2
    assert len(loud.refusals) == loud.sent - len(loud.times_s)
    assert {reason_of(trailers) for trailers in loud.refusals} == {("RATE_LIMITED", True)}
