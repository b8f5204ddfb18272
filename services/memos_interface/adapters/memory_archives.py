"""What archives need, in memory, for tests of the use cases."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memos_interface.domain.archives import ArchivedRevision, ArchiveOptions, Seal, VaultRecord, histories
from memos_interface.ports import Adopted, AdoptedBatch
from memos_kernel.errors import MemosError, ResourceNotFound
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Role
from memos_wire import signatures


class MemoryHistories:
    """Cubes with their revisions, by vault; a page has `page_cubes`. What is adopted is remembered call by call."""

    def __init__(self) -> None:
        self.held: dict[VaultName, list[Sequence[ArchivedRevision]]] = {}
        self.page_cubes = 2
        self.pages: list[tuple[str, datetime]] = []
        self.adopted: list[tuple[VaultName, Sequence[ArchivedRevision], str]] = []
        self.failures: dict[str, MemosError] = {}  # by the name of the cube

    async def page(
        self, vault: VaultName, options: ArchiveOptions, *, as_of: datetime, after: str
    ) -> AsyncGenerator[Sequence[ArchivedRevision] | str, None]:
        """See the port; the place of a page is the number of the cubes before it."""
        self.pages.append((after, as_of))
        begin = int(after or 0)
        end = begin + self.page_cubes
        held = self.held.get(vault, [])
        for history in held[begin:end]:
            yield history
        if end < len(held):
            yield str(end)

    async def adopt(self, vault: VaultName, revisions: Sequence[ArchivedRevision], *, reason: str) -> AdoptedBatch:
        """See the port."""
        self.adopted.append((vault, revisions, reason))
        names = [str(history[-1].cube.name) for history in histories(revisions)]
        return AdoptedBatch(
            tuple(Adopted(name, created=name not in self.failures, error=self.failures.get(name)) for name in names)
        )


class MemoryNotary:
    """A key of an installation."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    async def sign(self, statement: bytes) -> Seal:
        """See the port."""
        public = self._key.public_key().public_bytes_raw()
        return Seal(statement=statement, signature=self._key.sign(statement), public_key=public)

    def fits(self, seal: Seal) -> bool:
        """See the port."""
        return signatures.fits(seal.statement, signature=seal.signature, public_key=seal.public_key)


class MemoryVaults:
    """Roles in one vault after the other; `unknown` are the ids of principals that have no key."""

    def __init__(self) -> None:
        self.roles: dict[VaultName, dict[PrincipalName, Role]] = {}
        self.unknown: set[str] = set()

    async def record(self, vault: VaultName) -> VaultRecord:
        """See the port."""
        roles = self.roles.get(vault, {})
        return VaultRecord(name=vault, display_name="A vault", create_time=None, owner="", roles=roles)

    async def give(self, vault: VaultName, principal: PrincipalName, role: Role) -> None:
        """See the port."""
        if principal.id in self.unknown:
            raise ResourceNotFound(f"There is no {principal}.", name=str(principal))
        self.roles.setdefault(vault, {})[principal] = role
