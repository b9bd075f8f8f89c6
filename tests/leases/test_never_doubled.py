"""No unit has two masters, shown with real processes that are killed, paused and cut off while clients want leases.

A worker's lease, from its job's submission to its end, is an acquisition. What the hosts' joints obey is written down
where it happens, and what the workers see where they are; the rest follows from that (`evidence.py`).
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scheduler.commands import granting
from tests.leases import doubling
from tests.leases.doubling import drop_indices
from tests.leases.evidence import Evidence
from tests.leases.ground import Ground
from tests.leases.network import CREW, HOST, SCHEDULER, Loopback, Namespaces
from tests.leases.proxy import Fault
from tests.scheduler.site import Site, job

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
TTL_S = 1.5
# Longer than a lease lives without a word, with all that its end takes besides.
LONG_S = TTL_S + 0.8
SHORT_S = 0.4
# After that nobody believes in anybody any more.
PAUSE_S = 30.0
LEASES_PER_ROUND = 1800
# The long series must also get on where the machine has others to serve.
SERIES_TTL_S = 4.0
# Beyond the time to live, the scheduler waits for so long at least before it takes a silent unit for stopped.
SURE_S = 1.0


def some_leases(ground: Ground, count: int) -> None:
    """Let the clients have so many more leases."""
    wanted = ground.acquisitions() + count
    ground.until(f"{count} more leases", lambda: ground.acquisitions() >= wanted, ground.acquisitions)


def cut_off(ground: Ground, party: str, duration_s: float) -> tuple[float, float]:
    """Cut a party off for a time, while somebody drives; return since when and until when [s]."""
    ground.until("somebody drives until he is stopped", ground.is_held)
    with ground.cut_off(party):
        begin_s = time.monotonic()
        time.sleep(duration_s)
    return begin_s, time.monotonic()


def check_cut(evidence: Evidence, cut_s: tuple[float, float], ttl_s: float) -> str:
    """Units stop within their leases' time to live and are driven again afterwards; return the figures."""
    begin_s, end_s = cut_s
    last_s = max((at_s for at_s, _, _ in evidence.driven(begin_s, end_s)), default=begin_s) - begin_s
    off_s = [at_s - begin_s for at_s in evidence.torque_off_s(begin_s).values()]
    again = evidence.driven(end_s, float("inf"))
    # A host that gets no processor does nothing, also not in time; on a machine that is not overloaded there is none.
    stalled_s = sum(duration_s for at_s, duration_s in evidence.stalls if begin_s < at_s < end_s + duration_s)
    # The host counts from when it read the last word of the scheduler, which may lie in its socket when the cut begins:
    # so it may be late by that. But all is over before the scheduler would believe in it by time alone.
    assert last_s < ttl_s + SURE_S + stalled_s
    assert any(attempt.release_s is not None and not attempt.well for attempt in evidence.held(begin_s)), "all went on"
    # The stop itself takes a moment more.
    assert max(off_s, default=0.0) < ttl_s + SURE_S + stalled_s
    assert again, "nothing was driven again"
    return (
        f"cut for {end_s - begin_s:.1f} s, host stalled for {stalled_s:.2f} s: {len(off_s)} units under torque, "
        f"last command after {last_s:.2f} s, all off in {max(off_s, default=0):.2f} s "
        f"(time to live {ttl_s:.0f} s), driven again {again[0][0] - end_s:.2f} s after the end (bar: 5 s)"
    )


def told(ground: Ground, evidence: Evidence) -> str:
    sent, refused = (sum(numbers) for numbers in zip(*evidence.late, strict=True))
    units = sum(len(attempt.epochs) for attempt in evidence.acquired)
    lost = ground.count("SELECT count(*) FROM attempt WHERE state = 6")
    return (
        f"{len(evidence.acquired)} acquisitions of {units} units, {lost} lost, {len(evidence.commands)} commands at "
        f"joints; with epochs given back, {sent} were sent on streams still open and {refused} refused"
    )


