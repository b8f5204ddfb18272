"""Engine on a server that speaks the chat completions of OpenAI: vLLM, Ollama, llama.cpp, hosted models. Text only."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never
from urllib.parse import urlsplit

from memos_inference import prompt as prompts
from memos_inference.domain.activation import Encoded
from memos_inference.domain.generation import Delta, Ended, FinishReason, GenerationEvent, Prompt, Sampling, check_room
from memos_inference.domain.injection import Form
from memos_inference.domain.models import EngineDescription
from memos_inference.ports import Adapter, Cache, Trained
from memos_kernel.cube import MemCube
from memos_kernel.errors import ContextExceeded, DependencyUnavailable, FormUnsupported, InvalidField, Overloaded
from memos_kernel.identity import CompatibilityIdentity

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

_BYTES_PER_TOKEN = 3
"""Of UTF-8: no such server counts tokens for its callers. Fewer than most texts have, so that prompts fit."""

_PAUSE = 1.0
_TOLD = 200
"""Characters of the server's own words in an error."""

_OF_THE_CALLER = (400, 413, 422, 429)
"""Answers by which the server is well."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class OpenAICompatibleEngine:
    """Implements `ports.Engine`; memories go to the server as words, in the prompt.

    Attributes:
        url: where the server has `chat/completions`.
        key: of the server; empty if it wants none.
        model: its name there.
        context_length: tokens that prompt and answer may have together.
        memories_read_well: in one prompt.
        seconds: of silence, after which it counts as away.
        max_running: answers at the same time.
        max_waiting: answers that wait for their turn.
    """

    url: str
    key: str = field(repr=False)
    model: str
    context_length: int
    memories_read_well: int
    seconds: float
    max_running: int
    max_waiting: int
    healthy: bool = True
    _client: "AsyncOpenAI | None" = field(default=None, repr=False)
    _waiting: int = 0
    _running: int = 0

    def start(self) -> None:
        """Make the client; nothing is asked yet."""
        from openai import AsyncOpenAI

        for library in ("openai", "httpx", "httpx2"):  # when they tell everything, they tell what the turns say
            logging.getLogger(library).setLevel(logging.WARNING)
        self._turns = asyncio.Semaphore(self.max_running)
        self._client = AsyncOpenAI(base_url=self.url, api_key=self.key or "none", timeout=self.seconds, max_retries=0)

    @property
    def load(self) -> tuple[int, int]:
        """How many generations wait, and how many run."""
        return self._waiting, self._running

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def describe(self) -> EngineDescription:
        """See `Engine`. No payload fits an identity that leaves everything open."""
        name = f"{self.model}@{urlsplit(self.url).hostname}"
        return EngineDescription(
            model=name,
            context_length=self.context_length,
            memories_read_well=self.memories_read_well,
            identity=CompatibilityIdentity(name, "", "", "", "", "", "", "", ""),
        )

    async def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Engine`; an estimate."""
        return [_estimate(text) for text in texts]

    async def encode(self, memories: Sequence[MemCube], path: Path, *, tenant: str = "") -> Encoded:
        """Refuse.

        Raises:
            FormUnsupported: always.
        """
        self._refuse(Form.KV)

    async def words_of(self, cache: Cache) -> str:
        """Refuse.

        Raises:
            FormUnsupported: always.
        """
        self._refuse(Form.KV)

    async def open_cache(self, path: Path, cube: MemCube, *, checked: bool = False) -> Never:
        """Refuse.

        Raises:
            FormUnsupported: always.
        """
        self._refuse(Form.KV)

    async def open_adapter(self, path: Path, cube: MemCube, *, checked: bool = False) -> Never:
        """Refuse.

        Raises:
            FormUnsupported: always.
        """
        self._refuse(Form.LORA)

    async def train(
        self, memories: Sequence[MemCube], folder: Path, *, identity: CompatibilityIdentity
    ) -> AsyncGenerator[float | Trained]:
        """Refuse, in the place of `ports.AdapterTraining`.

        Raises:
            FormUnsupported: always.
        """
        self._refuse(Form.LORA)
        yield 0.0

    async def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        tenant: str = "",
        caches: Sequence[Cache] = (),
        adapter: Adapter | None = None,
    ) -> AsyncGenerator[GenerationEvent]:
        """See `Engine`. The server shares itself as it likes; here the first come are the first served."""
        assert not caches
        assert adapter is None
        queued = time.perf_counter()
        turns: list[Any] = [
            {"role": str(turn.role), "content": turn.text} for turn in prompts.messages(prompt, system_role=True)
        ]
        tokens = sum(_estimate(turn["content"]) for turn in turns)
        check_room(tokens, sampling, limit=self.context_length)
        async with self._turn():
            answer = _Answer(tokens, self.model, queued=queued)
            async with self._asked(turns, tokens, sampling) as chunks:
                async for chunk in chunks:
                    if piece := answer.take(chunk):
                        yield Delta(piece)
            yield answer.end()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._turns.locked() and self._waiting >= self.max_waiting:
            raise Overloaded("Too many answers wait for the model.", retry_after=_PAUSE, queue="engine")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._turns.release()

    @asynccontextmanager
    async def _asked(self, turns: list[Any], tokens: int, sampling: Sampling) -> "AsyncIterator[AsyncIterator[Any]]":
        """Ask the server, and yield the parts of what it says; the turns have about so many tokens.

        Raises:
            DependencyUnavailable, Overloaded, ContextExceeded, InvalidField: what the server's errors mean here.
        """
        import openai

        assert self._client is not None
        try:
            stream = await self._client.chat.completions.create(
                model=self.model,
                messages=turns,
                max_tokens=min(sampling.max_tokens, self.context_length - tokens),
                temperature=sampling.temperature,
                stream=True,
                stream_options={"include_usage": True},
            )
            async with stream:
                yield stream
            self.healthy = True
        except openai.APIStatusError as error:
            self.healthy = error.status_code in _OF_THE_CALLER
            raise self._meant(error) from None  # the request holds the key
        except (openai.OpenAIError, ValueError) as error:
            self.healthy = False
            _log.warning("the model's server does not answer: %s", type(error).__name__)
            raise DependencyUnavailable(
                f"The server of {self.model} does not answer, or not as it should.",
                retry_after=_PAUSE,
                dependency="engine",
            ) from None

    def _meant(self, error: "APIStatusError") -> Exception:
        told = str(error.message)[:_TOLD]
        if error.status_code == 429:
            return Overloaded(
                f"The server of {self.model} has too much to do: {told}", retry_after=_pause(error), queue="engine"
            )
        if error.status_code in (400, 413, 422) and ("context" in told.lower() or "too long" in told.lower()):
            return ContextExceeded(
                f"The prompt is too long for {self.model}: {told}",
                tokens="unknown",
                limit=str(self.context_length),
            )
        if error.status_code in (400, 422):
            return InvalidField(f"The server of {self.model} refuses the turns: {told}", field="turns")
        if error.status_code in (401, 403, 404):
            _log.error("the model's server refuses us with %d", error.status_code)
            return DependencyUnavailable(
                f"The server of {self.model} refuses us ({error.status_code}); an operator has to look at"
                " inference.model, inference.openai_url and inference.openai_key.",
                dependency="engine",
            )
        return DependencyUnavailable(
            f"The server of {self.model} failed ({error.status_code}).", retry_after=_PAUSE, dependency="engine"
        )

    def _refuse(self, form: Form) -> Never:
        raise FormUnsupported(
            f"{self.model} runs on a server of its own, which takes memories as text only; inject text.",
            form=form,
            model=self.model,
        )


