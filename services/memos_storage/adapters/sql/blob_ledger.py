"""The blobs inside a transaction of the catalogue."""

from sqlalchemy import Connection, bindparam, select, update

from memos_kernel.names import VaultName
from memos_storage.adapters.sql import schema

_BLOBS, _VAULTS = schema.blobs, schema.vaults
WITH_VAULT = _BLOBS.join(_VAULTS, _VAULTS.c.key == _BLOBS.c.vault_key)
OF_VAULT = (_VAULTS.c.tenant == bindparam("tenant"), _VAULTS.c.vault == bindparam("vault"))
FREE = (_BLOBS.c.cube_uid.is_(None), _BLOBS.c.gone.is_(False))
"""No cube has it, and it does not have to leave."""

FIND = select(_BLOBS).select_from(WITH_VAULT).where(*OF_VAULT, *FREE, _BLOBS.c.name == bindparam("name"))


class SqlBlobs:
    """Implements `ports.BlobLedger` on the connection of a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def free(self, vault: VaultName, name: str) -> bool:
        """Return whether the vault has such a blob and no cube has taken it."""
        values = {"tenant": vault.tenant, "vault": vault.id, "name": name}
        return self._connection.execute(FIND.with_for_update(of=_BLOBS), values).first() is not None

    def take(self, name: str, uid: str) -> None:
        """Give a free blob to a cube."""
        self._connection.execute(update(_BLOBS).where(_BLOBS.c.name == name).values(cube_uid=uid))

    def drop(self, name: str) -> None:
        """Let a free blob go."""
        self._connection.execute(update(_BLOBS).where(_BLOBS.c.name == name, *FREE).values(gone=True))
