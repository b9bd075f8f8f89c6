"""The one gate that every call passes: parse, identify, authorise, demand a deadline, check rules, translate errors.

In that order, so that a stranger learns nothing about what a valid request looks like beyond that it parses.
"""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from palaestra import rules
from palaestra.errors import PalaestraError, trailing
from scheduler import audit, disk, encoding
from scheduler.admission import OpenStreams
from scheduler.identity import Identification, Identity, Shown
from scheduler.leadership import Overtaken
from scheduler.rates import MethodClass, Rate, Rates, class_of, cost_of
from scheduler.recognition import Known
from scheduler.roles import ROLES, in_scope, short
from scheduler.sql import Failed
from scheduler.window import Windows

log = logging.getLogger(__name__)
_caller: ContextVar[Identity] = ContextVar("caller")

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
TEXT_MAX = 500


def caller() -> Identity:
    """Return who makes the present call."""
    return _caller.get()


def reads_for() -> str | None:
    """Return the vendor that the present call acts for, None outside of calls and for the house."""
    identity = _caller.get(None)
    return identity.vendor if identity is not None and identity.role.acts_for_vendor else None


class Malformed:
    """Stands for bytes that are no message, until somebody can answer properly: the error to answer with."""

    def __init__(self, reason: str, problem: str) -> None:
        self.reason = reason
        self.problem = problem


