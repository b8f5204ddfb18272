"""Engine on transformers: one thread has the model, and answers share its passes."""

import asyncio
import logging
import struct
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from memos_inference.adapters.batcher import Batcher
from memos_inference.adapters.composition_gate import CompositionGate
from memos_inference.adapters.engine_work import Generation, LoadedModel, Post, Reading
from memos_inference.adapters.model_loader import FIRST_PAUSE, ModelLoader
from memos_inference.domain.activation import Encoded
from memos_inference.domain.generation import Delta, Ended, GenerationEvent, Prompt, Sampling, check_room
from memos_inference.domain.injection import Form
from memos_inference.domain.models import EngineDescription
from memos_inference.ports import Adapter, Cache
from memos_kernel.cube import MemCube, RevisionRef
from memos_kernel.errors import Capacity, FormUnsupported, StoreFull
from memos_kernel.identity import CompatibilityIdentity
from memos_runtime.workers import Worker

if TYPE_CHECKING:
    from memos_inference.adapters.kv_cache import KvPrefix, Reused
    from memos_inference.adapters.kv_chunks import Pair
    from memos_inference.adapters.lora import LoraAdapter


_ANSWER_TOKENS = 24
"""Tokens of an answer by which it is seen whether caches can be composed."""

_TRIED = (17, 96, 24, 64)
"""Tokens that the model reads when it is new, to see how fast it is."""

