"""Certificates in files, looked at again while a process runs, so that who renews them need not start anything anew."""

import logging
import ssl
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from palaestra.channel import is_loopback, routing, target
from palaestra.errors import PalaestraError
from palaestra.tls import Tls

log = logging.getLogger(__name__)
LOOK_PERIOD_S = 1.0
Options = Sequence[tuple[str, Any]]


class NoCertificate(Exception):
    """Certificate files that are missing, broken, or do not belong together; the message says which and why."""


@dataclass(frozen=True)
class TlsFiles:
    """Where the PEM files of a process lie that opens connections.

    Attributes:
        ca: Certificates to trust. None: connections are not encrypted.
        cert, key: What it shows, and the private key.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @staticmethod
    def add_options(parser: ArgumentParser, *, prefix: str = "") -> None:
        """Add --ca, --cert and --key to a command line."""
        parser.add_argument(f"--{prefix}ca", type=Path, metavar="FILE", help="certificates to trust; without: no TLS")
        parser.add_argument(f"--{prefix}cert", type=Path, metavar="FILE", help="certificate to show")
        parser.add_argument(f"--{prefix}key", type=Path, metavar="FILE", help="its private key")

    @classmethod
    def of(cls, given: Namespace, *, prefix: str = "") -> "TlsFiles":
        """Return what a command line says. Raises NoCertificate if the files cannot be used."""
        stem = prefix.replace("-", "_")
        found = cls(*(getattr(given, f"{stem}{name}") for name in ("ca", "cert", "key")))
        found.read()
        return found

    def read(self) -> Tls:
        """Return the files' contents. Raises NoCertificate."""
        if (self.cert is None) != (self.key is None) or (self.cert and not self.ca):
            raise NoCertificate("--cert and --key come together, and with --ca")
        if self.cert is not None and self.key is not None:
            check_pair(self.cert, self.key)
        try:
            return Tls(*(path.read_bytes() if path is not None else None for path in (self.ca, self.cert, self.key)))
        except OSError as error:
            raise NoCertificate(f"{error.filename}: {error.strerror}") from None

    def channel(self, address: str, options: Options) -> grpc.Channel:
        """Open a channel to one address or, with commas between, to whichever of several leads.

        Encrypted ones follow the files. Raises what `palaestra.channel.target` raises, and NoCertificate; also without
        certificates to trust, if an address is on another machine: what would go there unencrypted is a role's token,
        or a lease's.
        """
        self.check_private(address)
        where, how = target(address), _with_routing(options, address)
        if self.ca is None:
            return grpc.insecure_channel(where, options=how)
        return _Live(self, lambda tls: grpc.secure_channel(where, _credentials(tls), options=how))  # type: ignore[return-value]

    def aio_channel(self, address: str, options: Options) -> grpc.aio.Channel:
        """Open a channel for asyncio, as `channel`."""
        self.check_private(address)
        where, how = target(address), _with_routing(options, address)
        if self.ca is None:
            return grpc.aio.insecure_channel(where, options=how)
        return _AioLive(self, lambda tls: grpc.aio.secure_channel(where, _credentials(tls), options=how))  # type: ignore[return-value]

    def check_private(self, address: str) -> None:
        """Raise NoCertificate if tokens would travel to another machine for everybody to read."""
        if self.ca is None and not is_loopback(address):
            raise NoCertificate(
                f"{address} is another machine, and tokens would travel there unencrypted: name the certificates to "
                "trust with --ca"
            )

    def stamp(self) -> object:
        """Return what differs after a file has changed."""
        return _stamps([path for path in (self.ca, self.cert, self.key) if path is not None])


