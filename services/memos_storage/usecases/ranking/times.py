"""A query that says when, such as `in May 2023` or `last week`, means what was then, or was said then or soon after.

It can say so by something else: `two weeks after the concert` counts from the time of the candidate that tells best of
the concert.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from memos_kernel.moments import moment
from memos_storage.domain.anchors import Anchor, AskedTime, anchors_in, between
from memos_storage.domain.fusion import SPEAKER, TIME
from memos_storage.domain.named_times import NamedTime, named_times
from memos_storage.domain.pool import Pool, Seen, filled
from memos_storage.domain.times import Span, back, closeness, overlap
from memos_storage.domain.turns import Mark
from memos_storage.ports import Asked, Catalog

TOLD = 0.55
"""Cosine that the words of an event must reach on average, weighted by IDF, for a text to tell of it."""

BY_ITSELF, ASKED_OF = 0.1, -0.1
"""Added to that if it is said by whom the query names, and if it is a question."""


@dataclass(frozen=True, slots=True)
class TimeStage:
    """Compares the times that the query names with those of the turns, and with those that these tell of."""

    catalog: Catalog
    name: str = "time"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        unknown: list[str] = []
        if pool.times is None:
            anchors = list(anchors_in(asked.text, now=asked.now))
            counted = {anchor: await self._counted_from(anchor, pool, asked) for anchor in anchors}
            unknown = [anchor.event for anchor, time in counted.items() if time is None]
            known = [time for time in counted.values() if time is not None]
            pool.times = tuple(between([*_on_the_calendar(asked, known), *known]))
        if spans := list(dict.fromkeys(one.span for one in pool.times)):
            values = np.zeros(len(pool))
            values[pool.known] = _nearness(pool, spans)
            pool.features[TIME] = filled(values, pool.known)
        return f"no memory was found that tells of: {'; '.join(unknown)}" if unknown else ""

    async def _counted_from(self, anchor: Anchor, pool: Pool, asked: Asked) -> AskedTime | None:
        """Return the time that is counted from something; None if it is not known when that was."""
        source, event = "", anchor.time
        if event is None and (best := _teller(anchor, pool, asked)) is not None:
            source, event = pool.uids[best], await self._time_of(anchor, best, pool, asked)
        if event is not None:
            with suppress(OverflowError):
                return AskedTime(anchor.start, anchor.end, anchor.span(event), source)
        return None

    async def _time_of(self, anchor: Anchor, teller: int, pool: Pool, asked: Asked) -> Span:
        """Return the time that a candidate names next to an event, else the day when it was said."""
        place = pool.places[teller]
        named = pool.seen.named[place]
        if len(named) > 1:
            stored = (await self.catalog.resolve([pool.uids[teller]], asked.selection)).get(pool.uids[teller])
            named = [_nearest_to_words(named, set(_words(anchor.event)), "" if stored is None else stored.cube.text)]
        said = moment(int(pool.seen.times[place])).astimezone(asked.now.tzinfo)
        return named[0].span if named else back("day", 0, said)


def _on_the_calendar(asked: Asked, counted: Sequence[AskedTime]) -> Iterator[AskedTime]:
    """Yield the times that the query names by themselves."""
    for one in named_times(asked.text, now=asked.now):
        if not any(other.start < one.end and one.start < other.end for other in counted):
            yield AskedTime(one.start, one.end, one.span)


def _teller(anchor: Anchor, pool: Pool, asked: Asked) -> int | None:
    """Return the candidate that tells best of an event, by its place in the pool; None if none does."""
    if pool.met is None:
        return None
    words = set(_words(anchor.event))
    own = np.array([not words.isdisjoint(_words(word)) for word in asked.words])
    weights = pool.met.weights[:, own]
    scores = (pool.met.cosines[:, own] * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-6)
    scores += BY_ITSELF * pool.features.get(SPEAKER, np.zeros(len(pool)))
    scores[~pool.known] = 0.0
    scores[pool.known] += ASKED_OF * ((pool.seen.marks[pool.places[pool.known]] & int(Mark.ASKS)) != 0)
    best = int(scores.argmax()) if own.any() and len(scores) else -1
    return None if best < 0 or scores[best] < TOLD else best


def _nearest_to_words(named: Sequence[NamedTime], words: Collection[str], text: str) -> NamedTime:
    """Return the time next to the words of an event, of equals the first; rare words are the longer ones."""
    told = [match for match in re.finditer(r"\w+", text) if match[0].casefold() in words]
    longest = max((len(match[0]) for match in told), default=0)
    told = [match for match in told if 2 * len(match[0]) > longest]
    return min(
        named,
        key=lambda one: min((max(one.start - word.end(), word.start() - one.end) for word in told), default=0),
    )


def _words(text: str) -> Iterable[str]:
    return re.findall(r"\w+", text.casefold())


def _nearness(pool: Pool, spans: Sequence[Span]) -> list[float]:
    places = pool.places[pool.known].tolist()
    times = pool.seen.times[places].tolist()
    near = {time: closeness(moment(time), spans) for time in set(times)}
    return [max(near[time], _told(pool.seen, place, time, spans)) for place, time in zip(places, times, strict=True)]


def _told(seen: Seen, place: int, time: int, spans: Sequence[Span]) -> float:
    """Return how well what a text tells of fits; what held until some moment held from when it was said."""
    start, end = seen.valid[place]
    start = time if start is None else start
    if end is not None and start < end and overlap(Span(moment(start), moment(end)), spans):
        return 1.0
    return max((overlap(one.span, spans) for one in seen.named[place]), default=0.0)
