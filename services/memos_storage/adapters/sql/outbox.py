"""The outbox of the vector index, and that of the audit log."""

from collections.abc import AsyncIterator, Sequence, Set
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, String, and_, cast, delete, func, insert, select, tuple_, update
from sqlalchemy.orm import aliased

from memos_kernel.moments import micros, moment
from memos_kernel.names import VaultName
from memos_kernel.states import COLD
from memos_storage.adapters.sql import rows, schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.parts import PART, parts
from memos_storage.adapters.sql.statements import OF_CURRENT_TEXT
from memos_storage.domain.values import AuditEvent, Claim, OutboxEntry, Point, PointId, Vector, Waiting

_OUTBOX, _CUBES, _VAULTS, _VECTORS = schema.outbox, schema.cubes, schema.vaults, schema.vectors
_REVISIONS = schema.revisions
_FENCE = "outbox"
_OF_TEXT = and_(_REVISIONS.c.cube_key == _CUBES.c.key, _REVISIONS.c.revision == _CUBES.c.content_revision)
_ENTRIES = (
    select(
        _OUTBOX.c.sequence,
        _OUTBOX.c.cube_key,
        _OUTBOX.c.embedder,
        _OUTBOX.c.attempts,
        _OUTBOX.c.gone_revision,
        _CUBES.c.uid,
        _CUBES.c.delete_time,
        _CUBES.c.state,
        _CUBES.c.content_revision,
        _VAULTS.c.tenant,
        _VAULTS.c.vault,
        _VECTORS.c.revision,
        _VECTORS.c.data,
        _REVISIONS.c.record_time,
    )
    .select_from(_OUTBOX)
    .join(_CUBES, _CUBES.c.key == _OUTBOX.c.cube_key)
    .join(_VAULTS, _VAULTS.c.key == _CUBES.c.vault_key)
    .join(_REVISIONS, _OF_TEXT)
    .outerjoin(_VECTORS, and_(OF_CURRENT_TEXT, _VECTORS.c.embedder == _OUTBOX.c.embedder))
    .order_by(_OUTBOX.c.sequence)
)

_SEQUENCES = select(func.aggregate_strings(cast(_OUTBOX.c.sequence, String), ","))
"""In one row: 10,000 rows of one number take ten times as long to fetch."""

_HOT = and_(_CUBES.c.delete_time.is_(None), _CUBES.c.state.not_in([int(state) for state in COLD]))
_WAITING = select(1).where(_OUTBOX.c.cube_key == _CUBES.c.key).exists()
_HELD = (
    select(
        _CUBES.c.key,
        _CUBES.c.uid,
        _VAULTS.c.tenant,
        _VAULTS.c.vault,
        _VECTORS.c.embedder,
        _VECTORS.c.revision,
        _VECTORS.c.data,
        _REVISIONS.c.record_time,
    )
    .select_from(_CUBES)
    .join(_VAULTS, _VAULTS.c.key == _CUBES.c.vault_key)
    .join(_REVISIONS, _OF_TEXT)
    .join(_VECTORS, OF_CURRENT_TEXT)
    .where(_HOT)
)
_INDEXED = _HELD.where(~_WAITING)


