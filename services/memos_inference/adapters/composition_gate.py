# ruff: noqa: S311  (questions of a test need no secure randomness)
"""Whether answers from composed caches are as right as answers from the text: asked before any user gets one."""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from memos_inference.adapters.json_file import read_json, write_json
from memos_inference.domain.generation import Prompt
from memos_kernel.cube import MemCube
from memos_kernel.identity import CompatibilityIdentity

if TYPE_CHECKING:
    from memos_inference.adapters.engine_work import LoadedModel
    from memos_inference.adapters.kv_cache import KvPrefix

_QUESTIONS = 200
_MEMORIES = 4
_SEED = 20_260_801
_LOSS = 0.02
_LEAST = 0.5
"""Share of answers from the text that have to be right: a model that cannot read them proves nothing."""

_VERSION = 2
"""Of the way in which it is asked; the marks of another say nothing of this one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Marks:
    """Shares of right answers to the same questions."""

    text: float
    composed: float

    @property
    def passed(self) -> bool:
        """Whether composed caches may be used."""
        return self.text >= _LEAST and self.composed >= self.text - _LOSS


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositionGate:
    """Asks each model once, by what it is and what it runs on, and remembers the marks.

    Attributes:
        memory: file of the marks.
        recompute: share of a run that is read again.
        settings: what else the outcome hangs on, in words.
        read: has the model read memories, and returns the cache that serves them.
        answer: has the model answer a prompt, of which some is taken over from caches.
    """

    memory: Path
    recompute: float
    settings: str
    read: "Callable[[Sequence[MemCube]], Awaitable[KvPrefix]]"
    answer: "Callable[[Prompt, Sequence[KvPrefix]], Awaitable[str]]"

    async def passed(self, model: "LoadedModel") -> bool:
        """Return whether composed caches may be used; takes as long as some hundred answers, once a model."""
        if model.decoder.rotation is None:
            return False
        key = self._key(model.description.identity)
        known = await asyncio.to_thread(_known, self.memory)
        if key in known:
            return known[key].passed
        marks = await self._ask()
        _log.info("composed caches: %s; %s", marks, "used" if marks.passed else "not used, for they cost answers")
        said = {name: asdict(one) for name, one in {**known, key: marks}.items()}
        await asyncio.to_thread(write_json, self.memory, said)
        return marks.passed

    def _key(self, identity: CompatibilityIdentity) -> str:
        said = json.dumps(
            [asdict(identity), self.settings, self.recompute, _QUESTIONS, _SEED, _VERSION], sort_keys=True
        )
        return sha256(said.encode()).hexdigest()

    async def _ask(self) -> Marks:
        text = composed = 0
        for prompt, expected in await asyncio.to_thread(_questions):
            half = len(prompt.memories) // 2
            parts = await asyncio.gather(self.read(prompt.memories[:half]), self.read(prompt.memories[half:]))
            answers = await asyncio.gather(self.answer(prompt, ()), self.answer(prompt, parts))
            by_text, by_caches = (expected.casefold() in answer.casefold() for answer in answers)
            text += by_text
            composed += by_caches
        return Marks(text / _QUESTIONS, composed / _QUESTIONS)


def _questions() -> list[tuple[Prompt, str]]:
    """Return prompts with memories, and what each answer has to hold: about nobody there is."""
    from memos_inference.tiny_model.episodes import EpisodeMaker
    from memos_inference.training.packing import prompt_of

    rng, maker = random.Random(_SEED), EpisodeMaker(heldout=True)
    found: list[tuple[Prompt, str]] = []
    while len(found) < _QUESTIONS:
        episode = maker.draw(rng, memories=_MEMORIES, shared=len(found) % 2 == 0)
        told = next((one for one in episode.questions if one.kind in ("value", "date")), None)
        if told is not None:
            found.append((prompt_of(episode.memories, told.text), told.answer))
    return found


def _known(memory: Path) -> dict[str, Marks]:
    try:
        return {key: Marks(**marks) for key, marks in read_json(memory).items()}
    except TypeError:  # something else: ask again
        return {}
