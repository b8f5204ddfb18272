"""Questions put to the model, many at a time, with or without an adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memos_inference.adapters.engine_work import LoadedModel
from memos_inference.adapters.lora import LoraAdapter
from memos_inference.adapters.torch_decoder import State
from memos_inference.tiny_model.speech import Question
from memos_inference.training.packing import prompt_of

_TOGETHER = 32
_LONGEST = 32
"""Tokens of an answer."""


def tell_nobody() -> None:
    """Do nothing where others tell how far they are."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question after memory lines."""

    memories: tuple[str, ...]
    question: Question


@dataclass(slots=True, eq=False)
class _Asked:
    state: State
    unread: list[int]
    said: list[int]


class Asker:
    """Asks one model."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def share_right(
        self, items: Sequence[Item], *, adapter: LoraAdapter | None = None, tell: Callable[[], None] = tell_nobody
    ) -> float:
        """Return the share of questions that are answered letter by letter."""
        answers = self.answers(items, adapter=adapter, tell=tell)
        right = sum(answer == item.question.answer for answer, item in zip(answers, items, strict=True))
        return right / len(items)

    def answers(
        self,
        items: Sequence[Item],
        *,
        adapter: LoraAdapter | None = None,
        adapters: Sequence[LoraAdapter | None] | None = None,
        tell: Callable[[], None] = tell_nobody,
    ) -> list[str]:
        """Return the likeliest answers, all with one adapter or each with its own.

        What is too long for the model has none. `tell` is called now and then, and may raise to end it.
        """
        given = adapters if adapters is not None else [adapter] * len(items)
        said: list[str] = []
        for start in range(0, len(items), _TOGETHER):
            tell()
            end = start + _TOGETHER
            said += self._together(items[start:end], given[start:end])
        return said

    def _together(self, items: Sequence[Item], adapters: Sequence[LoraAdapter | None]) -> list[str]:
        decoder, tokenizer = self._model.decoder, self._model.tokenizer
        asked = []
        for item, adapter in zip(items, adapters, strict=True):
            ids = tokenizer.prompt_ids(prompt_of(item.memories, item.question.text))
            first = 0
            if adapter is not None and adapter.activated:
                first = tokenizer.told_tokens(prompt_of(item.memories, "?"), ids)
            state = decoder.begin(len(ids) + _LONGEST, adapter=adapter, adapter_from=first)
            asked.append(_Asked(state, ids, []))
        longest = decoder.context_length - _LONGEST
        going = [one for one in asked if len(one.unread) <= longest]
        while going:
            logits = decoder.step([(one.state, one.unread) for one in going])
            tokens = decoder.choose(logits, [0.0] * len(going))
            for one, token in zip(going, tokens, strict=True):
                one.unread = [] if token is None or token in self._model.stop_ids else [token]
                one.said += one.unread
            going = [one for one in going if one.unread and len(one.said) < _LONGEST]
        return [tokenizer.decode(one.said).strip() for one in asked]
