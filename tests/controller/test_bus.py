"""Admission to a bus: published examples, and a simulated bus that may never be slower than the bound."""

import heapq
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import CommandError
from controller.bus import PROTOCOLS, CanBus, EtherCatBus, Exchange, Message, SerialBus, admit, response_times_ns

MS = 1_000_000
EIGHT = Exchange(command_b=8, reply_b=8)


def test_the_example_that_refuted_the_old_analysis_is_met() -> None:
    """Davis et al. 2007: 125 kbit/s, three messages of 7 bytes; the last one takes 3.5 ms and not 3.0 ms."""
    bus = CanBus(bit_rate_hz=125e3)
    frame_ns = round(bus.frame_s(7) * 1e9)
    messages = [Message(frame_ns, round(period * MS)) for period in (2.5, 3.5, 3.5)]

    assert frame_ns == MS
    assert response_times_ns(messages, 8000) == [2 * MS, 3 * MS, round(3.5 * MS)]
    # The second one of the last message is the late one: seen on a simulated bus, too.
    assert simulate_ns(messages, [0, 0, 0], 35 * MS)[2] == round(3.5 * MS)


def test_frames_have_their_published_lengths() -> None:
    """Davis et al. 2007: 135 and 160 bits for 8 bytes."""
    assert CanBus(bit_rate_hz=1.0).frame_s(8) == 135
    assert CanBus(bit_rate_hz=1.0, id_bits=29).frame_s(8) == 160
    assert CanBus(bit_rate_hz=1.0).frame_s(0) == 55


def test_a_frame_of_can_fd_is_as_long_as_one_stuffed_bit_by_bit_at_most() -> None:
    """All zeros is what is stuffed most: built bit by bit, a stuff bit after five equal ones."""
    for payload_b in (0, 8, 16, 64):
        bits = [0] * (17 + 5 + 8 * payload_b)
        sent, run, last = 0, 0, None
        for bit in bits:
            run = run + 1 if bit == last else 1
            sent, last = sent + 1, bit
            if run == 5:
                sent, last, run = sent + 1, 1 - bit, 1
        check = 4 + (17 if payload_b <= 16 else 21)
        whole = sent + check + math.ceil(check / 4) + 13

        bound = CanBus(bit_rate_hz=1.0, data_bit_rate_hz=1.0).frame_s(payload_b)
        assert whole <= bound <= whole + 0.06 * whole


def simulate_ns(messages: list[Message], offsets_ns: list[int], horizon_ns: int) -> list[int]:
    """The longest response time of each message on a bus that does what CAN does."""
    releases: list[tuple[int, int]] = []
    for index, (message, offset_ns) in enumerate(zip(messages, offsets_ns, strict=True)):
        releases += [(t, index) for t in range(offset_ns, horizon_ns, message.period_ns)]
    releases.sort()
    now_ns, next_release, waiting = 0, 0, list[tuple[int, int]]()
    worst_ns = [0] * len(messages)
    while next_release < len(releases) or waiting:
        if not waiting:
            now_ns = max(now_ns, releases[next_release][0])
        while next_release < len(releases) and releases[next_release][0] <= now_ns:
            released_ns, index = releases[next_release]
            heapq.heappush(waiting, (index, released_ns))
            next_release += 1
        index, released_ns = heapq.heappop(waiting)
        now_ns += messages[index].frame_ns
        worst_ns[index] = max(worst_ns[index], now_ns - released_ns)
    return worst_ns


