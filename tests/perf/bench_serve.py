"""How much faster are chats that share the model's passes than chats one by one? Do they disturb each other?

    make bench-serve ARGS="--model tiny"
    make bench-serve ARGS="--model qwen2.5-0.5b --tokens 32"

The chats are of mixed forms: every second one reads its memories as text, the others have them as a KV cache. Each
writes the same number of tokens. At each level the same chats are served one after another, side by side, and by the
`generate` of transformers as one padded batch of text, which is the only thing it takes. `tiny` is the project's model;
`qwen2.5-0.5b` has random weights in the shape of that model: times are real, answers are not.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measure import memory_mib, summary
from random_qwen import prompt_of, random_ids, random_qwen
from reading import pairs_of
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from transformers import AutoModelForCausalLM

from memos_inference.adapters import environment
from memos_inference.adapters.batcher import Batcher
from memos_inference.adapters.checkpoint import FileDigests, bundled_tiny
from memos_inference.adapters.engine_work import LoadedModel
from memos_inference.adapters.kv_cache import KvPrefix
from memos_inference.adapters.kv_chunks import NativeChunk, Pair
from memos_inference.adapters.kv_file import prefix_of
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.torch_decoder import State, TorchDecoder
from memos_inference.adapters.transformers_engine import TransformersEngine
from memos_inference.config import InferenceConfig
from memos_inference.domain.generation import Ended, Prompt, Sampling
from memos_inference.tiny_model.evaluate import TOLD, draw_items
from memos_inference.training.packing import prompt_of as asking

LEVELS = (1, 2, 4, 8, 16)
MEMORY_TOKENS, QUESTION_TOKENS = 583, 167
"""Of chats with random weights."""


@dataclass(frozen=True)
class Chat:
    """A prompt, its tokens, and maybe a cache of its memories."""

    prompt: Prompt
    ids: Sequence[int]
    cache: KvPrefix | None


@dataclass(frozen=True)
class Subject:
    """A model, chats with it, and the model as transformers runs it."""

    model: LoadedModel
    chats: Sequence[Chat]
    library: Any


def cache_of(decoder: TorchDecoder, ids: Sequence[int]) -> KvPrefix:
    """Return the cache of some tokens."""
    return prefix_of(ids, pairs_of(decoder, ids, piece=256))


def tiny(dtype: str, rng: random.Random) -> Subject:
    """Return the project's model with facts that it has not seen."""
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(InferenceConfig(dtype=dtype), FileDigests(Path(folder) / "digests.json"))
    chats = []
    for number, item in enumerate(draw_items(rng, memories=4, shared=True, kinds=TOLD, count=max(LEVELS))):
        prompt = asking(item.memories, item.question.text)
        cache = cache_of(model.decoder, model.tokenizer.prefix_ids(prompt.memories)) if number % 2 else None
        chats.append(Chat(prompt, model.tokenizer.prompt_ids(prompt), cache))
    library = AutoModelForCausalLM.from_pretrained(bundled_tiny().folder, dtype=getattr(torch, dtype)).eval()
    return Subject(model, chats, library)


def qwen(dtype: str, rng: random.Random) -> Subject:
    """Return random weights in the shape of Qwen2.5-0.5B, with random tokens."""
    model, library = random_qwen(dtype)
    chats = []
    for number in range(max(LEVELS)):
        ids = random_ids(rng, MEMORY_TOKENS + QUESTION_TOKENS)
        cache = cache_of(model.decoder, ids[:MEMORY_TOKENS]) if number % 2 else None
        chats.append(Chat(prompt_of(ids), ids, cache))
    return Subject(model, chats, library)


@dataclass
class Served:
    """What came of one chat: seconds until its first token and until its end, and the text."""

    first: float
    end: float
    text: str


