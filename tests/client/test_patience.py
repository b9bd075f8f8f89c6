"""When calls and streams are tried again."""

import pytest

from palaestra.channel import is_loopback, service_config
from palaestra.errors import PalaestraError
from palaestra.patience import LONGEST_PAUSE_S, Outage, refusal_pause_s

DOWN = PalaestraError("SHUTTING_DOWN", "starting")


def refused(reason: str, retry_after_s: float | None = 2.0) -> PalaestraError:
    return PalaestraError(reason, "told", retry_after_s=retry_after_s)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("reason", ["QUEUE_FULL", "RATE_LIMITED", "FORECAST_BUSY"])
def test_what_was_not_begun_is_waited_for_with_time_left(reason: str, repeatable: bool) -> None:
    assert refusal_pause_s(refused(reason), left_s=3.0, repeatable=repeatable) == 2.0
    assert refusal_pause_s(refused(reason), left_s=2.0, repeatable=repeatable) is None
    assert refusal_pause_s(refused(reason, None), left_s=3.0, repeatable=repeatable) is None


def test_what_waiting_does_not_change_is_not_waited_for() -> None:
    assert refusal_pause_s(refused("STORE_FULL"), left_s=3.0, repeatable=True) is None


def test_who_serves_next_is_waited_for_with_calls_that_mean_the_same_then() -> None:
    assert refusal_pause_s(refused("SHUTTING_DOWN"), left_s=3.0, repeatable=True) == 2.0
    assert refusal_pause_s(refused("SHUTTING_DOWN"), left_s=3.0, repeatable=False) is None
    assert refusal_pause_s(refused("SHUTTING_DOWN", None), left_s=3.0, repeatable=True) is None


def test_pauses_grow_to_a_limit_and_start_again_after_an_answer() -> None:
    outage = Outage(first_s=1e6, again_s=1e6, now_s=0.0)
    pauses = [outage.pause_s(DOWN, now_s=0.0, chance=0.999999) for _ in range(10)]
    outage.over()

    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_S, rel=1e-3)
    assert outage.pause_s(DOWN, now_s=0.0, chance=0.999999) == pytest.approx(pauses[0])


def test_chance_spreads_pauses_over_half_to_all() -> None:
    def first(chance: float) -> float:
        return Outage(first_s=1.0, again_s=1.0, now_s=0.0).pause_s(DOWN, now_s=0.0, chance=chance)

    assert first(0.0) == pytest.approx(first(0.999999) / 2, rel=1e-3)


def test_a_server_never_seen_is_given_up_sooner_than_one_that_was() -> None:
    outage = Outage(first_s=1.0, again_s=10.0, now_s=0.0)
    outage.pause_s(DOWN, now_s=0.9, chance=0.0)
    with pytest.raises(PalaestraError):
        outage.pause_s(DOWN, now_s=1.0, chance=0.0)

    outage.over()
    outage.pause_s(DOWN, now_s=5.0, chance=0.0)
    outage.pause_s(DOWN, now_s=14.9, chance=0.0)
    with pytest.raises(PalaestraError):
        outage.pause_s(DOWN, now_s=15.0, chance=0.0)


def test_what_is_not_an_outage_is_raised_at_once() -> None:
    with pytest.raises(PalaestraError, match="NOT_FOUND"):
        Outage(first_s=9.0, again_s=9.0, now_s=0.0).pause_s(PalaestraError("NOT_FOUND", "x"), now_s=0.0, chance=0.0)


def test_the_channel_repeats_reads_and_calls_with_request_ids_only() -> None:
    names = {entry["method"] for entry in service_config()["methodConfig"][0]["name"]}

    assert {
        "SubmitJob",
        "BatchSubmitJobs",
        "CancelJob",
        "StopUnit",
        "SetUnitHealth",
        "CalibrateUnit",
        "GetJob",
        "ListUnits",
        "ExplainJob",
        "WhatIf",
        "GetEstimateCalibration",
    } <= names
    assert not names & {"ResetUnit", "InjectUnitFault", "WatchJob", "WatchEvents", "ReadLog"}


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1:7401", True),
        ("127.8.8.8:1", True),
        ("[::1]:7401", True),
        ("localhost:7401", True),
        ("10.0.0.7:7401", False),
        ("venue.example:7401", False),
        ("localhost.evil.example:7401", False),
    ],
)
def test_only_this_machine_is_loopback(address: str, here: bool) -> None:
    assert is_loopback(address) is here
