"""Purges in the catalogue: what they select, and how rows go for good."""

from collections.abc import Callable, Iterator, Sequence, Set
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    select,
    tuple_,
    update,
)

from memos_kernel.changes import ChangeKind
from memos_kernel.cube import Kind, MemCube
from memos_kernel.errors import StateConflict
from memos_kernel.moments import micros, moment
from memos_kernel.names import CubeName, PrincipalName, PurgeName, VaultName
from memos_runtime.sql.locks import lock_number
from memos_storage.adapters.sql import filters, rows, schema, statements
from memos_storage.adapters.sql.filters import Shape
from memos_storage.adapters.sql.new_rows import NewRows
from memos_storage.adapters.sql.parts import parts
from memos_storage.adapters.sql.postings import unindex
from memos_storage.adapters.sql.vaults import Growth
from memos_storage.domain.purges import Doomed, Purge, PurgeState, Receipt
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import PointId

_PURGES, _ITEMS, _POINTS, _TOMBSTONES = schema.purges, schema.purge_cubes, schema.purge_points, schema.tombstones
_CUBES, _VAULTS, _REVISIONS, _OUTBOX = schema.cubes, schema.vaults, schema.revisions, schema.outbox
_VECTORS = schema.vectors

_CUBE = select(*rows.STORED).select_from(statements.WITH_DOCUMENT).where(filters.STANDING)
_NAMED = _CUBE.where(
    _CUBES.c.tenant == bindparam("tenant"),
    _VAULTS.c.vault == bindparam("vault"),
    _CUBES.c.cube.in_(bindparam("ids", expanding=True)),
)
_DERIVED = _CUBE.join(schema.derivations, schema.derivations.c.cube_key == _CUBES.c.key).where(
    # The empty text keeps a planner that knows no statistics from walking the tenant.
    _CUBES.c.tenant.concat("") == bindparam("tenant"),
    schema.derivations.c.source.in_(bindparam("ids", expanding=True)),
    _CUBES.c.kind.in_(bindparam("kinds", expanding=True)),
)
_TOLD = (
    select(_REVISIONS.c.document)
    .join(_CUBES, _CUBES.c.key == _REVISIONS.c.cube_key)
    .where(_CUBES.c.uid.in_(bindparam("uids", expanding=True)))
)
_HIDE = (
    update(_CUBES)
    .where(_CUBES.c.uid.in_(bindparam("uids", expanding=True)), not_(_CUBES.c.frozen))
    .values(delete_time=func.coalesce(_CUBES.c.delete_time, bindparam("time")), purge_time=0)
)
"""No clock that jumps back comes before this purge time."""

_LEAVING = (
    select(_CUBES.c.vault_key, func.count().label("cubes"), func.sum(_CUBES.c.text_bytes).label("text_bytes"))
    .where(_CUBES.c.key.in_(bindparam("keys", expanding=True)))
    .group_by(_CUBES.c.vault_key)
)

_IN_WORK = exists(select(1).where(_OUTBOX.c.cube_key == _CUBES.c.key, _OUTBOX.c.lease_until > bindparam("now")))
_STANDING = (
    select(_CUBES.c.key, _CUBES.c.uid)
    .join(_ITEMS, _ITEMS.c.uid == _CUBES.c.uid)
    .where(_ITEMS.c.purge_key == bindparam("purge"))
)


