"""What the units of one claim share while they are driven together."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from runner.attempt import Attempt
from runner.errors import AttemptError, Stopped
from runner.tally import Tally
from store import EpisodeRecorder, Outcome, Status
from store.errors import StoreFull


class Gang:
    """The first failure ends all of them; opening, sealing and logging happen on threads behind the drives."""

    def __init__(self, attempt: Attempt, tally: Tally, total: int) -> None:
        """total: Episodes that are to be recorded."""
        self._attempt = attempt
        self._tally = tally
        self._total = total
        self._done = 0
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="opener")
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="sealer")
        self._lock = threading.Lock()
        self._failure: Exception | None = None

    def check(self) -> None:
        """Raise Stopped if another unit of the gang has failed, or the attempt was told to stop."""
        if self._failure is not None:
            raise Stopped
        self._attempt.check()

    def fail(self, error: Exception) -> None:
        """Note a failure; the first one counts, and the others come to rest now instead of finishing alone."""
        if isinstance(error, StoreFull):
            error = AttemptError("STORE_FULL", str(error), retryable=True)
        with self._lock:
            self._failure = self._failure or error

    def cause(self) -> str:
        """Return why the gang ends, for the episodes that are cut short by it."""
        return "" if self._failure is None else str(self._failure) or type(self._failure).__name__

    def open(self, make: Callable[[], EpisodeRecorder]) -> "Future[EpisodeRecorder]":
        """Open a recorder behind the drives: making its file may take long on a busy disk."""
        return self._opener.submit(make)

    def seal(self, recorder: EpisodeRecorder, outcome: Outcome, settle: Callable[[], None]) -> None:
        """Seal and catalogue an episode behind the drives, once `settle` says that nobody writes to it any more."""
        self._sealer.submit(self._seal, recorder, outcome, settle)

    def note(self, text: str) -> None:
        """Append a line to the job's log behind the drives."""
        try:
            self._sealer.submit(self._attempt.log, text)
        except RuntimeError:
            # The gang is closed, and a sample or two came after it.
            return

    def close(self) -> None:
        """Wait for the last seal; raise the first failure, if any."""
        self._opener.shutdown()
        self._sealer.shutdown()
        if self._failure is not None:
            raise self._failure

    def _seal(self, recorder: EpisodeRecorder, outcome: Outcome, settle: Callable[[], None]) -> None:
        try:
            with recorder:
                settle()
                if outcome.status is Status.ABORTED:
                    if recorder.rows == 0:
                        return
                    # Before the episode itself: killed in between, the job records one too many and not one too few.
                    self._tally.aborted += 1
                    self._tally.save(self._attempt)
                elif recorder.rows == 0:
                    raise AttemptError("UNIT_FAULT", f"{recorder.header.unit} sent no samples", retryable=True)
                self._attempt.catalogue(recorder.header, outcome, recorder.seal(outcome, hold=True))
            if outcome.status is Status.SUCCESS:
                self._done += 1
                self._attempt.progress(
                    self._done / max(self._total, 1), f"{self._done} of {self._total} episodes recorded"
                )
        except Exception as error:
            self.fail(error)
