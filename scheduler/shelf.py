"""The catalogue of what was recorded, kept up with the scheduler's own table and asked behind the event loop.

Before each question the catalogue takes what the table of episodes has more than it: who was told that an episode is
recorded finds it. A batch and how far it reaches are one transaction of the catalogue, so that a death in the midst, or
the loss of the whole file, costs the time to read them again. Labels and data sets have no second home: that file
belongs into the backup.

Only the scheduler that leads writes there: it enters itself before it serves, and each transaction looks for its name.
Where the scheduler's database is another one than before, as after a restore, what that one does not know is shown no
more.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from catalogue import Catalogue, HasMoved, SchemaMismatch
from catalogue.entry import entries_of
from database.address import Place
from scheduler import disk
from scheduler.leadership import Leadership
from scheduler.sql import ERRORS, Connection, portions

log = logging.getLogger(__name__)
T = TypeVar("T")
FILE = "catalogue.db"
BATCH = 1_000
READERS = 2


class Shelf:
    """One catalogue for one event loop. Nothing is opened before the first question."""

    def __init__(self, place: Place, read: Connection, leadership: Leadership | None = None) -> None:
        """read: The scheduler's connection to look, of the event loop's thread.

        leadership: Whose writes these are; None: nobody else writes.
        """
        self._place = place
        self._read = read
        self._leadership = leadership
        self._catalogue: Catalogue | None = None
        self._workers: ThreadPoolExecutor | None = None
        # What takes seconds is done one after the other, and nobody's question waits for it.
        self._slow: ThreadPoolExecutor | None = None
        self._following: asyncio.Lock | None = None

    async def lead(self) -> None:
        """Keep whoever led before from writing, before this scheduler serves; if the disk does not let us, by the first
        question. Raises Overtaken."""
        try:
            await self._opened()
        except (OSError, SchemaMismatch, HasMoved, *ERRORS) as error:
            log.error("the catalogue cannot be opened, and is tried again with the first question: %s", error)

    async def ask(self, question: Callable[[Catalogue], T], *, slow: bool = False) -> T:
        """Return what a question to the catalogue, which knows all that the scheduler knows, gives.

        slow: Whether it takes seconds, and takes turns with others by itself.

        Raises what the question raises, and what `disk.judge` says of a disk that fails.
        """
        try:
            catalogue = await self._followed()
            return await self._behind(lambda: question(catalogue), slow=slow)
        except ERRORS as error:
            if not disk.is_fatal(error):
                raise
            read_only = isinstance(self._place, Path) and disk.is_read_only(self._place.parent)
            reason = disk.judge(error, read_only=read_only)
            raise disk.refusal(reason) from error

    def close(self) -> None:
        """Finish what runs and close the file."""
        for workers in (self._workers, self._slow):
            if workers is not None:
                workers.shutdown()
        if self._catalogue is not None:
            self._catalogue.close()
        self._workers = self._slow = self._catalogue = None

    async def _opened(self) -> Catalogue:
        if self._following is None:
            self._following = asyncio.Lock()
        async with self._following:
            if self._catalogue is None:
                self._catalogue = await self._behind(self._open)
            return self._catalogue

    def _open(self) -> Catalogue:
        leadership = self._leadership
        if leadership is None:
            return Catalogue(self._place)
        catalogue = Catalogue(self._place, leadership.mark.instance)
        try:
            catalogue.lead(leadership.epoch, leadership.affirm)
        except BaseException:
            catalogue.close()
            raise
        return catalogue

    async def _followed(self) -> Catalogue:
        catalogue = await self._opened()
        assert self._following is not None
        async with self._following:
            number, uid = await self._behind(catalogue.followed)
            if number and not self._knows(number, uid):
                # Another database than before, as after a restore: what is here already is passed over.
                await self._forget_unknown(catalogue)
                number = 0
            while rows := self._after(number):
                number, uid = rows[-1][0], rows[-1][1]
                entries = entries_of([body for _, _, body in rows])
                await self._behind(partial(catalogue.enter, entries, (number, uid)))
            return catalogue

    async def _forget_unknown(self, catalogue: Catalogue) -> None:
        """Show no more what the scheduler's table does not have. Died half-way, the next question begins anew."""
        number, count = 0, 0
        while page := await self._behind(partial(catalogue.uids, number, BATCH)):
            number = page[-1][0]
            gone = {uid for _, uid in page}
            for some, text in portions([uid for _, uid in page]):
                gone -= {row["uid"] for row in self._read.execute(f"SELECT uid FROM episode WHERE uid IN {text}", some)}
            if gone:
                await self._behind(partial(catalogue.forget, sorted(gone)))
                count += len(gone)
        if count:
            log.warning("the database knows nothing of %d episodes of the catalogue, which are shown no more", count)

    def _knows(self, number: int, uid: str) -> bool:
        return (
            self._read.execute("SELECT 1 FROM episode WHERE id = ? AND uid = ?", (number, uid)).fetchone() is not None
        )

    def _after(self, number: int) -> list[tuple[int, str, bytes]]:
        text = "SELECT id, uid, body FROM episode WHERE id > ? ORDER BY id LIMIT ?"
        return [(row["id"], row["uid"], row["body"]) for row in self._read.execute(text, (number, BATCH)).fetchall()]

    async def _behind(self, act: Callable[[], T], *, slow: bool = False) -> T:
        if slow:
            if self._slow is None:
                self._slow = ThreadPoolExecutor(1, thread_name_prefix="catalogue-slow")
            return await asyncio.get_running_loop().run_in_executor(self._slow, act)
        if self._workers is None:
            self._workers = ThreadPoolExecutor(READERS, thread_name_prefix="catalogue")
        return await asyncio.get_running_loop().run_in_executor(self._workers, act)
