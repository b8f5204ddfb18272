"""Decides what a call may do: the public edge gets a grant for it; the services inside verify what they are shown."""

import operator
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from google.protobuf.message import Message

from memos_kernel import limits
from memos_kernel.errors import GrantInvalid, LimitExceeded, PeerForbidden
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant
from memos_runtime import semconv
from memos_runtime.context import Call
from memos_runtime.expiring import ExpiringCache
from memos_runtime.interceptors.base import Proceed
from memos_runtime.service import EdgePolicy
from memos_wire.grants import GrantVerifier
from memos_wire.methods import CALLS, Method, callers_of

_REMEMBERED = 1_024
"""Verified grants that are kept."""

_REMEMBERED_BYTES = 32 * 1024 * 1024
"""Most bytes of their tokens together; one over a thousand vaults has up to 140 KiB."""


class EdgeAuthorization:
    """Gets a grant for the row's actions in the vaults that the request names."""

    def __init__(self, edge: EdgePolicy) -> None:
        self._edge = edge

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        grant, actions = self._edge.grant, method.actions
        vaults_of = vault_reader(method.vaults)

        async def authorized(call: Call) -> Any:
            assert call.principal is not None
            call.grant = await grant(call.principal, actions, vaults_of(call.request))
            return await proceed(call)

        return authorized


class GrantAuthorization:
    """Checks that the peer may call the method, and that the grant is authentic and allows the row's actions."""

    def __init__(self, verifier: GrantVerifier, *, clock: Clock, most_bytes: int = _REMEMBERED_BYTES) -> None:
        self._verifier = verifier
        # a signature costs 100 us to verify, and the same grant comes with many calls
        self._verified: ExpiringCache[bytes, Grant] = ExpiringCache(
            clock=clock, capacity=_REMEMBERED, most_bytes=most_bytes
        )

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        callers, actions = callers_of(method), method.actions

        async def authorized(call: Call) -> Any:
            if call.peer not in callers:
                raise PeerForbidden(f"{call.peer} may not call {method.name}.", cause="caller", peer=call.peer)
            grant = self._grant_of(call)
            for action in actions:
                grant.require(action)
            call.grant = grant
            return await proceed(call)

        async def authorized_by_peer(call: Call) -> Any:
            if call.peer not in callers:
                raise PeerForbidden(f"{call.peer} may not call {method.name}.", cause="caller", peer=call.peer)
            # the calling service is enough here; a grant that comes along all the same counts only if it is good
            with suppress(GrantInvalid):
                call.grant = self._grant_of(call)
            return await proceed(call)

        return authorized if actions else authorized_by_peer

    def _grant_of(self, call: Call) -> Grant:
        token = call.metadata.get(semconv.GRANT_KEY)
        if not isinstance(token, bytes):
            raise GrantInvalid("The call carries no grant.", cause="missing")
        grant = self._verified.get(token)
        if grant is None:
            grant = self._verifier.verify(token)
            self._verified.put(token, grant, until=grant.expire_time, size=len(token))
        if grant.issued_to not in _upstream(call.peer):
            raise GrantInvalid("The grant was issued to a service that does not call the caller.", cause="issued_to")
        return grant


@cache
def _upstream(service: str) -> frozenset[str]:
    """Return the services whose grants may reach a service: itself and, over any number of hops, its callers."""
    found = {service}
    while more := {caller for caller, callees in CALLS.items() if callees & found} - found:
        found |= more
    return frozenset(found)


def vault_reader(paths: tuple[str, ...]) -> Callable[[Message], tuple[str, ...]]:
    """Return what reads the vault names at field paths such as `cube.vault`; each name once, without empty ones.

    The reader raises LimitExceeded for more than `limits.SEARCH_VAULTS` names, and MalformedName, each with the
    field that the caller filled in.
    """
    getters = [(path, operator.attrgetter(path)) for path in paths]

    def read(request: Message) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for path, get in getters:
            value = get(request)
            repeated = not isinstance(value, str)
            found = list(value) if repeated else [value]
            if len(found) > limits.SEARCH_VAULTS:
                raise LimitExceeded(
                    f"{path} names {len(found)} vaults; the limit is {limits.SEARCH_VAULTS}.",
                    field=path,
                    limit=str(limits.SEARCH_VAULTS),
                    unit="vaults",
                )
            for index, name in enumerate(found):
                if name:
                    VaultName.parse(name, field=f"{path}[{index}]" if repeated else path)
                    names[name] = None
        return tuple(names)

    return read
