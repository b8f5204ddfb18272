"""Of statements that contradict each other the latest comes first: who asks how it is wants to know how it is now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memos_kernel.memory_links import LinkKind
from memos_storage.domain.fusion import Fused
from memos_storage.domain.memory_links import StoredLink
from memos_storage.domain.pool import Pool
from memos_storage.domain.walks import Step, Way
from memos_storage.ports import Asked, Catalog, MemoryLinks

IN_TALK = 0.9
"""Least evidence where people talk with each other: much is said again in other words there, little becomes untrue."""


@dataclass(frozen=True, slots=True)
class UpdatesStage:
    """Puts what outdates a candidate, or may, before it, and brings in what outdates it where it was not found."""

    links: MemoryLinks
    catalog: Catalog
    name: str = "updates"

    async def __call__(self, order: Sequence[Fused], asked: Asked, pool: Pool, *, top: int) -> list[Fused]:
        """Return the candidates, those of the pool among them, in their new order; the first `top` are looked at."""
        first = {item.uid for item in order[:top]}
        least = IN_TALK * pool.talk
        links = [link for link in await self.links.to(sorted(first), least=least) if _counts(link, asked)]
        if not links:
            return list(order)
        # What only may outdate a hit has to be about the same as the query to come before it.
        names = _names(pool, asked)
        links = [
            link
            for link in links
            if link.kind is LinkKind.SUPERSEDES
            or (link.newer_uid in first and _may_be_of_one(names.get(link.older_uid), names.get(link.newer_uid)))
        ]
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


def _names(pool: Pool, asked: Asked) -> dict[str, frozenset[int]]:
    """Return which of the names in the query each candidate has that has some, by the places of their terms."""
    words = () if asked.tokens is None else asked.tokens.words
    written = zip(words, pool.seen.words, strict=False)
    terms = sorted({term for word, terms in written if _is_name(word) and word != words[0] for term in terms})
    if not terms:
        return {}
    places = pool.places[pool.known]
    has = pool.seen.counts[places][:, terms] > 0
    return {
        pool.seen.uids[place]: frozenset(np.flatnonzero(row).tolist())
        for place, row in zip(places.tolist(), has, strict=True)
        if row.any()
    }


def _may_be_of_one(older: frozenset[int] | None, newer: frozenset[int] | None) -> bool:
    """Return whether a statement can be about what an earlier one is about, by the query's names in them.

    Who asks where Nora works does not want to know first where somebody else does.
    """
    return not older or (newer is not None and not older.isdisjoint(newer))


def _is_name(word: str) -> bool:
    """Return whether a word is written as a name; one in capitals may be any abbreviation."""
    return word[:1].isupper() and not word.isupper()


def _counts(link: StoredLink, asked: Asked) -> bool:
    return link.kind is not LinkKind.UNRELATED and (not asked.past or link.time <= asked.now)


def _reordered(
    order: Sequence[Fused], known: Mapping[str, Fused], newer_of: Mapping[str, Sequence[StoredLink]]
) -> list[Fused]:
    """Return the order with each candidate behind those that are newer, the newest of them first."""
    found: list[Fused] = []
    placed: set[str] = set()

    def place(item: Fused, score: float) -> None:
        if item.uid in placed:
            return
        placed.add(item.uid)
        links = newer_of.get(item.uid, ())
        if not links and score <= item.score:
            found.append(item)
            return
        score = max(score, item.score)
        for link in links:
            place(known.get(link.newer_uid) or _brought_in(link, score), score)
        by = next((link.newer for link in links if link.kind is LinkKind.SUPERSEDES), None)
        found.append(replace(item, score=score, superseded_by=by))

    for item in order:
        place(item, item.score)
    return found


def _brought_in(link: StoredLink, score: float) -> Fused:
    return Fused(link.newer_uid, score, {}, step=Step(Way.UPDATE, link.older_uid))
