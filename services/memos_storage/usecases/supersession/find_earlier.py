"""What the vault says already about what a new statement tells."""

import asyncio
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from memos_kernel.cube import MemCube
from memos_kernel.errors import Capacity
from memos_kernel.memory_links import LinkKind
from memos_kernel.names import VaultName
from memos_storage.domain.memory_links import Earlier, Judged
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import DenseHit, NewCube, Scope, ToldCube
from memos_storage.ports import Catalog, Judge, Spans, Told, VectorIndex
from memos_storage.usecases.pending_rows import PendingRows
from memos_storage.usecases.supersession.decide import (
    Statement,
    is_told_before,
    kind_of,
    may_be_compared,
    says_the_same,
    statement_of,
)

NEAREST = 5
"""Texts that a new statement is compared with, the nearest by their vectors."""

LEAST_COSINE = 0.3
"""Texts that are farther away are about something else."""

MOST_LINKS = 4
"""Most earlier texts that one statement is linked to: what it outdates first, then by evidence."""


@dataclass(frozen=True, slots=True)
class _Near:
    """A new item, a text that may be about the same, and the cosine of the two."""

    item: NewCube
    uid: str
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FindEarlier:
    """Compares new statements with the nearest texts of their vaults, and with each other."""

    catalog: Catalog
    index: VectorIndex
    pending: PendingRows
    judge: Judge
    spans: Spans

    async def __call__(self, items: Sequence[NewCube], *, now: datetime) -> dict[str, Earlier]:
        """Return what there is by the uids of new items.

        It waits for the vector index as long as a search does; what that does not tell is not compared.
        """
        texts = _statements(item.cube for item in items if item.vector is not None)
        stated = [item for item in items if item.cube.uid in texts]
        if not stated:
            return {}
        with self.spans.span("storage.find_earlier"):
            await self.pending.refresh()
            near = _among(stated)
            for found in await asyncio.gather(*(self._stored(item) for item in stated)):
                near += found
            near = _nearest(near)
            tokens = {item.cube.uid: item.vector.tokens or b"" for item in stated if item.vector is not None}
            for told in await self._others(near, texts, now):
                texts |= _statements([told.cube])
                tokens[told.cube.uid] = told.tokens
            if len(near) <= NEAREST:  # sooner done than handed to a thread
                return self._judged(near, texts, tokens)
            return await asyncio.to_thread(self._judged, near, texts, tokens)

    async def _stored(self, item: NewCube) -> list[_Near]:
        assert item.vector is not None
        scope = _scope(item.cube.vault)
        hits: list[DenseHit] = self.pending.search(item.vector, scope, limit=NEAREST)
        try:
            if self.index.healthy:
                hits = [*hits, *await self.index.search(item.vector, scope, limit=NEAREST)]
        except Capacity:
            pass  # the write goes on without it, and is not refused for what could be noticed
        best = {hit.uid: hit.score for hit in sorted(hits, key=lambda hit: hit.score) if hit.score >= LEAST_COSINE}
        return [_Near(item, uid, cosine) for uid, cosine in best.items()]

    async def _others(self, near: Sequence[_Near], known: Container[str], now: datetime) -> list[ToldCube]:
        """Return the texts that are near and not known."""
        wanted: dict[tuple[VaultName, str], set[str]] = {}
        for one in near:
            if one.uid not in known and one.item.vector is not None:
                wanted.setdefault((one.item.cube.vault, one.item.vector.embedder), set()).add(one.uid)
        return [
            told
            for (vault, embedder), uids in wanted.items()
            for told in await self.catalog.told(sorted(uids), Selection(scope=_scope(vault), now=now), embedder)
        ]

    def _judged(
        self, near: Sequence[_Near], texts: Mapping[str, Statement], tokens: Mapping[str, bytes]
    ) -> dict[str, Earlier]:
        found: dict[str, list[Judged]] = {}
        same: dict[str, MemCube] = {}
        for one in near:
            uid, new, other = one.item.cube.uid, texts[one.item.cube.uid], texts.get(one.uid)
            if other is None or not may_be_compared(new, other):
                continue
            if says_the_same(new, other):
                same.setdefault(uid, other.cube)
                continue
            assert one.item.vector is not None
            size = one.item.vector.values.size
            told = [Told(text.cube.text, tokens[text.cube.uid], size) for text in (new, other)]
            is_newer = is_told_before(new.cube, other.cube)
            newer, older = reversed(told) if is_newer else told
            same_words = self.judge.restates(newer, older, one.cosine)
            evidence = same_words or self.judge(newer, older, one.cosine)
            kind = LinkKind.RESTATES if same_words else kind_of(evidence, new)
            if kind is not None:
                found.setdefault(uid, []).append(Judged(other.cube, kind, evidence, is_newer))
        return {uid: Earlier(_strongest(found.get(uid, ())), same.get(uid)) for uid in found.keys() | same.keys()}


def _statements(cubes: Iterable[MemCube]) -> dict[str, Statement]:
    """Return those of some cubes that are statements, by uid."""
    return {cube.uid: found for cube in cubes if (found := statement_of(cube)) is not None}


def _strongest(judged: Sequence[Judged]) -> tuple[Judged, ...]:
    return tuple(sorted(judged, key=lambda one: (one.kind, -one.evidence, one.stored.uid))[:MOST_LINKS])


def _nearest(near: Sequence[_Near]) -> list[_Near]:
    """Return the nearest texts of each item."""
    by_item: dict[str, list[_Near]] = {}
    for one in sorted(near, key=lambda one: -one.cosine):
        by_item.setdefault(one.item.cube.uid, []).append(one)
    return [one for found in by_item.values() for one in found[:NEAREST]]


def _among(items: Sequence[NewCube]) -> list[_Near]:
    """Return which new items are near each other; each pair once, at the one that was told later."""
    vectors = [item.vector.values for item in items if item.vector is not None]
    if len({vector.size for vector in vectors}) > 1:
        return []
    stacked = np.stack(vectors)
    cosines = np.triu(stacked @ stacked.T, k=1)
    pairs = zip(*np.nonzero(cosines >= LEAST_COSINE), strict=True)
    found = []
    for first, second in pairs:
        one, other = items[first], items[second]
        if one.cube.vault == other.cube.vault:
            later, earlier = (other, one) if is_told_before(one.cube, other.cube) else (one, other)
            found.append(_Near(later, earlier.cube.uid, float(cosines[first, second])))
    return found


def _scope(vault: VaultName) -> Scope:
    return Scope(vault.tenant, frozenset({vault}))
