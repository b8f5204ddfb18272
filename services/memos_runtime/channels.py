"""Calls to the other services: deadline, trace, identity and grant go along; domain errors come back."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import grpc

from memos_kernel.errors import DeadlineExceeded, DependencyUnavailable
from memos_runtime import semconv
from memos_runtime.context import current_affinity, find_grant, remaining, spawn
from memos_runtime.telemetry import Telemetry, current_span
from memos_runtime.tls import Certificates
from memos_wire.errors import error_of_call
from memos_wire.methods import INFERENCE, METHODS, Method

S = TypeVar("S")

_CONNECTION = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.keepalive_time_ms", 15_000),  # servers take one every ten seconds
    ("grpc.http2.max_pings_without_data", 0),  # an answer that takes minutes has to be asked for, too
    ("grpc.keepalive_timeout_ms", 5_000),  # also for acknowledgements by TCP: half of what most calls may take
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),  # after a replica left, its successor is found soon
    ("grpc.enable_http_proxy", 0),  # services meet directly: a proxy is for what leaves the installation
)
METADATA = (
    ("grpc.max_metadata_size", 512 * 1024),
    ("grpc.absolute_max_metadata_size", 512 * 1024),
)
"""Room for a grant over as many vaults as one may hold; grpc's own 8 KiB end at about 150."""
_CLOSE_SECONDS = 120.0
_ATTEMPTS, _MOST_BACKOFF, _BACKOFF_FACTOR = 3, "1s", 2

_STICKY = frozenset({INFERENCE})
"""Services of which a call with an affinity always goes to the same replica, as long as that is there (gRFC A76)."""
AFFINITY_SWITCH = "GRPC_EXPERIMENTAL_RING_HASH_SET_REQUEST_HASH_KEY"
"""Variable that gRPC wants to be `true` when it is loaded, or else it does not read the name of the header."""
_RING = {"minRingSize": 1_024, "maxRingSize": 4_096, "requestHashHeader": semconv.AFFINITY_KEY}
_BALANCED: list[dict[str, Any]] = [{"round_robin": {}}]


def service_config(service: str = "") -> str:
    """Return the gRPC service config of a service: how replicas are chosen, and retries for what may be repeated.

    It holds no timeout, for one would end the call at the client without the server knowing. Where the replica is
    chosen by affinity, calls without one go to any.
    """
    sticky = service in _STICKY and os.environ.get(AFFINITY_SWITCH) == "true"
    retried = [method for method in METHODS.values() if method.retryable]
    retries = method_config(retried, attempts=_ATTEMPTS, most_backoff=_MOST_BACKOFF, factor=_BACKOFF_FACTOR)
    chosen = [{"ring_hash_experimental": _RING}, *_BALANCED] if sticky else _BALANCED
    config = {"loadBalancingConfig": chosen, "methodConfig": [retries]}
    return json.dumps(config, separators=(",", ":"))


def method_config(methods: Iterable[Method], *, attempts: int, most_backoff: str, factor: int) -> dict[str, Any]:
    """Return the part of a gRPC service config that has methods repeated.

    CANCELLED is what a server that stops says of calls that it has not taken up yet (grpc issue 41785).
    """
    names = sorted(method.name[1:].split("/") for method in methods)
    return {
        "name": [{"service": service, "method": method} for service, method in names],
        "retryPolicy": {
            "maxAttempts": attempts,
            "initialBackoff": "0.1s",
            "maxBackoff": most_backoff,
            "backoffMultiplier": factor,
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        },
    }


def server_name(service: str) -> str:
    """Return the DNS name that the certificate of a service must carry, wherever the service runs."""
    return f"{service}.memos"


