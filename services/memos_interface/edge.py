"""Who may come in: authentication and grants at the public edge, from governance, remembered for a short time.

How long a decision of governance can be outlived here:

- a revoked key opens no call after `auth_seconds`, at most 30 s, and a stream that is open then ends 15 s later
  at the latest; where governance cannot be asked meanwhile, within two minutes;
- a grant is handed out until 30 s before its end and verified by every service behind, so a role that was
  taken away ends with the grant, at most 60 s after it was issued.

A refusal is never remembered: a new key or role works at once. What changes through this interface is
forgotten at once (`Edge.forget`). Keys are known by their SHA-256 alone.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from memos_interface.ports import Authority
from memos_kernel.errors import DeadlineExceeded
from memos_kernel.ids import Clock
from memos_kernel.names import PrincipalName
from memos_kernel.permission import Action, Grant, Principal
from memos_runtime.expiring import ExpiringCache

K = TypeVar("K")
V = TypeVar("V")

_GRANT_RESERVE = timedelta(seconds=30)
"""Least time that a grant has left when it is handed out."""

CACHE_BYTES = 32 * 1024 * 1024
"""Most bytes of the tokens of all grants that are kept; one over a thousand vaults has up to 140 KiB."""

_JOB_ACTIONS = frozenset({Action.JOB_READ, Action.JOB_WRITE})

_GrantKey = tuple[PrincipalName, frozenset[Action], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Fresh(Generic[V]):
    """A value, until when it may be used again, and the bytes that it takes, where they are worth counting."""

    value: V
    until: datetime
    size: int = 0


class SharedCache(Generic[K, V]):
    """A cache in which calls that miss the same key at the same time share one load."""

    def __init__(self, kept: ExpiringCache[K, V]) -> None:
        self._kept = kept
        self._loading: dict[K, asyncio.Task[Fresh[V]]] = {}

    async def get(self, key: K, load: Callable[[], Awaitable[Fresh[V]]]) -> V:
        """Return the value of a key; `load` makes it if there is none that is fresh.

        A failed load is not remembered. One that failed by another call's deadline is tried again.
        """
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        task = self._loading.get(key)
        if task is None:
            return (await asyncio.shield(self._start(key, load))).value
        try:
            return (await asyncio.shield(task)).value
        except DeadlineExceeded:
            return (await load()).value

    def clear(self) -> None:
        """Forget everything, what is being loaded too."""
        self._kept.clear()
        self._loading.clear()

    def _start(self, key: K, load: Callable[[], Awaitable[Fresh[V]]]) -> asyncio.Task[Fresh[V]]:
        async def loaded() -> Fresh[V]:
            return await load()

        task = asyncio.create_task(loaded())
        self._loading[key] = task
        task.add_done_callback(lambda done: self._keep(key, done))
        return task

    def _keep(self, key: K, task: asyncio.Task[Fresh[V]]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if self._loading.get(key) is not task:
            return  # forgotten meanwhile
        del self._loading[key]
        if not failed:
            fresh = task.result()
            self._kept.put(key, fresh.value, until=fresh.until, size=fresh.size)


class Edge:
    """The runtime's EdgePolicy, over governance."""

    def __init__(
        self,
        authority: Authority,
        *,
        clock: Clock,
        auth_seconds: float,
        capacity: int,
        most_bytes: int = CACHE_BYTES,
    ) -> None:
        """Take governance; `auth_seconds` is how long a key stays known.

        Each cache has at most `capacity` entries, and that of the grants at most `most_bytes` of tokens.
        """
        self._authority = authority
        self._clock = clock
        self._auth_lifetime = timedelta(seconds=auth_seconds)
        self._principals: SharedCache[bytes, Principal] = SharedCache(
            ExpiringCache(clock=clock, capacity=capacity, most_bytes=most_bytes)
        )
        self._grants: SharedCache[_GrantKey, Grant] = SharedCache(
            ExpiringCache(clock=clock, capacity=capacity, most_bytes=most_bytes)
        )

    async def authenticate(self, api_key: str) -> Principal:
        """Return whom an API key speaks for.

        Raises:
            CredentialInvalid: it is unknown or revoked.
        """

        async def load() -> Fresh[Principal]:
            asked = self._clock.now()
            return Fresh(await self._authority.authenticate(api_key), asked + self._auth_lifetime)

        return await self._principals.get(hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).digest(), load)

    async def grant(self, principal: Principal, actions: frozenset[Action], vaults: tuple[str, ...]) -> Grant:
        """Return a grant with at least 30 s left; no vault means all in which the actions are allowed.

        An admin's grant for jobs says so, for an admin sees the jobs of the whole tenant, the system's own too.

        Raises:
            VaultNotFound, PermissionDenied, MalformedName: governance refuses.
        """
        if principal.admin and not actions.isdisjoint(_JOB_ACTIONS):
            actions |= {Action.TENANT_ADMIN}
        named = tuple(sorted(set(vaults)))

        async def load() -> Fresh[Grant]:
            grant = await self._authority.issue_grant(principal.name, actions, named)
            return Fresh(grant, grant.expire_time - _GRANT_RESERVE, size=len(grant.token))

        return await self._grants.get((principal.name, actions, named), load)

    def forget(self) -> None:
        """Ask governance again from now on: a key, a vault or a role has changed."""
        self._principals.clear()
        self._grants.clear()
