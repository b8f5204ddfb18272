"""The statements that read cubes. Each is built once for each shape of scope and filter; values are parameters."""

from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, String, and_, bindparam, func, not_, select, tuple_

from memos_kernel.cube import State
from memos_kernel.states import COOLING, INJECTABLE
from memos_storage.adapters.sql import filters, rows, schema
from memos_storage.adapters.sql.filters import Shape
from memos_storage.adapters.sql.parts import listed

_CUBES, _VAULTS, _REVISIONS, _VECTORS = schema.cubes, schema.vaults, schema.revisions, schema.vectors
_OF_CURRENT_REVISION = and_(_REVISIONS.c.cube_key == _CUBES.c.key, _REVISIONS.c.revision == _CUBES.c.revision)
_WITH_VAULT = _CUBES.join(_VAULTS, _VAULTS.c.key == _CUBES.c.vault_key)
WITH_DOCUMENT = _WITH_VAULT.join(_REVISIONS, _OF_CURRENT_REVISION)
OF_CURRENT_TEXT = and_(_VECTORS.c.cube_key == _CUBES.c.key, _VECTORS.c.revision == _CUBES.c.content_revision)
_WITH_VECTOR = _WITH_VAULT.join(_VECTORS, OF_CURRENT_TEXT)

# Where cubes are looked up by uid or name, the sum keeps a planner that knows no statistics from walking the vault.
_NAMED_WITH_VAULT = _CUBES.join(_VAULTS, _VAULTS.c.key == _CUBES.c.vault_key + 0)
_NAMED_WITH_DOCUMENT = _NAMED_WITH_VAULT.join(_REVISIONS, _OF_CURRENT_REVISION)

_UIDS = _CUBES.c.uid.in_(bindparam("uids", expanding=True))


def _listed_uids(dialect: str) -> ColumnElement[bool]:
    """Those whose uids are in the JSON list `uids`."""
    return _CUBES.c.uid.in_(listed("uids", String, dialect))


@lru_cache(maxsize=2)
def cosines(dialect: str) -> Select[Any]:
    """Vectors of cubes; parameters: `embedder`, and `uids` as JSON."""
    return (
        select(_CUBES.c.uid, _VECTORS.c.data)
        .select_from(_CUBES.join(_VECTORS, OF_CURRENT_TEXT))
        .where(_listed_uids(dialect), _VECTORS.c.embedder == bindparam("embedder"))
    )


VECTORS = (
    select(_CUBES.c.uid, _CUBES.c.content_revision, _VECTORS.c.data)
    .select_from(_WITH_VECTOR)
    .where(_CUBES.c.key.in_(bindparam("keys", expanding=True)), _VECTORS.c.embedder == bindparam("embedder"))
)
"""Vectors of cubes by `keys`."""


@lru_cache(maxsize=4)
def named(*, all_vaults: bool, past: bool) -> Select[Any]:
    """Live cubes of a scope; parameters: those of the scope, `ids`. `past`: unchanged since `as_of`."""
    statement = (
        select(*rows.STORED)
        .select_from(_NAMED_WITH_DOCUMENT)
        .where(
            filters.in_scope(all_vaults=all_vaults),
            _CUBES.c.tenant == bindparam("scope_tenant"),
            _CUBES.c.cube.in_(bindparam("ids", expanding=True)),
            _CUBES.c.delete_time.is_(None),
        )
    )
    return statement.where(filters.UNCHANGED) if past else statement


@lru_cache(maxsize=128)
def newest(shape: Shape, *, first: bool) -> Select[Any]:
    """A page of cubes, newest first; parameters: those of the filter, `limit`, for a later page `after_*`."""
    statement = (
        select(*rows.STORED)
        .select_from(WITH_DOCUMENT)
        .where(*filters.conditions(shape))
        .order_by(_CUBES.c.create_time.desc(), _CUBES.c.uid.desc())
        .limit(bindparam("limit", type_=Integer))
    )
    if first:
        return statement
    after = tuple_(bindparam("after_time", type_=BigInteger), bindparam("after_uid", type_=String))
    return statement.where(tuple_(_CUBES.c.create_time, _CUBES.c.uid) < after)


@lru_cache(maxsize=4)
def history(*, all_vaults: bool, first: bool) -> Select[Any]:
    """Revisions of a cube; parameters: those of the scope, `id`, `read_time`, `limit`, and `before_revision`."""
    statement = (
        select(*rows.STORED)
        .select_from(_NAMED_WITH_VAULT.join(_REVISIONS, _REVISIONS.c.cube_key == _CUBES.c.key))
        .where(
            filters.in_scope(all_vaults=all_vaults),
            _CUBES.c.tenant == bindparam("scope_tenant"),
            _CUBES.c.cube == bindparam("id"),
            filters.KEPT,
        )
        .order_by(_REVISIONS.c.revision.desc())
        .limit(bindparam("limit", type_=Integer))
    )
    return statement if first else statement.where(_REVISIONS.c.revision < bindparam("before_revision"))


