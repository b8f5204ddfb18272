"""`memosctl`, with a point at which it kills itself, or with a part taken out. Both come from the environment.

CHAOS_POINT=name:n:folder   at the n-th time that the point is reached while there is a file `armed` in the
                                 folder, write one called `hit`, and kill -9
CHAOS_WITHOUT=part          take a part out that the harness has to miss: `outbox` or `pending`
"""

import functools
import inspect
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

POINTS: dict[str, tuple[str, str, str]] = {
    "commit.before": ("sqlalchemy.engine:Connection", "_commit_impl", "before"),
    "commit.after": ("sqlalchemy.engine:Connection", "_commit_impl", "after"),
    "outbox.claimed": ("memos_storage.adapters.sql.outbox:SqlOutbox", "claim", "after"),
    "index.put": ("memos_storage.adapters.milvus:MilvusVectorIndex", "put", "after"),
    "index.removed": ("memos_storage.adapters.milvus:MilvusVectorIndex", "remove", "after"),
    "outbox.settled": ("memos_storage.adapters.sql.outbox:SqlOutbox", "settle", "after"),
    "purge.planned": ("memos_storage.usecases.plan_purge:PlanPurge", "__call__", "after"),
    "purge.page": ("memos_storage.adapters.sql.purges:SqlPurges", "erase", "after"),
    "purge.erased": ("memos_storage.adapters.sql.purges:SqlPurges", "set_erased", "after"),
    "purge.files": ("memos_storage.adapters.sql.catalog:SqlCatalog", "scrub", "after"),
    "purge.index": ("memos_storage.adapters.milvus:MilvusVectorIndex", "scrub", "after"),
    "purge.signed": ("memos_storage.adapters.receipt_key:ReceiptKey", "sign", "after"),
    "blob.written": ("{blobs}", "put", "after"),
    "blob.staged": ("memos_storage.adapters.sql.blobs:SqlBlobRegistry", "stage", "after"),
    "blob.removed": ("{blobs}", "remove", "after"),
    "lite.copied": ("pymilvus:MilvusClient", "alter_alias", "before"),
    "lite.switched": ("pymilvus:MilvusClient", "alter_alias", "after"),
}
"""Name -> class, method, and whether it is before or after the call."""

LITE_ONLY = frozenset({"lite.copied", "lite.switched"})
"""Points that a Milvus server never reaches."""

_BLOBS = {"": "memos_storage.adapters.files:FileBlobStore", "s3": "memos_storage.adapters.s3:S3BlobStore"}


def _class(path: str) -> type[Any]:
    module, _, name = path.partition(":")
    __import__(module)
    found: type[Any] = getattr(sys.modules[module], name)
    return found


def _arm(setting: str) -> None:
    name, number, folder = setting.split(":", 2)
    path, method, when = POINTS[name]
    owner = _class(path.format(blobs=_BLOBS["s3" if os.environ.get("MEMOS_STORAGE__BLOBS_URL") else ""]))
    counter = itertools.count(1)

    def reached() -> None:
        if Path(folder, "armed").exists() and next(counter) == int(number):
            Path(folder, "hit").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, _around(getattr(owner, method), reached, before=when == "before"))


def _around(wrapped: Callable[..., Any], reached: Callable[[], None], *, before: bool) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(wrapped):

        @functools.wraps(wrapped)
        async def waited(*args: Any, **options: Any) -> Any:
            if before:
                reached()
            result = await wrapped(*args, **options)
            if not before:
                reached()
            return result

        return waited

    @functools.wraps(wrapped)
    def called(*args: Any, **options: Any) -> Any:
        if before:
            reached()
        result = wrapped(*args, **options)
        if not before:
            reached()
        return result

    return called


def _without(part: str) -> None:
    if part == "outbox":
        from memos_storage.usecases.follow_outbox import FollowOutbox

        async def apply(self: FollowOutbox, entries: object) -> None:
            """Settle without having put anything."""

        FollowOutbox._apply = apply  # type: ignore[method-assign,assignment]
    elif part == "pending":
        from memos_storage.usecases.pending_rows import PendingRows

        PendingRows.search = lambda *_, **__: []  # type: ignore[method-assign]
    else:
        raise SystemExit(f"there is no part {part}")


if __name__ == "__main__":
    if setting := os.environ.get("CHAOS_POINT"):
        _arm(setting)
    if part := os.environ.get("CHAOS_WITHOUT"):
        _without(part)
    from memosctl.main import main

    main()
