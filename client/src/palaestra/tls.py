"""How a process proves who it is, and checks who answers, where connections are encrypted."""

import socket
import ssl
import tempfile
from dataclasses import dataclass

import grpc

from palaestra.errors import PalaestraError

_LOOK_S = 3.0


@dataclass(frozen=True)
class Tls:
    """PEM texts.

    Attributes:
        root: Certificates to trust. None: connections are not encrypted, fit for one machine only.
        certificate: Of the caller, with its chain; None: it shows none.
        key: Private key of `certificate`. Secret.
    """

    root: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return the credentials of a channel, None for a plain one.

        Raises:
            PalaestraError: INVALID_FIELD for a certificate without its key or without certificates to trust.
        """
        if (self.certificate is None) != (self.key is None):
            raise PalaestraError("INVALID_FIELD", "a client certificate and its key come together")
        if self.root is None:
            if self.certificate is not None:
                raise PalaestraError("INVALID_FIELD", "a client certificate needs the certificates to trust (ca)")
            return None
        return grpc.ssl_channel_credentials(self.root, self.key, self.certificate)

    def __repr__(self) -> str:
        return f"Tls(encrypted={self.root is not None}, certified={self.certificate is not None})"


def trouble(address: str, tls: Tls) -> str | None:
    """Return why no encrypted connection to an address comes about, None if one does.

    gRPC says no more than that the socket was closed; this tries once more, by other means.
    """
    if tls.root is None:
        return None
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        context = ssl.create_default_context(cadata=tls.root.decode())
        context.set_alpn_protocols(["h2"])
        if tls.certificate is not None and tls.key is not None:
            with tempfile.NamedTemporaryFile(suffix=".pem") as pair:
                pair.write(tls.certificate + b"\n" + tls.key)
                pair.flush()
                context.load_cert_chain(pair.name)
        with (
            socket.create_connection((host, int(port)), _LOOK_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            # A server that wants another certificate says so only after the handshake (TLS 1.3).
            encrypted.settimeout(_LOOK_S)
            return None if encrypted.recv(1) else _closed(tls)
    except TimeoutError:
        return None
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not to be trusted: {error.verify_message}"
    except ssl.SSLError as error:
        return _said(error)
    except (OSError, ValueError) as error:
        return str(error)


def _closed(tls: Tls) -> str:
    if tls.certificate is None:
        return "the server closed the connection; it asks for a client certificate, perhaps"
    return "the server closed the connection; the client certificate has expired, or is of another authority, perhaps"


def _said(error: ssl.SSLError) -> str:
    words = (error.reason or str(error)).lower().replace("_", " ")
    for part, sentence in (
        ("certificate required", "the server asks for a client certificate"),
        ("certificate expired", "the server says that the client certificate has expired"),
        ("unknown ca", "the server does not trust who signed the client certificate"),
        ("wrong version number", "the server does not speak TLS there"),
    ):
        if part in words:
            return sentence
    return words