@lru_cache(maxsize=2)
def derived(*, all_vaults: bool) -> Select[Any]:
    """Cubes in use of a kind made from others, newest first; parameters: those of the scope, `ids`, `kind`, `limit`."""
    made = select(schema.derivations.c.cube_key).where(
        schema.derivations.c.source.in_(bindparam("ids", expanding=True))
    )
    return (
        select(*rows.STORED)
        .select_from(_NAMED_WITH_DOCUMENT)
        .where(
            filters.in_scope(all_vaults=all_vaults),
            _CUBES.c.tenant == bindparam("scope_tenant"),
            _CUBES.c.key.in_(made),
            _CUBES.c.kind == bindparam("kind", type_=Integer),
            _CUBES.c.state.in_([int(state) for state in INJECTABLE]),
            _CUBES.c.delete_time.is_(None),
        )
        .order_by(_CUBES.c.create_time.desc(), _CUBES.c.uid.desc())
        .limit(bindparam("limit", type_=Integer))
    )


@lru_cache(maxsize=2)
def due(*, all_vaults: bool) -> Select[Any]:
    """Live cubes past their expire time that are not frozen; parameters: those of the scope, `at`, `limit`."""
    return (
        select(*rows.STORED)
        .select_from(WITH_DOCUMENT)
        .where(
            filters.in_scope(all_vaults=all_vaults),
            _CUBES.c.expire_time <= bindparam("at"),
            _CUBES.c.delete_time.is_(None),
            _CUBES.c.state != int(State.EXPIRED),
            not_(_CUBES.c.frozen),
        )
        .order_by(_CUBES.c.expire_time, _CUBES.c.uid)
        .limit(bindparam("limit", type_=Integer))
    )


_STANDING_OF_VAULT = (
    select(*rows.STORED)
    .select_from(WITH_DOCUMENT)
    .where(
        _VAULTS.c.tenant == bindparam("tenant"),
        _VAULTS.c.vault == bindparam("vault"),
        _CUBES.c.delete_time.is_(None),
        not_(_CUBES.c.frozen),
    )
    .limit(bindparam("limit", type_=Integer))
)
MADE_BEFORE = _STANDING_OF_VAULT.where(_CUBES.c.create_time < bindparam("moment")).order_by(_CUBES.c.create_time)
"""Cubes of a vault made before a moment that are not frozen; parameters: `tenant`, `vault`, `moment`, `limit`."""

IDLE_SINCE = _STANDING_OF_VAULT.where(
    _CUBES.c.update_time < bindparam("moment"),
    func.coalesce(_CUBES.c.last_used_time, 0) < bindparam("moment"),
    _CUBES.c.state.in_([int(state) for state in COOLING]),
).order_by(_CUBES.c.update_time)
"""The same for cubes in use that were neither changed nor used since a moment."""


@lru_cache(maxsize=128)
def eligible(shape: Shape, dialect: str) -> Select[Any]:
    """Uid and content revision of cubes; parameters: those of the filter, and `uids` as JSON."""
    columns = select(_CUBES.c.uid, _CUBES.c.content_revision)
    return columns.select_from(_NAMED_WITH_VAULT).where(_listed_uids(dialect), *filters.conditions(shape))


@lru_cache(maxsize=128)
def resolved(shape: Shape) -> Select[Any]:
    """The same cubes as `eligible`, whole; `uids` as a list."""
    return select(*rows.STORED).select_from(_NAMED_WITH_DOCUMENT).where(_UIDS, *filters.conditions(shape))


@lru_cache(maxsize=16)
def told(shape: Shape, dialect: str) -> Select[Any]:
    """The same cubes as `resolved`, with the codes of tokens; parameters: `embedder`, and `uids` as JSON."""
    of_embedder = and_(OF_CURRENT_TEXT, _VECTORS.c.embedder == bindparam("embedder"))
    return (
        select(*rows.STORED, _VECTORS.c.tokens)
        .select_from(_NAMED_WITH_DOCUMENT.outerjoin(_VECTORS, of_embedder))
        .where(_listed_uids(dialect), *filters.conditions(shape))
    )


@lru_cache(maxsize=128)
def with_vector(shape: Shape) -> Select[Any]:
    """Keys of cubes that have a vector; parameters: those of the filter, `embedder`, `limit`."""
    of_embedder = _VECTORS.c.embedder == bindparam("embedder")
    statement = select(_CUBES.c.key).select_from(_WITH_VECTOR).where(of_embedder, *filters.conditions(shape))
    return statement.limit(bindparam("limit", type_=Integer))
