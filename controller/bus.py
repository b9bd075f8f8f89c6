r"""Does a bus carry this many joints at this rate? Utilisation, worst-case response times, highest rate.

    admission = admit(CanBus(bit_rate_hz=1e6), Exchange(command_b=8, reply_b=8), joints=6, rate_hz=500.0)
    admission.admitted, admission.utilisation, admission.reason

Each joint is sent one command and answers it, every period. What a bus can promise depends on who may speak when:

- **CAN, CAN FD** (`CanBus`): the lowest identifier wins, nobody is interrupted. Response times by the analysis of
  Davis, Burns, Bril and Lukkien, "Controller Area Network (CAN) schedulability analysis: Refuted, revisited and
  revised", Real-Time Systems 35, 2007: `response_times_ns`.
- **RS-485** (`SerialBus`) and **EtherCAT** (`EtherCatBus`): one master asks, so a period is the sum of what it asks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.errors import CommandError

UTILISATION_MAX = 0.8
"""Share of a bus that admission gives away: room for errors, retries and configuration. Ours, not a norm's."""

RATE_MAX_HZ = 100_000.0
"""Where the search for the highest rate ends."""

FD_PAYLOADS_B: tuple[int, ...] = (*range(9), 12, 16, 20, 24, 32, 48, 64)
"""Data lengths that a CAN FD frame can have (ISO 11898-1)."""


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _positive(name: str, value: float, *, zero: bool = False) -> None:
    bad = isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value)
    if bad or value < 0 or (value == 0 and not zero):
        raise CommandError(f"{name} = {value!r}: must be finite and {'not negative' if zero else 'above 0'}")


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What one joint and its master say to each other in a period.

    Attributes:
        command_b, reply_b: Bytes of payload, >= 0.
        reply_delay_s: Longest time the joint takes to answer, >= 0.
        free_running: Joints report by their own clocks, at the same rate, instead of answering. CAN only.
    """

    command_b: int
    reply_b: int
    reply_delay_s: float = 0.0
    free_running: bool = False

    def __post_init__(self) -> None:
        for name in ("command_b", "reply_b"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise CommandError(f"{name} = {value!r}: must be a whole number, at least 0")
        _positive("reply_delay_s", self.reply_delay_s, zero=True)


@dataclass(frozen=True)
class Message:
    """A periodic message on CAN, all times in nanoseconds. Its place in a sequence is its priority, first is highest.

    Attributes:
        frame_ns: Longest time on the wire, space between frames included, > 0.
        period_ns: Shortest time between two of them, > 0.
        jitter_ns: By how much its sending may be late within its period, >= 0.
    """

    frame_ns: int
    period_ns: int
    jitter_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What `admit` found.

    Attributes:
        admitted: Whether every reply is certain to have come within the period, and the bus has room left.
        reason: Why, in one sentence.
        utilisation: Share of the period in which the bus is busy at worst; above 1 it cannot be.
        response_s: Longest time from the start of a period to the end of the last reply; infinite where unbounded.
        rate_max_hz: Highest whole rate that would be admitted; 0 if none is.
    """

    admitted: bool
    reason: str
    utilisation: float
    response_s: float
    rate_max_hz: float


class Bus(Protocol):
    """What admission asks of a bus."""

    def busy_s(self, exchange: Exchange, joints: int) -> float:
        """Return the longest time on the wire [s] of all exchanges of one period. Raises CommandError."""
        ...

    def response_s(self, exchange: Exchange, joints: int, period_s: float) -> float:
        """Return the longest time [s] until all replies have come, infinite where it has no bound."""
        ...