async def serve(engine: TransformersEngine, chat: Chat, tokens: int) -> Served:
    """Have a chat answered."""
    begun, first, pieces = time.perf_counter(), 0.0, []
    async for event in engine.generate(
        chat.prompt, Sampling(max_tokens=tokens), caches=[chat.cache] if chat.cache is not None else []
    ):
        first = first or time.perf_counter()
        if isinstance(event, Ended):
            assert event.completion_tokens == tokens
        else:
            pieces.append(event.text)
    return Served(first - begun, time.perf_counter() - begun, "".join(pieces))


def by_library(library: Any, chats: Sequence[Chat], tokens: int) -> float:
    """Return the seconds that transformers needs for the chats as one batch."""
    longest = max(len(chat.ids) for chat in chats)
    ids = torch.tensor([[0] * (longest - len(chat.ids)) + list(chat.ids) for chat in chats])
    mask = torch.tensor([[0] * (longest - len(chat.ids)) + [1] * len(chat.ids) for chat in chats])
    begun = time.perf_counter()
    library.generate(
        ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0
    )
    return time.perf_counter() - begun


async def level(subject: Subject, engine: TransformersEngine, count: int, tokens: int, rounds: int) -> dict[str, Any]:
    """Measure so many chats at once."""
    chats = subject.chats[:count]
    alone, together, library, firsts, ends = [], [], [], [], []
    same = 0
    for _ in range(rounds):
        begun = time.perf_counter()
        one_by_one = [await serve(engine, chat, tokens) for chat in chats]
        alone.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        served = await asyncio.gather(*(serve(engine, chat, tokens) for chat in chats))
        together.append(time.perf_counter() - begun)
        library.append(await asyncio.to_thread(by_library, subject.library, chats, tokens))
        firsts += [one.first for one in served]
        ends.append(max(one.end for one in served) / min(one.end for one in served))
        same += sum(one.text == two.text for one, two in zip(one_by_one, served, strict=True))
    rate = {
        name: count * tokens / statistics.median(seconds)
        for name, seconds in (("sequential", alone), ("together", together), ("transformers_batch", library))
    }
    return {
        "chats": count,
        "tokens_per_second": {name: round(value, 1) for name, value in rate.items()},
        "times_sequential": round(rate["together"] / rate["sequential"], 2),
        "times_transformers_batch": round(rate["together"] / rate["transformers_batch"], 2),
        "first_token": summary(firsts),
        "last_end_to_first_end": round(max(ends), 2),
        "same_answer_as_alone": f"{same} of {count * rounds}",
    }