class Guard(grpc.GenericRpcHandler):
    """All methods of the server, each behind the gate.

    Services are added to it as to a server. As one handler for all of them it costs a look into a table for each call,
    where an interceptor would cost another coroutine.

    Args:
        leading: Raises NOT_LEADER if another scheduler leads; asked before each call and each message of a stream.
        known: By method, what knows a request again by its bytes that need not be read and checked.
    """

    def __init__(
        self,
        identification: Identification,
        streams: OpenStreams,
        rates: Rates | None = None,
        now_s: Callable[[], float] = time.monotonic,
        leading: Callable[[], None] = lambda: None,
        known: Mapping[str, Callable[[bytes], Known | None]] | None = None,
    ) -> None:
        self._known = known or {}
        self._identification = identification
        self._rates = rates or Rates(Rate())
        self._now_s = now_s
        self._windows = Windows()
        self._streams = streams
        self._leading = leading
        self._guarded: dict[str, Any] = {}
        # Of methods with one answer, by their paths.
        self._classes: dict[str, MethodClass] = {}
        self._draining = False
        # Calls with one answer that are being carried out.
        self.running = 0

    def drain(self) -> None:
        """From now on refuse every call with SHUTTING_DOWN; those that run go on to their end."""
        self._draining = True

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Take the methods of a service in, as generated code gives them."""
        for name, handler in handlers.items():
            method = f"{service}/{name}"
            self._guarded[f"/{method}"] = self._guard(handler, method)

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Generated code gives the same methods a second time."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if self._rates.flooded(self._now_s()):
            refusing = self._refusing(handler_call_details)
            if refusing is not None:
                return refusing
        return self._guarded.get(handler_call_details.method)

    def _refusing(self, details: grpc.HandlerCallDetails) -> Any:
        """Return what refuses a call before its message has come, None if its vendor may make one.

        Of a flood that is refused the others feel what it takes of the loop, and to wait for a message and to read it
        is a turn of the loop and a sixth of that.
        """
        method_class = self._classes.get(details.method)
        if method_class is None:
            return None
        values = tuple(value for key, value in details.invocation_metadata or () if key == "authorization")
        try:
            # Who comes by certificate alone is not known before the call itself.
            vendor = self._identification.identify(Shown(values)).vendor
        except PalaestraError:
            return None
        error = self._rates.refusal(vendor, method_class, 1, self._now_s()) if vendor else None
        if error is None:
            return None
        method = details.method[1:]

        async def handle(requests: AsyncIterator[bytes], context: Any) -> None:
            try:
                # What is wrong besides is told first, as if the message had been waited for.
                self._admit(method, context)
                _demand_deadline(context, method)
                raise error
            except Exception as told:
                refuse(context, told, method)

        # On the wire an error is the same for all kinds of methods, and this kind waits for no message.
        return grpc.stream_stream_rpc_method_handler(handle)

    def _guard(self, handler: Any, method: str) -> Any:
        deserializer = _safe(handler.request_deserializer, self._known.get(method))
        serializer = encoding.serializer(handler.response_serializer)
        if handler.unary_unary:
            wrapped = self._unary(handler.unary_unary, method)
            self._classes[f"/{method}"] = class_of(short(method))
            return grpc.unary_unary_rpc_method_handler(wrapped, deserializer, serializer)
        if handler.unary_stream:
            wrapped = self._server_stream(handler.unary_stream, method)
            return grpc.unary_stream_rpc_method_handler(wrapped, deserializer, serializer)
        if handler.stream_stream:
            wrapped = self._both_stream(handler.stream_stream, method)
            return grpc.stream_stream_rpc_method_handler(wrapped, deserializer, handler.response_serializer)
        raise AssertionError(f"{method} streams in a way that no other method does")

    def _admit(self, method: str, context: Any) -> Shown:
        """Let a call in, or raise; return what it showed, to be looked at again as long as it lasts."""
        shown = shown_by(context, self._identification)
        try:
            self._leading()
        except Overtaken as error:
            raise error if is_known(shown, self._identification) else error.to_a_stranger() from None
        if self._draining:
            raise PalaestraError("SHUTTING_DOWN", "the scheduler is stopping", retry_after_s=1.0)
        identity = self._identification.identify(shown)
        name = short(method)
        if identity.role not in ROLES.get(name, ()):
            raise PalaestraError("ROLE_DENIED", f"role {identity.role.value} may not call {name}")
        if not in_scope(name, identity.methods):
            raise PalaestraError("SCOPE_DENIED", f"{identity.credential} leaves out {name}")
        _caller.set(identity)
        return shown

    def _unary(self, inner: Any, method: str) -> Any:
        name, method_class = short(method), class_of(short(method))
        audited = audit.is_audited(name)

        async def handle(request: Message | Known | Malformed, context: Any) -> Any:
            self.running += 1
            try:
                self._admit(method, context)
                _demand_deadline(context, method)
                vendor, cost, in_window = caller().vendor, 0, False
                if vendor:
                    # Before the request is looked at any further: what is over the rate must cost next to nothing.
                    cost = cost_of(request)
                    self._rates.take(vendor, method_class, cost, self._now_s())
                    self._rates.begin(vendor, method_class, cost)
                try:
                    checked = _checked(request)
                    if audited:
                        audit.begin(audit.Call(name, caller(), checked))
                    if vendor and method_class is MethodClass.SUBMIT:
                        await self._windows.enter(vendor, cost)
                        in_window = True
                    return await inner(checked, context)
                finally:
                    if in_window:
                        self._windows.leave(vendor, cost)
                    if vendor:
                        self._rates.end(vendor, method_class, cost)
            except Exception as error:
                return refuse(context, error, method)
            finally:
                self.running -= 1

        return handle

    def _server_stream(self, inner: Any, method: str) -> Any:
        method_class = class_of(short(method))

        async def handle(request: Message | Malformed, context: Any) -> AsyncIterator[Any]:
            try:
                shown = self._admit(method, context)
                if caller().vendor:
                    self._rates.take(caller().vendor, method_class, 1, self._now_s())
                async with self._streams.lasting(shown, caller()):
                    async for response in inner(_checked(request), context):
                        self._leading()
                        yield response
            except Exception as error:
                await abort(context, error, method)

        return handle

    def _both_stream(self, inner: Any, method: str) -> Any:
        async def checked(requests: AsyncIterator[Message | Malformed]) -> AsyncIterator[Message]:
            async for request in requests:
                found = _checked(request)
                # Only single requests are known again.
                assert isinstance(found, Message)
                yield found

        async def handle(requests: AsyncIterator[Message | Malformed], context: Any) -> AsyncIterator[Any]:
            try:
                shown = self._admit(method, context)
                async with self._streams.lasting(shown, caller()):
                    async for response in inner(checked(requests), context):
                        self._leading()
                        yield response
            except Exception as error:
                await abort(context, error, method)

        return handle


def _demand_deadline(context: Any, method: str) -> None:
    if context.time_remaining() is None:
        raise PalaestraError("DEADLINE_REQUIRED", f"{method} was called without a deadline")


def shown_by(context: Any, identification: Identification) -> Shown:
    """Return what a call showed."""
    metadata = context.invocation_metadata() or ()
    certificate = b""
    if identification.reads_certificates:
        (certificate, *_) = context.auth_context().get("x509_pem_cert", [b""])
    return Shown(tuple(value for key, value in metadata if key == "authorization"), certificate)


def is_known(shown: Shown, identification: Identification) -> bool:
    """Return whether it is somebody's: a stranger learns from a refusal nothing that he could not see anyway."""
    try:
        identification.identify(shown)
    except PalaestraError:
        return False
    return True


