"""A proxy that the environment asks for, and that tells whether anybody came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

VARIABLES = ("http_proxy", "https_proxy", "grpc_proxy")
EXCEPTIONS = ("no_proxy", "no_grpc_proxy", "NO_PROXY")


@asynccontextmanager
async def proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[bytes]]:
    """Yield what reaches the proxy: the beginning of each connection."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name in VARIABLES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    for name in EXCEPTIONS:
        monkeypatch.delenv(name, raising=False)
    async with server:
        yield heard
