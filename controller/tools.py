"""The tools for joints on the command line: `python -m controller evaluate-joint | identify | admit-bus`.

`python -m sim bench-joint ROBOT JOINT` is with the catalogue of robots.
"""

import argparse
import sys
from typing import Any

from controller.bus import PROTOCOLS, Bus, CanBus, EtherCatBus, Exchange, SerialBus, admit
from controller.errors import CommandError, ControllerError

TOOLS = ("evaluate-joint", "identify", "admit-bus")


def add_tools(commands: Any) -> None:
    """Add the tools to the subparsers of a command line."""
    from controller.jointbench.command import add_evaluate_arguments, add_identify_arguments

    add_evaluate_arguments(commands.add_parser("evaluate-joint", help="key figures from a recording of a real joint"))
    add_identify_arguments(commands.add_parser("identify", help="friction or heat of an actuator from a recording"))
    bus = commands.add_parser("admit-bus", help="does a bus carry so many joints at such a rate")
    bus.add_argument("protocol", choices=(*PROTOCOLS, "can", "can-fd", "rs-485", "ethercat"))
    bus.add_argument("--joints", type=int, required=True, metavar="J")
    bus.add_argument("--rate-hz", type=float, required=True)
    bus.add_argument("--bit-rate-hz", type=float, help="default 1e6")
    bus.add_argument("--data-bit-rate-hz", type=float, help="can-fd: of the data phase, default 5e6")
    bus.add_argument("--id-bits", type=int, choices=(11, 29), help="can, can-fd: default 11")
    bus.add_argument("--turnaround-s", type=float, default=0.0, help="rs-485: time in which the line changes hands")
    bus.add_argument("--forward-s", type=float, default=1e-6, help="ethercat: delay through a joint")
    bus.add_argument("--command-b", type=int, help="bytes of a command")
    bus.add_argument("--reply-b", type=int, help="bytes of a reply")
    bus.add_argument("--reply-delay-s", type=float, default=0.0, help="longest time a joint takes to answer")
    bus.add_argument("--free-running", action="store_true", help="joints report by their own clocks")


def run_tool(given: argparse.Namespace) -> int:
    """Run one of `TOOLS` and return its exit code: 2 where what was asked for cannot be done, with the reason."""
    from controller.jointbench.command import evaluate_joint, identify

    try:
        if given.command == "evaluate-joint":
            return evaluate_joint(given)
        return identify(given) if given.command == "identify" else admit_bus(given)
    except (ControllerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def admit_bus(given: argparse.Namespace) -> int:
    """Print whether the joints are admitted to the bus. Returns 1 if they are not. Raises CommandError."""
    bus, exchange = _bus(given), _exchange(given)
    found = admit(bus, exchange, joints=given.joints, rate_hz=given.rate_hz)
    print(f"{'admitted' if found.admitted else 'not admitted'}: {found.reason}")
    print(f"  utilisation      {found.utilisation:.1%}")
    print(f"  last reply by    {found.response_s * 1e3:.4g} ms of {1e3 / given.rate_hz:.4g} ms")
    print(f"  highest rate     {found.rate_max_hz:.0f} Hz")
    return 0 if found.admitted else 1


def _bus(given: argparse.Namespace) -> Bus:
    rate_hz = 1e6 if given.bit_rate_hz is None else given.bit_rate_hz
    if given.protocol == "rs-485":
        return SerialBus(bit_rate_hz=rate_hz, turnaround_s=given.turnaround_s)
    if given.protocol == "ethercat":
        return EtherCatBus(forward_s=given.forward_s)
    known = PROTOCOLS[given.protocol][0] if given.protocol in PROTOCOLS else None
    fd = given.protocol == "can-fd" or (known is not None and known.data_bit_rate_hz is not None)
    return CanBus(
        bit_rate_hz=rate_hz,
        data_bit_rate_hz=(5e6 if given.data_bit_rate_hz is None else given.data_bit_rate_hz) if fd else None,
        id_bits=given.id_bits or (known.id_bits if known else 11),
    )


def _exchange(given: argparse.Namespace) -> Exchange:
    known = PROTOCOLS[given.protocol][1] if given.protocol in PROTOCOLS else None
    sizes = {}
    for name in ("command_b", "reply_b"):
        size = getattr(given, name)
        if size is None and known is None:
            raise CommandError(f"{given.protocol}: say --{name.replace('_', '-')}")
        sizes[name] = getattr(known, name) if size is None else size
    return Exchange(**sizes, reply_delay_s=given.reply_delay_s, free_running=given.free_running)