def _safe(
    deserializer: Callable[[bytes], Message], known: Callable[[bytes], Known | None] | None
) -> Callable[[bytes], Message | Known | Malformed]:
    """gRPC answers a failing deserializer with UNKNOWN and a Python class name; we answer it ourselves, later."""

    def parse(data: bytes) -> Message | Known | Malformed:
        if len(data) > MESSAGE_BYTES_MAX:
            return Malformed("MESSAGE_TOO_LARGE", f"the message has {len(data)} bytes, at most {MESSAGE_BYTES_MAX}")
        found = None if known is None else known(data)
        if found is not None:
            return found
        try:
            return deserializer(data)
        except (DecodeError, ValueError, RecursionError):
            return Malformed("MALFORMED_MESSAGE", "the message could not be parsed")

    return parse


def _checked(request: Message | Known | Malformed) -> Message | Known:
    if isinstance(request, Malformed):
        raise PalaestraError(request.reason, request.problem)
    if not isinstance(request, Known):
        rules.check(request)
    return request


async def abort(context: Any, error: Exception, method: str) -> None:
    """Answer a stream with an error."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    told = _told(error, method)
    await context.abort(told.code, told.message, trailing_metadata=trailing(told))


def refuse(context: Any, error: Exception, method: str) -> bytes:
    """Answer a call that has one answer with an error; return what its handler is to return.

    As `abort` does it, but without the exception that gRPC raises for that and catches again, which costs a sixth of an
    empty call: a vendor over its rate is refused as often as it calls.
    """
    if isinstance(error, grpc.aio.AbortError):
        raise error
    told = _told(error, method)
    context.set_code(told.code)
    context.set_details(told.message)
    context.set_trailing_metadata(trailing(told))
    return b""


def _told(error: Exception, method: str) -> PalaestraError:
    """Return what the caller is told of an error."""
    if isinstance(error, Failed) and disk.is_fatal(error):
        # A read that found no server; the writer finds out by itself, and ends the process.
        log.error("%s: the database does not answer: %s", method, error)
        error = disk.refusal(disk.FAILED)
    if not isinstance(error, PalaestraError):
        reference = secrets.token_hex(4)
        log.exception("%s failed, error id %s", method, reference)
        error = PalaestraError("INTERNAL", f"a defect on our side, error id {reference}")
    return _short(error)


def _short(error: PalaestraError) -> PalaestraError:
    """Errors quote what they were sent, and gRPC drops an answer whose headers are longer than 8 KiB."""
    facts = {key[:TEXT_MAX]: value[:TEXT_MAX] for key, value in error.metadata.items()}
    return PalaestraError(error.reason, error.message[:TEXT_MAX], metadata=facts, retry_after_s=error.retry_after_s)
