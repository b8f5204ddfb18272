"""Client of memos, a memory operating system for language models.

    from memos_client import Client

    with Client.from_env() as memos:
        memos.add("main", ["Nora's cat is called Biscuit."])
        for hit in memos.search("what is the cat called?", vaults=["main"]).hits:
            print(round(hit.score, 2), hit.cube.text)
        for event in memos.chat("What is the name of Nora's cat?", vaults=["main"]):
            print(event)

`AsyncClient` is the same for asyncio. Calls are repeated where that is safe, and raise the errors of the tree in
`memos_client._errors`. Everything public is in `__all__`; modules with an underscore are not.
"""

from memos_client._archives import ArchiveOptions, ExportedPart, FailedCube, ImportedPart
from memos_client._client import AsyncClient
from memos_client._errors import (
    AlreadyExists,
    Conflict,
    DeadlineExceeded,
    DuplicateContent,
    EtagMismatch,
    LimitExceeded,
    MemosError,
    NotFound,
    Overloaded,
    PermissionDenied,
    PreconditionFailed,
    QuotaExceeded,
    RequestError,
    RequestIdReused,
    ServerFault,
    Unauthenticated,
    Unavailable,
)
from memos_client._filters import Filter
from memos_client._governance import NewApiKey
from memos_client._imports import ImportAnswer, Imported, NewMemory
from memos_client._retry import Retries
from memos_client._settings import Settings, Tls, is_local
from memos_client._sync import Client
from memos_client._values import (
    AddAnswer,
    Added,
    CacheRefusal,
    ChatDelta,
    ChatEnd,
    ChatEvent,
    ChatPlan,
    Cube,
    Difference,
    Hit,
    Leg,
    Link,
    Message,
    NamedTime,
    Origin,
    PlannedMemory,
    SearchAnswer,
    Skipped,
    Topic,
)
from memos_client._vaults import VaultPolicy

__all__ = [
    "AddAnswer",
    "Added",
    "AlreadyExists",
    "ArchiveOptions",
    "AsyncClient",
    "CacheRefusal",
    "ChatDelta",
    "ChatEnd",
    "ChatEvent",
    "ChatPlan",
    "Client",
    "Conflict",
    "Cube",
    "DeadlineExceeded",
    "Difference",
    "DuplicateContent",
    "EtagMismatch",
    "ExportedPart",
    "FailedCube",
    "Filter",
    "Hit",
    "ImportAnswer",
    "Imported",
    "ImportedPart",
    "Leg",
    "LimitExceeded",
    "Link",
    "MemosError",
    "Message",
    "NamedTime",
    "NewApiKey",
    "NewMemory",
    "NotFound",
    "Origin",
    "Overloaded",
    "PermissionDenied",
    "PlannedMemory",
    "PreconditionFailed",
    "QuotaExceeded",
    "RequestError",
    "RequestIdReused",
    "Retries",
    "SearchAnswer",
    "ServerFault",
    "Settings",
    "Skipped",
    "Tls",
    "Topic",
    "Unauthenticated",
    "Unavailable",
    "VaultPolicy",
    "is_local",
]
