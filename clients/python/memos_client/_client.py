"""The asynchronous client."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from memos_client._archives import ArchiveCalls
from memos_client._blobs import BlobCalls
from memos_client._chat import ChatCalls
from memos_client._conversions import ConversionCalls
from memos_client._governance import GovernanceCalls
from memos_client._imports import ImportCalls
from memos_client._jobs import JobCalls
from memos_client._memories import MemoryCalls
from memos_client._purges import PurgeCalls
from memos_client._retry import Retries
from memos_client._settings import DEFAULT_ADDRESS, DEFAULT_TENANT, Settings, Tls
from memos_client._snapshots import SnapshotCalls
from memos_client._transport import Transport

DEFAULT_TIMEOUT = 60.0


class AsyncClient(
    MemoryCalls,
    ImportCalls,
    BlobCalls,
    ArchiveCalls,
    ChatCalls,
    ConversionCalls,
    SnapshotCalls,
    PurgeCalls,
    JobCalls,
    GovernanceCalls,
):
    """Memory for asyncio.

    Usage:

        async with AsyncClient.from_env() as memos:
            await memos.add("main", ["Nora's cat is called Biscuit."])
            answer = await memos.search("what is the cat called?", vaults=["main"])
            async for event in memos.chat("What is the name of Nora's cat?", vaults=["main"]):
                print(event)

    The connection is opened by the first call and closed with the client; a client belongs to one event loop.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str = "",
        tenant: str = DEFAULT_TENANT,
        tls: Tls | None = None,
        allow_plaintext: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries = Retries(),  # noqa: B008  # an immutable value
    ) -> None:
        """Make a client.

        Args:
            address: gRPC target of the public API.
            api_key: secret of an API key.
            tenant: tenant that short names belong to.
            tls: None connects without TLS.
            allow_plaintext: send the key without TLS to other machines, for a network that encrypts by itself.
            timeout: seconds for a call and all its attempts, unless the call names others.
            retries: how often and how long to try again.

        Raises:
            ValueError: the key would leave this machine in plain text, or holds what no HTTP header carries; the
                address is no host:port.
        """
        settings = Settings(address=address, api_key=api_key, tenant=tenant, tls=tls, allow_plaintext=allow_plaintext)
        super().__init__(Transport(settings, timeout=timeout, retries=retries))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return a client as the environment says; see `Settings.from_env`.

        Without any variable it finds the server that `memosctl up` started on this machine, and its key.
        """
        return cls(**Settings.from_env(environ).arguments())

    async def close(self) -> None:
        """Close the connection; calls that run are cancelled."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
