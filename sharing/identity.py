"""Who calls: the scheduler is asked, with the caller's own token. This room knows no secrets of anybody."""

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from starlette.requests import Request

from palaestra.errors import PalaestraError, from_rpc
from palaestra.tls_files import TlsFiles
from palaestra.v1 import venue_service_pb2, venue_service_pb2_grpc
from sharing.terms import Purpose

KEPT_S = 2.0
"""How long an answer is believed: as long a token that was taken back may still be good here."""
KEPT_TOKENS = 4_096
PURPOSE_HEADER = "Palaestra-Purpose"

_TOKEN = re.compile(r"Bearer ([\x21-\x7e]{1,512})", re.IGNORECASE)
_OPTIONS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A scheduler that comes back is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        vendor: `vendors/{vendor}`; "" for the house.
        role: As the scheduler knows it: vendor, engineer, reader; operator and so on for the house.
        purpose: What it declares to want data for; who declares nothing wants to train.
    """

    vendor: str
    role: str
    purpose: Purpose = Purpose.TRAINING

    def decides(self) -> str:
        """Return the vendor whom the caller may bind. Raises ROLE_DENIED for engineers, readers and the house."""
        if self.role != "vendor" or not self.vendor:
            raise PalaestraError("ROLE_DENIED", "terms are agreed and revoked by the vendor's own token alone")
        return self.vendor

    def takes(self) -> str:
        """Return the vendor for whom the caller may have data. Raises ROLE_DENIED for readers and the house."""
        if self.role not in ("vendor", "engineer") or not self.vendor:
            raise PalaestraError("ROLE_DENIED", "shared data are for vendors and their engineers")
        return self.vendor

    def looks(self) -> str:
        """Return the vendor whose affairs the caller may look at. Raises ROLE_DENIED for the house."""
        if not self.vendor:
            raise PalaestraError("ROLE_DENIED", "agreements are shown to their sides alone")
        return self.vendor

    def keeps_house(self) -> str:
        """Return the role of an operator. Raises ROLE_DENIED for everybody else."""
        if self.role != "operator":
            raise PalaestraError("ROLE_DENIED", "this is for operators")
        return self.role


Identity = venue_service_pb2.GetIdentityResponse


class Callers:
    """Finds out who calls. Safe from any thread."""

    def __init__(
        self,
        ask: Callable[[str], Identity],
        *,
        clock_s: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """ask: Returns whose a token is; raises PalaestraError. See `Scheduler`."""
        self._ask = ask
        self._clock_s = clock_s
        self._now_s = now_s
        self._lock = threading.Lock()
        # By the token's hash: a dump of this process holds no more secrets than it must.
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    def caller(self, request: Request) -> Caller:
        """Return who sent a request.

        Raises:
            PalaestraError: BAD_TOKEN, ROLE_DENIED for a key of narrow scope, INVALID_FIELD for an unknown purpose,
                Unreachable.
        """
        declared = request.headers.get(PURPOSE_HEADER, str(Purpose.TRAINING))
        if declared not in set(Purpose):
            raise PalaestraError("INVALID_FIELD", f"{PURPOSE_HEADER}: must be one of {', '.join(Purpose)}")
        found = _TOKEN.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            raise PalaestraError("BAD_TOKEN", "no token was sent, or one with characters that no token has")
        identity = self._identity(found[1])
        if identity.methods or identity.projects:
            raise PalaestraError("ROLE_DENIED", "a key that is limited to methods or projects opens no shared data")
        return Caller(identity.vendor, identity.role, Purpose(declared))

    def _identity(self, token: str) -> Identity:
        key = hashlib.sha256(token.encode()).digest()
        now_s = self._clock_s()
        with self._lock:
            asked_s, identity = self._known.get(key, (-KEPT_S, None))
        if identity is None or now_s - asked_s >= KEPT_S:
            identity = self._ask(token)
            with self._lock:
                # As old as the question: it may have been answered before the token was taken back.
                self._known[key] = now_s, identity
                self._known.move_to_end(key)
                while len(self._known) > KEPT_TOKENS:
                    self._known.popitem(last=False)
        # A credential ends in its second, also one that is remembered.
        if identity.HasField("expire_time") and self._now_s() >= identity.expire_time.ToNanoseconds() / 1e9:
            raise PalaestraError("BAD_TOKEN", "the token has expired")
        return identity


class Scheduler:
    """The scheduler, as far as it is asked whose a token is."""

    def __init__(self, address: str, *, tls: TlsFiles | None = None, timeout_s: float = 5.0) -> None:
        self._channel = (tls or TlsFiles()).channel(address, _OPTIONS)
        self._stub = venue_service_pb2_grpc.VenueServiceStub(self._channel)
        self._timeout_s = timeout_s

    def identity(self, token: str) -> Identity:
        """Return whose a token is. Raises PalaestraError, Unreachable among them."""
        metadata = (("authorization", f"Bearer {token}"),)
        try:
            found: Identity = self._stub.GetIdentity(
                venue_service_pb2.GetIdentityRequest(), timeout=self._timeout_s, metadata=metadata
            )
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        return found

    def close(self) -> None:
        """End all calls."""
        self._channel.close()