def proven(ground: Ground) -> Evidence:
    """End everything and return what is known then: no contradiction, and every job well."""
    ground.finish()
    evidence = ground.evidence()
    assert evidence.contradictions() == []
    assert ground.doubled() == []
    assert ground.count("SELECT count(*) FROM job WHERE state != 5 AND vendor = 'acme'") == 0
    assert evidence.late, "nobody went on with an epoch that is over"
    return evidence


def strike(ground: Ground, network: Loopback, long_s: float = LONG_S) -> None:
    """All faults, one after the other; between them the clients get leases. long_s: longer than a lease lives."""
    blows: list[Callable[[], object]] = [
        lambda: (ground.kill(SCHEDULER), ground.start(SCHEDULER)),
        lambda: (ground.kill(HOST), ground.start(HOST)),
        lambda: pause(ground, SCHEDULER, SHORT_S),
        lambda: pause(ground, HOST, SHORT_S),
        lambda: pause(ground, CREW, long_s),
        lambda: cut_off(ground, CREW, long_s),
        lambda: bad_line(network, Fault.RESET, SHORT_S),
        lambda: bad_line(network, Fault.DROP, SHORT_S),
        lambda: bad_line(network, Fault.DEAF, SHORT_S),
        lambda: (ground.kill(CREW), ground.start(CREW)),
    ]
    for blow in blows:
        some_leases(ground, 10)
        blow()
    some_leases(ground, 10)


def pause(ground: Ground, party: str, duration_s: float) -> None:
    with ground.paused(party):
        time.sleep(duration_s)


def bad_line(network: Loopback, fault: Fault, duration_s: float) -> None:
    """Something wrong on both lines to the scheduler; slow afterwards for as long again."""
    for lasting_s, now, delay_s in ((duration_s, fault, 0.0), (duration_s, Fault.NONE, 0.05), (0.0, Fault.NONE, 0.0)):
        for proxy in network.proxies.values():
            proxy.set(now, delay_s=delay_s)
        time.sleep(lasting_s)


def test_no_unit_has_two_masters_whatever_dies_pauses_or_is_cut_off(tmp_path: Path) -> None:
    """64 units, 32 clients; each fault once, and a cut between host and scheduler that outlasts all leases."""
    with Loopback() as network, Ground(tmp_path, network, units=64, clients=32, holds=True, ttl_s=TTL_S) as ground:
        assert isinstance(network, Loopback)
        ground.start(SCHEDULER, HOST, CREW)
        strike(ground, network)
        cut_s = cut_off(ground, HOST, LONG_S)
        some_leases(ground, 10)
        evidence = proven(ground)

        print(told(ground, evidence))
        print(check_cut(evidence, cut_s, TTL_S))


def swallowed(folder: Path, *, units: int, clients: int, cuts_s: Mapping[str, Sequence[float]]) -> None:
    """Each party in a network namespace, with certificates; both ends of a cut go on believing in their connection."""
    with (
        Namespaces(folder) as network,
        Ground(folder, network, units=units, clients=clients, holds=True, ttl_s=TTL_S) as ground,
    ):
        ground.start(SCHEDULER, HOST, CREW)
        some_leases(ground, 10)
        cuts = []
        for party, durations_s in cuts_s.items():
            for duration_s in durations_s:
                cuts.append((party, cut_off(ground, party, duration_s)))
                some_leases(ground, 10)
        evidence = proven(ground)

    print(told(ground, evidence))
    for party, cut_s in cuts:
        if party == HOST:
            print("host:", check_cut(evidence, cut_s, TTL_S))
        else:
            again = evidence.driven(cut_s[1], float("inf"))
            print(f"crew: driven again {again[0][0] - cut_s[1]:.2f} s after a cut of {cut_s[1] - cut_s[0]:.1f} s")


def test_a_network_that_swallows_everything_stops_units_in_time_and_lets_them_go_on(tmp_path: Path) -> None:
    swallowed(tmp_path, units=8, clients=4, cuts_s={HOST: [LONG_S]})


@pytest.mark.long
def test_a_network_that_swallows_everything_for_long_or_several_times_does_no_more_harm(tmp_path: Path) -> None:
    swallowed(tmp_path, units=16, clients=8, cuts_s={HOST: [2 * LONG_S, PAUSE_S, LONG_S], CREW: [LONG_S, PAUSE_S]})


