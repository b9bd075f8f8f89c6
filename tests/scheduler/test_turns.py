"""Whose turn it is: what is found with heaps and cursors is what looking at every job would find."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.account import Accounts, rank_of
from scheduler.queue import Queue, shorter_first, turn
from scheduler.state import Amounts, Claim, Job, Vendor
from scheduler.turns import ROOT, AgeTurns, FairTurns

TREE = (("g", ""), ("g/a", "g"), ("g/b", "g"), ("x", ""), ("y", ""), ("z", ""))
LEAVES = ("g/a", "g/b", "x", "y", "z")
TOTALS = (20, 0, 5)
SHAPES = tuple(Claim(sim_slots=n, duration_s=length_s) for n, length_s in ((1, 60.0), (2, 10.0), (3, 60.0), (4, 90.0)))

vendors = st.tuples(
    *(
        st.builds(
            Vendor, st.just(name), st.sampled_from((1.0, 1.0, 2.0)), st.integers(0, 2), parent=st.just(parent),
            used_share=st.sampled_from((0.0, 0.05)), guarantee=st.sampled_from((Amounts(0, 0, 0), Amounts(3, 0, 1))),
        )
        for name, parent in TREE
    )
)  # fmt: skip
waiting = st.lists(
    st.tuples(
        st.sampled_from(LEAVES), st.sampled_from(SHAPES), st.integers(-1, 1), st.integers(0, 3), st.none() | st.just(7)
    ),
    min_size=1,
    max_size=14,
).map(lambda rows: [Job(n, *row[:4], row[4]) for n, row in enumerate(rows, start=1)])


class EveryJob:
    """The rule, told by looking at every job each time."""

    def __init__(self, accounts: Accounts, queue: Queue, open_shapes: set[int]) -> None:
        self.accounts, self.queue, self.open = accounts, queue, open_shapes
        self.holdings = {name: holding.copy() for name, holding in accounts.holdings.items()}
        self.shape_of = {queue.shapes[index].claim: index for index in queue.shapes}
        self.passed: set[int] = set()
        self.also: set[int] = set()
        self.shortest = False

    def next(self, parent: str = ROOT) -> Job | None:
        """Return the job whose turn it is below an account."""
        found: list[tuple[Any, Job]] = []
        for name, vendor in self.accounts.vendors.items():
            if vendor.parent == parent:
                job = self.next(name) or min(self.of(name), key=self.key, default=None)
                if job is not None:
                    place = rank_of(vendor, self.holdings[name], TOTALS)
                    found.append(((*place, job.create_ns, job.job, name), job))
        return min(found, key=lambda each: each[0])[1] if found else None

    def of(self, vendor: str, shape: int | None = None) -> list[Job]:
        looked_at = self.open | self.also if shape is None else {shape}
        return [
            job
            for job in self.queue.jobs.values()
            if job.vendor == vendor and job.job not in self.passed and self.shape_of[job.claim] in looked_at
        ]

    def key(self, job: Job) -> tuple[int, ...]:
        duration_ns = self.queue.shapes[self.shape_of[job.claim]].duration_ns
        return shorter_first(turn(job), duration_ns) if self.shortest else turn(job)

    def take(self, vendor: str, more: tuple[int, int, int]) -> None:
        for link in self.accounts.chains[vendor]:
            self.holdings[link].add(more, 1)


@settings(max_examples=150)
@given(vendors, waiting, st.integers(0, 1 << 30))
def test_the_turn_is_that_of_the_account_with_the_smallest_share_and_of_its_first_job(
    told: tuple[Vendor, ...], jobs: list[Job], seed: int
) -> None:
    """Whatever happened to the turns before: granted, passed over, dropped, hidden, closed, looked at otherwise."""
    random = Random(seed)
    accounts, queue = Accounts.of(told), Queue()
    for job in jobs:
        queue.add(job)
    open_shapes = set(queue.shapes)
    turns, rule = FairTurns(accounts, queue, TOTALS, open_shapes), EveryJob(accounts, queue, open_shapes)

    def some_shapes() -> set[int]:
        return {shape for shape in sorted(queue.shapes) if random.random() < 0.3}

    for _ in range(3 * len(jobs)):
        happening = random.choice(("turn", "turn", "turn", "turn", "close", "hide", "also", "shortest"))
        if happening == "close":
            open_shapes.difference_update(some_shapes())
        elif happening == "hide":
            hidden = random.choice(jobs).job
            turns.hide(hidden)
            rule.passed.add(hidden)
        elif happening == "also":
            rule.also = some_shapes()
            turns.look_also_at(rule.also)
        elif happening == "shortest":
            rule.shortest, rule.also = random.random() < 0.5, set()
            turns.shortest_first(rule.shortest)
        head, due = turns.next(), rule.next()
        if due is None:
            assert head is None
            continue
        assert head is not None
        assert head[-3:] == (due.create_ns, due.job, rule.shape_of[due.claim])
        shape = head[-1]
        match random.choice(("grant", "grant", "skip", "drop", "ask again")):
            case "grant":
                more = (random.randrange(4), random.randrange(3), random.randrange(2))
                for each in (turns, rule):
                    each.take(due.vendor, more)
                turns.skip(due.vendor, shape)
                rule.passed.add(due.job)
            case "skip":
                turns.skip(due.vendor, shape)
                rule.passed.add(due.job)
            case "drop":
                turns.drop(due.vendor, shape)
                rule.passed.update(job.job for job in rule.of(due.vendor, shape))

    assert {name: turns.holding(name) for name in accounts.vendors} == rule.holdings


@settings(max_examples=50)
@given(vendors, waiting, st.lists(st.sampled_from(LEAVES), min_size=3, max_size=3))
def test_turns_change_neither_accounts_nor_queue_and_places_kept_from_before_are_those_found_anew(
    told: tuple[Vendor, ...], jobs: list[Job], takers: list[str]
) -> None:
    accounts, queue = Accounts.of(told), Queue()
    for job in jobs:
        queue.add(job)
    for taker in takers:
        before = {name: holding.copy() for name, holding in accounts.holdings.items()}
        turns = FairTurns(accounts, queue, TOTALS, set(queue.shapes))
        order = []
        while (head := turns.next()) is not None:
            vendor = queue.jobs[head[-2]].vendor
            order.append(head[-2])
            turns.take(vendor, (1, 0, 0))
            turns.skip(vendor, head[-1])

        assert accounts.holdings == before
        assert sorted(order) == sorted(queue.jobs)
        assert all(
            accounts.place(name, TOTALS)[:2] == rank_of(accounts.vendors[name], accounts.holdings[name], TOTALS)
            for name in accounts.vendors
        )
        accounts.hold(taker, (2, 1, 0))


@settings(max_examples=50)
@given(waiting)
def test_where_age_alone_counts_the_oldest_is_first_whoever_it_is(jobs: list[Job]) -> None:
    queue = Queue()
    for job in jobs:
        queue.add(job)
    turns = AgeTurns(queue, set(queue.shapes))
    order = []
    while (head := turns.next()) is not None:
        order.append(head[-2])
        turns.skip(queue.jobs[head[-2]].vendor, head[-1])

    assert order == [job.job for job in sorted(jobs, key=lambda job: (job.create_ns, job.job))]