@dataclass(frozen=True, kw_only=True)
class CanBus:
    """Classic CAN, or CAN FD where a data rate is given.

    Frames at their longest. Classic, identifier of 11 bits: (55 + 10 s) bits for s bytes, of 29 bits: (80 + 10 s),
    space between frames and worst-case stuffing included (Davis et al. 2007).
    FD by the frame format of ISO 11898-1:2015: at the arbitration rate 17 bits to the bit rate switch (36 with 29
    bits), with stuffing, and 13 from the end of the checksum to the next frame; at the data rate 5 + 8 s bits with
    stuffing, the stuff count (4), a checksum of 17 bits (21 above 16 bytes), and one fixed stuff bit before each four
    of these.

    Attributes:
        bit_rate_hz: Arbitration bit rate, > 0.
        data_bit_rate_hz: Bit rate of CAN FD's data phase, >= `bit_rate_hz`; None for classic CAN.
        id_bits: 11 or 29.
    """

    bit_rate_hz: float
    data_bit_rate_hz: float | None = None
    id_bits: int = 11

    def __post_init__(self) -> None:
        _positive("bit_rate_hz", self.bit_rate_hz)
        if self.id_bits not in (11, 29):
            raise CommandError(f"id_bits = {self.id_bits!r}: must be 11 or 29")
        if self.data_bit_rate_hz is not None:
            _positive("data_bit_rate_hz", self.data_bit_rate_hz)
            if self.data_bit_rate_hz < self.bit_rate_hz:
                raise CommandError(f"data_bit_rate_hz = {self.data_bit_rate_hz!r}: must be at least bit_rate_hz")

    def frame_s(self, payload_b: int) -> float:
        """Return the longest time of one frame [s]. Raises CommandError: too many bytes for one."""
        if self.data_bit_rate_hz is None:
            if payload_b > 8:
                raise CommandError(f"payload of {payload_b} bytes: classic CAN carries at most 8")
            bits = (55 if self.id_bits == 11 else 80) + 10 * payload_b
            return bits / self.bit_rate_hz
        if payload_b > 64:
            raise CommandError(f"payload of {payload_b} bytes: CAN FD carries at most 64")
        padded_b = min(size for size in FD_PAYLOADS_B if size >= payload_b)
        header = 17 if self.id_bits == 11 else 36
        header_stuff = (header - 1) // 4
        stuffed = header + 5 + 8 * padded_b
        check = 4 + (17 if padded_b <= 16 else 21)
        slow = header + header_stuff + 13
        fast = 5 + 8 * padded_b + (stuffed - 1) // 4 - header_stuff + check + math.ceil(check / 4)
        return slow / self.bit_rate_hz + fast / self.data_bit_rate_hz

    def busy_s(self, exchange: Exchange, joints: int) -> float:
        """As `Bus`. Raises CommandError: more frames than the bus has identifiers."""
        if 2 * joints > 2**self.id_bits:
            raise CommandError(
                f"{joints} joints: a command and a reply of each need {2 * joints} identifiers, "
                f"{self.id_bits} bits tell {2**self.id_bits} apart"
            )
        return joints * (self.frame_s(exchange.command_b) + self.frame_s(exchange.reply_b))

    def response_s(self, exchange: Exchange, joints: int, period_s: float) -> float:
        """As `Bus`.

        Where joints answer, commands are sent together and the bus is never idle while something waits, so the last
        reply has come when all frames have been sent, plus one answering time. Where joints report by their own
        clocks, nothing is known of who meets whom: commands have the higher priority, and the response time analysis
        bounds the last report.
        """
        if not exchange.free_running:
            return self.busy_s(exchange, joints) + exchange.reply_delay_s
        period_ns = math.floor(period_s * 1e9)
        frames_ns = [math.ceil(self.frame_s(size_b) * 1e9) for size_b in (exchange.command_b, exchange.reply_b)]
        messages = [Message(frame_ns, period_ns) for frame_ns in frames_ns for _ in range(joints)]
        times_ns = response_times_ns(messages, math.ceil(1e9 / self.bit_rate_hz))
        return max(math.inf if time_ns is None else time_ns * 1e-9 for time_ns in times_ns)


