"""Writes `_sync.py` from the asynchronous client: `python -m memos_client._facade | ruff format - > _sync.py`.

So the calls are written once, by hand, and the blocking client is still plain typed code that an editor reads.
A test fails if the file is not what this would write.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from types import FunctionType

from memos_client import (
    _archives,
    _base,
    _blobs,
    _chat,
    _conversions,
    _governance,
    _imports,
    _jobs,
    _memories,
    _purges,
    _snapshots,
)

GROUPS = (
    _base.Calls,
    _memories.MemoryCalls,
    _imports.ImportCalls,
    _blobs.BlobCalls,
    _archives.ArchiveCalls,
    _chat.ChatCalls,
    _conversions.ConversionCalls,
    _snapshots.SnapshotCalls,
    _purges.PurgeCalls,
    _jobs.JobCalls,
    _governance.GovernanceCalls,
)

_HEAD = '''"""The blocking client. Written by `_facade.py` from the asynchronous one; do not edit it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import Message as ProtoMessage

from memos_api.v1 import (
    governance_service_pb2,
    job_pb2,
    memcube_pb2,
    memory_service_pb2,
    provenance_pb2,
    purge_service_pb2,
    snapshot_service_pb2,
    vault_pb2,
)
from memos_client._archives import ArchiveOptions, ExportedPart, ImportedPart
from memos_client._client import DEFAULT_TIMEOUT, AsyncClient
from memos_client._errors import MemosError
from memos_client._filters import Filter
from memos_client._governance import NewApiKey
from memos_client._imports import ImportAnswer, NewMemory
from memos_client._portal import Portal
from memos_client._retry import Retries
from memos_client._settings import DEFAULT_ADDRESS, DEFAULT_TENANT, Settings, Tls
from memos_client._values import AddAnswer, ChatEvent, Cube, Difference, Link, Message, SearchAnswer
from memos_client._vaults import VaultPolicy

_List = list  # the method `list` of the class hides the type


class Client:
    """Memory for code without asyncio; each call blocks until its answer is there.

    Usage:

        with Client.from_env() as memos:
            memos.add("main", ["Nora's cat is called Biscuit."])
            for hit in memos.search("what is the cat called?", vaults=["main"]).hits:
                print(hit.cube.text)
            for event in memos.chat("What is the name of Nora's cat?", vaults=["main"]):
                print(event)

    It runs an AsyncClient in a thread of its own, and may be shared between threads.
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
        """Make a client; see AsyncClient for the arguments."""
        self._client = AsyncClient(
            address,
            api_key=api_key,
            tenant=tenant,
            tls=tls,
            allow_plaintext=allow_plaintext,
            timeout=timeout,
            retries=retries,
        )
        self._portal = Portal()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return a client as the environment says; see `AsyncClient.from_env`."""
        return cls(**Settings.from_env(environ).arguments())

    def close(self) -> None:
        """Close the connection and the thread. Idempotent."""
        if not self._portal.closed:
            self._portal.run(self._client.close())
            self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
'''


def source() -> str:
    """Return the source of the blocking client."""
    return _HEAD + "".join(method for group in GROUPS for method in _methods(group))


def _methods(group: type) -> Iterator[str]:
    """Yield the blocking version of each public method of a group."""
    module = ast.parse(inspect.getsource(group))
    for node in module.body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield _method(node, getattr(group, node.name))


def _method(node: ast.AsyncFunctionDef, function: FunctionType) -> str:
    streams = inspect.isasyncgenfunction(function)
    assert node.returns is not None
    returns = _public(ast.unparse(node.returns))
    if streams:
        returns = returns.replace("AsyncGenerator[", "Iterator[").removesuffix(", None]") + "]"
    parameters = _public(ast.unparse(node.args).removeprefix("self"))
    docstring = inspect.cleandoc(function.__doc__ or "").replace("\n", "\n        ").replace("        \n", "\n")
    closing = "\n        " if "\n" in docstring else ""
    verb = "iterate" if streams else "run"
    return (
        f"\n    def {node.name}(self{parameters}) -> {returns}:\n"
        f'        """{docstring}{closing}"""\n'
        f"        return self._portal.{verb}(self._client.{node.name}({_arguments(node.args)}))\n"
    )


def _arguments(arguments: ast.arguments) -> str:
    positional = [argument.arg for argument in arguments.args[1:]]
    return ", ".join(positional + [f"{argument.arg}={argument.arg}" for argument in arguments.kwonlyargs])


def _public(text: str) -> str:
    return text.replace("pb.", "governance_service_pb2.").replace("list[", "_List[")


if __name__ == "__main__":
    sys.stdout.write(source())
