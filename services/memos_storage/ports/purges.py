"""What erasing needs: the purges in the catalogue, and the key of the receipts."""

from collections.abc import Callable, Iterator, Sequence, Set
from datetime import datetime
from typing import Protocol

from memos_kernel.cube import Kind, MemCube
from memos_kernel.names import CubeName, PurgeName, VaultName
from memos_storage.domain.purges import Doomed, Purge, Receipt
from memos_storage.domain.selection import Selection


class PurgeLedger(Protocol):
    """The purges inside a transaction. Cubes of a purge that goes on are selected for no other."""

    def hold(self, vault: VaultName) -> None:
        """Wait for those who store something in the vault, and keep others from it until the transaction ends."""
        ...

    def named(self, vault: VaultName, names: Sequence[CubeName]) -> list[MemCube]:
        """Return the cubes of a vault among the names, deleted or not."""
        ...

    def selected(self, selection: Selection, *, limit: int) -> list[MemCube]:
        """Return cubes that the filter matches, deleted or not, whatever their states say."""
        ...

    def due(self, tenant: str, *, now: datetime, limit: int) -> list[MemCube]:
        """Return deleted cubes of one vault whose purge time has come."""
        ...

    def derived(self, names: Sequence[CubeName], kinds: frozenset[Kind]) -> list[MemCube]:
        """Return the cubes of the tenant and of some kinds that were made directly from these, deleted or not."""
        ...

    def told(self, uids: Sequence[str]) -> Iterator[MemCube]:
        """Return every revision of these cubes."""
        ...

    def add(self, purge: Purge, uids: Sequence[str]) -> None:
        """Store a purge, and take its cubes out of every read of now and of the past.

        Raises:
            StateConflict: one has been frozen meanwhile.
        """
        ...

    def bury(self, name: PurgeName, tombstones: Set[bytes]) -> None:
        """Keep these from being stored until the purge is lifted."""
        ...

    def find(self, name: PurgeName) -> Purge | None:
        """Return a purge."""
        ...

    def unfinished(self, tenant: str, *, before: datetime) -> Purge | None:
        """Return the oldest purge that was asked for before a moment and is not done."""
        ...

    def erase(self, name: PurgeName, *, limit: int, now: datetime) -> list[Doomed]:
        """Erase cubes from every table, and return them; those that a worker of the outbox holds stay for later."""
        ...

    def remaining(self, name: PurgeName) -> int:
        """Return how many cubes are still to be erased."""
        ...

    def set_erased(self, name: PurgeName) -> None:
        """Take note that the catalogue has none of the cubes any more."""
        ...

    def finish(self, name: PurgeName, receipt: Receipt, *, now: datetime) -> None:
        """Store the receipt, and forget what it was needed for; if it is done already, nothing."""
        ...

    def lift(self, name: PurgeName, *, now: datetime) -> None:
        """Forget the tombstones of a purge."""
        ...

    def stopped(self, vault: VaultName, tombstones: Callable[[], Set[bytes]]) -> PurgeName | None:
        """Return a purge that keeps one of these from being stored in the vault; true until the transaction ends.

        `tombstones` computes them, and is called only if there are purges that keep anything.
        """
        ...


class Signer(Protocol):
    """The key of the installation that receipts are signed with."""

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        ...

    def sign(self, statement: bytes) -> bytes:
        """Return the Ed25519 signature."""
        ...
