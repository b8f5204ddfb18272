"""A new statement ends the validity of earlier ones, or is marked as one that may contradict them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from memos_kernel.cube import MemCube
from memos_kernel.ids import IdFactory
from memos_kernel.memory_links import LinkKind
from memos_storage.domain import revisions
from memos_storage.domain.filters import event_time
from memos_storage.domain.memory_links import Judged, StoredLink
from memos_storage.ports import Transaction
from memos_storage.usecases.derived import replace_source
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.supersession.decide import can_end, is_told_before


@dataclass(frozen=True, slots=True)
class Linker:
    """Links cubes inside one transaction, and does to them what the links say."""

    tx: Transaction
    mutation: Mutation
    ids: IdFactory
    now: datetime

    def link_earlier(self, cube: MemCube, judged: Sequence[Judged]) -> tuple[StoredLink, ...]:
        """Link a cube that has just been stored, as far as the others are still what was judged; return the links."""
        made: dict[tuple[str, str], StoredLink] = {}
        for one in judged:
            stored, here = self.tx.live(one.stored.name), self.tx.live(cube.name)
            if stored is None or here is None or not _is_what_was_judged(stored.cube, one.stored):
                continue
            newer, older = (stored.cube, here.cube) if one.is_newer else (here.cube, stored.cube)
            links = [self.link(newer, older, one.kind, one.evidence)]
            if one.kind in (LinkKind.SUPERSEDES, LinkKind.RESTATES) and not one.is_newer:
                by = one.evidence if one.kind is LinkKind.SUPERSEDES else None
                links += self._outdate_successors(newer, older, by)
            made |= {(link.newer_uid, link.older_uid): link for link in links}
        return tuple(made.values())

    def link_retold(self, cube: MemCube, same: MemCube) -> tuple[StoredLink, ...]:
        """Outdate what had outdated the same words before: who moves back home lives there again."""
        return tuple(self._outdate_successors(cube, same, None))

    def link(
        self, newer: MemCube, older: MemCube, kind: LinkKind, evidence: float, *, decided: bool = False
    ) -> StoredLink:
        """Store what a statement does to an earlier one, and do it; return the link.

        `decided`: the caller says so.
        """
        known = between(self.tx.links.of(newer.uid), newer, older)
        if known is not None and known.kind is LinkKind.SUPERSEDES and not decided:
            return known
        kept = known if kind is LinkKind.SUPERSEDES else None
        made = StoredLink(
            newer=newer.name,
            newer_uid=newer.uid,
            older=older.name,
            older_uid=older.uid,
            kind=kind,
            evidence=evidence,
            time=self.now,
            decided_by=self.mutation.grant.principal if decided else None,
            closed_until=None if kept is None else kept.closed_until,
            open_until=None if kept is None else kept.open_until,
        )
        if kind is LinkKind.SUPERSEDES and can_end(older, newer):
            return self._end(older, newer, made)
        self.tx.links.put(made)
        return made

    def reopen(self, older: MemCube, link: StoredLink) -> None:
        """Give a statement the end of its validity back that it had before a link, unless somebody has set another."""
        if link.closed_until is None or older.valid_until != link.closed_until:
            return
        self._set_end(older, link.open_until, f"{link.newer} does not supersede it.")
        for other, newer in self._superseding(older, apart_from=link.newer_uid):  # who found it closed by this link
            open_again = self.tx.live(older.name)
            if open_again is not None and can_end(open_again.cube, newer):
                self._end(open_again.cube, newer, other)

    def _outdate_successors(self, newer: MemCube, older: MemCube, evidence: float | None) -> Iterator[StoredLink]:
        """Outdate what had outdated the same statement before: of three homes the second ends with the third, too.

        Without an evidence of its own that of the other link counts.
        """
        for known, successor in self._superseding(older, apart_from=newer.uid):
            if is_told_before(successor, newer) and can_end(successor, newer):
                by = known.evidence if evidence is None else evidence
                yield self.link(newer, successor, LinkKind.SUPERSEDES, by)

    def _superseding(self, older: MemCube, *, apart_from: str) -> Iterator[tuple[StoredLink, MemCube]]:
        """Yield what supersedes a statement, with its link, but for the one of a uid."""
        for link in self.tx.links.of(older.uid):
            if link.kind is LinkKind.SUPERSEDES and link.older_uid == older.uid and link.newer_uid != apart_from:
                newer = self.tx.live(link.newer)
                if newer is not None:
                    yield link, newer.cube

    def _end(self, older: MemCube, newer: MemCube, link: StoredLink) -> StoredLink:
        """End the validity of a statement with a later one; return the link, as it is stored now."""
        end = event_time(newer)
        kept = replace(link, closed_until=end, open_until=older.valid_until)
        self._set_end(older, end, f"{newer.name} supersedes it.")
        self.tx.links.put(kept)
        return kept

    def _set_end(self, cube: MemCube, end: datetime | None, reason: str) -> None:
        changed = revisions.updated(cube, replace(cube, valid_until=end), paths=("valid_until",), now=self.now)
        replace_source(self.tx, cube, changed, self.mutation, self.ids, now=self.now)
        self.tx.audit(self.mutation.event(self.ids, "cube.update", changed, now=self.now, reason=reason))


def between(links: Iterable[StoredLink], newer: MemCube, older: MemCube) -> StoredLink | None:
    """Return the link of two cubes, of those of either."""
    return next((link for link in links if (link.newer_uid, link.older_uid) == (newer.uid, older.uid)), None)


def _is_what_was_judged(stored: MemCube, judged: MemCube) -> bool:
    return stored.uid == judged.uid and stored.text == judged.text
