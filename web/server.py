"""The server under every application of HTTP: stops in bounded time, follows its certificate's files."""

import logging
import socket
import ssl
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from palaestra.tls_files import NoCertificate, TlsFiles, check_pair
from web.listening import Listening

STOP_S = 3
_LOOK_TICKS = 10
log = logging.getLogger(__name__)


def config(app: FastAPI, settings: Listening) -> uvicorn.Config:
    """Return how an application is served."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=STOP_S,
        limit_concurrency=1024,
        h11_max_incomplete_event_size=64 << 10,
        ssl_certfile=settings.cert,
        ssl_keyfile=settings.key,
    )


class Server(uvicorn.Server):
    """Follows its certificate's files, so that who renews them need not start it anew."""

    _stamp: object = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remember the certificate's files as they are loaded."""
        await super().startup(sockets)
        if self.config.ssl is not None:
            self._stamp = self._pair().stamp()

    async def on_tick(self, counter: int) -> bool:
        """Take a renewed certificate in, for connections from now on. Called ten times a second."""
        if counter % _LOOK_TICKS == 0 and self.config.ssl is not None:
            self._follow(self.config.ssl)
        return await super().on_tick(counter)

    def _pair(self) -> TlsFiles:
        return TlsFiles(cert=Path(str(self.config.ssl_certfile)), key=Path(str(self.config.ssl_keyfile)))

    def _follow(self, context: ssl.SSLContext) -> None:
        files = self._pair()
        stamp = files.stamp()
        if stamp != self._stamp and files.cert is not None and files.key is not None:
            try:
                check_pair(files.cert, files.key)
                context.load_cert_chain(files.cert, files.key)
            except (NoCertificate, OSError) as problem:
                # Half of a pair that is being replaced: the next tick looks again.
                log.warning("the certificate from before is kept: %s", problem)
                return
            self._stamp = stamp
            log.info("%s was renewed", files.cert)
