"""What a service gives to the process that hosts it, and what it gets from it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import grpc

from memos_kernel.ids import Clock
from memos_kernel.permission import Action, Grant, Principal
from memos_runtime.channels import Channels
from memos_runtime.telemetry import Telemetry
from memos_wire.grants import GrantVerifier


class EdgePolicy(Protocol):
    """Decides at the public edge who is calling and what the call may do."""

    async def authenticate(self, api_key: str) -> Principal:
        """Return the principal of an API key.

        Raises:
            CredentialInvalid: unknown or revoked.
        """
        ...

    async def grant(self, principal: Principal, actions: frozenset[Action], vaults: tuple[str, ...]) -> Grant:
        """Return a grant for the actions in the vaults; no vault means all that allow the actions.

        Raises:
            VaultNotFound, PermissionDenied, MalformedName: the grant is refused.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceContext:
    """What a service is built with.

    Attributes:
        name: name of the service, such as `storage`.
        state_dir: directory of this service alone; it exists with mode 0700.
        channels: stubs of the other services.
        clock: source of the time.
        telemetry: spans and metrics under the service's name.
        verifier: checks grants.
    """

    name: str
    state_dir: Path
    channels: Channels
    clock: Clock
    telemetry: Telemetry
    verifier: GrantVerifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service, ready to be hosted; `wiring.build` returns it.

    Attributes:
        name: name of the service.
        register: adds its servicers to a server.
        start: opens stores, loads models, starts background tasks.
        close: stops background tasks, flushes and closes; may be called twice, or without `start`.
        ready: whether it can do its work at all.
        parts: optional parts, each with whether it works now; health knows them as `<service>.<part>`.
        edge: who may call the public methods; of the interface only.
    """

    name: str
    register: Callable[[grpc.aio.Server], None]
    start: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    ready: Callable[[], bool]
    parts: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    edge: EdgePolicy | None = None