class SqlPurges:
    """Implements `ports.PurgeLedger` on the connection of a transaction."""

    def __init__(self, connection: Connection, new: NewRows) -> None:
        """Take the connection, and the rows that the transaction keeps back."""
        self._connection = connection
        self._new = new
        self._any_tombstone: bool | None = None
        self._locked: set[tuple[VaultName, str]] = set()

    def hold(self, vault: VaultName) -> None:
        """Wait for those who store something in the vault, and keep others from it until the transaction ends."""
        self._lock(vault, "pg_advisory_xact_lock")

    def named(self, vault: VaultName, names: Sequence[CubeName]) -> list[MemCube]:
        """Return the cubes of a vault among the names, deleted or not."""
        parameters = {"tenant": vault.tenant, "vault": vault.id}
        return [
            cube
            for part in parts([name.id for name in names])
            for cube in self._cubes(_NAMED, {**parameters, "ids": part})
        ]

    def selected(self, selection: Selection, *, limit: int) -> list[MemCube]:
        """Return cubes that the filter matches, deleted or not."""
        return self._cubes(_selected(Shape.of(selection)).limit(limit), filters.values(selection))

    def due(self, tenant: str, *, now: datetime, limit: int) -> list[MemCube]:
        """Return deleted cubes of one vault whose purge time has come."""
        due = _CUBE.where(_CUBES.c.tenant == tenant, _CUBES.c.purge_time <= micros(now))
        first = self._cubes(due.order_by(_CUBES.c.purge_time).limit(1), {})
        if not first:
            return []
        return self._cubes(due.where(_VAULTS.c.vault == first[0].vault.id).limit(limit), {})

    def derived(self, names: Sequence[CubeName], kinds: frozenset[Kind]) -> list[MemCube]:
        """Return the cubes of the tenant and of some kinds that were made directly from these."""
        wanted = sorted(int(kind) for kind in kinds)
        found = {
            cube.uid: cube
            for part in parts([name.id for name in names])
            for cube in self._cubes(_DERIVED, {"tenant": names[0].tenant, "ids": part, "kinds": wanted})
        }
        return list(found.values())

    def told(self, uids: Sequence[str]) -> Iterator[MemCube]:
        """Return every revision of these cubes."""
        self._new.flush()
        for part in parts(uids):
            for document in self._connection.execute(_TOLD, {"uids": part}).scalars():
                yield rows.cube_of(document)

    def add(self, purge: Purge, uids: Sequence[str]) -> None:
        """Store a purge, and take its cubes out of every read of now and of the past."""
        self._new.flush()
        key = self._connection.execute(insert(_PURGES).returning(_PURGES.c.key), _row(purge)).scalar_one()
        for part in parts(uids):
            # First, for it locks the rows: what another process writes to them is in the list or comes too late.
            hidden = self._connection.execute(_HIDE, {"uids": part, "time": micros(purge.create_time)}).rowcount
            if hidden != len(part):
                raise StateConflict(
                    "Some of these cubes have just been frozen; count them again.", name=str(purge.name)
                )
            self._connection.execute(
                insert(_ITEMS).from_select(
                    ["purge_key", "uid", "cube", "revisions", "erased"],
                    select(literal(key), _CUBES.c.uid, _CUBES.c.cube, _CUBES.c.revision, literal(False)).where(
                        _CUBES.c.uid.in_(part)
                    ),
                )
            )
            told = select(
                _CUBES.c.vault_key,
                _CUBES.c.uid,
                _CUBES.c.cube,
                _CUBES.c.revision,
                literal(int(ChangeKind.PURGED)),
                literal(micros(purge.create_time)),
            ).where(_CUBES.c.uid.in_(part))
            columns = ["vault_key", "uid", "cube", "revision", "kind", "record_time"]
            self._connection.execute(insert(schema.changes).from_select(columns, told))

    def bury(self, name: PurgeName, tombstones: Set[bytes]) -> None:
        """Keep these from being stored until the purge is lifted."""
        if tombstones:
            key = self._key(name)
            self._connection.execute(
                insert(_TOMBSTONES), [{"digest": digest, "purge_key": key} for digest in sorted(tombstones)]
            )

    def find(self, name: PurgeName) -> Purge | None:
        """Return a purge."""
        return find(self._connection, name)

    def unfinished(self, tenant: str, *, before: datetime) -> Purge | None:
        """Return the oldest purge that was asked for before a moment and is not done."""
        statement = (
            select(_PURGES)
            .where(_PURGES.c.tenant == tenant, _PURGES.c.end_time.is_(None), _PURGES.c.create_time < micros(before))
            .order_by(_PURGES.c.create_time)
            .limit(1)
        )
        row = self._connection.execute(statement).one_or_none()
        return None if row is None else _purge(row)

    def erase(self, name: PurgeName, *, limit: int, now: datetime) -> list[Doomed]:
        """Erase cubes from every table; those that a worker of the outbox holds stay for later."""
        self._new.flush()
        purge = self._key(name)
        if self._connection.dialect.name != "sqlite":
            # Whoever leases entries of the outbox holds this row, so nobody leases one between the look and the end.
            self._connection.execute(select(schema.fences.c.token).with_for_update())
        free = _STANDING.where(~_IN_WORK).limit(limit)
        found = self._connection.execute(free, {"purge": purge, "now": micros(now)}).all()
        for part in parts(found):
            self._erase(purge, [row.key for row in part], [row.uid for row in part])
        erased = select(_ITEMS).where(_ITEMS.c.purge_key == purge, _ITEMS.c.uid.in_([row.uid for row in found]))
        return [_doomed(name, row) for row in self._connection.execute(erased)]

    def remaining(self, name: PurgeName) -> int:
        """Return how many cubes of a purge still have a row."""
        standing = select(func.count()).select_from(_STANDING.subquery())
        return int(self._connection.execute(standing, {"purge": self._key(name)}).scalar_one())

    def set_erased(self, name: PurgeName) -> None:
        """Take note that the catalogue has none of the cubes any more."""
        self._go_on(name, PurgeState.ERASING, PurgeState.ERASED)

    def finish(self, name: PurgeName, receipt: Receipt, *, now: datetime) -> None:
        """Store the receipt, and forget what it was needed for; if it is done already, nothing."""
        signed = {"statement": receipt.statement, "signature": receipt.signature, "public_key": receipt.public_key}
        if self._go_on(name, PurgeState.ERASED, PurgeState.DONE, end_time=micros(now), **signed):
            for table in (_ITEMS, _POINTS, schema.blobs):
                self._connection.execute(delete(table).where(table.c.purge_key == self._key(name)))

    def lift(self, name: PurgeName, *, now: datetime) -> None:
        """Forget the tombstones of a purge."""
        key = self._key(name)
        self._connection.execute(update(_PURGES).where(_PURGES.c.key == key).values(lift_time=micros(now)))
        self._connection.execute(delete(_TOMBSTONES).where(_TOMBSTONES.c.purge_key == key))

    def stopped(self, vault: VaultName, tombstones: Callable[[], Set[bytes]]) -> PurgeName | None:
        """Return a purge that keeps one of these from being stored in the vault."""
        self._lock(vault, "pg_advisory_xact_lock_shared")
        if self._any_tombstone is None:
            self._any_tombstone = self._connection.execute(select(_TOMBSTONES.c.purge_key).limit(1)).first() is not None
        if not self._any_tombstone:
            return None
        statement = (
            select(_PURGES.c.tenant, _PURGES.c.purge)
            .join(_TOMBSTONES, _TOMBSTONES.c.purge_key == _PURGES.c.key)
            .where(_TOMBSTONES.c.digest.in_(sorted(tombstones())))
            .order_by(_PURGES.c.key)
            .limit(1)
        )
        row = self._connection.execute(statement).one_or_none()
        return None if row is None else PurgeName(row.tenant, row.purge)

    def _lock(self, vault: VaultName, function: str) -> None:
        """On PostgreSQL, let no purge be planned between a look at the tombstones and the end of the transaction."""
        if self._connection.dialect.name == "sqlite" or (vault, function) in self._locked:
            return
        self._connection.execute(select(getattr(func, function)(lock_number(f"tombstones {vault}"))))
        self._locked.add((vault, function))

    def _cubes(self, statement: Select[Any], parameters: filters.Parameters) -> list[MemCube]:
        self._new.flush()
        return [rows.stored_cube(row).cube for row in self._connection.execute(statement, parameters).mappings()]

    def _key(self, name: PurgeName) -> int:
        statement = select(_PURGES.c.key).where(_PURGES.c.tenant == name.tenant, _PURGES.c.purge == name.id)
        return int(self._connection.execute(statement).scalar_one())

    def _go_on(self, name: PurgeName, before: PurgeState, after: PurgeState, **values: Any) -> bool:
        """Change the state, unless another worker has done so."""
        this = and_(_PURGES.c.key == self._key(name), _PURGES.c.state == int(before))
        changed = self._connection.execute(update(_PURGES).where(this).values(state=int(after), **values)).rowcount
        return changed == 1

    def _erase(self, purge: int, keys: Sequence[int], uids: Sequence[str]) -> None:
        held = select(literal(purge), _VECTORS.c.embedder, _CUBES.c.uid, _VECTORS.c.revision)
        held = held.join(_CUBES, _CUBES.c.key == _VECTORS.c.cube_key).where(_CUBES.c.key.in_(keys))
        self._connection.execute(insert(_POINTS).from_select(["purge_key", "embedder", "uid", "revision"], held))
        for vault_key, by in unindex(self._connection, keys).items():
            self._new.grow(vault_key, by)
        self._release_blobs(purge, uids)
        for row in self._connection.execute(_LEAVING, {"keys": keys}):
            self._new.grow(row.vault_key, Growth(cubes=-row.cubes, text_bytes=-int(row.text_bytes)))
        # All other tables go with the row.
        self._connection.execute(delete(_CUBES).where(_CUBES.c.key.in_(keys)))
        self._connection.execute(
            update(_ITEMS).where(_ITEMS.c.purge_key == purge, _ITEMS.c.uid.in_(uids)).values(erased=True)
        )

    def _release_blobs(self, purge: int, uids: Sequence[str]) -> None:
        """Let the blobs of cubes go, with equal bytes of the vault that wait for a cube; their hash goes at once."""
        table, equal = schema.blobs, schema.blobs.alias()
        own = table.c.cube_uid.in_(uids)
        copies = exists(
            select(1).where(
                equal.c.cube_uid.in_(uids), equal.c.vault_key == table.c.vault_key, equal.c.sha256 == table.c.sha256
            )
        )
        waiting = and_(table.c.cube_uid.is_(None), table.c.purge_key.is_(None), copies)
        for leaving in (waiting, own):  # in this order, for the second forgets what the first compares
            released = update(table).where(leaving)
            self._connection.execute(
                released.values(cube_uid=None, gone=True, purge_key=purge, sha256="", size_bytes=0)
            )


