"""Engine on transformers: one thread has the model, callers wait in a bounded queue."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from memos_inference.adapters.engine_work import Generation, LoadedModel, ReadingPiece
from memos_inference.adapters.lane import Lane
from memos_inference.adapters.model_loader import FIRST_PAUSE, ModelLoader
from memos_inference.domain.activation import Encoded
from memos_inference.domain.generation import Ended, GenerationEvent, Prompt, Sampling, check_room
from memos_inference.domain.injection import Form
from memos_inference.domain.models import EngineDescription
from memos_inference.ports import Cache
from memos_kernel.cube import MemCube, RevisionRef
from memos_kernel.errors import FormUnsupported, Overloaded, StoreFull
from memos_kernel.identity import CompatibilityIdentity
from memos_runtime.workers import Worker

if TYPE_CHECKING:
    from memos_inference.adapters.kv_cache import KvPrefix
    from memos_inference.adapters.torch_decoder import Reading

_PAUSE = 1.0

_Work = Generation | ReadingPiece


class TransformersEngine:
    """Engine whose model is loaded in the background; calls wait for it, but not for a second try."""

    def __init__(
        self,
        load: Callable[[], LoadedModel],
        *,
        max_queue: int,
        kv_encoding: str = "native",
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """Take what loads the model, and how it works.

        Args:
            load: runs in a thread.
            max_queue: calls that may wait.
            kv_encoding: how KV caches are written, `native` or `int8`; with `native` none in eight bits is used.
            first_pause: seconds between the first two tries to load.
        """
        self._kv_encoding = kv_encoding
        self._loader = ModelLoader(load, first_pause=first_pause)
        self._tokens = Worker("tokenizer")
        self._files = Worker("kv_files")
        self._running: set[_Work] = set()
        self._lane: Lane[_Work] = Lane("engine", _run, batch=1, capacity=max_queue)

    @property
    def healthy(self) -> bool:
        """Whether the model is loaded."""
        return self._loader.loaded

    def start(self) -> None:
        """Begin to load the model."""
        self._lane.start()
        self._loader.start()

    async def close(self) -> None:
        """Fail what waits and what runs, end the threads. A model that is being loaded is waited for only shortly."""
        await self._loader.close()
        for work in self._running:
            work.cancelled = True
        await asyncio.to_thread(self._lane.close)
        await self._tokens.close()
        await self._files.close()

    async def describe(self) -> EngineDescription:
        """See `Engine`."""
        return (await self._loader.model()).description

    async def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Engine`."""
        model = await self._loader.model()
        return await self._tokens.run(model.tokenizer.count, texts)

    async def generate(
        self, prompt: Prompt, sampling: Sampling, *, cache: Cache | None = None
    ) -> AsyncGenerator[GenerationEvent]:
        """See `Engine`. The cache is one of `open_cache`."""
        model = await self._loader.model()
        prefix = None if cache is None else _own(cache)
        ids = await self._tokens.run(model.tokenizer.prompt_ids, prompt)
        check_room(len(ids), sampling, limit=model.description.context_length)
        generation = Generation(
            loop=asyncio.get_running_loop(), model=model, prompt=ids, sampling=sampling, prefix=prefix
        )
        self._begin(generation)
        try:
            while True:
                event = await generation.events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
                if isinstance(event, Ended):
                    return
        finally:
            self._end(generation)

    async def encode(self, memories: Sequence[MemCube], path: Path) -> Encoded:
        """See `Engine`."""
        from memos_inference.adapters.kv_file import digest_of

        model = await self._loader.model()
        _check_keeps_all(model)
        ids = await self._tokens.run(model.tokenizer.prefix_ids, memories)
        check_room(len(ids), Sampling(), limit=model.description.context_length)
        identity = replace(model.description.identity, token_ids_sha256=digest_of(ids))
        reading = await self._files.run(model.decoder.reading, ids)
        while await self._read_on(reading):
            pass
        sources = [RevisionRef(cube.name, cube.revision) for cube in memories]
        await self._files.run(_write, path, reading, ids, identity, sources, self._kv_encoding)
        return Encoded(len(ids), identity)

    async def _read_on(self, reading: "Reading") -> bool:
        """Have the next piece of a text read, when there is a place for it; return whether there are more."""
        loop = asyncio.get_running_loop()
        while True:
            piece = ReadingPiece(loop=loop, reading=reading, more=loop.create_future())
            try:
                self._begin(piece)
                return await piece.more
            except Overloaded as full:  # what was read so far is worth to wait for
                await asyncio.sleep(full.retry_after or _PAUSE)
            finally:
                self._end(piece)

    async def open_cache(self, path: Path, cube: MemCube) -> "KvPrefix":
        """Return a cache for `generate`, on the device of the model.

        Raises:
            DataCorrupted, IncompatiblePayload: the file is not what the cube tells of, or not of this model.
            FormUnsupported: this model has no use for it.
            Overloaded, DependencyUnavailable.
        """
        model = await self._loader.model()
        return await self._files.run(_open, model, path, cube, self._kv_encoding)

    def _begin(self, work: _Work) -> None:
        self._lane.submit([work])
        self._running.add(work)

    def _end(self, work: _Work) -> None:
        work.cancelled = True
        self._running.discard(work)
        self._lane.withdraw([work])


def _run(batch: Sequence[_Work]) -> None:
    """Do one piece of work after another. Runs in the lane's thread."""
    for work in batch:
        work.run()


def _own(cache: Cache) -> "KvPrefix":
    from memos_inference.adapters.kv_cache import KvPrefix

    if not isinstance(cache, KvPrefix):
        raise TypeError(f"{type(cache).__name__} is no cache of this engine")
    return cache


def _write(
    path: Path,
    reading: "Reading",
    ids: Sequence[int],
    identity: CompatibilityIdentity,
    sources: Sequence[RevisionRef],
    encoding: str,
) -> None:
    from safetensors import SafetensorError

    from memos_inference.adapters import kv_file

    try:
        kv_file.write(
            path,
            reading.layers(),
            ids=ids,
            identity=identity,
            sources=sources,
            encoding=kv_file.KvEncoding(encoding),
        )
    except (OSError, SafetensorError) as error:
        raise StoreFull("The disk of inference has no room for the KV cache.") from error


def _open(model: LoadedModel, path: Path, cube: MemCube, encoding: str) -> "KvPrefix":
    from memos_inference.adapters import kv_file

    decoder = model.decoder
    _check_keeps_all(model)
    assert decoder.geometry is not None
    allowed = {kv_file.KvEncoding.NATIVE, kv_file.KvEncoding(encoding)}
    prefix = kv_file.read(path, cube, geometry=decoder.geometry, vocabulary=decoder.vocabulary, allowed=allowed)
    return prefix.to(decoder.device)


def _check_keeps_all(model: LoadedModel) -> None:
    if model.decoder.geometry is None:
        raise FormUnsupported(
            f"{model.description.model} does not keep the keys and values of all tokens alike, so it takes no KV cache;"
            " inject text.",
            form=Form.KV,
            model=model.description.model,
        )
