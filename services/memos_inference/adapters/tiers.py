"""KV caches and adapters on this machine: files fetched from storage, and those of them that are open for the model.

Both tiers have a budget of bytes, and what saves least per byte goes first. Nothing that is in use goes. Copies that
nobody has used for a while are removed, so that what is purged from storage does not stay here.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from memos_inference.domain.activation import GreedyDual
from memos_inference.domain.estimates import SpeedMeter
from memos_inference.ports import BlobSource
from memos_kernel import limits
from memos_kernel.cube import Activation, MemCube, Parametric
from memos_kernel.errors import (
    DataCorrupted,
    DependencyUnavailable,
    IncompatiblePayload,
    LimitExceeded,
    MemosError,
    StoreFull,
)
from memos_kernel.ids import Clock
from memos_kernel.speed import Speed
from memos_runtime.context import allow
from memos_runtime.workers import Worker

Opened = TypeVar("Opened")
Made = TypeVar("Made", covariant=True)


class Open(Protocol[Made]):
    """Makes a file ready for the model; `checked` says that the same bytes have been, and nothing was wrong."""

    async def __call__(self, path: Path, cube: MemCube, *, checked: bool = False) -> Made:
        """Return what the model uses."""
        ...


_SUFFIX, _PART = ".safetensors", ".part"
_SWEEP_SECONDS = 60.0
_LOAD_SECONDS = 600.0
_REFUSED_SECONDS = 600.0
"""For which nobody looks anew whether a cache that could not be used can be, or each request would fetch it."""

_RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Entry(Generic[Opened]):
    """A cache or adapter, from the moment when somebody asks for it."""

    path: Path
    nbytes: int
    seconds: float = 0.0
    """What a use saves, but for a factor that is the same for all caches of the model: its tokens."""
    users: int = 0
    uses: int = 0
    value: float = 0.0
    used: float = 0.0
    sure: bool = False
    """The file has the bytes that the cube names."""
    checked: bool = False
    """The engine has opened these bytes without an error."""
    fetched: bool = False
    """The bytes came from storage when it was last opened."""
    opened: Opened | None = None
    loading: asyncio.Task[Opened] | None = None
    refusal: MemosError | None = None
    """Why it cannot be used by this model, or at all."""
    refused: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether it can go."""
        return not self.users and self.loading is None


