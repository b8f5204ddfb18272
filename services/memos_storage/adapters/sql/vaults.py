"""Vaults as rows; one is made with the first thing that is stored in it."""

from sqlalchemy import Connection, bindparam, insert, select

from memos_kernel.names import VaultName
from memos_storage.adapters.sql import schema

_VAULTS = schema.vaults
_KEY = select(_VAULTS.c.key).where(_VAULTS.c.tenant == bindparam("tenant"), _VAULTS.c.vault == bindparam("vault"))
_MAKE = insert(_VAULTS).returning(_VAULTS.c.key)


def key_of(connection: Connection, vault: VaultName) -> int:
    """Return the key of a vault, with a row for it if it has none yet."""
    names = {"tenant": vault.tenant, "vault": vault.id}
    key = connection.execute(_KEY, names).scalar()
    if key is None:
        key = connection.execute(_MAKE, {**names, "documents": 0, "terms": 0}).scalar_one()
    return int(key)
