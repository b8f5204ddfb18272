"""Name moments of a vault, read the names, and forget them."""

from dataclasses import dataclass
from datetime import datetime

from memos_kernel.errors import InvalidField, ResourceNotFound
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import SnapshotName, VaultName
from memos_kernel.permission import Grant
from memos_kernel.text import check_line
from memos_storage.domain.selection import check_as_of
from memos_storage.domain.snapshots import Snapshot
from memos_storage.domain.values import Answer, Scope
from memos_storage.ports import Catalog, Transaction
from memos_storage.usecases.access import require_vault
from memos_storage.usecases.mutation import Mutation, once


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSnapshot:
    """What a caller gives: no name for one that is made, no moment for now."""

    vault: VaultName
    name: SnapshotName | None = None
    as_of: datetime | None = None
    display_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSnapshot:
    """Names a moment of a vault."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory

    async def __call__(self, wanted: NewSnapshot, *, mutation: Mutation) -> Snapshot:
        """Return the snapshot.

        Raises:
            VaultNotFound: the grant does not cover the vault.
            InvalidField: a moment that has not come, a name in another tenant.
            LimitExceeded: the title.
            ResourceExists: the name is taken.
            RequestIdReused, Overloaded, StoreFull.
        """
        now, tenant = self.clock.now(), mutation.grant.principal.tenant
        require_vault(mutation.grant, wanted.vault, field="snapshot.vault")
        check_as_of(wanted.as_of, now=now, field="snapshot.as_of")
        check_line(wanted.display_name, field="snapshot.display_name")
        if wanted.name is not None and wanted.name.tenant != tenant:
            raise InvalidField("snapshot.name and snapshot.vault are of two tenants.", field="snapshot.name")
        snapshot = Snapshot(
            name=wanted.name or SnapshotName(tenant, self.ids()),
            vault=wanted.vault,
            as_of=wanted.as_of or now,
            display_name=wanted.display_name,
            creator=mutation.grant.principal,
            create_time=now,
        )

        def work(tx: Transaction) -> Answer:
            tx.add_snapshot(snapshot)
            tx.audit(mutation.note(self.ids, "snapshot.create", snapshot.name, now=now))
            return Answer((), snapshot.name.id)

        def command(tx: Transaction) -> Snapshot:
            answer = once(tx, mutation, lambda: work(tx), now=now)
            name = SnapshotName(tenant, answer.provenance_id)
            return _required(tx.snapshot(name), name, mutation.grant)

        return await self.catalog.write(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSnapshots:
    """Get and list."""

    catalog: Catalog

    async def get(self, name: SnapshotName, *, grant: Grant) -> Snapshot:
        """Return one snapshot.

        Raises:
            ResourceNotFound: there is none, or it is hidden.
        """
        return _required(await self.catalog.snapshot(name, Scope.of(grant)), name, grant)

    async def list(
        self, vault: VaultName, *, after: tuple[datetime, str] | None, size: int, grant: Grant
    ) -> tuple[list[Snapshot], tuple[datetime, str] | None]:
        """Return a page, the latest moment first, and (as of, id) of its last one if there are more.

        Raises:
            VaultNotFound: the grant does not cover the vault.
        """
        require_vault(grant, vault, field="vault")
        found = await self.catalog.snapshots(vault, after=after, limit=size + 1)
        last = found[size - 1] if len(found) > size else None
        return found[:size], (last.as_of, last.name.id) if last is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSnapshot:
    """Forgets the name of a moment."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory

    async def __call__(self, name: SnapshotName, *, mutation: Mutation) -> None:
        """Forget it.

        Raises:
            ResourceNotFound: there is none, or it is hidden.
            RequestIdReused, Overloaded, StoreFull.
        """
        now = self.clock.now()

        def work(tx: Transaction) -> Answer:
            _required(tx.snapshot(name), name, mutation.grant)
            tx.remove_snapshot(name)
            tx.audit(mutation.note(self.ids, "snapshot.delete", name, now=now))
            return Answer(())

        await self.catalog.write(lambda tx: once(tx, mutation, lambda: work(tx), now=now))


def _required(found: Snapshot | None, name: SnapshotName, grant: Grant) -> Snapshot:
    if found is None or not grant.covers(found.vault):
        raise ResourceNotFound(f"{name} is not there for you.", name=str(name))
    return found
