"""How a vault holds facts that change: told, updated and asked for as a user would, through the API."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from deployment import Caller
from memos_api.v1 import memory_service_pb2 as memory
from updated_facts import UpdatedFact

BATCH = 20
TOP_K = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of facts.

    Attributes:
        statements: told before the updates, with those that look alike.
        superseded: originals that their updates ended.
        wrongly: statements that something else ended, or that are no original.
        above: searches in which the update comes before the original.
        above_without: the same without the stage `updates`.
        above_without_both: the same without `updates` and `validity`.
        by_own_words: statements that look alike, one of each fact, that come first for their own words.
    """

    facts: int
    statements: int
    superseded: int
    wrongly: int
    above: int
    above_without: int
    above_without_both: int
    by_own_words: int


async def tell_and_ask(caller: Caller, vault: str, facts: Sequence[UpdatedFact], *, seed: int = 7) -> Outcome:
    """Tell originals and what looks alike in any order, then the updates; ask how it is."""
    told = [text for fact in facts for text in (fact.original, *fact.lookalikes)]
    random.Random(seed).shuffle(told)
    names, links = await _tell(caller, vault, [*told, *(fact.update for fact in facts)])
    wanted = {(names[fact.update], names[fact.original]) for fact in facts}
    ended = {(link.newer, link.older) for link in links if link.kind == memory.LINK_KIND_SUPERSEDES}
    return Outcome(
        facts=len(facts),
        statements=len(told),
        superseded=len(ended & wanted),
        wrongly=len({older for _, older in ended - wanted}),
        above=await _above(caller, vault, facts, names),
        above_without=await _above(caller, vault, facts, names, without=("updates",)),
        above_without_both=await _above(caller, vault, facts, names, without=("updates", "validity")),
        by_own_words=sum([await _is_first(caller, vault, fact.lookalikes[0]) for fact in facts]),
    )


async def _tell(caller: Caller, vault: str, texts: Sequence[str]) -> tuple[dict[str, str], list[memory.MemoryLink]]:
    names: dict[str, str] = {}
    links: list[memory.MemoryLink] = []
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        answer = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=part))
        for text, added in zip(part, answer.added, strict=True):
            names[text] = added.cube.name
            links += added.links
    return names, links


async def _above(
    caller: Caller, vault: str, facts: Sequence[UpdatedFact], names: dict[str, str], *, without: Sequence[str] = ()
) -> int:
    count = 0
    for fact in facts:
        request = memory.SearchMemoriesRequest(
            vaults=[vault], query=fact.question, top_k=TOP_K, ranking=memory.Ranking(without=without)
        )
        order = [hit.cube.name for hit in (await caller.memory.SearchMemories(request)).hits]
        update, original = names[fact.update], names[fact.original]
        count += update in order and (original not in order or order.index(update) < order.index(original))
    return count


async def _is_first(caller: Caller, vault: str, text: str) -> bool:
    request = memory.SearchMemoriesRequest(vaults=[vault], query=text, top_k=TOP_K)
    return (await caller.memory.SearchMemories(request)).hits[0].cube.plaintext.text == text