def find(connection: Connection, name: PurgeName) -> Purge | None:
    """Return a purge."""
    statement = select(_PURGES).where(_PURGES.c.tenant == name.tenant, _PURGES.c.purge == name.id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _purge(row)


def newest(connection: Connection, vault: VaultName, *, after: tuple[datetime, str] | None, limit: int) -> list[Purge]:
    """Return the purges of a vault, the newest first."""
    place = tuple_(_PURGES.c.create_time, _PURGES.c.purge)
    statement: Select[Any] = (
        select(_PURGES)
        .where(_PURGES.c.tenant == vault.tenant, _PURGES.c.vault == vault.id)
        .order_by(_PURGES.c.create_time.desc(), _PURGES.c.purge.desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(place < tuple_(micros(after[0]), after[1]))
    return [_purge(row) for row in connection.execute(statement)]


def contents(connection: Connection, name: PurgeName) -> tuple[list[Doomed], dict[str, list[PointId]]]:
    """Return the cubes of a purge, and by embedder the points that an index may have held of them."""
    this = and_(_PURGES.c.tenant == name.tenant, _PURGES.c.purge == name.id)
    cubes = select(_ITEMS).join(_PURGES, _PURGES.c.key == _ITEMS.c.purge_key).where(this).order_by(_ITEMS.c.cube)
    points = select(_POINTS).join(_PURGES, _PURGES.c.key == _POINTS.c.purge_key).where(this)
    by_embedder: dict[str, list[PointId]] = {}
    for row in connection.execute(points):
        by_embedder.setdefault(row.embedder, []).append(PointId(row.uid, row.revision))
    return [_doomed(name, row) for row in connection.execute(cubes)], by_embedder


@lru_cache(maxsize=32)
def _selected(shape: Shape) -> Select[Any]:
    return _CUBE.where(filters.in_scope(all_vaults=shape.all_vaults), *filters.conditions_on_rows(shape))


def _row(purge: Purge) -> dict[str, Any]:
    return {
        "tenant": purge.name.tenant,
        "purge": purge.name.id,
        "vault": purge.vault.id,
        "principal": str(purge.principal),
        "reason": purge.reason,
        "cubes": purge.cubes,
        "stale": purge.stale,
        "kept": purge.kept,
        "state": int(purge.state),
        "create_time": micros(purge.create_time),
    }


def _purge(row: Row[Any]) -> Purge:
    return Purge(
        name=PurgeName(row.tenant, row.purge),
        vault=VaultName(row.tenant, row.vault),
        principal=PrincipalName.parse(row.principal),
        reason=row.reason,
        cubes=row.cubes,
        stale=row.stale,
        kept=row.kept,
        state=PurgeState(row.state),
        create_time=moment(row.create_time),
        end_time=moment(row.end_time),
        lift_time=moment(row.lift_time),
        receipt=None if row.statement is None else Receipt(row.statement, row.signature, row.public_key),
    )


def _doomed(name: PurgeName, row: Row[Any]) -> Doomed:
    return Doomed(row.uid, CubeName(name.tenant, row.cube), row.revisions, row.erased)
