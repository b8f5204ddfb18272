# ruff: noqa: S311  (questions of a test need no secure randomness)
"""Whether answers from composed caches are as right as answers from the text: asked before any user gets one."""

import asyncio
import json
import logging
import random
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from memos_inference.domain.generation import Prompt, Role, Turn
from memos_kernel.cube import Kind, MemCube, Plaintext
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName, VaultName

if TYPE_CHECKING:
    from memos_inference.adapters.engine_work import LoadedModel
    from memos_inference.adapters.kv_cache import KvPrefix, Reused

_QUESTIONS = 200
_MEMORIES = 4
_SEED = 20_260_801
_LOSS = 0.02
_LEAST = 0.5
"""Share of answers from the text that have to be right: a model that cannot read them proves nothing."""

_VAULT = VaultName("local", "gate")

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
        read: has the model read tokens, and returns their keys and values as a prefix.
        answer: has the model answer a prompt, of which some is taken over.
    """

    memory: Path
    recompute: float
    settings: str
    read: "Callable[[Sequence[int]], Awaitable[KvPrefix]]"
    answer: "Callable[[Sequence[int], Reused], Awaitable[str]]"

    async def passed(self, model: "LoadedModel") -> bool:
        """Return whether composed caches may be used; takes as long as some hundred answers, once a model."""
        if model.decoder.rotation is None:
            return False
        key = self._key(model.description.identity)
        known = await asyncio.to_thread(_known, self.memory)
        if key in known:
            return known[key].passed
        marks = await self._ask(model)
        _log.info("composed caches: %s; %s", marks, "used" if marks.passed else "not used, for they cost answers")
        await asyncio.to_thread(_keep, self.memory, {**known, key: marks})
        return marks.passed

    def _key(self, identity: CompatibilityIdentity) -> str:
        said = json.dumps([asdict(identity), self.settings, self.recompute, _QUESTIONS, _SEED], sort_keys=True)
        return sha256(said.encode()).hexdigest()

    async def _ask(self, model: "LoadedModel") -> Marks:
        right = {"text": 0, "composed": 0}
        for memories, question, expected in _questions():
            ids = model.tokenizer.prompt_ids(Prompt((Turn(Role.USER, question),), memories))
            half = len(memories) // 2
            parts = [await self.read(model.tokenizer.prefix_ids(part)) for part in (memories[:half], memories[half:])]
            for name, prefixes in (("text", []), ("composed", parts)):
                reused = model.decoder.reuse(ids, prefixes, recompute=self.recompute)
                right[name] += expected.casefold() in (await self.answer(ids, reused)).casefold()
        return Marks(**{name: count / _QUESTIONS for name, count in right.items()})


def _questions() -> list[tuple[tuple[MemCube, ...], str, str]]:
    """Return memories, a question about them, and what the answer has to hold: about nobody there is."""
    from memos_inference.tiny_model.episodes import EpisodeMaker

    rng, maker = random.Random(_SEED), EpisodeMaker(heldout=True)
    found: list[tuple[tuple[MemCube, ...], str, str]] = []
    while len(found) < _QUESTIONS:
        episode = maker.draw(rng, memories=_MEMORIES, shared=len(found) % 2 == 0)
        told = next((one for one in episode.questions if one.kind in ("value", "date")), None)
        if told is not None:
            found.append((_cubes(episode.memories), told.text, told.answer))
    return found


def _cubes(memories: Sequence[str]) -> tuple[MemCube, ...]:
    return tuple(
        MemCube(name=CubeName("local", f"m{number}"), vault=_VAULT, kind=Kind.PLAINTEXT, payload=Plaintext(text))
        for number, text in enumerate(memories)
    )


def _known(memory: Path) -> dict[str, Marks]:
    try:
        return {key: Marks(**marks) for key, marks in json.loads(memory.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none yet, torn, or something else: ask again
        return {}


def _keep(memory: Path, known: Mapping[str, Marks]) -> None:
    with tempfile.NamedTemporaryFile("w", dir=memory.parent, delete=False) as fresh:
        json.dump({key: asdict(marks) for key, marks in known.items()}, fresh, indent=1)
    Path(fresh.name).replace(memory)