@dataclass(frozen=True, kw_only=True)
class SerialBus:
    """RS-485, half duplex: the master asks joint after joint.

    Attributes:
        bit_rate_hz: > 0.
        bits_per_byte: On the wire; 10 is a start bit, eight bits and a stop bit.
        turnaround_s: Time in which the line changes hands, twice per exchange, >= 0.
    """

    bit_rate_hz: float
    bits_per_byte: int = 10
    turnaround_s: float = 0.0

    def __post_init__(self) -> None:
        _positive("bit_rate_hz", self.bit_rate_hz)
        _positive("bits_per_byte", self.bits_per_byte)
        _positive("turnaround_s", self.turnaround_s, zero=True)

    def busy_s(self, exchange: Exchange, joints: int) -> float:
        """As `Bus`; the line is taken while a joint prepares its answer."""
        wire_s = (exchange.command_b + exchange.reply_b) * self.bits_per_byte / self.bit_rate_hz
        return joints * (wire_s + exchange.reply_delay_s + 2.0 * self.turnaround_s)

    def response_s(self, exchange: Exchange, joints: int, period_s: float) -> float:
        """As `Bus`."""
        return self.busy_s(exchange, joints)


@dataclass(frozen=True, kw_only=True)
class EtherCatBus:
    """EtherCAT: one frame of 100 Mbit/s Ethernet passes all joints and comes back, each taking and leaving its bytes.

    A frame has 38 bytes around its payload (preamble 8, addresses and type 14, checksum 4, gap 12), at least 46 and at
    most 1500 of payload (IEEE 802.3), of which 2 are EtherCAT's header and 12 the datagram's head and working counter
    (IEC 61158-4-12). More joints than fit take more frames. Command and reply share their bytes in the frame if
    `exchanged_in_place`.

    Attributes:
        forward_s: Delay through one joint's controller, twice (there and back), >= 0; about 1 µs for common ones.
        exchanged_in_place: Whether a joint writes its reply where its command stood (logical read-write).
    """

    forward_s: float = 1e-6
    exchanged_in_place: bool = False

    def __post_init__(self) -> None:
        _positive("forward_s", self.forward_s, zero=True)

    def busy_s(self, exchange: Exchange, joints: int) -> float:
        """As `Bus`."""
        sizes = (exchange.command_b, exchange.reply_b)
        per_joint_b = max(sizes) if self.exchanged_in_place else sum(sizes)
        room_b = 1500 - 2 - 12
        if per_joint_b > room_b:
            raise CommandError(f"payload of {per_joint_b} bytes: an EtherCAT frame carries at most {room_b}")
        left_b, wire_b = joints * per_joint_b, 0
        while left_b > 0:
            taken_b = min(left_b, room_b // max(per_joint_b, 1) * per_joint_b)
            wire_b += 38 + max(46, 2 + 12 + taken_b)
            left_b -= taken_b
        return wire_b * 8 / 100e6

    def response_s(self, exchange: Exchange, joints: int, period_s: float) -> float:
        """As `Bus`. A reply written in passing is that of the last period, so preparing it costs no time here."""
        return self.busy_s(exchange, joints) + 2.0 * joints * self.forward_s


PROTOCOLS = {
    "mit-can": (CanBus(bit_rate_hz=1e6), Exchange(command_b=8, reply_b=8)),
    "robstride": (CanBus(bit_rate_hz=1e6, id_bits=29), Exchange(command_b=8, reply_b=8)),
    "moteus": (CanBus(bit_rate_hz=1e6, data_bit_rate_hz=5e6), Exchange(command_b=27, reply_b=16)),
}
"""Joints that are sold, by protocol: MIT mini-cheetah's and its many relatives (bgkatz/motorcontrol, can.c: 8 bytes
each way; at most 8 by some makers), RobStride's private one (manual of the RS03: 29-bit identifiers, 8 bytes each way),
moteus (mjbots, docs/protocol/can.md: 1 and 5 Mbit/s; a position command with gains and query, and its answer)."""


def admit(bus: Bus, exchange: Exchange, *, joints: int, rate_hz: float) -> Admission:
    """Judge whether `joints` exchanges fit on `bus`, `rate_hz` times a second.

    Raises:
        CommandError: no joints, no rate, or a payload the bus has no frame for.
    """
    if joints < 1:
        raise CommandError(f"joints = {joints!r}: must be at least 1")
    _positive("rate_hz", rate_hz)
    admitted, utilisation, response_s, reason = _judge(bus, exchange, joints, rate_hz)
    return Admission(
        admitted=admitted,
        reason=reason,
        utilisation=utilisation,
        response_s=response_s,
        rate_max_hz=_highest_rate_hz(bus, exchange, joints),
    )


def _judge(bus: Bus, exchange: Exchange, joints: int, rate_hz: float) -> tuple[bool, float, float, str]:
    period_s = 1.0 / rate_hz
    utilisation = bus.busy_s(exchange, joints) / period_s
    if utilisation > 1.0:
        return False, utilisation, math.inf, f"the bus would have to be busy {utilisation:.0%} of the time"
    response_s = bus.response_s(exchange, joints, period_s)
    if response_s > period_s:
        late = "replies may never come" if math.isinf(response_s) else f"the last reply may take {response_s:.3g} s"
        return False, utilisation, response_s, f"{late}, the period is {period_s:.3g} s"
    if utilisation > UTILISATION_MAX:
        why = f"utilisation of {utilisation:.0%} leaves less than {1.0 - UTILISATION_MAX:.0%} for errors"
        return False, utilisation, response_s, why
    return True, utilisation, response_s, f"every reply has come {period_s - response_s:.3g} s before the period ends"


def _highest_rate_hz(bus: Bus, exchange: Exchange, joints: int) -> float:
    low, high = 0, int(RATE_MAX_HZ) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _judge(bus, exchange, joints, float(middle))[0]:
            low = middle
        else:
            high = middle
    return float(low)


def response_times_ns(messages: Sequence[Message], bit_ns: int) -> list[int | None]:
    r"""Return the worst-case response time of each message [ns], from its release to its end on the wire.

    Davis et al. 2007, for arbitrary deadlines: with the longest lower-priority frame
    $B_m$, the busy period $t_m = B_m + \sum_{k \le m} \lceil (t_m + J_k)/T_k \rceil C_k$ holds
    $Q_m = \lceil (t_m + J_m)/T_m \rceil$ instances, of which each q waits
    $w(q) = B_m + q C_m + \sum_{k < m} \lceil (w + J_k + \tau_{bit})/T_k \rceil C_k$, and
    $R_m = \max_q (J_m + w(q) - q T_m + C_m)$.

    Args:
        messages: By priority, the highest first.
        bit_ns: Time of a bit of arbitration, > 0.

    Returns:
        None where there is no bound: messages down to this priority need the bus for the whole time or longer.
    """
    for index, message in enumerate(messages):
        if message.frame_ns <= 0 or message.period_ns <= 0 or message.jitter_ns < 0:
            raise CommandError(f"message {index}: {message}: frame and period must be above 0, jitter at least 0")
    times: list[int | None] = []
    for index, message in enumerate(messages):
        ahead = messages[:index]
        blocking_ns = max((other.frame_ns for other in messages[index + 1 :]), default=0)
        demand = sum(m.frame_ns / m.period_ns for m in messages[: index + 1])
        if demand > 1.0 - 1e-9:
            times.append(None)
            continue
        level = messages[: index + 1]
        busy_ns = message.frame_ns
        while (
            longer_ns := blocking_ns + sum(_ceil(busy_ns + m.jitter_ns, m.period_ns) * m.frame_ns for m in level)
        ) > busy_ns:
            busy_ns = longer_ns
        worst_ns = 0
        wait_ns = blocking_ns
        for instance in range(_ceil(busy_ns + message.jitter_ns, message.period_ns)):
            wait_ns = max(wait_ns, blocking_ns + instance * message.frame_ns)
            while True:
                others_ns = sum(_ceil(wait_ns + m.jitter_ns + bit_ns, m.period_ns) * m.frame_ns for m in ahead)
                longer_ns = blocking_ns + instance * message.frame_ns + others_ns
                if longer_ns <= wait_ns:
                    break
                wait_ns = longer_ns
            response_ns = message.jitter_ns + wait_ns - instance * message.period_ns + message.frame_ns
            worst_ns = max(worst_ns, response_ns)
        times.append(worst_ns)
    return times