def test_a_host_that_ignores_epochs_is_caught(tmp_path: Path) -> None:
    with Loopback() as network, Ground(tmp_path, network, units=4, clients=8, ttl_s=TTL_S, heedless=True) as ground:
        ground.start(SCHEDULER, HOST, CREW)
        ground.until("it is caught", lambda: ground.evidence().contradictions())
        found = ground.evidence().contradictions()
        caught_after = ground.acquisitions()

    assert any("knew it to be over" in line for line in found)
    print(f"caught after {caught_after} acquisitions: {found[0]}")


def test_the_schema_refuses_to_double_a_grant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same planted defect, with the index in place: every doubled grant is refused with its whole decision."""
    monkeypatch.setattr(granting, "grant", granting.grant)
    monkeypatch.setattr(doubling, "SHARE", 1.0)
    doubling.plant()

    async def play() -> None:
        async with Site(tmp_path) as site:
            await site.connect()
            await site.submit(job(units=1))
            await site.settle()
            assert len(site.rows("SELECT 1 FROM lease_unit")) == 1, "nothing was held yet"
            decided = asyncio.get_running_loop().create_future()
            grant = granting.grant

            def watched(*arguments: Any) -> None:
                try:
                    grant(*arguments)
                except sqlite3.IntegrityError as error:
                    decided.get_loop().call_soon_threadsafe(decided.set_result, error)
                    raise

            monkeypatch.setattr(granting, "grant", watched)
            await site.submit(job(units=1))
            refusal = await asyncio.wait_for(decided, 30.0)
            assert "lease_unit.unit" in str(refusal)
            await site.run(lambda tx: None)
            assert len(site.rows("SELECT 1 FROM lease_unit")) == 1
            assert len(site.rows("SELECT 1 FROM attempt")) == 1

    asyncio.run(play())


def test_a_scheduler_that_doubles_grants_is_caught_once_the_schema_lets_it(tmp_path: Path) -> None:
    """One grant in ten goes to a unit that another lease holds; the index that refuses it is dropped first."""
    defective = "tests.leases.doubling:main"
    with (
        Loopback() as network,
        Ground(tmp_path, network, units=16, clients=16, ttl_s=TTL_S, scheduler=defective) as ground,
    ):
        ground.start(SCHEDULER)
        ground.kill(SCHEDULER)
        drop_indices(str(ground.data / "scheduler.db"))
        ground.start(SCHEDULER, HOST, CREW)
        ground.until("it is caught", lambda: ground.evidence().contradictions())
        evidence = ground.evidence()

    assert any("cannot have been" in line for line in evidence.contradictions())
    assert ground.doubled()
    print(f"caught after {len(evidence.acquired)} acquisitions: {evidence.contradictions()[0]}")


def series(folder: Path, acquisitions: int) -> None:
    """Faults for as long as it takes to have so many acquisitions; the first ones last 30 s each."""
    with Loopback() as network, Ground(folder, network, units=64, clients=32, holds=True, ttl_s=SERIES_TTL_S) as ground:
        assert isinstance(network, Loopback)
        ground.start(SCHEDULER, HOST, CREW)
        for party in (SCHEDULER, HOST, CREW):
            some_leases(ground, 100)
            pause(ground, party, PAUSE_S)
        some_leases(ground, 100)
        cuts_s = [cut_off(ground, HOST, PAUSE_S)]
        rounds = 0
        while ground.acquisitions() < acquisitions:
            strike(ground, network, SERIES_TTL_S + LONG_S - TTL_S)
            some_leases(ground, 100)
            cuts_s.append(cut_off(ground, HOST, SERIES_TTL_S + LONG_S - TTL_S))
            some_leases(ground, LEASES_PER_ROUND)
            rounds += 1
        evidence = proven(ground)

    print(f"{rounds} rounds of all faults: {told(ground, evidence)}")
    for cut_s in cuts_s:
        print(check_cut(evidence, cut_s, SERIES_TTL_S))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_no_unit_has_two_masters_in_20_000_acquisitions(tmp_path: Path) -> None:
    series(tmp_path, 20_000)
