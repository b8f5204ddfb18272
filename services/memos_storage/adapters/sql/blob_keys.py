"""The keys of encrypted blobs in the catalogue."""

from sqlalchemy import Connection, ScalarSelect, delete, insert, select

from memos_kernel.names import VaultName
from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.vaults import key_of
from memos_storage.domain.blobs import BlobKey

_KEYS, _VAULTS = schema.blob_keys, schema.vaults


class SqlBlobKeys:
    """Implements `ports.BlobKeys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, vault: VaultName, name: str, key: BlobKey) -> None:
        """Keep the key of a blob; it survives a power loss when this returns."""

        def work(connection: Connection) -> None:
            row = {"name": name, "vault_key": key_of(connection, vault), "wrapped": key.wrapped}
            connection.execute(insert(_KEYS), {**row, "sealed_sha256": key.sealed_sha256})

        await self._database.write(work)

    async def find(self, vault: VaultName, name: str) -> BlobKey | None:
        """Return the key of a blob; None if it has none."""
        wanted = select(_KEYS).where(_KEYS.c.name == name, _KEYS.c.vault_key == _of(vault))
        row = await self._database.read(lambda connection: connection.execute(wanted).first())
        return None if row is None else BlobKey(bytes(row.wrapped), row.sealed_sha256)

    async def drop(self, vault: VaultName, name: str) -> None:
        """Destroy the key of a blob, if it has one."""
        doomed = delete(_KEYS).where(_KEYS.c.name == name, _KEYS.c.vault_key == _of(vault))
        await self._database.write(lambda connection: connection.execute(doomed))


def _of(vault: VaultName) -> ScalarSelect[int]:
    wanted = select(_VAULTS.c.key).where(_VAULTS.c.tenant == vault.tenant, _VAULTS.c.vault == vault.id)
    return wanted.scalar_subquery()