class SqlOutbox:
    """Implements `ports.Outbox`. An entry names a cube; what is to be done is read from the cube when it is claimed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self, *, known: Set[int]) -> Waiting:
        """Return what waits now, with the points of the entries that are not `known`, all of one moment.

        Sequence numbers are compared one by one: on PostgreSQL a smaller one may be committed after a larger one.
        """

        def work(connection: Connection) -> Waiting:
            listed = connection.execute(_SEQUENCES).scalar()
            sequences = frozenset(map(int, listed.split(","))) if listed else frozenset[int]()
            fresh = sorted(sequences - known)
            found = [
                _entry(row)
                for part in parts(fresh)
                for row in connection.execute(_ENTRIES.where(_OUTBOX.c.sequence.in_(part)))
            ]
            return Waiting(sequences, tuple(entry.point for entry in found if entry.point is not None))

        return await self._database.read(work)

    async def size(self) -> int:
        """Return how many entries wait."""
        statement = select(func.count()).select_from(_OUTBOX)
        return int(await self._database.read(lambda connection: connection.execute(statement).scalar_one()))

    async def claim(self, *, limit: int, lease_seconds: float, now: datetime) -> Claim:
        """Lease the oldest entries."""
        held = aliased(_OUTBOX)
        held_earlier = (
            select(1)
            .where(
                held.c.cube_key == _OUTBOX.c.cube_key,
                held.c.sequence < _OUTBOX.c.sequence,
                (held.c.lease_until > micros(now)) | (held.c.due_time > micros(now)),
            )
            .exists()
        )
        free = (_OUTBOX.c.due_time <= micros(now), _OUTBOX.c.lease_until <= micros(now), ~held_earlier)
        until = micros(now + timedelta(seconds=lease_seconds))

        def work(connection: Connection) -> Claim:
            if connection.execute(_ENTRIES.where(*free).limit(1)).first() is None:
                return Claim(0, ())
            # The token first: while one process holds its row, no other leases anything.
            token = _next_token(connection)
            found = [_entry(row) for row in connection.execute(_ENTRIES.where(*free).limit(limit))]
            sequences = [entry.sequence for entry in found]
            connection.execute(
                update(_OUTBOX)
                .where(_OUTBOX.c.sequence.in_(sequences))
                .values(lease_token=token, lease_until=until, attempts=_OUTBOX.c.attempts + 1)
            )
            return Claim(token, tuple(found))

        return await self._database.write(work)

    async def settle(self, claim: Claim) -> bool:
        """Remove the entries of a claim; False if another worker has taken one over, and then nothing is removed."""

        def work(connection: Connection) -> bool:
            mine = and_(*_held(claim))
            count = connection.execute(select(func.count()).select_from(_OUTBOX).where(mine)).scalar_one()
            if count != len(claim.entries):
                return False
            connection.execute(delete(_OUTBOX).where(mine))
            return True

        return await self._database.write(work)

    async def postpone(self, claim: Claim, *, until: datetime) -> None:
        """Give the entries back after a failure, to be taken again from `until` on."""
        statement = update(_OUTBOX).where(*_held(claim)).values(lease_token=0, lease_until=0, due_time=micros(until))
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def points(self, embedder: str, uids: Sequence[str]) -> list[Point]:
        """Return the vectors that these cubes have now, deleted and cold cubes left out."""

        def work(connection: Connection) -> list[Point]:
            return [
                _point(row)
                for part in parts(uids)
                for row in connection.execute(_HELD.where(_VECTORS.c.embedder == embedder, _CUBES.c.uid.in_(part)))
            ]

        return await self._database.read(work)

    async def indexed(self) -> AsyncIterator[Sequence[Point]]:
        """Return the vectors of everything that the index should hold by now, in batches."""
        position = tuple_(_CUBES.c.key, _VECTORS.c.embedder)
        last: tuple[int, str] = (0, "")
        while True:
            statement = _INDEXED.where(position > tuple_(*last)).order_by(_CUBES.c.key, _VECTORS.c.embedder).limit(PART)
            found = await self._database.read(partial(_all, statement))
            if not found:
                return
            yield [_point(row) for row in found]
            last = (found[-1].key, found[-1].embedder)

    async def expected(self, embedder: str, *, after: str, limit: int) -> list[PointId]:
        """Return what the index should hold by now of the cubes whose uid is greater than `after`, by uid."""
        statement = (
            select(_CUBES.c.uid, _VECTORS.c.revision)
            .join(_VECTORS, OF_CURRENT_TEXT)
            .where(_VECTORS.c.embedder == embedder, _HOT, ~_WAITING)
            .where(_CUBES.c.uid > after)
            .order_by(_CUBES.c.uid)
            .limit(limit)
        )
        found = await self._database.read(partial(_all, statement))
        return [PointId(row.uid, row.revision) for row in found]

    async def embedders(self) -> list[tuple[str, int]]:
        """Return the embedders that have vectors, with their dimensions."""
        statement: Select[Any] = select(schema.embedders.c.embedder, schema.embedders.c.dimensions)
        found = await self._database.read(lambda connection: connection.execute(statement).all())
        return [(embedder, dimensions) for embedder, dimensions in found]


class SqlAuditOutbox:
    """Implements `ports.AuditOutbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unsent(self, *, limit: int) -> list[AuditEvent]:
        """Return the oldest."""
        table = schema.audit_events
        statement = select(table).order_by(table.c.sequence).limit(limit)
        found = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [
            AuditEvent(
                id=row["event_id"],
                tenant=row["tenant"],
                time=moment(row["record_time"]),
                principal=row["principal"],
                action=row["action"],
                resource=row["resource"],
                reason=row["reason"],
                trace_id=row["trace_id"],
            )
            for row in found
        ]

    async def sent(self, events: Sequence[AuditEvent]) -> None:
        """Forget events that are recorded."""
        table = schema.audit_events
        statement = delete(table).where(table.c.event_id.in_([event.id for event in events]))
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def forget_requests(self, *, before: datetime) -> int:
        """Remove request ids older than their retention; returns how many."""
        table = schema.request_ids
        statement = delete(table).where(table.c.record_time < micros(before))
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)


def _all(statement: Select[Any], connection: Connection) -> Sequence[Any]:
    return connection.execute(statement).all()


def _point(row: Any, *, sequence: int = 0) -> Point:
    vector = Vector(row.embedder, rows.vector_of(row.data))
    vault = VaultName(row.tenant, row.vault)
    return Point(row.uid, vault, row.revision, vector, moment(row.record_time), sequence)


def _entry(row: Any) -> OutboxEntry:
    absent = row.delete_time is not None or row.state in COLD or row.data is None
    return OutboxEntry(
        row.sequence,
        row.uid,
        row.embedder,
        row.attempts,
        point=None if absent else _point(row, sequence=row.sequence),
        gone=None if row.gone_revision is None else PointId(row.uid, row.gone_revision),
    )


def _held(claim: Claim) -> tuple[Any, ...]:
    return (
        _OUTBOX.c.sequence.in_([entry.sequence for entry in claim.entries]),
        _OUTBOX.c.lease_token == claim.token,
    )


def _next_token(connection: Connection) -> int:
    table = schema.fences
    changed = connection.execute(update(table).where(table.c.name == _FENCE).values(token=table.c.token + 1)).rowcount
    if not changed:
        connection.execute(insert(table), {"name": _FENCE, "token": 1})
    return int(connection.execute(select(table.c.token).where(table.c.name == _FENCE)).scalar_one())
