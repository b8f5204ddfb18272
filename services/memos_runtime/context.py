"""The call that is being served, for everything that runs inside it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from memos_kernel.cube import TraceRef
from memos_kernel.errors import CredentialInvalid, GrantInvalid
from memos_kernel.permission import Grant, Principal
from memos_kernel.requests import RequestKey
from memos_runtime.telemetry import current_span
from memos_wire.methods import Method

T = TypeVar("T")

NO_KEY = RequestKey()


@dataclass(slots=True)
class Call:
    """One call; the interceptors fill it from the outside in.

    Attributes:
        method: its row in the method table.
        body: the request as it came; of a stream of requests, what reads it.
        context: the transport's side of the call.
        metadata: what the caller sent along; the last value of a repeated key.
        request: the request message, empty before the decoding interceptor; of a stream the first one.
        requests: all messages of a stream of requests, the first one too; None for a single request.
        deadline: loop time at which the call ends, or None before the deadline interceptor.
        peer: calling service of an internal call, or empty.
        principal: caller of a public call.
        grant: verified grant.
        request_key: identity of a public mutation.
    """

    method: Method
    body: bytes | AsyncIterator[bytes]
    context: grpc.aio.ServicerContext[Any, Any]
    metadata: Mapping[str, str | bytes]
    request: Message = field(default_factory=Empty)
    requests: AsyncIterator[Message] | None = None
    deadline: float | None = None
    peer: str = ""
    principal: Principal | None = None
    grant: Grant | None = None
    request_key: RequestKey = NO_KEY


_CALL: ContextVar[Call | None] = ContextVar("memos_call", default=None)
_GRANT: ContextVar[Grant | None] = ContextVar("memos_grant", default=None)
_AFFINITY: ContextVar[str] = ContextVar("memos_affinity", default="")


def enter_call(call: Call) -> None:
    """Make this the current call. Each call is a task with a context of its own, so nothing is reset."""
    _CALL.set(call)


def current_grant() -> Grant:
    """Return the grant of the running call, or the one given to `use_grant`.

    Raises:
        GrantInvalid: there is none.
    """
    grant = find_grant()
    if grant is None:
        raise GrantInvalid("The call carries no grant.", cause="missing")
    return grant


def find_grant() -> Grant | None:
    """Return what `current_grant` returns, or None."""
    used = _GRANT.get()
    if used is not None:
        return used
    call = _CALL.get()
    return call.grant if call is not None else None


@contextmanager
def use_grant(grant: Grant) -> Iterator[None]:
    """Let the calls made inside carry this grant."""
    token = _GRANT.set(grant)
    try:
        yield
    finally:
        _GRANT.reset(token)


@contextmanager
def affine(*parts: str) -> Iterator[None]:
    """Have calls made meanwhile, to services that are chosen by it, reach the same replica for the same parts."""
    token = _AFFINITY.set(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16])
    try:
        yield
    finally:
        _AFFINITY.reset(token)


def current_affinity() -> str:
    """Return what chooses the replica of calls made now; empty where any will do."""
    return _AFFINITY.get()


def current_principal() -> Principal:
    """Return the caller of a public call.

    Raises:
        CredentialInvalid: outside of a public call.
    """
    call = _CALL.get()
    if call is None or call.principal is None:
        raise CredentialInvalid("The call has no authenticated caller.")
    return call.principal


def current_peer() -> str:
    """Return the name of the calling service; empty outside of an internal call."""
    call = _CALL.get()
    return call.peer if call is not None else ""


def current_request_key() -> RequestKey:
    """Return the identity of a public mutation; falsy if the caller gave no request id."""
    call = _CALL.get()
    return call.request_key if call is not None else NO_KEY


def remaining() -> float | None:
    """Return the seconds left of the call (not below zero), or None if nothing limits it."""
    call = _CALL.get()
    if call is None or call.deadline is None:
        return None
    return max(0.0, call.deadline - asyncio.get_running_loop().time())


def allow(seconds: float) -> None:
    """Give what runs in this context at least so many seconds more, whatever the caller has left.

    For work that must come to its end; the caller's own context keeps its deadline.
    """
    call = _CALL.get()
    if call is not None and call.deadline is not None:
        until = asyncio.get_running_loop().time() + seconds
        _CALL.set(replace(call, deadline=max(call.deadline, until)))


def current_trace() -> TraceRef | None:
    """Return the current span if it is being recorded, here or by the caller whose span it is."""
    return current_span().trace


def spawn(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start a background task that inherits nothing of the running call: no grant, deadline or span."""
    return asyncio.get_running_loop().create_task(work, name=name, context=Context())
