"""How the hits of a search hang together: of whom or what they tell, by which word, and which they are."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memos_kernel.names import CubeName


@dataclass(frozen=True, slots=True)
class Fact:
    """A hit.

    Attributes:
        about: whom or what it tells of, as it is written; empty if that cannot be told.
        terms: its rare terms and the IDF of each in the vault.
    """

    name: CubeName
    about: str
    terms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Concept:
    """A word that facts share, or the rarest of a single one; empty if it has none that is rare.

    `topics` gives its term, for which `ResolvePaths` puts the word as the first of the facts writes it.
    """

    word: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """Whom or what facts tell of, and by which concepts."""

    about: str
    concepts: tuple[Concept, ...]


def topics(facts: Sequence[Fact]) -> list[Topic]:
    """Return facts as a tree; each level in the order of the first fact in it, each fact once."""
    by_subject: dict[str, list[Fact]] = {}
    for fact in facts:
        by_subject.setdefault(fact.about.casefold(), []).append(fact)
    return [Topic(group[0].about, tuple(_in_order(_concepts(group), group))) for group in by_subject.values()]


def _in_order(concepts: Iterator[Concept], group: Sequence[Fact]) -> list[Concept]:
    place = {fact.name: number for number, fact in enumerate(group)}
    return sorted(concepts, key=lambda concept: place[concept.facts[0].name])


def _concepts(group: Sequence[Fact]) -> Iterator[Concept]:
    """Yield the term that tells most of most facts with those that have it, then the next of the others."""
    left = list(group)
    while left:
        shared = Counter(term for fact in left for term in fact.terms)
        idf = {term: value for fact in left for term, value in fact.terms.items()}
        best = max(shared, key=lambda term: (shared[term] > 1, shared[term] * idf[term], len(term), term), default="")
        facts = tuple(fact for fact in left if best in fact.terms or not best)
        yield Concept(best, facts)
        left = [fact for fact in left if fact not in facts]
