"""A vendor that calls ten times as often as it may, beside one that keeps to its rate: real processes, real calls."""

from pathlib import Path

from bench import scheduler_noise as noise
from bench.served import scheduler


def test_who_keeps_to_the_rate_is_served_and_who_does_not_is_told_when_to_come_again(tmp_path: Path) -> None:
    with scheduler(noise.TWO_VENDORS, tmp_path / "data") as served:
        modest, loud = noise.turn(served, 2.0, noisy=True)

    assert not modest.refusals
    assert len(modest.times_s) == modest.sent > 0
    # Its rate for as long as the turn took, and the half second of it that the bucket holds.
    took_s = loud.sent / loud.per_s + max(loud.times_s)
    assert 0 < len(loud.times_s) <= noise.RATE_PER_S * (0.5 + took_s) + 2
    assert len(loud.refusals) == loud.sent - len(loud.times_s)
    # RESOURCE_EXHAUSTED, and why; gRPC packs the details, of which `test_rates` says that they tell when to come again.
    assert all(b"grpc-status\x018" in trailers for trailers in loud.refusals)
    told = (b"vendor rival has used up its rate", b"calls under way")
    assert all(any(words in trailers for words in told) for trailers in loud.refusals)
