"""What a grant comes to: tables, made in the background the first time, kept for as long as the grant is the same."""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from sharing.delta.secret import Secret
from sharing.delta.table import SharedTable, tables_of
from sharing.errors import NotShared, SharingError
from sharing.grant import Grant
from sharing.projection.tables import Projection

MAKING_MAX, WAITING_MAX, WAITING_OF_ONE_MAX = 4, 64, 8
KEPT_FILES = 200_000
log = logging.getLogger(__name__)

Key = tuple[str, int, int, str]


@dataclass(frozen=True)
class Offer:
    """Tables by name in small letters, under a grant."""

    grant: Grant
    tables: Mapping[str, SharedTable]

    def table(self, name: str) -> SharedTable:
        """Return a table by its name in small letters. Raises NotShared."""
        try:
            return self.tables[name]
        except KeyError:
            raise NotShared from None


class NotReady(Exception):
    """The tables are being made. done: Has a result when it is worth asking again; None: too much is being made."""

    def __init__(self, done: "Future[None] | None") -> None:
        super().__init__("the tables are being made")
        self.done = done


class Offers:
    """Keeps offers; has missing ones made, for one consumer one at a time. Safe from any thread."""

    def __init__(self, project: Callable[[Grant], Projection], secret: Secret, *, kept_files: int = KEPT_FILES) -> None:
        self._project, self._secret, self._kept_files = project, secret, kept_files
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Offer] = OrderedDict()
        self._count = 0
        self._pending: dict[Key, Future[None]] = {}
        self._failed: dict[Key, SharingError] = {}
        self._waiting: deque[Grant] = deque()
        self._busy: set[str] = set()

    def kept(self, agreement: str, epoch: int, version: int, purpose: str) -> Offer | None:
        """Return the offer of such a grant if it is at hand."""
        with self._lock:
            return self._found((agreement, epoch, version, purpose))

    def ready(self, grant: Grant) -> Offer:
        """Return the offer of a grant. Raises NotReady; NotShared if it could not be made."""
        key = _key(grant)
        with self._lock:
            found = self._found(key)
            if found is not None:
                return found
            if self._failed.pop(key, None) is not None:
                # What cannot be made is the provider's affair, and told to the witness's reader and the log.
                raise NotShared
            done = self._pending.get(key)
            if done is None:
                waiting = [one for one in self._waiting if one.consumer == grant.consumer]
                if len(self._waiting) >= WAITING_MAX or len(waiting) >= WAITING_OF_ONE_MAX:
                    raise NotReady(None)
                done = self._pending[key] = Future()
                self._waiting.append(grant)
                self._start()
        raise NotReady(done)

    def _found(self, key: Key) -> Offer | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _start(self) -> None:
        """Give the next that waits a thread, if there is one whose consumer has none. With the lock held."""
        for grant in list(self._waiting):
            if len(self._busy) >= MAKING_MAX:
                return
            if grant.consumer not in self._busy:
                self._busy.add(grant.consumer)
                self._waiting.remove(grant)
                threading.Thread(target=self._make, args=(grant,), name="projecting", daemon=True).start()

    def _make(self, grant: Grant) -> None:
        key, made = _key(grant), None
        failure: SharingError | None = None
        try:
            made = Offer(grant, tables_of(self._project(grant), self._secret))
        except SharingError as error:
            log.warning("agreement %s, version %d cannot be projected: %s", grant.agreement, grant.version, error)
            failure = error
        except Exception:
            log.exception("agreement %s, version %d", grant.agreement, grant.version)
            failure = NotShared()
        with self._lock:
            if made is not None:
                self._keep(key, made)
            elif failure is not None:
                self._failed[key] = failure
                while len(self._failed) > WAITING_MAX:
                    del self._failed[next(iter(self._failed))]
            done = self._pending.pop(key)
            self._busy.discard(grant.consumer)
            self._start()
        done.set_result(None)

    def _keep(self, key: Key, made: Offer) -> None:
        self._kept[key] = made
        self._count += _files(made)
        while self._count > self._kept_files and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._count -= _files(gone)


def _files(offer: Offer) -> int:
    return sum(len(table.files) for table in offer.tables.values())


def _key(grant: Grant) -> Key:
    return grant.agreement, grant.epoch, grant.version, str(grant.purpose)
