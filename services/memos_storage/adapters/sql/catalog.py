"""The catalogue: writers, and a few readers with connections of their own."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, insert, select
from sqlalchemy.exc import SQLAlchemyError

from memos_kernel.cube import Kind, State
from memos_kernel.errors import DependencyUnavailable
from memos_kernel.moments import micros
from memos_kernel.names import CubeName, PurgeName, SnapshotName, VaultName
from memos_kernel.quotas import VaultUsage
from memos_runtime.sql.engine import is_sqlite, open_engine
from memos_runtime.sql.faults import fault_of
from memos_runtime.workers import Worker
from memos_storage.adapters.sql import (
    embedders,
    filters,
    past,
    purges,
    rows,
    schema,
    scrub,
    snapshots,
    statements,
    vaults,
)
from memos_storage.adapters.sql.filters import Parameters, Shape
from memos_storage.adapters.sql.parts import parts
from memos_storage.adapters.sql.schema import STORE
from memos_storage.adapters.sql.transaction import SqlTransaction
from memos_storage.adapters.sql.writer import GroupWriter
from memos_storage.domain.filters import CubeFilter, newest_first
from memos_storage.domain.purges import Doomed, Purge, Reach
from memos_storage.domain.selection import Selection
from memos_storage.domain.snapshots import Snapshot
from memos_storage.domain.values import DenseHit, PastCube, PointId, Scope, StoredCube, ToldCube, Vector
from memos_storage.ports import Spans, Transaction

T = TypeVar("T")


class Database:
    """Connections to the catalogue database: everything that reads or writes goes through here."""

    def __init__(
        self, url: str, *, readers: int, read_queue: int, write_queue: int, group_size: int, writers: int = 4
    ) -> None:
        """Take the SQLAlchemy URL; nothing is opened before `open`.

        SQLite has one writer whose commands share commits, at most `group_size` of them; PostgreSQL has `writers`, and
        lets their commits share what they can.
        """
        if is_sqlite(url):
            writers = 1
        else:
            group_size = 1
        self._reading = open_engine(url, pool_size=readers, read_only=True)
        self._writing = open_engine(url, pool_size=writers)
        self._scrubbing = open_engine(url, pool_size=0)
        self._readers = Worker("catalogue-reader", threads=readers, queue=read_queue)
        self._writer = GroupWriter(self._writing, queue_size=write_queue, group_size=group_size, threads=writers)
        self._open = False
        self._away = False

    @property
    def is_ready(self) -> bool:
        """Whether it is open and its last answer was not that the database is away."""
        return self._open and not self._away

    def open(self) -> None:
        """Start the writer. The database must be migrated."""
        self._writer.start()
        self._open = True

    async def close(self) -> None:
        """Finish the writes that wait, and close every connection. Can be called twice."""
        if self._open:
            self._open = False
            await asyncio.to_thread(self._writer.close)
        await self._readers.close()
        self._reading.dispose()
        self._writing.dispose()
        self._scrubbing.dispose()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction; see `GroupWriter.run`."""
        return await self._noted(self._writer.run(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run work on a snapshot.

        Raises:
            Overloaded: too many reads wait.
            DependencyUnavailable: the database does not answer.
        """
        return await self._noted(self._readers.run(self._read, work))

    async def scrub(self) -> Reach | None:
        """Free the files of what was deleted, see `scrub.py`; None if that has to be tried again.

        Raises:
            Overloaded: writers hold the database.
            DependencyUnavailable: the database does not answer.
        """
        return await self._noted(asyncio.to_thread(self._scrub))

    def _scrub(self) -> Reach | None:
        try:
            return scrub.files(self._scrubbing)
        except SQLAlchemyError as error:
            raise fault_of(error, store=STORE) from error

    async def _noted(self, answer: Coroutine[Any, Any, T]) -> T:
        """Return the answer, and remember whether the database gave it."""
        try:
            result = await answer
        except DependencyUnavailable:
            self._away = True
            raise
        self._away = False
        return result

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._reading.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise fault_of(error, store=STORE) from error


class SqlCatalog:
    """Implements `ports.Catalog`."""

    def __init__(
        self, database: Database, *, spans: Spans | None = None, committed: Callable[[], None] | None = None
    ) -> None:
        """Take the database; `spans` records commits, `committed` is called on the event loop after each."""
        self._database = database
        self._spans = spans
        self._committed = committed
        self._dimensions: dict[str, int] = {}

    async def write(self, command: Callable[[Transaction], T]) -> T:
        """Run a command in a transaction and return its result once it is durable."""

        def work(connection: Connection) -> tuple[T, SqlTransaction]:
            transaction = SqlTransaction(connection, dimensions=self._dimensions)
            result = command(transaction)
            transaction.finish()
            return result, transaction

        with self._spans.span("storage.commit") if self._spans else nullcontext():
            result, transaction = await self._database.write(work)
        self._dimensions.update(transaction.known_dimensions)
        if self._committed is not None:
            self._committed()
        return result

    async def get(self, names: Sequence[CubeName], scope: Scope) -> dict[CubeName, StoredCube]:
        """Return the live cubes of the scope among the names."""
        ids = sorted({name.id for name in names if name.tenant == scope.tenant})
        if not ids:
            return {}
        parameters = {**filters.scope_values(scope), "ids": ids}
        found = await self._stored(statements.named(all_vaults=scope.vaults is None, past=False), parameters)
        return {stored.cube.name: stored for stored in found}

    async def derived(self, names: Sequence[CubeName], kind: Kind, scope: Scope, *, limit: int) -> list[StoredCube]:
        """Return cubes in use of the scope and kind that were made from some of these, newest first."""
        ids = sorted({name.id for name in names if name.tenant == scope.tenant})
        if not ids:
            return []
        parameters = {**filters.scope_values(scope), "ids": ids, "kind": int(kind), "limit": limit}
        return await self._stored(statements.derived(all_vaults=scope.vaults is None), parameters)

    async def get_as_of(
        self, names: Sequence[CubeName], scope: Scope, *, as_of: datetime, now: datetime
    ) -> dict[CubeName, StoredCube]:
        """Return the cubes of the scope among the names as they were at a moment, those that were live then."""
        ids = sorted({name.id for name in names if name.tenant == scope.tenant})
        if not ids:
            return {}
        selection = Selection(scope=scope, filter=CubeFilter(states=frozenset(State)), now=now, as_of=as_of)
        unchanged = statements.named(all_vaults=scope.vaults is None, past=True)
        found = await self._stored(unchanged, {**filters.values(selection), "ids": ids}, selection=selection, by="ids")
        return {stored.cube.name: stored for stored in found}

    async def page(self, selection: Selection, *, after: tuple[datetime, str] | None, limit: int) -> list[StoredCube]:
        """Return live cubes, newest first."""
        parameters = {**filters.values(selection), "limit": limit}
        if after is not None:
            parameters |= {"after_time": micros(after[0]), "after_uid": after[1]}
        statement = statements.newest(Shape.of(selection), first=after is None)
        found = await self._stored(statement, parameters, selection=selection, by="" if after is None else "after")
        return sorted(found, key=lambda stored: newest_first(stored.cube), reverse=True)[:limit]

    async def history(
        self, name: CubeName, scope: Scope, *, before: int | None, limit: int, now: datetime
    ) -> list[StoredCube]:
        """Return revisions of a cube, newest first."""
        parameters = {**filters.scope_values(scope), "id": name.id, "read_time": micros(now), "limit": limit}
        statement = statements.history(all_vaults=scope.vaults is None, first=before is None)
        return await self._stored(statement, {**parameters, "before_revision": before})

    async def altered(
        self, vault: VaultName, *, since: datetime, created_until: datetime, after: str, limit: int, now: datetime
    ) -> list[tuple[str, CubeName]]:
        """Return uid and name of cubes, deleted or not, that have changed since a moment, by uid from above `after`."""
        parameters = {
            "tenant": vault.tenant,
            "vault": vault.id,
            "since": micros(since),
            "created_until": micros(created_until),
            "after_uid": after,
            "read_time": micros(now),
            "limit": limit,
        }
        found = await self._database.read(lambda connection: connection.execute(past.ALTERED, parameters).all())
        return [(row.uid, CubeName(vault.tenant, row.cube)) for row in found]

    async def due(self, scope: Scope, *, at: datetime, limit: int) -> list[StoredCube]:
        """Return live cubes past their expire time that are not expired, those that are not frozen first."""
        parameters = {**filters.scope_values(scope), "at": micros(at), "limit": limit}
        return await self._stored(statements.due(all_vaults=scope.vaults is None), parameters)

    async def aged(
        self, vault: VaultName, *, made_before: datetime | None, idle_since: datetime | None, limit: int
    ) -> list[StoredCube]:
        """Return live cubes that are not frozen, the oldest first."""
        parameters = {"tenant": vault.tenant, "vault": vault.id, "limit": limit}
        found: list[StoredCube] = []
        if made_before is not None:
            found = await self._stored(statements.MADE_BEFORE, {**parameters, "moment": micros(made_before)})
        elif idle_since is not None:
            found = await self._stored(statements.IDLE_SINCE, {**parameters, "moment": micros(idle_since)})
        return found

    async def usage(self, vault: VaultName) -> VaultUsage:
        """Return all that is counted of a vault."""
        return await self._database.read(lambda connection: vaults.usage(connection, vault))

    async def eligible(self, uids: Sequence[str], selection: Selection) -> dict[str, int]:
        """Return uid -> content revision of those that are selected; of the past, those that have not changed since."""
        shape, parameters = Shape.of(selection), {**filters.values(selection), "uids": json.dumps(list(uids))}

        def work(connection: Connection) -> dict[str, int]:
            found = connection.execute(statements.eligible(shape, connection.dialect.name), parameters).all()
            return {row.uid: row.content_revision for row in found}

        return await self._database.read(work)

    async def resolve(self, uids: Sequence[str], selection: Selection) -> dict[str, StoredCube]:
        """Return those that are selected, whole; of the past, those that have changed since as well."""
        parameters = {**filters.values(selection), "uids": uids}
        found = await self._stored(statements.resolved(Shape.of(selection)), parameters, selection=selection, by="uids")
        return {stored.cube.uid: stored for stored in found}

    async def told(self, uids: Sequence[str], selection: Selection, embedder: str) -> list[ToldCube]:
        """Return those that `resolve` returns of the present, with the codes of the tokens of their texts."""
        shape = Shape.of(selection)
        parameters = {**filters.values(selection), "uids": json.dumps(list(uids)), "embedder": embedder}

        def work(connection: Connection) -> list[ToldCube]:
            found = connection.execute(statements.told(shape, connection.dialect.name), parameters).mappings()
            return [ToldCube(rows.stored_cube(row).cube, row["tokens"] or b"") for row in found]

        return await self._database.read(work)

    async def nearest(self, query: Vector, selection: Selection, *, bound: int, limit: int) -> list[DenseHit] | None:
        """Return the nearest of the `eligible` cubes, exactly; None if more than `bound` are."""
        counted = statements.with_vector(Shape.of(selection))
        parameters = {**filters.values(selection), "embedder": query.embedder, "limit": bound + 1}

        def work(connection: Connection) -> list[DenseHit] | None:
            keys = connection.execute(counted, parameters).scalars().all()
            if len(keys) > bound:
                return None
            found = [
                row
                for part in parts(keys)
                for row in connection.execute(statements.VECTORS, {"keys": part, "embedder": query.embedder})
            ]
            scores = _scores(query, [row.data for row in found])
            hits = [DenseHit(row.uid, row.content_revision, score) for row, score in zip(found, scores, strict=True)]
            return sorted(hits, key=lambda hit: (-hit.score, hit.uid))[:limit]

        return await self._database.read(work)

    async def changed(self, selection: Selection, *, embedder: str | None, bound: int) -> list[PastCube] | None:
        """Return what is selected of the past and has changed since; None if more than `bound` of the scope have."""
        return await self._database.read(
            lambda connection: past.with_vectors(connection, selection, embedder=embedder, bound=bound)
        )

    async def cosines(self, query: Vector, uids: Sequence[str]) -> dict[str, float]:
        """Return the cosine of the query with each cube that has a vector of its embedder."""
        parameters = {"uids": json.dumps(list(uids)), "embedder": query.embedder}

        def work(connection: Connection) -> dict[str, float]:
            found = connection.execute(statements.cosines(connection.dialect.name), parameters).all()
            return dict(zip((uid for uid, _ in found), _scores(query, [data for _, data in found]), strict=True))

        return await self._database.read(work)

    async def embedder(self) -> str:
        """Return the embedder that searches go by; empty as long as nothing has a vector."""
        return await self._database.read(embedders.current)

    async def snapshot(self, name: SnapshotName, scope: Scope) -> Snapshot | None:
        """Return a snapshot of a vault of the scope."""
        found = await self._database.read(lambda connection: snapshots.find(connection, name))
        return found if found is not None and scope.covers(found.vault) else None

    async def snapshots(self, vault: VaultName, *, after: tuple[datetime, str] | None, limit: int) -> list[Snapshot]:
        """Return the snapshots of a vault, the latest moment first."""
        return await self._database.read(
            lambda connection: snapshots.latest(connection, vault, after=after, limit=limit)
        )

    async def purge(self, name: PurgeName, scope: Scope) -> Purge | None:
        """Return a purge of a vault of the scope."""
        found = await self._database.read(lambda connection: purges.find(connection, name))
        return found if found is not None and scope.covers(found.vault) else None

    async def purges(self, vault: VaultName, *, after: tuple[datetime, str] | None, limit: int) -> list[Purge]:
        """Return the purges of a vault, the newest first."""
        return await self._database.read(lambda connection: purges.newest(connection, vault, after=after, limit=limit))

    async def purged(self, name: PurgeName) -> tuple[list[Doomed], dict[str, list[PointId]]]:
        """Return the cubes of a purge, and by embedder the points that an index may have held of them."""
        return await self._database.read(lambda connection: purges.contents(connection, name))

    async def scrub(self) -> Reach | None:
        """Free the database's files of what was deleted; None if a reader of an old moment is in the way."""
        return await self._database.scrub()

    async def meta(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return a value of the installation, made on first use."""
        table = schema.meta

        def work(connection: Connection) -> bytes:
            value = connection.execute(select(table.c.value).where(table.c.name == name)).scalar()
            if value is None:
                value = make()
                connection.execute(insert(table), {"name": name, "value": value})
            return bytes(value)

        return await self._database.write(work)

    async def _stored(
        self, statement: Select[Any], parameters: Parameters, *, selection: Selection | None = None, by: str = ""
    ) -> list[StoredCube]:
        """Return the cubes of a statement, and of a selection of the past those that have changed since.

        `by` names the parameters that narrow the statement, see `past.changed`.
        """

        def work(connection: Connection) -> list[StoredCube]:
            found = [rows.stored_cube(row) for row in connection.execute(statement, parameters).mappings()]
            if selection is not None and selection.as_of is not None:
                found += past.changed(connection, selection, by=by, values=parameters)
            return found

        return await self._database.read(work)


def _scores(query: Vector, data: Sequence[bytes]) -> list[float]:
    if not data:
        return []
    scores: list[float] = (rows.vectors_of(data) @ query.values).tolist()
    return scores
