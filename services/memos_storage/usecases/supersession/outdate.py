"""A new statement ends the validity of earlier ones, or is marked as one that may contradict them."""

from collections.abc import Iterator, Sequence
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
from memos_storage.usecases.supersession.decide import can_end, is_told_before, kind_of


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
            kind = kind_of(one.evidence, cube)
            if kind is None or stored is None or here is None or not _is_what_was_judged(stored.cube, one.stored):
                continue
            newer, older = (stored.cube, here.cube) if one.is_newer else (here.cube, stored.cube)
            links = [self.link(newer, older, kind, one.evidence)]
            if kind is LinkKind.SUPERSEDES and not one.is_newer:
                links += self._outdate_successors(newer, older, one.evidence)
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
        known = self._between(newer, older)
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
            end = event_time(newer)
            made = replace(made, closed_until=end, open_until=older.valid_until)
            self._set_end(older, end, f"{newer.name} supersedes it.")
        self.tx.links.put(made)
        return made

    def reopen(self, older: MemCube, link: StoredLink) -> None:
        """Give a statement the end of its validity back that it had before a link, unless somebody has set another."""
        if link.closed_until is None or older.valid_until != link.closed_until:
            return
        self._set_end(older, link.open_until, f"{link.newer} does not supersede it.")
        for other in self.tx.links.of(older.uid):  # those that found it closed by this link
            if other.kind is LinkKind.SUPERSEDES and other.older_uid == older.uid and other.newer_uid != link.newer_uid:
                newer, open_again = self.tx.live(other.newer), self.tx.live(older.name)
                if newer is not None and open_again is not None and can_end(open_again.cube, newer.cube):
                    end = event_time(newer.cube)
                    self.tx.links.put(replace(other, closed_until=end, open_until=open_again.cube.valid_until))
                    self._set_end(open_again.cube, end, f"{other.newer} supersedes it.")

    def _between(self, newer: MemCube, older: MemCube) -> StoredLink | None:
        found = (link for link in self.tx.links.of(newer.uid) if link.older_uid == older.uid)
        return next((link for link in found if link.newer_uid == newer.uid), None)

    def _outdate_successors(self, newer: MemCube, older: MemCube, evidence: float | None) -> Iterator[StoredLink]:
        """Outdate what had outdated the same statement before: of three homes the second ends with the third, too.

        Without an evidence of its own that of the other link counts.
        """
        for known in self.tx.links.of(older.uid):
            if known.kind is LinkKind.SUPERSEDES and known.older_uid == older.uid and known.newer_uid != newer.uid:
                between = self.tx.live(known.newer)
                if between is not None and is_told_before(between.cube, newer) and can_end(between.cube, newer):
                    by = known.evidence if evidence is None else evidence
                    yield self.link(newer, between.cube, LinkKind.SUPERSEDES, by)

    def _set_end(self, cube: MemCube, end: datetime | None, reason: str) -> None:
        changed = revisions.updated(cube, replace(cube, valid_until=end), paths=("valid_until",), now=self.now)
        replace_source(self.tx, cube, changed, self.mutation, self.ids, now=self.now)
        self.tx.audit(self.mutation.event(self.ids, "cube.update", changed, now=self.now, reason=reason))


def _is_what_was_judged(stored: MemCube, judged: MemCube) -> bool:
    return stored.uid == judged.uid and stored.text == judged.text
