"""Of statements that contradict each other the latest comes first: who asks how it is wants to know how it is now."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from memos_kernel.memory_links import LinkKind
from memos_kernel.moments import moment
from memos_storage.domain.fusion import Fused
from memos_storage.domain.memory_links import StoredLink
from memos_storage.domain.pool import Pool
from memos_storage.domain.turns import Mark, marks_of
from memos_storage.domain.walks import Step, Way
from memos_storage.ports import Asked, Catalog, MemoryLinks

IN_TALK = 0.9
"""Least evidence where people talk with each other: much is said again in other words there, little becomes untrue."""

DOUBTS = 3
"""Most statements that come before a hit only because they may make it untrue, the likeliest of them."""

_ASKS = re.compile(
    r"""\s*(?:who|whom|whose|what|when|where|which|why|how|do|does|did|is|are|am|was|were|has|have|had|can|could|will|
    would|should)\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""Questions are often typed without their sign."""

_SAME = 0.9
"""Share of a text's terms that a query has which says the same again."""


@dataclass(frozen=True, slots=True)
class UpdatesStage:
    """Puts what outdates a candidate, or may, before it, and brings in what outdates it where it was not found."""

    links: MemoryLinks
    catalog: Catalog
    name: str = "updates"

    async def __call__(self, order: Sequence[Fused], pool: Pool, asked: Asked, *, top: int) -> list[Fused]:
        """Return the candidates in their new order; the first `top` are looked at."""
        first = {item.uid for item in order[:top]}
        links = [link for link in await self.links.to(sorted(first), least=IN_TALK * pool.talk) if _counts(link, asked)]
        if (end := _asked_until(pool, asked)) is not None:
            times = dict(zip(pool.seen.uids, pool.seen.times.tolist(), strict=True))
            links = [link for link in links if not _is_told_after(link, end, times)]
        certain = [link for link in links if link.kind is LinkKind.SUPERSEDES]
        in_doubt = [link for link in links if link.kind is LinkKind.MAY_SUPERSEDE and link.newer_uid in first]
        links = [*certain, *_about_the_same(in_doubt, pool, asked)]
        if not links:
            return list(order)
        known = {item.uid: item for item in order}
        missing = sorted({link.newer_uid for link in links} - known.keys())
        selected = await self.catalog.eligible(missing, asked.selection) if missing else {}
        newer_of: dict[str, list[StoredLink]] = {}
        for link in sorted(links, key=lambda link: link.newer_uid, reverse=True):
            if link.newer_uid in known or link.newer_uid in selected:
                newer_of.setdefault(link.older_uid, []).append(link)
        return _reordered(order, known, newer_of)


def _counts(link: StoredLink, asked: Asked) -> bool:
    contradicts = link.kind in (LinkKind.SUPERSEDES, LinkKind.MAY_SUPERSEDE)
    return contradicts and (not asked.past or link.time <= asked.now)


def _asked_until(pool: Pool, asked: Asked) -> datetime | None:
    """Return when the times that the query names are over; None if it names none, or none that is over.

    Who asks where somebody lived last year wants to know what held then.
    """
    spans = [one.span for one in pool.times or ()]
    if not spans or any(span.yearly or span.end > asked.now for span in spans):
        return None
    return max(span.end for span in spans)


def _is_told_after(link: StoredLink, end: datetime, times: Mapping[str, int]) -> bool:
    """Return whether the newer statement of a link was told after a moment, as far as that is known."""
    told = link.closed_until or moment(times.get(link.newer_uid))
    return told is not None and told > end


def _about_the_same(links: Sequence[StoredLink], pool: Pool, asked: Asked) -> Iterator[StoredLink]:
    """Yield links in doubt whose newer statement may answer the query as well as the older one.

    Not if it lacks a name or a number of the query that the older one has, such as `fact number 7` where number 5 is
    asked for; nor if the query asks nothing, and says itself what the older one says. Of each older one the likeliest
    are taken.
    """
    if not links:
        return
    seen = pool.seen
    has = dict(zip(seen.uids, seen.counts[:, list(seen.asked.particulars)] > 0, strict=True))
    said = _said_by_the_query(pool, asked)
    taken = Counter[str]()
    for link in sorted(links, key=lambda link: (-link.evidence, link.newer_uid)):
        older, newer = has.get(link.older_uid), has.get(link.newer_uid)
        lacks = older is not None and newer is not None and bool((older & ~newer).any())
        if not lacks and link.older_uid not in said and taken[link.older_uid] < DOUBTS:
            taken[link.older_uid] += 1
            yield link


def _said_by_the_query(pool: Pool, asked: Asked) -> Set[str]:
    """Return the texts that a query which asks nothing says in the same words."""
    if marks_of(asked.text) & Mark.ASKS or _ASKS.match(asked.text):
        return frozenset()
    seen = pool.seen
    lengths = seen.lengths - np.array([len(speaker.split()) for speaker in seen.speakers])
    return {uid for uid, same in zip(seen.uids, seen.counts.sum(axis=1) >= _SAME * lengths, strict=True) if same}


def _reordered(
    order: Sequence[Fused], known: Mapping[str, Fused], newer_of: Mapping[str, Sequence[StoredLink]]
) -> list[Fused]:
    """Return the order with each candidate behind those that are newer, the newest of them first.

    A chain of statements that only may make each other untrue is followed no further than `DOUBTS` from a hit.
    """
    found: list[Fused] = []
    placed: set[str] = set()
    left = 0

    def place(item: Fused, score: float) -> None:
        nonlocal left
        if item.uid in placed:
            return
        placed.add(item.uid)
        links = newer_of.get(item.uid, ())
        if not links and score <= item.score:
            found.append(item)
            return
        score = max(score, item.score)
        for link in links:
            if link.kind is LinkKind.MAY_SUPERSEDE and link.newer_uid not in placed:
                if not left:
                    continue
                left -= 1
            place(known.get(link.newer_uid) or _brought_in(link, score), score)
        by = next((link.newer for link in links if link.kind is LinkKind.SUPERSEDES), None)
        found.append(replace(item, score=score, superseded_by=by))

    for item in order:
        left = DOUBTS
        place(item, item.score)
    return found


def _brought_in(link: StoredLink, score: float) -> Fused:
    return Fused(link.newer_uid, score, {}, step=Step(Way.UPDATE, link.older_uid))