class ChannelPool:
    """The channels of the process: one a target (one a service under TLS, where the name is checked)."""

    def __init__(
        self,
        addresses: Mapping[str, str],
        *,
        certificates: Certificates | None = None,
        max_message_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        """Take the gRPC target of each service; without certificates the channels are not encrypted."""
        self._addresses = dict(addresses)
        self._certificates = certificates
        self._stamp = certificates.stamp() if certificates else ()
        self._credentials = certificates.channel_credentials() if certificates else None
        self._options = (
            *_CONNECTION,
            *METADATA,
            ("grpc.enable_retries", 1),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
        )
        self._open: dict[tuple[str, str], grpc.aio.Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def secure(self) -> bool:
        """Whether the channels prove who they are by certificate."""
        return self._credentials is not None

    def refresh(self) -> None:
        """Dial anew if the certificate files have changed; calls that run end on the old channels.

        Raises:
            OSError: a file cannot be read; everything stays as it is, and the next refresh tries again.
        """
        if self._certificates is None:
            return
        stamp = self._certificates.stamp()  # before the files, so that a change while they are read counts next time
        if stamp == self._stamp:
            return
        self._credentials, self._stamp = self._certificates.channel_credentials(), stamp
        old, self._open = self._open, {}
        for channel in old.values():
            closing = spawn(channel.close(_CLOSE_SECONDS), name="close-channel")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to a service.

        Raises:
            DependencyUnavailable: the service has no address.
        """
        target = self._addresses.get(service)
        if target is None:
            raise DependencyUnavailable(f"No address is configured for {service}.", dependency=service)
        key = (target, service if self._credentials is not None or service in _STICKY else "")
        if key not in self._open:
            self._open[key] = self._dial(target, service)
        return self._open[key]

    async def close(self) -> None:
        """Close every channel; calls that run are cancelled."""
        for closing in self._closing:
            closing.cancel()
        while self._open:
            _, channel = self._open.popitem()
            await channel.close()

    def _dial(self, target: str, service: str) -> grpc.aio.Channel:
        options = (*self._options, ("grpc.service_config", service_config(service)))
        if self._credentials is None:
            return grpc.aio.insecure_channel(target, options=options)
        named = (*options, ("grpc.ssl_target_name_override", server_name(service)))
        return grpc.aio.secure_channel(target, self._credentials, options=named)


class Channels:
    """What one service calls the others with."""

    def __init__(self, *, service: str, pool: ChannelPool, telemetry: Telemetry, peer_token: str = "") -> None:
        self._pool = pool
        self._telemetry = telemetry
        self._identity = () if pool.secure else ((semconv.PEER_KEY, f"{service}:{peer_token}"),)
        self._stubs: dict[tuple[type[object], str], object] = {}

    def stub(self, stub_class: Callable[[grpc.aio.Channel], S], service: str) -> S:
        """Return the stub of a service.

        Its calls raise domain errors. They end with the call that is being served, or after the
        method's own deadline; `timeout` (seconds) shortens that further.
        """
        key = (cast(type[object], stub_class), service)
        if key not in self._stubs:
            self._stubs[key] = stub_class(cast(grpc.aio.Channel, _CallingChannel(self, service)))
        return cast(S, self._stubs[key])

    def _prepare(self, row: Method, timeout: float | None) -> tuple[float, tuple[tuple[str, str | bytes], ...]]:
        left = remaining()
        seconds = min(value for value in (row.deadline, left, timeout) if value is not None)
        if seconds <= 0:
            raise DeadlineExceeded("The deadline passed; give the call more time.", dependency=row.service)
        metadata: tuple[tuple[str, str | bytes], ...] = self._identity
        traceparent = current_span().traceparent
        if traceparent:
            metadata = (*metadata, (semconv.TRACEPARENT, traceparent))
        affinity = current_affinity()
        if affinity and row.service in _STICKY:
            metadata = (*metadata, (semconv.AFFINITY_KEY, affinity))
        grant = find_grant()
        if grant is not None:
            metadata = (*metadata, (semconv.GRANT_KEY, grant.token))
        return seconds, metadata


@dataclass(frozen=True, slots=True)
class _CallingChannel:
    """Stands in for the channel that a generated stub expects."""

    channels: Channels
    service: str

    def unary_unary(self, path: str, *args: Any, **options: Any) -> "_UnaryCalls":
        return _UnaryCalls(self.channels, METHODS[path], _dial("unary_unary", self, path, args, options))

    def stream_unary(self, path: str, *args: Any, **options: Any) -> "_UploadCalls":
        return _UploadCalls(_UnaryCalls(self.channels, METHODS[path], _dial("stream_unary", self, path, args, options)))

    def unary_stream(self, path: str, *args: Any, **options: Any) -> "_StreamCalls":
        return _StreamCalls(self.channels, METHODS[path], _dial("unary_stream", self, path, args, options))


def _dial(kind: str, calling: _CallingChannel, path: str, args: Any, options: Any) -> Callable[[], Any]:
    """Return what gives the transport's callable; it follows the pool to a new channel."""
    made: tuple[grpc.aio.Channel, Any] | None = None

    def callable_now() -> Any:
        nonlocal made
        channel = calling.channels._pool.channel(calling.service)
        if made is None or made[0] is not channel:
            made = (channel, getattr(channel, kind)(path, *args, **options))
        return made[1]

    return callable_now


@dataclass(frozen=True, slots=True)
class _UnaryCalls:
    channels: Channels
    row: Method
    multicallable: Callable[[], Any]

    async def __call__(self, request: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - the stub's name
        with _client_span(self.channels, self.row):
            seconds, metadata = self.channels._prepare(self.row, timeout)
            try:
                return await self.multicallable()(request, timeout=seconds, metadata=metadata)
            except grpc.RpcError as error:
                raise error_of_call(error, dependency=self.row.service) from error


@dataclass(frozen=True, slots=True)
class _UploadCalls:
    calls: _UnaryCalls

    async def __call__(self, requests: AsyncIterator[Any], *, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        failures: list[Exception] = []
        try:
            return await self.calls(_watched(requests, failures), timeout=timeout)
        except BaseException as error:
            if failures:  # grpc only cancels the call when there are no more requests, and drops the reason
                raise failures[0] from error
            raise


async def _watched(requests: AsyncIterator[Any], failures: list[Exception]) -> AsyncIterator[Any]:
    try:
        async for request in requests:
            yield request
    except Exception as error:
        failures.append(error)
        raise


@dataclass(frozen=True, slots=True)
class _StreamCalls:
    channels: Channels
    row: Method
    multicallable: Callable[[], Any]

    async def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the stub's name
    ) -> AsyncIterator[Any]:
        seconds, metadata = self.channels._prepare(self.row, timeout)
        call = self.multicallable()(request, timeout=seconds, metadata=metadata)
        try:
            async for item in call:
                yield item
        except grpc.RpcError as error:
            raise error_of_call(error, dependency=self.row.service) from error
        finally:
            call.cancel()  # tells the server if the caller stops early; nothing once the call has ended


def _client_span(channels: Channels, row: Method) -> Any:
    if not channels._telemetry.tracing:
        return nullcontext()
    return channels._telemetry.span(row.name[1:], kind="client", attributes={semconv.PEER_SERVICE: row.service})
