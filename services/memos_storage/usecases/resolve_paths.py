"""Tell how the hits of a search hang together: topic, concept, fact."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from memos_kernel.cube import MemCube
from memos_kernel.embedding import is_named
from memos_kernel.names import CubeName
from memos_storage.domain.paths import Concept, Fact, Topic, topics
from memos_storage.ports import TermGraph

TERMS = 16
"""Terms of a hit that may be its concept, the rarest."""

OPENING = 500
"""Characters in which a name is looked for: what comes first is what a text is about."""


@dataclass(frozen=True, slots=True)
class ResolvePaths:
    """Makes the tree of hits, out of who speaks, whom they name and which rare words they have."""

    graph: TermGraph

    async def __call__(self, cubes: Sequence[MemCube], *, past: bool) -> tuple[Topic, ...]:
        """Return the topics, that of the best hit first; of the `past` without concepts, for its words are not kept."""
        rare = {} if past else await self.graph.rare_terms([cube.uid for cube in cubes], most=TERMS)
        return await asyncio.to_thread(self._tree, cubes, rare)

    def _tree(self, cubes: Sequence[MemCube], rare: Mapping[str, Mapping[str, float]]) -> tuple[Topic, ...]:
        facts = [self._fact(cube, rare.get(cube.uid, {})) for cube in cubes]
        texts = {cube.name: cube.text for cube in cubes}
        return tuple(
            replace(topic, concepts=tuple(self._in_words(concept, texts) for concept in topic.concepts))
            for topic in topics(facts)
        )

    def _fact(self, cube: MemCube, rare: Mapping[str, float]) -> Fact:
        about = self._about(cube)
        # A name that stands for the topic is no concept in it.
        return Fact(
            cube.name, about, {term: idf for term, idf in rare.items() if not self.graph.written(about, [term])}
        )

    def _about(self, cube: MemCube) -> str:
        speaker = next((source.speaker for source in cube.sources if is_named(source)), "")
        return speaker or self.graph.first_name(cube.text[:OPENING])

    def _in_words(self, concept: Concept, texts: Mapping[CubeName, str]) -> Concept:
        words = self.graph.written(texts[concept.facts[0].name], [concept.word])
        return replace(concept, word=words[0] if words else "")
