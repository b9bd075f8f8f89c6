"""An episode as a picture for whoever reviews it: its signals with the faults marked. Owners only.

Drawing decodes a whole episode, its video too: it is done by a process of its own, one at a time, with an end.
"""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.content import PictureRefused, find_episode, refused, require_owner
from api.session import Token
from api.upstream import Upstream
from palaestra.errors import PalaestraError
from store.errors import StoreError

log = logging.getLogger(__name__)
PATIENCE_S = 60.0
WAITING_MAX = 8
"""Pictures that wait for their turn; who comes then is told to come again."""


def router() -> APIRouter:
    """Return the route of pictures."""
    found = APIRouter()
    one_at_a_time = asyncio.Semaphore(1)
    waiting = 0

    @found.get("/v1/vendors/{vendor}/episodes/{episode}/picture", response_model=None, tags=["EpisodeService"],
               operation_id="EpisodeService_GetPicture",
               summary="Its signals with the faults marked, and frames of its cameras, PNG; owner only")  # fmt: skip
    async def picture(request: Request, token: Token, vendor: str, episode: str) -> Response:
        nonlocal waiting
        upstream: Upstream = request.app.state.upstream
        name = f"vendors/{vendor}/episodes/{episode}"
        row = await find_episode(upstream, token, name)
        await require_owner(upstream, token, f"vendors/{vendor}", name)
        if waiting >= WAITING_MAX:
            raise PalaestraError("RATE_LIMITED", "as many pictures wait as may", retry_after_s=5)
        waiting += 1
        try:
            path = await asyncio.to_thread(request.app.state.objects.path_of, row.content.sha256)
            async with one_at_a_time:
                data = await _drawn(path)
        except StoreError as error:
            raise refused(error) from None
        finally:
            waiting -= 1
        # The same episode looks another way when the rules change: kept for a while, not for ever.
        return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    return found


async def _drawn(path: Path) -> bytes:
    """Return the picture of a sealed episode. Raises PictureRefused if it cannot be drawn, or not in time."""
    with tempfile.TemporaryDirectory(prefix="palaestra-picture-") as folder:
        out = Path(folder) / "out.png"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "store", "mark", str(path), str(out)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        except TimeoutError:
            raise PictureRefused(f"drawing took longer than {PATIENCE_S:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            lines = said.decode("utf-8", "replace").strip().splitlines()
            # Where the file is in this machine is nobody's business.
            log.warning("a picture could not be drawn: %s", lines[-1] if lines else process.returncode)
            raise PictureRefused("the episode cannot be drawn")
        return await asyncio.to_thread(out.read_bytes)
