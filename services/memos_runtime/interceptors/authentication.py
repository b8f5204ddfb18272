"""Says who calls: at the public edge a principal, by API key; inside a service, by certificate or shared token."""

import asyncio
import hmac
import logging
from typing import Any

from memos_kernel import limits
from memos_kernel.errors import CredentialInvalid, MemosError, PeerForbidden
from memos_runtime import semconv
from memos_runtime.context import Call, spawn
from memos_runtime.interceptors.base import Proceed
from memos_runtime.service import EdgePolicy
from memos_wire.methods import SERVICES, Method

_LOG = logging.getLogger(__name__)

_RECHECK_SECONDS = 15.0
_UNSEEN_SECONDS = limits.GRANT_LIFETIME.total_seconds()
"""Seconds for which a long call goes on while its key cannot be looked at; a grant would have ended by then, too."""

_BEARER = "bearer "
_SPIFFE = "spiffe://memos/"


class ApiKeyAuthentication:
    """Reads `authorization: Bearer <API key>`. A call that outlives a grant ends when its key does."""

    def __init__(
        self, edge: EdgePolicy, *, recheck_seconds: float = _RECHECK_SECONDS, unseen_seconds: float = _UNSEEN_SECONDS
    ) -> None:
        """Take the edge.

        The key of a long call is looked at again every `recheck_seconds`; `unseen_seconds` after the last time that
        this could be done, the call ends.
        """
        self._edge = edge
        self._recheck_seconds = recheck_seconds
        self._unseen_seconds = unseen_seconds

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        authenticate = self._edge.authenticate

        async def authenticated(call: Call) -> Any:
            call.principal = await authenticate(_api_key(call))
            return await proceed(call)

        async def authenticated_throughout(call: Call) -> Any:
            key = _api_key(call)
            call.principal = await authenticate(key)
            try:
                async with asyncio.timeout(None) as scope:
                    watch = spawn(self._end_when_revoked(key, scope), name="key-watch")
                    try:
                        return await proceed(call)
                    finally:
                        watch.cancel()
            except TimeoutError:
                if scope.expired():
                    raise watch.result() from None
                raise  # a timeout of the handler's own

        long = method.deadline > limits.GRANT_LIFETIME.total_seconds()
        return authenticated_throughout if long else authenticated

    async def _end_when_revoked(self, key: str, scope: asyncio.Timeout) -> MemosError:
        """End the scope once the key is no longer good, or has not been seen for too long, and return why."""
        now = asyncio.get_running_loop().time
        seen = now()
        while True:
            await asyncio.sleep(self._recheck_seconds)
            try:
                await self._edge.authenticate(key)
                seen = now()
            except MemosError as error:
                if isinstance(error, CredentialInvalid) or now() - seen >= self._unseen_seconds:
                    scope.reschedule(0)
                    return error
                _LOG.warning("the key of a running call could not be looked at again: %s", error)


class PeerAuthentication:
    """Reads the SPIFFE id of the client's certificate, or `memos-peer: <service>:<token>` where there is no TLS."""

    def __init__(self, token: str | None) -> None:
        """Take the shared token; None means that peers must have certificates.

        Raises:
            ValueError: the token is empty, which any caller could guess.
        """
        if token is not None and not token:
            raise ValueError("the peer token is empty")
        self._token = token.encode() if token is not None else None

    def wrap(self, _: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        identify = self._by_certificate if self._token is None else self._by_token

        async def authenticated(call: Call) -> Any:
            call.peer = identify(call)
            return await proceed(call)

        return authenticated

    def _by_certificate(self, call: Call) -> str:
        for value in call.context.auth_context().get("peer_spiffe_id", ()):
            name = value.decode(errors="replace")
            if name.startswith(_SPIFFE) and name[len(_SPIFFE) :] in SERVICES:
                return str(name[len(_SPIFFE) :])
        raise PeerForbidden("The call comes with no certificate of a service.", cause="certificate")

    def _by_token(self, call: Call) -> str:
        assert self._token is not None
        value = call.metadata.get(semconv.PEER_KEY, "")
        name, _, token = value.partition(":") if isinstance(value, str) else ("", "", "")
        if not hmac.compare_digest(token.encode(), self._token) or name not in SERVICES:
            raise PeerForbidden("The call comes with no credential of a service.", cause="token")
        return name


def _api_key(call: Call) -> str:
    value = call.metadata.get(semconv.AUTHORIZATION, "")
    if not isinstance(value, str) or value[: len(_BEARER)].lower() != _BEARER or not value[len(_BEARER) :].strip():
        raise CredentialInvalid("Send an API key in the metadata, as `authorization: Bearer <key>`.")
    return value[len(_BEARER) :].strip()
