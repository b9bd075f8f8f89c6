"""The catalogue of what was recorded, kept up with the scheduler's own table and asked behind the event loop.

Before each question the catalogue takes what the table of episodes has more than it: who was told that an episode is
recorded finds it. A batch and how far it reaches are one transaction of the catalogue, so that a death in the midst, or
the loss of the whole file, costs the time to read them again. Labels and data sets have no second home: that file
belongs into the backup.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from catalogue import Catalogue
from catalogue.entry import entries_of
from scheduler import disk
from scheduler.sql import Connection

T = TypeVar("T")
FILE = "catalogue.db"
BATCH = 1_000
READERS = 2


class Shelf:
    """One catalogue for one event loop. Nothing is opened before the first question."""

    def __init__(self, path: Path, read: Connection) -> None:
        """read: The scheduler's connection to look, of the event loop's thread."""
        self._path = path
        self._read = read
        self._catalogue: Catalogue | None = None
        self._workers: ThreadPoolExecutor | None = None
        self._following: asyncio.Lock | None = None

    async def ask(self, question: Callable[[Catalogue], T]) -> T:
        """Return what a question to the catalogue, which knows all that the scheduler knows, gives.

        Raises what the question raises, and what `disk.judge` says of a disk that fails.
        """
        try:
            catalogue = await self._followed()
            return await self._behind(lambda: question(catalogue))
        except sqlite3.Error as error:
            if not disk.is_fatal(error):
                raise
            reason = disk.judge(error, read_only=disk.is_read_only(self._path.parent))
            raise disk.refusal(reason) from error

    def close(self) -> None:
        """Finish what runs and close the file."""
        if self._workers is not None:
            self._workers.shutdown()
        if self._catalogue is not None:
            self._catalogue.close()
        self._workers = self._catalogue = None

    async def _followed(self) -> Catalogue:
        if self._following is None:
            self._following = asyncio.Lock()
        async with self._following:
            if self._catalogue is None:
                self._catalogue = await self._behind(lambda: Catalogue(self._path))
            catalogue = self._catalogue
            number, uid = await self._behind(catalogue.followed)
            if number and not self._knows(number, uid):
                # Another database than before, as after a restore: what is here already is passed over.
                number = 0
            while rows := self._after(number):
                number, uid = rows[-1][0], rows[-1][1]
                entries = entries_of([body for _, _, body in rows])
                await self._behind(partial(catalogue.enter, entries, (number, uid)))
            return catalogue

    def _knows(self, number: int, uid: str) -> bool:
        return (
            self._read.execute("SELECT 1 FROM episode WHERE id = ? AND uid = ?", (number, uid)).fetchone() is not None
        )

    def _after(self, number: int) -> list[tuple[int, str, bytes]]:
        text = "SELECT id, uid, body FROM episode WHERE id > ? ORDER BY id LIMIT ?"
        return [(row["id"], row["uid"], row["body"]) for row in self._read.execute(text, (number, BATCH)).fetchall()]

    async def _behind(self, act: Callable[[], T]) -> T:
        if self._workers is None:
            self._workers = ThreadPoolExecutor(READERS, thread_name_prefix="catalogue")
        return await asyncio.get_running_loop().run_in_executor(self._workers, act)
