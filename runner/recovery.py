"""Episodes of workers that died: sealed from what they had flushed, and entered into the catalogue."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from palaestra.errors import PalaestraError
from palaestra.v1 import runner_service_pb2
from runner.episodes import request_of
from runner.settings import Settings
from store import Cached, ObjectStore, Recovered, open_objects, recover_spool
from store.errors import StoreFull

log = logging.getLogger(__name__)
# A worker's death is seldom, and looking costs the listing of a folder.
PERIOD_S = 10.0
# What is refused for these is refused for ever. A full disk, or a key that is out of date, passes.
FINAL = ("NOT_FOUND", "INVALID_FIELD")

Enter = Callable[[runner_service_pb2.CatalogueEpisodeRequest], Awaitable[object]]


async def keep_recovering(settings: Settings, instance: str, enter: Enter) -> None:
    """Recover what dead processes left in the spool, at once and from then on. Returns when cancelled."""
    while True:
        try:
            objects = open_objects(settings.objects_at or str(settings.objects), settings.objects)
            await recover_once(settings, objects, instance, enter)
            if settings.copies_bytes is not None and isinstance(objects, Cached):
                await asyncio.to_thread(objects.evict, settings.copies_bytes)
        except StoreFull as error:
            log.error("nothing can be recovered now: %s", error)
        except Exception:
            log.exception("recovery failed; it is tried again")
        await asyncio.sleep(PERIOD_S)


async def recover_once(settings: Settings, objects: ObjectStore, instance: str, enter: Enter) -> int:
    """Recover what there is now. Returns how many episodes came into the catalogue. Raises StoreFull."""
    left = recover_spool(settings.spool, objects)
    entered = 0
    while (one := await asyncio.to_thread(next, left, None)) is not None:
        entered += await _enter(one, instance, enter)
    return entered


async def _enter(one: Recovered, instance: str, enter: Enter) -> bool:
    try:
        await enter(request_of(one.header, one.outcome, one.sealed, instance, recovered=True))
    except PalaestraError as error:
        if error.reason not in FINAL:
            log.info("%s was recovered, and cannot be told now: %s", one.header.name, error)
            one.left()
            return False
        log.warning("%s was recovered, and the catalogue does not take it: %s", one.header.name, error)
        one.settled()
        return False
    except ValueError:
        log.warning("%s was recovered, and is of no attempt", one.header.name)
        one.settled()
        return False
    except BaseException:
        one.left()
        raise
    log.info("%s was recovered: %s", one.header.name, one.outcome.status)
    one.settled()
    return True
