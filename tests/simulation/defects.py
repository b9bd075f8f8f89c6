"""Defects to plant, each of which the simulation must find: what it cannot find it does not test."""

import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import controller.drive
import controller.host
import store.objects
from palaestra.streams import EventTail
from scheduler import database, events, recognition
from scheduler.commands import accounting, ending, running
from scheduler.snapshot import places
from scheduler.writer import Writer
from tests.simulation.station import SimStation


def answer_before_commit() -> None:
    """Callers are answered when their command has run, and not when its transaction is committed."""
    run_group = Writer._run_group

    def early(self: Any, group: Any, transaction: Any) -> Any:
        results = run_group(self, group, transaction)
        for entry, result, error in results:
            if error is None:
                entry.future.set_result(result)
                entry.future = Future()
        self._answered()
        return results

    Writer._run_group = early  # type: ignore[method-assign]


def free_without_waiting() -> None:
    """A unit whose lease was lost is free at once, without its host's word or its time to live."""
    ending._stop_margin_s = lambda tx: -1e6  # type: ignore[assignment]


def no_time_to_live() -> None:
    """A host goes by the last grants that it has heard of, however long ago that was."""
    module: Any = controller.host
    receive = module.grants.receive

    def for_ever(held: Any, offers: Any, **rest: Any) -> Any:
        # All that counts time goes by the grant: the loop, the sweep of grants, and each drive.
        return receive(held, [replace(offer, ttl_s=math.inf) for offer in offers], **rest)

    module.grants.receive = for_ever


def rest_before_rest() -> None:
    """A host confirms that a unit rests while it still brakes."""
    module: Any = controller.host
    status = module._status

    def hasty(unit: str, found: Any, highest: int, *rest: Any) -> Any:
        return status(unit, replace(found, safe_epoch=highest), highest, *rest)

    module._status = hasty


def no_fence() -> None:
    """A host lets whoever comes drive, with any epoch, for as long as he likes."""
    module: Any = controller.drive
    module.permit = lambda *_, **__: None
    module.DriveService._ending = lambda self, request, reading: None
    SimStation.fenced = False


def request_ids_forgotten() -> None:
    """The same request twice makes two jobs."""
    module: Any = recognition
    draft_of = module.draft_of
    module.draft_of = lambda request: replace(draft_of(request), request_id="")


def held_twice() -> None:
    """Deciding takes every unit for free, and the schema does not mind."""
    database.SCHEMA = database.SCHEMA.replace("CREATE UNIQUE INDEX one_lease_per", "CREATE INDEX one_lease_per")
    unit = places._unit
    places._unit = lambda row, care: replace(unit(row, care), free=True)


def event_left_out() -> None:
    """A cell becomes free without an event."""
    told = events.cell_changed
    events.cell_changed = lambda tx, cell, kind: kind == "cell.freed" or told(tx, cell, kind)


def wrong_end() -> None:
    """An old runner's word about an attempt counts, though it is another's."""
    running._owned = lambda tx, name, instance: running.find(tx, name)


def books_forget() -> None:
    """What was used by an attempt that was lost is not entered."""
    total = accounting._add_total

    def forgetful(tx: Any, vendor: str, used: Any) -> None:
        if tx.now_ns % 3:
            total(tx, vendor, used)

    accounting._add_total = forgetful


def watch_skips() -> None:
    """A watcher that comes back after a cut misses the next event."""
    call = EventTail.call

    def skipping(self: Any) -> Any:
        found = call(self)
        if self._sequence:
            found.request.after_sequence += 1
        return found

    EventTail.call = skipping  # type: ignore[method-assign]


def never_again() -> None:
    """A job that made no progress waits for ever before its next try."""
    ending.BACKOFF_FIRST_S = ending.BACKOFF_MAX_S = 1e6


def object_not_kept() -> None:
    """An episode's file is removed from the spool before it has its name in the store."""

    def careless(self: Any, path: Any, announce: Any) -> Any:
        with open(path, "rb") as file:
            return store.objects.StoredObject(store.objects.hash_of(file), file.tell())

    store.objects.LocalObjects._adopt = careless  # type: ignore[method-assign]


def _named(*defects: Callable[[], None]) -> dict[str, Callable[[], None]]:
    return {defect.__name__.replace("_", "-"): defect for defect in defects}


# Looked for first in lives of long work and long cuts: in others leases hardly ever run out while a robot moves.
LASTING = _named(no_fence, wrong_end, no_time_to_live)
DEFECTS = LASTING | _named(
    answer_before_commit, free_without_waiting, rest_before_rest, request_ids_forgotten, held_twice, event_left_out,
    books_forget, watch_skips, never_again, object_not_kept,
)  # fmt: skip
