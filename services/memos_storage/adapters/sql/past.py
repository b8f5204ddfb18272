"""Reads of a past moment: the cubes that have changed since, in the revision that they had then.

A cube that has not changed since is read like one of the present, with the filter in SQL. The others are read from
their revisions, and the filter is applied to the documents: a read of the past costs as much as has changed since.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, RowMapping, Select, String, and_, bindparam, select, tuple_

from memos_kernel.moments import micros
from memos_storage.adapters.sql import filters, rows, schema
from memos_storage.adapters.sql.filters import Parameters
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import PastCube, StoredCube, Vector

_CUBES, _VAULTS, _REVISIONS, _VECTORS = schema.cubes, schema.vaults, schema.revisions, schema.vectors
_NEXT = schema.revisions.alias().c
_BY = {
    "": (),
    "uids": (_CUBES.c.uid.in_(bindparam("uids", expanding=True)),),
    "ids": (_CUBES.c.tenant == bindparam("scope_tenant"), _CUBES.c.cube.in_(bindparam("ids", expanding=True))),
    "after": (
        tuple_(_CUBES.c.create_time, _CUBES.c.uid)
        < tuple_(bindparam("after_time", type_=BigInteger), bindparam("after_uid", type_=String)),
    ),
}
"""Parameters that narrow a read -> their conditions."""

ALTERED = (
    select(_CUBES.c.uid, _CUBES.c.cube)
    .join(_VAULTS, _VAULTS.c.key == _CUBES.c.vault_key)
    .where(
        _VAULTS.c.tenant == bindparam("tenant"),
        _VAULTS.c.vault == bindparam("vault"),
        _CUBES.c.update_time > bindparam("since"),
        _CUBES.c.create_time <= bindparam("created_until"),
        _CUBES.c.uid > bindparam("after_uid"),
        filters.KEPT,
    )
    .order_by(_CUBES.c.uid)
    .limit(bindparam("limit", type_=Integer))
)
"""Cubes of a vault that have changed since a moment, by uid."""


def changed(connection: Connection, selection: Selection, *, by: str = "", values: Parameters) -> list[StoredCube]:
    """Return the cubes that are selected and have changed since; `by` names what `values` narrow the read to."""
    statement = _changed(all_vaults=selection.scope.vaults is None, by=by)
    found = connection.execute(statement, {**values, **_moments(selection)}).mappings()
    return list(_selected(selection, found))


def with_vectors(
    connection: Connection, selection: Selection, *, embedder: str | None, bound: int
) -> list[PastCube] | None:
    """Return the same with the vectors of their texts; None if more than `bound` cubes of the scope have changed."""
    statement = _changed_with_vectors(all_vaults=selection.scope.vaults is None)
    parameters = {**_moments(selection), "embedder": embedder or "", "limit": bound + 1}
    found = connection.execute(statement, parameters).mappings().all()
    if len(found) > bound:
        return None
    vectors = {row["uid"]: row["data"] for row in found}
    return [
        PastCube(stored, Vector(embedder, rows.vector_of(data)) if embedder and data is not None else None)
        for stored in _selected(selection, found)
        for data in (vectors[stored.cube.uid],)
    ]


def _selected(selection: Selection, found: Iterable[RowMapping]) -> Iterator[StoredCube]:
    for row in found:
        stored = rows.stored_cube(row)
        if selection.matches(stored.cube):
            yield stored


def _moments(selection: Selection) -> Parameters:
    return {
        **filters.scope_values(selection.scope),
        "as_of": micros(selection.as_of),
        "read_time": micros(selection.now),
    }


@lru_cache(maxsize=8)
def _changed(*, all_vaults: bool, by: str) -> Select[Any]:
    """The revision of `as_of` of the cubes that have another one by now and whose purge time has not come."""
    superseded = (
        select(1)
        .where(
            _NEXT.cube_key == _CUBES.c.key,
            _NEXT.revision == _REVISIONS.c.revision + 1,
            _NEXT.record_time <= bindparam("as_of"),
        )
        .exists()
    )
    return (
        select(_CUBES.c.uid, *rows.STORED)
        .select_from(_CUBES)
        .join(_VAULTS, _VAULTS.c.key == _CUBES.c.vault_key)
        .join(_REVISIONS, and_(_REVISIONS.c.cube_key == _CUBES.c.key, _REVISIONS.c.record_time <= bindparam("as_of")))
        .where(
            filters.in_scope(all_vaults=all_vaults),
            _CUBES.c.create_time <= bindparam("as_of"),
            _CUBES.c.update_time > bindparam("as_of"),
            ~superseded,
            filters.KEPT,
            *_BY[by],
        )
    )


@lru_cache(maxsize=2)
def _changed_with_vectors(*, all_vaults: bool) -> Select[Any]:
    of_its_text = and_(
        _VECTORS.c.cube_key == _CUBES.c.key,
        _VECTORS.c.revision == _REVISIONS.c.content_revision,
        _VECTORS.c.embedder == bindparam("embedder"),
    )
    statement = _changed(all_vaults=all_vaults, by="").outerjoin(_VECTORS, of_its_text)
    return statement.add_columns(_VECTORS.c.data).limit(bindparam("limit", type_=Integer))
