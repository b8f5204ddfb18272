"""Vaults as rows; one is made with the first thing that is stored in it, and counts what it holds."""

from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, bindparam, func, insert, select, update

from memos_kernel.names import VaultName
from memos_kernel.quotas import VaultUsage
from memos_kernel.states import COLD
from memos_storage.adapters.sql import schema

_VAULTS = schema.vaults
_KEY = select(_VAULTS.c.key).where(_VAULTS.c.tenant == bindparam("tenant"), _VAULTS.c.vault == bindparam("vault"))
_MAKE = insert(_VAULTS).returning(_VAULTS.c.key)
_OF_VAULT = _VAULTS.c.key == bindparam("vault_key")
_HELD = select(_VAULTS.c.cubes, _VAULTS.c.text_bytes).where(_OF_VAULT)
_LOCK = _HELD.with_for_update(key_share=True)  # rows that refer to the vault can still be made
_BLOB_BYTES = select(func.coalesce(func.sum(schema.blobs.c.size_bytes), 0)).where(
    schema.blobs.c.vault_key == bindparam("vault_key"), schema.blobs.c.gone.is_(False)
)
_COUNTS = select(
    func.count().filter(schema.cubes.c.state.in_([int(state) for state in COLD])).label("cold"),
    func.count().filter(schema.cubes.c.delete_time.is_not(None)).label("deleted"),
).where(schema.cubes.c.vault_key == bindparam("vault_key"))

GROW = (
    update(_VAULTS)
    .where(_OF_VAULT)
    .values(
        documents=_VAULTS.c.documents + bindparam("documents"),
        terms=_VAULTS.c.terms + bindparam("terms"),
        cubes=_VAULTS.c.cubes + bindparam("cubes"),
        text_bytes=_VAULTS.c.text_bytes + bindparam("text_bytes"),
    )
)
"""What comes to a vault, or leaves it."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Texts in the lexical index with their terms, cubes, and bytes of texts; below 0, they leave."""

    documents: int = 0
    terms: int = 0
    cubes: int = 0
    text_bytes: int = 0

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(
            self.documents + other.documents,
            self.terms + other.terms,
            self.cubes + other.cubes,
            self.text_bytes + other.text_bytes,
        )


def grow(connection: Connection, vault_key: int, by: Growth) -> None:
    """Take note of what comes to a vault, or leaves it."""
    connection.execute(GROW, {"vault_key": vault_key, **asdict(by)})


def key_of(connection: Connection, vault: VaultName) -> int:
    """Return the key of a vault, with a row for it if it has none yet."""
    names = {"tenant": vault.tenant, "vault": vault.id}
    key = connection.execute(_KEY, names).scalar()
    if key is None:
        key = connection.execute(_MAKE, {**names, **asdict(Growth())}).scalar_one()
    return int(key)


def held(connection: Connection, vault_key: int, *, lock: bool = False) -> VaultUsage:
    """Return cubes and bytes of a vault; with a lock, nobody else lets it grow until the transaction ends."""
    parameters = {"vault_key": vault_key}
    row = connection.execute(_LOCK if lock else _HELD, parameters).one()
    blobs = connection.execute(_BLOB_BYTES, parameters).scalar_one()
    return VaultUsage(cubes=row.cubes, bytes=row.text_bytes + int(blobs))


def usage(connection: Connection, vault: VaultName) -> VaultUsage:
    """Return all that is counted of a vault."""
    key = connection.execute(_KEY, {"tenant": vault.tenant, "vault": vault.id}).scalar()
    if key is None:
        return VaultUsage()
    row = connection.execute(_COUNTS, {"vault_key": key}).one()
    return replace(held(connection, key), cold_cubes=row.cold, deleted_cubes=row.deleted)