@given(st.lists(st.tuples(st.integers(50, 135), st.integers(4, 30)), min_size=1, max_size=6), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_no_simulated_message_takes_longer_than_its_bound(sizes: list[tuple[int, int]], seed: int) -> None:
    messages = [Message(frame, 100 * periods) for frame, periods in sizes]
    bounds = response_times_ns(messages, 1)
    draw = random.Random(seed)
    for _ in range(5):
        offsets = [draw.randrange(m.period_ns) for m in messages]
        for seen, bound in zip(simulate_ns(messages, offsets, 30_000), bounds, strict=True):
            assert bound is None or seen <= bound


def test_the_bound_is_reached_and_not_merely_safe() -> None:
    """All released just after the longest one of the lowest priority began: the critical instant."""
    messages = [Message(100, 1000), Message(120, 1500), Message(135, 2000)]
    seen = simulate_ns(messages, [1, 1, 0], 6000)

    assert seen[0] == response_times_ns(messages, 1)[0] - 1  # type: ignore[operator]
    assert simulate_ns(messages, [0, 0, 0], 6000)[2] == response_times_ns(messages, 1)[2]


def test_six_joints_of_the_mit_protocol_pass_600_hz_only_without_reserve() -> None:
    """270 bits a joint at worst: 617 Hz is the wire's limit, 80 % of it is what is given away."""
    bus, exchange = PROTOCOLS["mit-can"]
    fits = admit(bus, exchange, joints=6, rate_hz=400.0)
    over = admit(bus, exchange, joints=6, rate_hz=600.0)

    assert fits.admitted and fits.utilisation == pytest.approx(6 * 270 * 400 / 1e6)
    assert not over.admitted and over.utilisation < 1.0
    assert 1 / (6 * 270e-6) * 0.8 >= fits.rate_max_hz > 400.0
    assert fits.response_s == pytest.approx(6 * 270e-6)
    assert not admit(bus, exchange, joints=6, rate_hz=1000.0).admitted


def test_joints_that_report_by_their_own_clocks_may_be_later_than_those_that_answer() -> None:
    """A frame that has begun cannot be interrupted, and commands of the next period may overtake a report."""
    own_clocks = Exchange(command_b=8, reply_b=8, free_running=True)
    answering, reporting = (
        admit(CanBus(bit_rate_hz=1e6), exchange, joints=6, rate_hz=480.0) for exchange in (EIGHT, own_clocks)
    )

    assert reporting.utilisation == answering.utilisation
    assert answering.response_s == pytest.approx(12 * 135e-6)
    assert reporting.response_s >= answering.response_s
    assert reporting.rate_max_hz <= answering.rate_max_hz


@given(st.integers(1, 12), st.floats(20.0, 5000.0), st.sampled_from(sorted(PROTOCOLS)))
@settings(max_examples=30, deadline=None)
def test_what_is_admitted_stays_admitted_at_lower_rates_and_the_highest_rate_is_the_border(
    joints: int, rate_hz: float, protocol: str
) -> None:
    bus, exchange = PROTOCOLS[protocol]
    judged = admit(bus, exchange, joints=joints, rate_hz=rate_hz)

    assert judged.admitted or rate_hz > judged.rate_max_hz
    assert not judged.admitted or rate_hz < judged.rate_max_hz + 1.0
    if judged.admitted:
        assert admit(bus, exchange, joints=joints, rate_hz=0.7 * rate_hz).admitted
        assert judged.response_s <= 1 / rate_hz
    best = judged.rate_max_hz
    assert admit(bus, exchange, joints=joints, rate_hz=best).admitted
    assert not admit(bus, exchange, joints=joints, rate_hz=best + 1.0).admitted


def test_can_fd_carries_several_times_what_classic_can_does() -> None:
    classic = admit(CanBus(bit_rate_hz=1e6), EIGHT, joints=6, rate_hz=100.0).rate_max_hz
    fd = admit(CanBus(bit_rate_hz=1e6, data_bit_rate_hz=5e6), EIGHT, joints=6, rate_hz=100.0).rate_max_hz

    assert 1.7 * classic < fd < 5 * classic


def test_polled_buses_are_the_sum_of_what_is_asked() -> None:
    servo = admit(
        SerialBus(bit_rate_hz=1e6), Exchange(command_b=14, reply_b=15, reply_delay_s=2e-4), joints=6, rate_hz=100.0
    )
    ethercat = admit(EtherCatBus(), Exchange(command_b=12, reply_b=12), joints=29, rate_hz=1000.0)

    assert servo.response_s == pytest.approx(6 * (290e-6 + 2e-4))
    assert ethercat.response_s == pytest.approx((38 + 14 + 29 * 24) * 8 / 100e6 + 58e-6)
    assert ethercat.admitted
    assert EtherCatBus().busy_s(Exchange(command_b=100, reply_b=100), 20) > 2 * 1500 * 8 / 100e6, "three frames"


def test_what_no_bus_can_carry_is_refused_by_name() -> None:
    with pytest.raises(CommandError, match="9 bytes"):
        admit(CanBus(bit_rate_hz=1e6), Exchange(command_b=9, reply_b=8), joints=1, rate_hz=1.0)
    with pytest.raises(CommandError, match="65 bytes"):
        CanBus(bit_rate_hz=1e6, data_bit_rate_hz=2e6).frame_s(65)
    with pytest.raises(CommandError, match=r"1025 joints.*2050 identifiers, 11 bits"):
        admit(CanBus(bit_rate_hz=1e6), EIGHT, joints=1025, rate_hz=0.01)
    with pytest.raises(CommandError, match="joints = 0"):
        admit(CanBus(bit_rate_hz=1e6), EIGHT, joints=0, rate_hz=1.0)
    for made in (
        lambda: CanBus(bit_rate_hz=0.0),
        lambda: CanBus(bit_rate_hz=1e6, data_bit_rate_hz=5e5),
        lambda: CanBus(bit_rate_hz=1e6, id_bits=12),
        lambda: Exchange(command_b=-1, reply_b=0),
        lambda: SerialBus(bit_rate_hz=math.nan),
        lambda: response_times_ns([Message(0, 1)], 1),
    ):
        with pytest.raises(CommandError):
            made()
    assert not admit(CanBus(bit_rate_hz=1e6), EIGHT, joints=6, rate_hz=1e4).admitted
