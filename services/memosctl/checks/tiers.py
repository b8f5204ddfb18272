"""What catalogue, vector index and blob store say of each other."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from memos_kernel.errors import MemosError
from memos_wire.methods import STORAGE
from memosctl.checks import Finding, failed, ok, skipped, warning
from memosctl.lock import locked
from memosctl.settings import Settings
from memosctl.state import StateDir

if TYPE_CHECKING:
    from memos_storage.local import Comparison

_NAMED = 10


def comparison(settings: Settings, state: StateDir, *, repair: bool, running: bool) -> Iterator[Finding]:
    """Compare the tiers of storage in all directions, and mend what can be mended if asked."""
    from memos_storage.local import compare

    own = settings.storage.milvus_uri is None or settings.storage.blobs_url is None
    if running and own:
        yield skipped("index and blobs", "the running system compares them by itself; stop it to do it here")
        return
    if settings.storage.database_url is None and not (state.root / STORAGE / "catalogue.db").exists():
        yield skipped("index and blobs", "nothing is stored yet")
        return
    try:
        with nullcontext() if running else locked(state):
            found = asyncio.run(compare(settings.storage, state.of(STORAGE), repair=repair, stopped=not running))
    except MemosError as error:
        yield failed("index and blobs", error.message)
        return
    yield from _told(found, repair=repair)


def _told(found: "Comparison", *, repair: bool) -> Iterator[Finding]:
    mend = "" if repair else "memosctl doctor --repair mends it; the running system does so by itself."
    drift = f"{found.index.missing} points missing, {found.index.extra} too many"
    if not found.index:
        yield ok("vector index", "holds what the catalogue says")
    else:
        yield ok("vector index", f"{drift}; mended") if repair else warning("vector index", drift, mend)
    if not found.blobs.removed:
        yield ok("blobs without a cube", "none")
    else:
        count = f"{found.blobs.removed} blobs that no cube has"
        yield (
            ok("blobs without a cube", f"{count}; removed") if repair else warning("blobs without a cube", count, mend)
        )
    if not found.damaged:
        yield ok("blobs", f"{found.verified} read, all as they were stored")
    else:
        names = ", ".join(f"{blob.vault} {blob.name}" for blob in found.damaged[:_NAMED])
        hint = "Restore them from a backup, or delete the cubes that have them."
        yield failed(
            "blobs", f"{len(found.damaged)} of {found.verified} are lost or differ from their hash: {names}", hint
        )
