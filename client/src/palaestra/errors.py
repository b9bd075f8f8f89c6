"""Errors, the same on every side: a reason of the registry, a message for people, facts for programs.

The registry is `ErrorReason` in proto/palaestra/v1/errors.proto; the status code of each reason stands there.
A server raises `PalaestraError` anywhere and one interceptor turns it into a `google.rpc.Status`; the SDK
turns that back into the same `PalaestraError`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]

from palaestra.v1 import errors_pb2, rules_pb2

DOMAIN = "palaestra.dev"
_PREFIX = "ERROR_REASON_"
_DETAILS_KEY = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Reason:
    """One entry of the registry."""

    def __init__(self, name: str, code: grpc.StatusCode, help_text: str) -> None:
        self.name = name
        self.code = code
        self.help = help_text


def _registry() -> dict[str, Reason]:
    reasons = {}
    for value in errors_pb2.ErrorReason.DESCRIPTOR.values:
        if value.number == 0:
            continue
        extensions: Any = value.GetOptions().Extensions
        rule = extensions[rules_pb2.error]
        name = value.name.removeprefix(_PREFIX)
        reasons[name] = Reason(name, _CODES[rule.code], rule.help)
    return reasons


REASONS: Mapping[str, Reason] = _registry()


OUTAGES = frozenset({
    "SHUTTING_DOWN", "NOT_LEADER", "QUEUE_FULL", "DATABASE_BUSY", "DISK_FULL", "DISK_READ_ONLY", "DISK_FAILED",
})  # fmt: skip
"""Reasons that say nothing about a call: it is sent again, as it is, until somebody answers who can."""


class PalaestraError(Exception):
    """Something was refused or failed.

    Attributes:
        reason: Name in the registry, such as "NOT_FOUND".
        message: One sentence for people, with the offending value in it.
        metadata: The same facts for programs.
        retry_after_s: When to try again, if that makes sense.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        assert reason in REASONS, f"{reason} is not in the registry"
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status code of the reason."""
        return REASONS[self.reason].code

    @property
    def help(self) -> str:
        """What the registry says about the reason."""
        return REASONS[self.reason].help

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.reason, self.message, self.metadata, self.retry_after_s))


class Unreachable(PalaestraError):
    """No server answered in time at the address."""

    def __init__(self, message: str) -> None:
        super().__init__("SHUTTING_DOWN", message)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Unreachable, (self.message,))


def _rebuild(reason: str, message: str, metadata: dict[str, str], retry_after_s: float | None) -> PalaestraError:
    return PalaestraError(reason, message, metadata=metadata, retry_after_s=retry_after_s)


def to_status(error: PalaestraError) -> status_pb2.Status:
    """Return the error as `google.rpc.Status` with ErrorInfo and, where there is one, RetryInfo."""
    packed = [_info(error.reason, tuple(error.metadata.items()))]
    if error.retry_after_s is not None:
        seconds, nanos = divmod(int(error.retry_after_s * 1e9), 1_000_000_000)
        delay = duration_pb2.Duration(seconds=seconds, nanos=nanos)
        packed.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)


def trailing(error: PalaestraError) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata that carries the error's details."""
    return ((_DETAILS_KEY, to_status(error).SerializeToString()),)


def from_rpc(error: grpc.RpcError) -> PalaestraError:
    """Return the error that a call ended with. Without our details it is the reason nearest to its code."""
    call: Any = error
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            found = from_status(status_pb2.Status.FromString(value))
            if found is not None:
                return found
    details = call.details() or ""
    code = call.code()
    # Cancelled without a reason of ours: by a server, or a proxy, that went away. What a vendor cancels has a reason.
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return Unreachable(f"no answer from the server: {details or code.name.lower()}")
    for reason in REASONS.values():
        if reason.code is code:
            return PalaestraError(reason.name, details)
    return PalaestraError("INTERNAL", f"{code.name}: {details}")


def from_status(status: status_pb2.Status) -> PalaestraError | None:
    """Return the error in a status, or None if it carries no reason that we know."""
    reason = None
    metadata: dict[str, str] = {}
    retry_after_s = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            retry_after_s = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    if reason is None or reason not in REASONS:
        return None
    return PalaestraError(reason, status.message, metadata=metadata, retry_after_s=retry_after_s)


def http_status(error: PalaestraError) -> int:
    """Return the HTTP status: of the table of google/rpc/code.proto, unless HTTP has one that tells more."""
    return _TELLING.get(error.reason) or _HTTP[error.code.value[0]]


_TELLING = {"MESSAGE_TOO_LARGE": 413, "ETAG_MISMATCH": 412}

_HTTP = {
    code_pb2.CANCELLED: 499,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
}


@lru_cache(maxsize=256)
def _info(reason: str, metadata: tuple[tuple[str, str], ...]) -> any_pb2.Any:
    """Return what a refusal says for programs: in a flood of refusals it is the same in most."""
    return _pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=dict(metadata)))


def _pack(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