class _Answer:
    """What the server has said so far."""

    def __init__(self, tokens: int, model: str, *, queued: float) -> None:
        self._tokens = tokens
        self._model = model
        self._queued = queued
        self._started = time.perf_counter()
        self._first = 0.0
        self._said: list[str] = []
        self._finish = ""
        self._usage: Any = None

    def take(self, chunk: Any) -> str:
        """Take a part; return its text.

        Raises:
            DependencyUnavailable: it is none: the client checks nothing of what a server says.
        """
        try:
            self._usage = chunk.usage or self._usage
            if not chunk.choices:
                return ""
            choice = chunk.choices[0]
            self._finish = choice.finish_reason or self._finish
            piece = str(choice.delta.content or "")
        except (AttributeError, LookupError, TypeError):
            raise DependencyUnavailable(
                f"The server of {self._model} speaks another language than chat completions.", dependency="engine"
            ) from None
        if piece:
            self._first = self._first or time.perf_counter()
            self._said.append(piece)
        return piece

    def end(self) -> Ended:
        """Return how it ended.

        Raises:
            DependencyUnavailable: it broke off.
        """
        if not self._finish:
            raise DependencyUnavailable(
                f"The answer of {self._model} broke off.", retry_after=_PAUSE, dependency="engine"
            )
        asked, said = getattr(self._usage, "prompt_tokens", None), getattr(self._usage, "completion_tokens", None)
        return Ended(
            finish_reason=FinishReason.LENGTH if self._finish == "length" else FinishReason.STOP,
            prompt_tokens=asked if isinstance(asked, int) else self._tokens,
            completion_tokens=said if isinstance(said, int) else _estimate("".join(self._said)),
            first_token_ms=((self._first or time.perf_counter()) - self._started) * 1e3,
            queue_ms=(self._started - self._queued) * 1e3,
            model=self._model,
        )


def _estimate(text: str) -> int:
    return math.ceil(len(text.encode()) / _BYTES_PER_TOKEN)


def _pause(error: "APIStatusError") -> float:
    """Return the seconds after which the server wants to be asked again."""
    try:
        return min(max(float(error.response.headers.get("retry-after", "")), _PAUSE), 60.0)
    except ValueError:
        return _PAUSE