class TieredCopies(Generic[Opened]):
    """Implements `ports.Copies`."""

    def __init__(
        self,
        folder: Path,
        source: BlobSource,
        open: Open[Opened],
        *,
        settings: str,
        disk_bytes: int,
        memory_bytes: int,
        patience: float,
        clock: Clock,
        used: Callable[[str], None] | None = None,
    ) -> None:
        """Take where the files are kept, where they come from, and what makes one of them ready for the model.

        Args:
            folder: of this process alone.
            source: storage.
            open: of the engine.
            settings: how the names of the settings of the budgets begin.
            disk_bytes: most bytes of files.
            memory_bytes: most bytes of caches that are open; on a CPU these are files mapped into memory.
            patience: seconds that a request waits for a cache before it goes on without; the cache goes on coming.
            clock: source of the time.
            used: told of each use, where the copy was: `memory`, `disk`, `storage`, or `none` if it could not be used.
        """
        self._told = used or (lambda _: None)
        self._folder = folder
        self._source = source
        self._open = open
        self._settings = f"inference.{settings}"
        self._disk_bytes = disk_bytes
        self._memory_bytes = memory_bytes
        self._patience = patience
        self._clock = clock
        self._files = Worker("kv_tiers")
        self._entries: dict[str, _Entry[Opened]] = {}
        self._order = GreedyDual()
        self._meter = SpeedMeter()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def fetching(self) -> Speed | None:
        """See `Copies`."""
        return self._meter.speed

    async def start(self) -> None:
        """Take stock of the files that are there; what was cut off, or not used for a while, is removed."""
        await self._files.run(self._take_stock)
        await self.sweep()
        self._sweeper = asyncio.create_task(self._sweep_now_and_then(), name="kv.sweep")

    async def close(self) -> None:
        """Stop; the files stay."""
        tasks = [entry.loading for entry in self._entries.values() if entry.loading is not None]
        for task in (*tasks, self._sweeper):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        await self._files.close()

    @asynccontextmanager
    async def use(self, cube: MemCube) -> AsyncIterator[Opened]:
        """See `Copies`."""
        assert isinstance(cube.payload, Activation | Parametric)
        key, blob = _key(cube), cube.payload.blob
        entry = self._entries.get(key)
        if entry is None:
            path = self._folder / f"{key}{_SUFFIX}"
            entry = self._entries[key] = _Entry(path, blob.size_bytes)
        entry.seconds = _worth(cube.payload)
        entry.users += 1
        entry.uses += 1
        self._note_use(entry)
        try:
            yield await self._ready(key, entry, cube)
        finally:
            entry.users -= 1
            self._fit_memory()

    async def _ready(self, key: str, entry: _Entry[Opened], cube: MemCube) -> Opened:
        if entry.refusal is not None and self._now() < entry.refused + _REFUSED_SECONDS:
            self._told("none")
            raise entry.refusal.with_traceback(None)  # or it would grow with each who is told
        if entry.opened is not None:
            self._told("memory")
            return entry.opened
        try:
            opened = await self._loaded(key, entry, cube)
        except BaseException:
            self._told("none")
            raise
        self._told("storage" if entry.fetched else "disk")
        return opened

    def _note_use(self, entry: _Entry[Opened]) -> None:
        """Take note that somebody wants it, or that it has come, which those who want it may not have waited for."""
        entry.used = self._now()
        entry.value = self._order.value(uses=entry.uses, seconds=entry.seconds, nbytes=entry.nbytes)
        with suppress(OSError):  # the next start goes by it; nothing else does
            os.utime(entry.path, (entry.used, entry.used))

    async def _loaded(self, key: str, entry: _Entry[Opened], cube: MemCube) -> Opened:
        """Wait for a cache; those who want the same one wait together."""
        if entry.loading is None:
            entry.loading = asyncio.create_task(self._load(key, entry, cube), name=f"kv.load.{key[:8]}")
            entry.loading.add_done_callback(_seen)
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(entry.loading)
        except TimeoutError:
            raise DependencyUnavailable(
                f"{cube.name} is still being loaded.", retry_after=_RETRY_SECONDS, dependency="blobs"
            ) from None

    async def _load(self, key: str, entry: _Entry[Opened], cube: MemCube) -> Opened:
        allow(_LOAD_SECONDS)  # whoever asked first may have less time than the cache takes
        entry.fetched = False
        try:
            if not entry.sure:
                await self._fetch(entry, cube)
            opened = entry.opened = await self._open(entry.path, cube, checked=entry.checked)
            entry.checked = True
            self._note_use(entry)
        except (DataCorrupted, IncompatiblePayload, LimitExceeded) as error:
            entry.refusal, entry.refused = error, self._now()
            entry.sure, entry.checked, entry.nbytes = False, False, 0
            await self._files.run(_remove, entry.path)
            raise
        except BaseException:
            if not entry.sure:
                self._entries.pop(key, None)
                await self._files.run(_remove, entry.path)
            raise
        finally:
            await self._files.run(_remove, entry.path.with_suffix(_PART))
            entry.loading = None
        return opened

    async def _fetch(self, entry: _Entry[Opened], cube: MemCube) -> None:
        """Have the file, with the bytes that the cube names: kept from before, or fetched."""
        assert isinstance(cube.payload, Activation | Parametric)
        blob = cube.payload.blob
        entry.fetched = await self._files.run(_digest, entry.path) != blob.sha256
        if entry.fetched:
            if blob.size_bytes > min(self._disk_bytes, self._memory_bytes):
                raise LimitExceeded(
                    f"{cube.name} has {blob.size_bytes} bytes; {self._settings}_disk_bytes and"
                    f" {self._settings}_memory_bytes allow fewer.",
                    field="cube",
                    limit=str(min(self._disk_bytes, self._memory_bytes)),
                    unit="bytes",
                )
            entry.nbytes = blob.size_bytes
            await self._fit_disk(entry)
            await self._download(entry.path, cube)
        entry.sure = True

    async def _download(self, path: Path, cube: MemCube) -> None:
        assert isinstance(cube.payload, Activation | Parametric)
        part, begun = path.with_suffix(_PART), time.perf_counter()
        try:
            digest = await self._source.fetch(cube.name, part)
        except OSError as error:
            raise StoreFull(f"The disk of inference has no room for {cube.name}.") from error
        if digest != cube.payload.blob.sha256:
            raise DataCorrupted(f"The bytes of {cube.name} are not those that it names.", name=str(cube.name))
        await self._files.run(part.replace, path)
        self._meter.note(cube.payload.blob.size_bytes, time.perf_counter() - begun)

    async def _fit_disk(self, wanted: _Entry[Opened]) -> None:
        """Make room for a file.

        Raises:
            StoreFull: what is in use leaves none.
        """
        while (held := sum(one.nbytes for one in self._entries.values())) > self._disk_bytes:
            idle = [(one.value, key) for key, one in self._entries.items() if one is not wanted and one.idle]
            if not idle:
                raise StoreFull(f"What is in use has {held} bytes; {self._settings}_disk_bytes is {self._disk_bytes}.")
            value, key = min(idle)
            self._order.dropped(value)
            await self._drop(key)

    def _fit_memory(self) -> None:
        """Close caches until those that are open fit; those in use stay for as long as they are."""
        while sum(one.nbytes for one in self._entries.values() if one.opened is not None) > self._memory_bytes:
            idle = [one for one in self._entries.values() if one.opened is not None and one.idle]
            if not idle:
                return
            least = min(idle, key=lambda one: one.value)
            self._order.dropped(least.value)
            least.opened = None

    async def _drop(self, key: str) -> None:
        entry = self._entries.pop(key)  # first: whoever asks from now on fetches it anew, behind the removal
        entry.opened = None
        await self._files.run(_remove, entry.path)

    async def _sweep_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self.sweep()
            except Exception:  # a disk that fails now may not fail the next time
                _log.exception("copies cannot be removed")

    async def sweep(self) -> None:
        """Remove what nobody has used for a while, so early that it is gone when the limit says so."""
        long_ago = self._now() - limits.KV_COPY_RETENTION.total_seconds() + 2 * _SWEEP_SECONDS
        for key in list(self._entries):
            one = self._entries.get(key)  # what has changed while another was removed
            if one is not None and one.idle and one.used < long_ago:
                await self._drop(key)

    def _take_stock(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if path.suffix != _SUFFIX:
                path.unlink(missing_ok=True)
                continue
            known = path.stat()
            self._entries[path.stem] = _Entry(path, known.st_size, used=known.st_mtime)

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _worth(payload: Activation | Parametric) -> float:
    """Return what a use saves, but for a factor: tokens that need not be read, or bytes that need not be fetched."""
    return payload.token_count if isinstance(payload, Activation) else payload.blob.size_bytes


def _key(cube: MemCube) -> str:
    """Return what tells a copy from others: two vaults never share one, nor do two revisions of one name."""
    assert isinstance(cube.payload, Activation | Parametric)
    parts = (str(cube.vault), cube.uid, cube.payload.blob.sha256)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _seen(task: asyncio.Task[Opened]) -> None:
    """Take note of how a load ended, which nobody may have waited for."""
    if not task.cancelled():
        task.exception()


def _digest(path: Path) -> str:
    """Return the hex SHA-256 of a file, or an empty string if there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