class _Live:
    """Stands for a channel; calls go to one that was opened with the files as they are now.

    A connection outlives the files that it was opened with, and so do the calls on it: the channel from before stays
    until there is a third.
    """

    def __init__(self, files: TlsFiles, open_channel: Callable[[Tls], Any]) -> None:
        self._files = files
        self._open = open_channel
        self._lock = threading.Lock()
        self._stamp = files.stamp()
        self._look_s = time.monotonic()
        self._channels: list[Any] = [open_channel(files.read())]
        self._methods: dict[tuple[int, str], Callable[..., Any]] = {}

    def unary_unary(self, method: str, *forms: Any, **named: Any) -> Callable[..., Any]:
        return self._late("unary_unary", method, forms, named)

    def unary_stream(self, method: str, *forms: Any, **named: Any) -> Callable[..., Any]:
        return self._late("unary_stream", method, forms, named)

    def stream_unary(self, method: str, *forms: Any, **named: Any) -> Callable[..., Any]:
        return self._late("stream_unary", method, forms, named)

    def stream_stream(self, method: str, *forms: Any, **named: Any) -> Callable[..., Any]:
        return self._late("stream_stream", method, forms, named)

    def close(self) -> Any:
        """End all calls."""
        for channel in self._channels:
            channel.close()

    def _late(self, kind: str, method: str, forms: Any, named: Any) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            channel = self.current()
            # Another thread may put a new one in its place meanwhile.
            methods, key = self._methods, (id(channel), method)
            found = methods.get(key)
            if found is None:
                found = methods[key] = getattr(channel, kind)(method, *forms, **named)
            return found(*arguments, **options)

        return call

    def current(self) -> Any:
        """Return the channel to make a call on."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._look_s >= LOOK_PERIOD_S:
                self._look_s = now_s
                self._renew()
            return self._channels[-1]

    def _renew(self) -> None:
        stamp = self._files.stamp()
        if stamp == self._stamp:
            return
        try:
            self._channels.append(self._open(self._files.read()))
        except (NoCertificate, PalaestraError) as problem:
            # Half of a pair that is being replaced: the next call looks again.
            log.warning("the certificate from before is kept: %s", problem)
            return
        self._stamp = stamp
        self._methods = {}
        if len(self._channels) > 2:
            self._retire(self._channels.pop(0))

    def _retire(self, channel: Any) -> None:
        channel.close()


class _AioLive(_Live):
    """The same for asyncio."""

    async def __aenter__(self) -> "_AioLive":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> Any:
        """End all calls."""
        for channel in self._channels:
            await channel.close()

    async def channel_ready(self) -> None:
        """Return once there is a connection."""
        await self.current().channel_ready()

    def _retire(self, channel: Any) -> None:
        # Goes when its last call does.
        pass


class ServerFiles:
    """The files of a process that others connect to, as of the last time they made sense together.

    Args:
        cert, key: What it shows, with the chain, and the private key.
        ca: Who signs the certificates that callers must show; None: they need none.

    Raises NoCertificate at the start if they do not make sense.
    """

    def __init__(self, cert: Path, key: Path, ca: Path | None = None) -> None:
        self._cert = cert
        self._key = key
        self._ca = ca
        # gRPC asks from threads of its own.
        self._lock = threading.Lock()
        self._stamps = self._stamp()
        self._contents = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that look at the files at every handshake."""
        # None is gRPC's own word for "as before"; the types of its stubs leave it out.
        renewed: Any = self._renewed
        return grpc.dynamic_ssl_server_credentials(self._configuration(), renewed, self._ca is not None)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the configuration if the files have changed, None otherwise. Never raises."""
        with self._lock:
            try:
                stamps = self._stamp()
                if stamps == self._stamps:
                    return None
                self._contents = self._read()
            except NoCertificate as problem:
                # As above: the next handshake looks again.
                log.warning("the certificate from before is kept: %s", problem)
                return None
            self._stamps = stamps
            log.info("%s was renewed", self._cert)
            return self._configuration()

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        key, chain, roots = self._contents
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=roots)

    def _stamp(self) -> object:
        return _stamps([path for path in (self._cert, self._key, self._ca) if path is not None])

    def _read(self) -> tuple[bytes, bytes, bytes | None]:
        check_pair(self._cert, self._key)
        try:
            if self._ca is not None:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(self._ca)
            roots = self._ca.read_bytes() if self._ca is not None else None
            return self._key.read_bytes(), self._cert.read_bytes(), roots
        except (OSError, ValueError) as error:
            raise NoCertificate(f"{self._ca or self._cert}: {error}") from None


def check_pair(cert: Path, key: Path) -> None:
    """Raise NoCertificate unless the two files can be read and belong together."""
    for path in (cert, key):
        if not path.is_file():
            raise NoCertificate(f"{path} is not there")
    try:
        # A password would be asked for on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        raise NoCertificate(f"{cert} is no certificate of {key}: {error}") from None


def _with_routing(options: Options, address: str) -> Options:
    # Of an option that is there twice gRPC does not say which one counts.
    return list({**dict(options), **dict(routing(address))}.items())


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    found = tls.credentials()
    assert found is not None, "asked for only where there are certificates to trust"
    return found


def _stamps(paths: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            state = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((state.st_ino, state.st_mtime_ns, state.st_size))
    return found
