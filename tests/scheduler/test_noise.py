"""A vendor that calls ten times as often as it may, beside one that keeps to its rate: real processes, real calls."""

from pathlib import Path

from bench import scheduler_noise as noise
from bench.served import scheduler

# For so long this process may be kept waiting by others and then send all at once what it owes.
BURST_S = 4.0


def test_who_keeps_to_the_rate_is_served_and_who_does_not_is_told_when_to_come_again(tmp_path: Path) -> None:
    venue = noise.TWO_VENDORS.replace("calls_burst_s = 0.5\n", f"calls_burst_s = {BURST_S}\n")
    with scheduler(venue, tmp_path / "data") as served:
        modest, loud = noise.turn(served, 2.0, noisy=True)

    assert not modest.refusals
    assert len(modest.times_s) == modest.sent > 0
    # Its rate for as long as the turn took, and what the bucket holds.
    took_s = loud.sent / loud.per_s + max(loud.times_s)
    assert 0 < len(loud.times_s) <= noise.RATE_PER_S * (BURST_S + took_s) + 2
    assert len(loud.refusals) == loud.sent - len(loud.times_s)
    # RESOURCE_EXHAUSTED, and why; gRPC packs the details, of which `test_rates` says that they tell when to come again.
    assert [trailers for trailers in loud.refusals if b"grpc-status\x018" not in trailers] == []
    told = (b"vendor rival has used up its rate", b"calls under way")
    assert [trailers for trailers in loud.refusals if not any(words in trailers for words in told)] == []
