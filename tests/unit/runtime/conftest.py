"""A call without a transport, for interceptors on their own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Action, Grant
from memos_runtime.context import Call, enter_call
from memos_runtime.interceptors.base import Interceptor
from memos_wire.grants import GrantSigner, GrantVerifier
from memos_wire.methods import METHODS


@dataclass
class Transport:
    """What interceptors ask of the transport's side of a call."""

    seconds_left: float | None = None
    identities: Mapping[str, list[bytes]] = field(default_factory=dict)
    written: list[Any] = field(default_factory=list)

    def time_remaining(self) -> float | None:
        return self.seconds_left

    def auth_context(self) -> Mapping[str, list[bytes]]:
        return self.identities

    async def write(self, item: Any) -> None:
        self.written.append(item)


@dataclass
class FixedClock:
    """A clock that tests set."""

    time: datetime = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@dataclass
class GrantMint:
    """Governance's key and its other half."""

    clock: FixedClock
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def verifier(self) -> GrantVerifier:
        return GrantVerifier([self.key.public_key()], clock=self.clock)

    def token(self, *actions: Action, issued_to: str = "interface") -> bytes:
        grant = Grant(
            id="grant-1",
            principal=PrincipalName("acme", "nora"),
            issued_to=issued_to,
            vaults=frozenset({VaultName("acme", "notes")}),
            all_vaults=False,
            actions=frozenset(actions),
            policy_epoch=1,
            expire_time=self.clock.now() + timedelta(seconds=30),
        )
        return GrantSigner(self.key).sign(grant, clock=self.clock).SerializeToString()


Endpoint = Callable[[Call], Awaitable[Any]]
Run = Callable[..., Awaitable[Any]]


async def echo(call: Call) -> Call:
    """A handler that answers with its call, as the interceptors left it."""
    return call


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def mint(clock: FixedClock) -> GrantMint:
    return GrantMint(clock)


@pytest.fixture
def run() -> Run:
    """Send a call through an interceptor; return what the endpoint returns (by default the call)."""

    async def through(
        interceptor: Interceptor,
        method: str,
        request: Any = None,
        *,
        body: bytes = b"",
        endpoint: Endpoint = echo,
        metadata: Mapping[str, str | bytes] | None = None,
        peer: str = "",
        **transport: Any,
    ) -> Any:
        row = METHODS[method]
        call = Call(row, body, Transport(**transport), metadata or {}, request=request, peer=peer)
        enter_call(call)
        return await interceptor.wrap(row, endpoint)(call)

    return through
