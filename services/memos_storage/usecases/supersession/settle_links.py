"""What statements do to each other: who asks is told, and who knows better says so."""

from dataclasses import dataclass

from memos_kernel.errors import CubeFrozen, InvalidField
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.memory_links import LinkKind
from memos_kernel.names import CubeName
from memos_kernel.permission import Grant
from memos_storage.domain.memory_links import StoredLink
from memos_storage.domain.values import Answer, Outcome, Scope
from memos_storage.ports import Catalog, MemoryLinks, Transaction
from memos_storage.usecases.access import cube_not_found, require_cube
from memos_storage.usecases.mutation import Mutation, once
from memos_storage.usecases.supersession.decide import is_told_before
from memos_storage.usecases.supersession.outdate import Linker, between

CERTAIN = 1.0
"""Evidence of what somebody has decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLinks:
    """Returns the links of a cube."""

    catalog: Catalog
    links: MemoryLinks

    async def __call__(self, name: CubeName, *, grant: Grant) -> list[StoredLink]:
        """Return the links to what the cube outdates and to what outdates it, the latest first.

        Raises:
            CubeNotFound: missing, deleted or hidden.
        """
        scope = Scope.of(grant)
        stored = (await self.catalog.get([name], scope)).get(name)
        if stored is None:
            raise cube_not_found(name)
        return await self.links.of(stored.cube.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleLink:
    """Says what a statement does to an earlier one, whatever was judged."""

    catalog: Catalog
    links: MemoryLinks
    clock: Clock
    ids: IdFactory

    async def __call__(self, newer: CubeName, older: CubeName, *, kind: LinkKind, mutation: Mutation) -> StoredLink:
        """Return the link as it is now; the validity of the older statement ends, or is what it was before.

        What is settled is not judged again.

        Raises:
            InvalidField: both are the same cube, of two vaults, or told the other way round.
            CubeNotFound, CubeFrozen, RequestIdReused, Overloaded, StoreFull.
        """
        if newer == older:
            raise InvalidField("newer and older name the same cube.", field="older")
        now = self.clock.now()

        def work(tx: Transaction) -> Answer:
            first, second = (require_cube(tx, name, mutation.grant).cube for name in (newer, older))
            if first.vault != second.vault:
                raise InvalidField(f"{older} is not in the vault of {newer}.", field="older")
            if second.frozen:
                raise CubeFrozen(f"{older} is frozen; unfreeze it first.", name=str(older))
            if kind is not LinkKind.UNRELATED and is_told_before(first, second):
                raise InvalidField(f"{newer} was told before {older}; name them the other way round.", field="newer")
            linker = Linker(tx, mutation, self.ids, now)
            known = between(tx.links.of(first.uid), first, second)
            if known is not None and known.kind is LinkKind.SUPERSEDES and kind is not LinkKind.SUPERSEDES:
                linker.reopen(second, known)
                second = require_cube(tx, older, mutation.grant).cube
            linker.link(first, second, kind, CERTAIN, decided=True)
            reason = f"{newer} {kind.name.lower().replace('_', ' ')} it, somebody says."
            tx.audit(mutation.event(self.ids, "cube.link", second, now=now, reason=reason))
            return Answer((Outcome(first), Outcome(second)))

        answer = await self.catalog.write(lambda tx: once(tx, mutation, lambda: work(tx), now=now))
        first, second = (outcome.cube for outcome in answer.outcomes)
        assert first is not None
        assert second is not None
        settled = between(await self.links.of(first.uid), first, second)
        if settled is None:  # one of the two has been deleted since
            raise cube_not_found(newer)
        return settled
