"""Of statements that contradict each other the latest comes first: who asks how it is wants to know how it is now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from memos_kernel.memory_links import LinkKind
from memos_kernel.moments import moment
from memos_storage.domain.fusion import Fused
from memos_storage.domain.memory_links import StoredLink
from memos_storage.domain.pool import Pool
from memos_storage.domain.walks import Step, Way
from memos_storage.ports import Asked, Catalog, MemoryLinks
from memos_storage.usecases.ranking.identifiers import IDENTIFIERS

IN_TALK = 0.9
"""Least evidence where people talk with each other: much is said again in other words there, little becomes untrue."""


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
        # What only may outdate a hit has to be about the same as the query to come before it.
        codes = dict(zip(pool.uids, pool.features.get(IDENTIFIERS, ()), strict=False))
        links = [
            link
            for link in links
            if link.kind is LinkKind.SUPERSEDES
            or (link.newer_uid in first and codes.get(link.newer_uid, 0.0) >= codes.get(link.older_uid, 0.0))
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