class Recorder:
    """A decoder that notes a digest of the logits of each sequence, in the order in which the sequences began."""

    def __init__(self, decoder: TorchDecoder) -> None:
        self._decoder = decoder
        self.digests: dict[State, list[str]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def begin(self, *args: Any, **options: Any) -> State:
        """See `TorchDecoder`."""
        state = self._decoder.begin(*args, **options)
        self.digests[state] = []
        return state

    def step(self, parts: Sequence[tuple[State, Sequence[int]]], *, again: bool = False) -> torch.Tensor:
        """See `TorchDecoder`."""
        logits = self._decoder.step(parts, again=again)
        for (state, _), row in zip(parts, logits, strict=True):
            self.digests[state].append(hashlib.sha256(row.cpu().numpy().tobytes()).hexdigest())
        return logits


@dataclass(frozen=True)
class BadChunk:
    """A chunk whose keys are no numbers, or that cannot be read."""

    good: NativeChunk
    readable: bool

    @property
    def tokens(self) -> int:
        """See `KvChunk`."""
        return self.good.tokens

    def layer(self, index: int, part: slice) -> Pair:
        """See `KvChunk`."""
        if not self.readable:
            raise OSError("the file is torn")
        keys, values = self.good.layer(index, part)
        return torch.full_like(keys, float("nan")), values


async def disturbed(subject: Subject, kind: str, tokens: int) -> tuple[list[list[str]], str]:
    """Serve eight chats, the last of which has something wrong with it.

    Returns:
        The digests of the logits of each chat, and how the last one ended.
    """
    recorder = Recorder(subject.model.decoder)
    engine = engine_of(replace(subject.model, decoder=recorder))  # type: ignore[arg-type]
    *good, last = subject.chats[:8]
    assert last.cache is not None
    if kind in ("nan", "torn"):
        chunks = tuple(BadChunk(chunk, readable=kind == "nan") for chunk in last.cache.chunks)  # type: ignore[arg-type]
        last = replace(last, cache=KvPrefix(last.cache.ids, chunks))  # type: ignore[arg-type]

    async def poisoned() -> str:
        try:
            async for _ in engine.generate(last.prompt, Sampling(max_tokens=tokens), caches=[last.cache]):
                if kind == "leaves":
                    return "left"
        except Exception as error:  # each of them is an outcome
            return type(error).__name__
        return "answered"

    engine.start()
    await engine.describe()
    *_, outcome = await asyncio.gather(*(serve(engine, chat, tokens) for chat in good), poisoned())
    await engine.close()
    return list(recorder.digests.values())[: len(good)], outcome


def engine_of(model: LoadedModel) -> TransformersEngine:
    """Return an engine as the service makes it, with a model that is there."""
    config = InferenceConfig()
    batcher = Batcher(
        max_running=config.max_running,
        max_waiting=config.max_queue,
        max_bytes=config.kv_running_bytes,
        piece=config.prefill_tokens,
    )
    return TransformersEngine(lambda: model, batcher=batcher)


async def measure(subject: Subject, tokens: int, rounds: int, console: Console) -> dict[str, Any]:
    """Return the report."""
    subject = replace(subject, model=replace(subject.model, stop_ids=frozenset()))
    engine = engine_of(subject.model)
    engine.start()
    await serve(engine, subject.chats[0], tokens)
    levels = []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("chats", total=sum(LEVELS))
        for count in LEVELS:
            levels.append(await level(subject, engine, count, tokens, rounds))
            progress.advance(task, count)
    await engine.close()
    clean, _ = await disturbed(subject, "nothing", tokens)
    others = {}
    for kind in ("nan", "torn", "leaves"):
        found, outcome = await disturbed(subject, kind, tokens)
        others[kind] = {"outcome": outcome, "others_bit_equal": found == clean}
    return {"levels": levels, "disturbed": others}


def show(report: dict[str, Any]) -> None:
    """Print the report as tables."""
    table = Table("chats", "sequential", "together", "transformers", "times sequential", "first token p50 / p95")
    for row in report["levels"]:
        rate, first = row["tokens_per_second"], row["first_token"]
        table.add_row(
            str(row["chats"]),
            *(f"{rate[name]:.0f} tokens/s" for name in ("sequential", "together", "transformers_batch")),
            f"{row['times_sequential']:.2f}",
            f"{first['p50_ms']:.0f} / {first['p95_ms']:.0f} ms",
        )
    Console().print(table, report["disturbed"])


def main() -> None:
    """Run from the command line; ends with 1 if one chat disturbed another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("tiny", "qwen2.5-0.5b"), default="tiny")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--rounds", type=int, default=5, help="times that each level is measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    asked = parser.parse_args()
    environment.prepare(0)
    make = tiny if asked.model == "tiny" else qwen
    subject = make(asked.dtype, random.Random(asked.seed))
    found = asyncio.run(measure(subject, asked.tokens, asked.rounds, Console(stderr=True)))
    settings = {"model": asked.model, "dtype": asked.dtype, "tokens": asked.tokens, "threads": torch.get_num_threads()}
    report = {**settings, **found, "memory": memory_mib(os.getpid())}
    if asked.json:
        print(json.dumps(report, indent=1))  # noqa: T201
    else:
        show(report)
    sys.exit(0 if all(one["others_bit_equal"] for one in report["disturbed"].values()) else 1)


if __name__ == "__main__":
    main()
