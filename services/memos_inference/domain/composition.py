"""Which tokens of a prompt need not be read: those whose keys and values a cache has.

A cache of the first tokens of a prompt gives exactly what reading them would. Anything else is composed: keys and
values were computed behind other words, so they only come near. The first tokens of each such run, which everything
behind them looks at most, are read again (EPIC, arXiv 2410.15332).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

SHORTEST = 8
"""Tokens of a run at least: a shorter one is read as fast as it is found."""

_TRIED = 8
"""Places in the caches that are looked at for one place of the prompt."""


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens of a prompt whose keys and values a cache has.

    Attributes:
        cache: which of the caches.
        start: position in it of the first of the tokens.
        at: position in the prompt of the first of the tokens.
        tokens: how many.
        exact: whether the prompt begins with them, and the cache, too.
    """

    cache: int
    start: int
    at: int
    tokens: int
    exact: bool = False

    @property
    def end(self) -> int:
        """Position in the prompt behind the last of the tokens."""
        return self.at + self.tokens


def shared_length(first: Sequence[object], second: Sequence[object]) -> int:
    """Return how many items two sequences have in common from the first one on."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def beginning(prompt: Sequence[object], caches: Sequence[Sequence[object]]) -> tuple[Run, ...]:
    """Return the longest run that the prompt begins with, if there is any. The last token of a prompt is always read.

    Args:
        prompt: its tokens.
        caches: the tokens of each.
    """
    but_last = prompt[:-1]
    lengths = [shared_length(cache, but_last) for cache in caches]
    most = max(lengths, default=0)
    return (Run(lengths.index(most), 0, 0, most, exact=True),) if most else ()


def composed(prompt: Sequence[object], caches: Sequence[Sequence[object]], *, recompute: float) -> tuple[Run, ...]:
    """Return runs of all caches, in the order of the prompt: its beginning, and what else is found further on.

    Args:
        prompt: its tokens.
        caches: the tokens of each.
        recompute: share of the tokens of a run that are read again, from its first one on; 0 to 1.
    """
    runs = list(beginning(prompt, caches))
    at = runs[0].end if runs else 0
    places = _places(caches) if at + SHORTEST < len(prompt) else {}
    while at + SHORTEST < len(prompt):
        run = _longest(prompt, at, caches, places)
        if run is None:
            at += 1
            continue
        again = math.ceil(run.tokens * recompute)
        if again < run.tokens:
            runs.append(Run(run.cache, run.start + again, run.at + again, run.tokens - again))
        at = run.end
    return tuple(runs)


def _places(caches: Sequence[Sequence[object]]) -> dict[tuple[object, ...], list[tuple[int, int]]]:
    """Return where in which cache each sequence of a few tokens is."""
    places: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, cache in enumerate(caches):
        for start in range(len(cache) - SHORTEST + 1):
            places[tuple(cache[start : start + SHORTEST])].append((number, start))
    return places


def _longest(
    prompt: Sequence[object],
    at: int,
    caches: Sequence[Sequence[object]],
    places: dict[tuple[object, ...], list[tuple[int, int]]],
) -> Run | None:
    tried = places.get(tuple(prompt[at : at + SHORTEST]), ())[:_TRIED]
    runs = (Run(number, start, at, _alike(caches[number], start, prompt, at)) for number, start in tried)
    return max(runs, key=lambda run: run.tokens, default=None)


def _alike(cache: Sequence[object], start: int, prompt: Sequence[object], at: int) -> int:
    """Return how many tokens are equal from these places on; the last of the prompt does not count."""
    most = min(len(cache) - start, len(prompt) - 1 - at)
    return next((count for count in range(most) if cache[start + count] != prompt[at + count]), most)
