"""What a failure of the disk means for what was being written, and for whether to go on.

A write that the disk refused (no space, read-only) has left nothing behind: the transaction's last page, which makes it
count, was not written. So the callers are told so, reads go on, and the next write may find the disk in order again.
The same holds for one that did not get the write lock, because another process holds the database.
After any other failure nobody knows. Above all an fsync that failed is not tried again: Linux may have marked the pages
as clean, so that the next fsync succeeds and tells nothing about them (https://wiki.postgresql.org/wiki/Fsync_Errors;
Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). The process ends at once, and the
next one goes by what the disk holds.
"""

import errno
import os
import sqlite3
from pathlib import Path

from palaestra.errors import PalaestraError
from scheduler.sql import Failed

# After those that heal by themselves, and after the others.
SOON_S = 1.0
RETRY_S = 5.0
FULL = "DISK_FULL"
READ_ONLY = "DISK_READ_ONLY"
FAILED = "DISK_FAILED"
BUSY = "DATABASE_BUSY"
# Results of a write that may have been refused because the file system has become read-only.
_REFUSED_WRITES = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE})
# Errors that end the whole transaction, not one command.
_FATAL = frozenset({
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY,
})  # fmt: skip
# The same of PostgreSQL (https://www.postgresql.org/docs/current/errcodes-appendix.html): the connection, the server's
# memory and disk, its end, its files, itself; that it takes no writes at present, or has given up the transaction; and
# that a lock was not to be had in the time that server or role allow, or for ever, because two waited for each other.
_FATAL_STATES = ("08", "53", "57P", "58", "XX", "25006", "25P", "55P03", "40001", "40P01")
# What the server answers has surely not been stored.
_TOLD_BY_SERVER = {"53100": FULL, "25006": READ_ONLY, "55P03": BUSY, "40001": BUSY, "40P01": BUSY}


def is_fatal(error: BaseException) -> bool:
    """Whether an error of one command is the disk's and not the command's own."""
    if isinstance(error, Failed):
        return not error.sqlstate or error.sqlstate.startswith(_FATAL_STATES)
    return isinstance(error, sqlite3.Error) and _code(error) & 0xFF in _FATAL


def judge(error: Exception, *, read_only: bool) -> str:
    """Return the reason of the registry: FULL, READ_ONLY and BUSY if surely nothing was stored, else FAILED.

    read_only: whether the folder refuses to be written to because of that.
    """
    if isinstance(error, Failed):
        return _TOLD_BY_SERVER.get(error.sqlstate, FAILED)
    code = _code(error)
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return FULL
    if code & 0xFF == sqlite3.SQLITE_BUSY:
        return BUSY
    return READ_ONLY if read_only and code in _REFUSED_WRITES else FAILED


def refusal(reason: str) -> PalaestraError:
    """Return what a caller is told whose command met with the disk's failure."""
    told = {
        FULL: "the scheduler's disk is full; nothing was stored",
        READ_ONLY: "the scheduler's disk has become read-only; nothing was stored",
        BUSY: "another process holds the scheduler's database; nothing was stored",
        FAILED: "the scheduler's disk failed; whether this was stored is not known",
    }
    return PalaestraError(reason, told[reason], retry_after_s=SOON_S if reason in (BUSY, FAILED) else RETRY_S)


def is_read_only(folder: Path) -> bool:
    """Try to make a file, which tells more surely than a mount's flags; True only if that is why it cannot be made."""
    path = folder / ".probe"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        path.unlink()
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def _code(error: Exception) -> int:
    """Return SQLite's extended result code (https://sqlite.org/rescode.html), 0 for an error of Python's module."""
    return getattr(error, "sqlite_errorcode", 0)