_PAUSE = 5.0
"""Seconds after which it is tried again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compose:
    """How several caches serve one prompt: what share of each is read again, and where it is noted what that costs."""

    recompute: float
    memory: Path


class TransformersEngine:
    """Engine whose model is loaded in the background; calls wait for it, but not for a second try."""

    def __init__(
        self,
        load: Callable[[], LoadedModel],
        *,
        batcher: Batcher,
        kv_encoding: str = "native",
        compose: Compose | None = None,
        calibrate: bool = False,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """Take what loads the model, and how it works.

        Args:
            load: runs in a thread.
            batcher: decides who reads and writes next; the engine starts and closes it.
            kv_encoding: how KV caches are written, `native` or `int8`; with `native` none in eight bits is used.
            compose: how several caches serve one prompt, for a model that gives right answers then; None: they do not.
            calibrate: whether to let the model read a little as soon as it is loaded, to see how fast it is.
            first_pause: seconds between the first two tries to load.
        """
        self._kv_encoding = kv_encoding
        self._loader = ModelLoader(load, first_pause=first_pause)
        self._tokens = Worker("tokenizer")
        self._files = Worker("kv_files")
        self._ahead = Worker("kv_ahead")
        self._reading: set[asyncio.Task[None]] = set()
        self._batcher = batcher
        self._compose = compose
        self._calibrate = calibrate
        self._recompute: float | None = None
        self._trying: asyncio.Task[None] | None = None

    @property
    def load(self) -> tuple[int, int]:
        """How many generations wait, and how many run."""
        return self._batcher.load

    @property
    def healthy(self) -> bool:
        """Whether the model is loaded."""
        return self._loader.loaded

    def start(self) -> None:
        """Begin to load the model."""
        self._post = Post(asyncio.get_running_loop())
        self._batcher.after_pass = self._post.send
        self._batcher.start()
        self._loader.start()
        self._trying = asyncio.create_task(self._try(), name="engine.try")

    async def close(self) -> None:
        """Fail what waits and what runs, end the threads. A model that is being loaded is waited for only shortly."""
        if self._trying is not None:
            self._trying.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._trying
        await self._loader.close()
        await asyncio.to_thread(self._batcher.close)
        await self._tokens.close()
        await self._files.close()
        await self._ahead.close()

    async def describe(self) -> EngineDescription:
        """See `Engine`."""
        described = (await self._loader.model()).description
        return replace(described, composes=self._recompute is not None, reading=self._batcher.speed)

    async def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Engine`."""
        model = await self._loader.model()
        return await self._tokens.run(model.tokenizer.count, texts)

    async def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        tenant: str = "",
        caches: Sequence[Cache] = (),
        adapter: Adapter | None = None,
    ) -> AsyncGenerator[GenerationEvent]:
        """See `Engine`. The caches are of `open_cache`, the adapter is one of `open_adapter`."""
        model = await self._loader.model()
        prefixes, lora = _own(caches, adapter)
        async with aclosing(self._answered(model, prompt, sampling, prefixes, lora, self._recompute, tenant)) as events:
            async for event in events:
                yield event

    async def _answered(
        self,
        model: LoadedModel,
        prompt: Prompt,
        sampling: Sampling,
        prefixes: "Sequence[KvPrefix]",
        lora: "LoraAdapter | None",
        recompute: float | None,
        tenant: str = "",
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield the answer; with `recompute`, several caches serve the prompt."""
        ids, reused, first = await self._tokens.run(_prepared, model, prompt, sampling, prefixes, lora, recompute)
        generation = Generation(
            loop=asyncio.get_running_loop(),
            post=self._post,
            model=model,
            prompt=ids,
            sampling=sampling,
            tenant=tenant,
            reused=reused,
            adapter=lora,
            adapter_from=first,
        )
        self._batcher.submit(generation)
        try:
            while True:
                event = await generation.events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
                if isinstance(event, Ended):
                    return
        finally:
            self._batcher.withdraw(generation)

    async def encode(self, memories: Sequence[MemCube], path: Path, *, tenant: str = "") -> Encoded:
        """See `Engine`."""
        from memos_inference.adapters.kv_file import digest_of

        model = await self._loader.model()
        _check_keeps_all(model)
        ids = await self._tokens.run(model.tokenizer.prefix_ids, memories)
        check_room(len(ids), Sampling(), limit=model.description.context_length)
        identity = replace(model.description.identity, token_ids_sha256=digest_of(ids))
        pairs = await self._read(model, ids, tenant)
        sources = [RevisionRef(cube.name, cube.revision) for cube in memories]
        await self._files.run(_write, path, pairs, ids, identity, sources, self._kv_encoding)
        return Encoded(len(ids), identity)

    async def _read(self, model: LoadedModel, ids: Sequence[int], tenant: str = "") -> "list[Pair]":
        """Return keys and values of tokens, layer by layer."""
        from memos_inference.adapters.kv_cache import NOTHING

        loop = asyncio.get_running_loop()
        reading = Reading(
            loop=loop, decoder=model.decoder, prompt=ids, tenant=tenant, pairs=loop.create_future(), reused=NOTHING
        )
        self._batcher.submit(reading)
        try:
            return await reading.pairs
        finally:
            self._batcher.withdraw(reading)

    async def _try(self) -> None:
        """Learn how fast the model reads here, and whether several caches may serve a prompt, however long it takes."""
        while True:
            try:
                await self._meet(await self._loader.model())
                return
            except Capacity as error:  # it is not loaded yet, or has too much to do
                await asyncio.sleep(error.retry_after or _PAUSE)

    async def _meet(self, model: LoadedModel) -> None:
        if model.decoder.geometry is None:
            return
        try:
            if self._calibrate:
                await self._read_a_little(model)
            if self._compose is not None and await self._pass_gate(model, self._compose):
                self._recompute = self._compose.recompute
        except Capacity:
            raise
        except Exception:  # the system works without
            _log.exception("what the model is like here could not be found out")

    async def _read_a_little(self, model: LoadedModel) -> None:
        """Let it be known how fast the model reads; its first pass, which is slower, does not count."""
        for tokens in _TRIED:
            await self._read(model, [0] * min(tokens, model.description.context_length))
            if tokens == _TRIED[0]:
                self._batcher.forget_speed()

    async def _pass_gate(self, model: LoadedModel, compose: Compose) -> bool:
        """Return whether the model answers well from several caches in one prompt."""

        async def read(memories: Sequence[MemCube]) -> "KvPrefix":
            ids = await self._tokens.run(model.tokenizer.prefix_ids, memories)
            return await self._files.run(_as_written, ids, await self._read(model, ids), self._kv_encoding)

        async def answer(prompt: Prompt, caches: "Sequence[KvPrefix]") -> str:
            sampling = Sampling(max_tokens=_ANSWER_TOKENS)
            events = self._answered(model, prompt, sampling, caches, None, compose.recompute)
            return "".join([event.text async for event in events if isinstance(event, Delta)])

        gate = CompositionGate(
            memory=compose.memory,
            recompute=compose.recompute,
            settings=f"{model.decoder.device.type} {self._kv_encoding}",
            read=read,
            answer=answer,
        )
        return await gate.passed(model)

    async def words_of(self, cache: Cache) -> str:
        """See `Engine`. The cache is one of `open_cache`."""
        model = await self._loader.model()
        (prefix,), _ = _own([cache], None)
        return await self._tokens.run(model.tokenizer.decode, prefix.ids)

    async def open_cache(self, path: Path, cube: MemCube, *, checked: bool = False) -> "KvPrefix":
        """Return a cache for `generate`, on the device of the model.

        Bytes that were `checked` before come from the disk while the model computes.

        Raises:
            DataCorrupted, IncompatiblePayload: the file is not what the cube tells of, or not of this model.
            FormUnsupported: this model has no use for it.
            Overloaded, DependencyUnavailable.
        """
        model = await self._loader.model()
        if checked and model.decoder.device.type == "cpu":
            self._read_ahead(model, path)
        return await self._files.run(_open, model, path, cube, self._kv_encoding, checked)

    def _read_ahead(self, model: LoadedModel, path: Path) -> None:
        """Have a file read in the background; nobody waits for it."""
        reading = asyncio.ensure_future(self._ahead.run(_read_ahead, model, path))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())  # the queue may be full

    async def open_adapter(self, path: Path, cube: MemCube, *, checked: bool = False) -> "LoraAdapter":
        """Return an adapter for `generate`, on the device of the model. It is checked each time: it is small.

        Raises:
            DataCorrupted, IncompatiblePayload: the file is not what the cube tells of, or not of this model.
            FormUnsupported: this model takes none.
            DependencyUnavailable.
        """
        model = await self._loader.model()
        return await self._files.run(_open_adapter, model, path, cube)


def _own(caches: Sequence[Cache], adapter: Adapter | None) -> "tuple[Sequence[KvPrefix], LoraAdapter | None]":
    from memos_inference.adapters.kv_cache import KvPrefix
    from memos_inference.adapters.lora import LoraAdapter

    own = [cache for cache in caches if isinstance(cache, KvPrefix)]
    if len(own) < len(caches) or not isinstance(adapter, LoraAdapter | None):
        raise TypeError(f"{caches!r} and {adapter!r} are not of this engine")
    return own, adapter


def _prepared(
    model: LoadedModel,
    prompt: Prompt,
    sampling: Sampling,
    prefixes: "Sequence[KvPrefix]",
    lora: "LoraAdapter | None",
    recompute: float | None,
) -> "tuple[list[int], Reused, int]":
    """Return the tokens of a prompt, what need not be read of them, and the place from which the adapter works.

    Raises:
        InvalidField: the template refuses the turns.
        ContextExceeded: there is no room for them.
    """
    ids = model.tokenizer.prompt_ids(prompt)
    check_room(len(ids), sampling, limit=model.description.context_length)
    activated = lora is not None and lora.activated
    if lora is not None and not activated:
        prefixes = ()
    composing = recompute is not None and bool(prefixes)
    told = model.tokenizer.told_tokens(prompt, ids) if activated or composing else len(ids)
    # what the user says is read, also where it repeats a memory
    reused = model.decoder.reuse(ids[:told] if composing else ids, prefixes, recompute=recompute)
    return ids, reused, told if activated else 0


def _as_written(ids: Sequence[int], pairs: "Sequence[Pair]", encoding: str) -> "KvPrefix":
    """Return the cache that a file of these keys and values would give."""
    from memos_inference.adapters import kv_file

    return kv_file.prefix_of(ids, pairs, kv_file.KvEncoding(encoding))


def _write(
    path: Path,
    pairs: "Sequence[Pair]",
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
            pairs,
            ids=ids,
            identity=identity,
            sources=sources,
            encoding=kv_file.KvEncoding(encoding),
        )
    except (OSError, SafetensorError) as error:
        raise StoreFull("The disk of inference has no room for the KV cache.") from error


def _open(model: LoadedModel, path: Path, cube: MemCube, encoding: str, checked: bool) -> "KvPrefix":
    from memos_inference.adapters import kv_file

    decoder = model.decoder
    _check_keeps_all(model)
    assert decoder.geometry is not None
    allowed = {kv_file.KvEncoding.NATIVE, kv_file.KvEncoding(encoding)}
    prefix = kv_file.read(
        path, cube, geometry=decoder.geometry, vocabulary=decoder.vocabulary, allowed=allowed, checked=checked
    )
    return prefix.to(decoder.device)


def _read_ahead(model: LoadedModel, path: Path) -> None:
    from memos_inference.adapters import kv_file

    if model.decoder.geometry is not None:
        with suppress(OSError, ValueError, struct.error):  # whoever reads it says what is wrong
            kv_file.read_ahead(path, model.decoder.geometry.layers)


def _open_adapter(model: LoadedModel, path: Path, cube: MemCube) -> "LoraAdapter":
    from memos_inference.adapters import lora_file

    decoder = model.decoder
    if decoder.geometry is None:
        raise FormUnsupported(
            f"{model.description.model} reads one sequence at a time, and takes no adapters; inject text.",
            form=Form.LORA,
            model=model.description.model,
        )
    return lora_file.read(path, cube, modules=decoder.modules).to(decoder.device, decoder.element_type)


def _check_keeps_all(model: LoadedModel) -> None:
    if model.decoder.geometry is None:
        raise FormUnsupported(
            f"{model.description.model} does not keep the keys and values of all tokens alike, so it takes no KV cache;"
            " inject text.",
            form=Form.KV,
            model=model.description.model,
        )
