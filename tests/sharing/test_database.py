"""The room's file, from threads that come and go."""

import os
import threading
from pathlib import Path

from sharing.database import Database


def test_threads_that_have_ended_leave_nothing_open(tmp_path: Path) -> None:
    """A server's threads end when they idle: each left three descriptors, until there were no more."""
    database = Database(tmp_path / "sharing.db")
    for _ in range(20):
        thread = threading.Thread(target=lambda: database.reader().execute("SELECT 1").fetchone())
        thread.start()
        thread.join()

    held = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]

    # The writer's, the last thread's, and what SQLite itself puts off closing while another has a lock.
    assert held.count(str(tmp_path.resolve() / "sharing.db")) <= 5
    database.close()
