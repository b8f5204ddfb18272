"""From one text to another by rare words that both have: the second hop of a question."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

RAREST, RARE, RARE_SHARE = 2, 48, 8
"""A word leads on if it is in 2 to 48 texts of a vault, in no more than every eighth, or in 2 of at least 4."""

NAMED = 3
"""Most words that are told of a step, the rarest."""


class Way(Enum):
    """How a search came to a text that none of its legs found."""

    NEIGHBOUR = "neighbour"
    """It stands beside one that was found."""
    SHARED_WORDS = "shared_words"
    """It shares rare words with one that was found."""
    UPDATE = "update"
    """It supersedes one that was found."""


@dataclass(frozen=True, slots=True)
class Step:
    """From which text a search came to another one, and by which terms."""

    way: Way
    source: str
    terms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reached:
    """A text that a walk came to: how strongly, from 0 on, and by its strongest step."""

    score: float
    step: Step


class Posting(NamedTuple):
    """A rare term in a text: the IDF of the term in its vault, and the length of the text in terms."""

    uid: str
    term: str
    idf: float
    length: int


def most_texts(documents: int) -> int:
    """Return in how many texts of a vault a term may be to count as rare."""
    return min(RARE, max(RAREST, documents // RARE_SHARE), documents // 2)


def reached(postings: Iterable[Posting], seeds: Mapping[str, float]) -> dict[str, Reached]:
    """Return what shares terms with the seeds: the cosine of the texts' TF-IDF vectors, but for their common words.

    Args:
        postings: those of the rare terms of the seeds, in all texts; of one vault.
        seeds: uid -> how much what it leads to counts.
    """
    holders: dict[str, list[Posting]] = defaultdict(list)
    for posting in postings:
        holders[posting.term].append(posting)
    shares: dict[str, dict[str, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
    for term, held in holders.items():
        for seed in (posting for posting in held if posting.uid in seeds):
            strength = seeds[seed.uid] * seed.idf * seed.idf / math.sqrt(seed.length)
            for posting in held:
                if posting.uid != seed.uid:
                    shares[posting.uid][seed.uid].append((strength / math.sqrt(posting.length), term))
    return {uid: _reached(by_seed) for uid, by_seed in shares.items()}


def _reached(by_seed: Mapping[str, Sequence[tuple[float, str]]]) -> Reached:
    sums = {seed: sum(strength for strength, _ in parts) for seed, parts in by_seed.items()}
    source = max(sums, key=lambda seed: (sums[seed], seed))
    terms = [term for _, term in sorted(by_seed[source], reverse=True)]
    return Reached(sum(sums.values()), Step(Way.SHARED_WORDS, source, tuple(terms[:NAMED])))
