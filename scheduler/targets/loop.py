"""Has the targets computed every few minutes, beside the scheduler and never in its way."""

import asyncio
import json
import logging
import math
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

from database.address import Address, Place
from scheduler import database
from scheduler.commands import targeting
from scheduler.writer import Command

log = logging.getLogger(__name__)
TIME_LIMIT_S = 10.0
# For starting Python, reading the books, and two programs, each within its time limit.
PATIENCE_S = 60.0


class NoTargets(Exception):
    """The computation failed, or answered with something else."""


async def run(place: Place, period_s: float, write: Callable[[Command[None]], Awaitable[None]]) -> None:
    """Compute and write targets every `period_s` [s], for ever. What fails is logged, and the old targets stay."""
    while True:
        await asyncio.sleep(period_s)
        try:
            await write(targeting.put(await computed(place)))
        except NoTargets as error:
            log.warning("no new target shares: %s", error)
        except Exception:
            log.exception("no new target shares")


async def computed(place: Place, command: Sequence[str] = (), patience_s: float = PATIENCE_S) -> dict[str, float]:
    """Return the factors that a process of its own finds; it does not outlive this call. Raises NoTargets.

    command: What to run instead of `python -m scheduler.targets`.
    """
    named, environment = str(place), dict(os.environ)
    if isinstance(place, Address):
        # Not as an argument, which every user of the machine may read.
        named, environment[database.ENVIRONMENT] = "-", place.url
    words = command or (sys.executable, "-m", "scheduler.targets", named, "--time-limit-s", str(TIME_LIMIT_S))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env=environment)
    try:
        out, err = await asyncio.wait_for(process.communicate(), patience_s)
    except TimeoutError:
        raise NoTargets(f"none within {patience_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise NoTargets(f"exit code {process.returncode}: {err.decode(errors='replace').strip()[-500:]}")
    try:
        factors = {str(leaf): float(factor) for leaf, factor in json.loads(out)["factors"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoTargets(f"no answer: {error}") from error
    if not all(math.isfinite(factor) and factor >= 0 for factor in factors.values()):
        raise NoTargets("a factor that is no number")
    return factors
