"""Sends requests: channel, API key, deadline, request id, retries, typed errors."""

# ruff: noqa: ASYNC109  # a timeout bounds all attempts, and travels to the server

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from memos_client._errors import MemosError, error_of_call
from memos_client._methods import Method, method_of
from memos_client._retry import Retries
from memos_client._settings import Settings, Stamp, Tls

_LOOK_SECONDS = 1.0
_CLOSE_SECONDS = 120.0
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_retries", 0),  # this module repeats calls itself
)
_NO_PROXY = ("grpc.enable_http_proxy", 0)
"""Without TLS a proxy of the environment would read the key and the memories; grpc asks one for loopback, too."""


class Transport:
    """One connection. The channel is opened by the first call, on the loop that runs then.

    Certificates that were renewed are used for the calls that follow; those that run end on the old connection.
    """

    def __init__(self, settings: Settings, *, timeout: float, retries: Retries) -> None:
        self.settings = settings
        self._timeout = timeout
        self._retries = retries
        self._metadata = (("authorization", f"Bearer {settings.api_key}"),) if settings.api_key else ()
        self._channel: grpc.aio.Channel | None = None
        self._stamp: Stamp = ()
        self._looked = 0.0
        self._closing: dict[asyncio.Task[None], grpc.aio.Channel] = {}

    async def close(self) -> None:
        """Close the connection; calls that run are cancelled."""
        replaced = dict(self._closing)
        for closing in replaced:
            closing.cancel()
        channel, self._channel = self._channel, None
        for each in (*replaced.values(), *([channel] if channel is not None else [])):
            await each.close()

    async def call(self, request: Message, *, timeout: float | None = None) -> Any:
        """Send a unary request and return its answer.

        Raises:
            MemosError: see `memos_client._errors`.
        """
        method = method_of(request)
        if method.streams or method.uploads:
            raise TypeError(f"{method.path} streams; use stream(), or the method of the client that is made for it")
        identified = _identified(method, request)
        ends = _now() + (self._timeout if timeout is None else timeout)
        attempt = 1
        while True:
            rpc = self._open().unary_unary(method.path, type(request).SerializeToString, method.response.FromString)
            try:
                return await rpc(identified, timeout=max(0.0, ends - _now()), metadata=self._told())
            except grpc.aio.AioRpcError as error:
                await self._pause(method, error_of_call(error), attempt, ends - _now(), error)
            attempt += 1

    async def upload(self, requests: Callable[[], AsyncIterator[Message]], *, timeout: float | None = None) -> Any:
        """Send a stream of requests and return the answer. `requests` begins anew for each attempt.

        Raises:
            MemosError: see `memos_client._errors`.
            Exception: whatever `requests` raises.
        """
        ends = _now() + timeout if timeout is not None else None
        attempt = 1
        while True:
            source = requests()
            first = await anext(source)
            method = method_of(first)
            rpc = self._open().stream_unary(method.path, type(first).SerializeToString, method.response.FromString)
            failures: list[Exception] = []
            left = None if ends is None else max(0.0, ends - _now())
            try:
                with _reason_first(failures):
                    return await rpc(_watched(first, source, failures), timeout=left, metadata=self._told())
            except grpc.aio.AioRpcError as error:
                await self._pause(method, error_of_call(error), attempt, self._timeout if left is None else left, error)
            attempt += 1

    async def exchange(self, requests: AsyncIterator[Message]) -> AsyncGenerator[Any, None]:
        """Send a stream of requests and yield the answers. Closing the generator cancels the call; nothing is repeated.

        Raises:
            MemosError: see `memos_client._errors`.
            Exception: whatever `requests` raises.
        """
        first = await anext(requests)
        method = method_of(first)
        rpc = self._open().stream_stream(method.path, type(first).SerializeToString, method.response.FromString)
        failures: list[Exception] = []
        call = rpc(_watched(first, requests, failures), metadata=self._told())
        try:
            with _reason_first(failures):
                async for answer in call:
                    yield answer
        except grpc.aio.AioRpcError as error:
            raise error_of_call(error) from error
        finally:
            call.cancel()

    async def stream(self, request: Message, *, timeout: float | None = None) -> AsyncGenerator[Any, None]:
        """Send a request and yield its answers. Closing the generator cancels the call.

        It is repeated only as long as nothing was answered.

        Raises:
            MemosError: see `memos_client._errors`.
        """
        method = method_of(request)
        if not method.streams or method.uploads:
            raise TypeError(f"{method.path} gives one answer; use call(), or the method of the client made for it")
        identified = _identified(method, request)
        ends = _now() + timeout if timeout is not None else None
        attempt, answered = 1, False
        while True:
            rpc = self._open().unary_stream(method.path, type(request).SerializeToString, method.response.FromString)
            left = None if ends is None else max(0.0, ends - _now())
            call = rpc(identified, timeout=left, metadata=self._told())
            try:
                async for answer in call:
                    answered = True
                    yield answer
                return
            except grpc.aio.AioRpcError as error:
                if answered:
                    raise error_of_call(error) from error
                await self._pause(method, error_of_call(error), attempt, self._timeout if left is None else left, error)
            finally:
                call.cancel()
            attempt += 1

    async def _pause(
        self, method: Method, failure: MemosError, attempt: int, left: float, cause: grpc.aio.AioRpcError
    ) -> None:
        delay = self._retries.delay(failure, attempt=attempt, left=left) if method.repeatable else None
        if delay is None:
            raise failure from cause
        await asyncio.sleep(delay)

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._dial()
        elif self.settings.tls is not None and _now() - self._looked >= _LOOK_SECONDS:
            self._follow(self.settings.tls, self._channel)
        return self._channel

    def _dial(self) -> grpc.aio.Channel:
        self._looked = _now()
        stamp = self.settings.tls.stamp() if self.settings.tls is not None else ()
        channel = _dial(self.settings)
        self._stamp = stamp  # only now: what could not be read is tried again
        return channel

    def _follow(self, tls: Tls, used: grpc.aio.Channel) -> None:
        """Dial anew if the files have changed; while they cannot be read, everything stays as it is."""
        self._looked = _now()
        try:
            if tls.stamp() == self._stamp:
                return
            self._channel = self._dial()
        except OSError:
            return
        closing = asyncio.create_task(used.close(_CLOSE_SECONDS))
        self._closing[closing] = used
        closing.add_done_callback(lambda done: self._closing.pop(done, None))

    def _told(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call: the key, and the trace that it belongs to (W3C Trace Context)."""
        traceparent = _traceparent()
        return (*self._metadata, ("traceparent", traceparent)) if traceparent else self._metadata


@contextmanager
def _reason_first(failures: list[Exception]) -> Iterator[None]:
    """Raise why the requests ended; grpc only cancels the call then, and drops the reason."""
    try:
        yield
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        if failures:
            raise failures[0] from error
        raise


async def _watched(first: Message, others: AsyncIterator[Message], failures: list[Exception]) -> AsyncIterator[Message]:
    yield first
    try:
        async for request in others:
            yield request
    except Exception as error:
        failures.append(error)
        raise


def _dial(settings: Settings) -> grpc.aio.Channel:
    if settings.tls is None:
        return grpc.aio.insecure_channel(settings.address, options=(*_OPTIONS, _NO_PROXY))
    options: tuple[tuple[str, int | str], ...] = _OPTIONS
    if settings.tls.server_name:
        options = (*options, ("grpc.ssl_target_name_override", settings.tls.server_name))
    return grpc.aio.secure_channel(settings.address, _credentials(settings.tls), options=options)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(*(_pem(path) for path in (tls.ca_file, tls.key_file, tls.cert_file)))


def _pem(path: Path | None) -> bytes | None:
    """Return a file; gRPC ends the whole process over one that is empty, or half written.

    Raises:
        OSError: it is.
    """
    if path is None:
        return None
    text = path.read_bytes()
    if b"-----BEGIN " not in text or b"-----END " not in text:
        raise OSError(f"{path} is not a whole PEM file")
    return text


def _identified(method: Method, request: Any) -> Any:
    """Return a mutation with a request id, so that repeating it is safe; what has one, or needs none, as it is."""
    if not method.mutating or request.request_id:
        return request
    named = type(request)()
    named.CopyFrom(request)
    named.request_id = uuid.uuid4().hex
    return named


def _traceparent() -> str:
    """Return the span of OpenTelemetry that is current for the caller; empty where none is."""
    tracing = sys.modules.get("opentelemetry.trace")  # who traces has imported it
    if tracing is None:
        return ""
    context = tracing.get_current_span().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}" if context.is_valid else ""


def _now() -> float:
    return asyncio.get_running_loop().time()
