"""The vector index on Milvus: Milvus Lite as a child, or a server."""

import asyncio
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import grpc
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from memos_kernel.errors import DependencyUnavailable, MemosError, Overloaded
from memos_runtime.workers import Worker
from memos_storage.adapters.milvus_points import (
    between,
    by_embedder,
    contents_of,
    digest,
    expression,
    id_of,
    key_of,
    pages_of,
    row_of,
)
from memos_storage.domain.purges import Reach
from memos_storage.domain.values import DenseHit, Point, PointId, Scope, Vector

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_PROBE_SECONDS = 0.5
_PROBES_WHILE_HEALTHY = 10
_DELETES = 1_000
"""Most ids of one delete, whose filter lists them all."""

_LAYOUT = "v3"
"""Fields of a collection; when they change, the reconciler fills a new one."""

_CURRENT = "current"

_NOBODY = "-"
"""Id of no point."""

_POLL_SECONDS = 0.5
_COMPACTION_SECONDS = 60.0
"""For which a compaction is waited for."""

_GRAPH_ROWS = 4_000
"""Rows from which on a server searches a segment that still grows by a coarse index; fewer it compares one by one."""

_GRAPH_SECONDS = 60.0
"""Least seconds between two times that it is asked for a graph of such rows."""

_GRAPH = {"M": 32, "efConstruction": 360}
"""The graph of a server's index. Among a million vectors half as many links find 92 of 100 neighbours with `ef` 256,
these 97, in about the same time; the graph takes as long to build, and 128 bytes more a vector."""

_WIDTH = 288
"""Least candidates that a search of such a graph keeps (`ef`)."""

_SILENT = "the vector index does not answer"
_AWAY = (MilvusException, grpc.RpcError, ConnectionError, TimeoutError, ValueError)


class MilvusVectorIndex:
    """Implements `ports.VectorIndex`.

    One collection an embedder, its name made of the installation, dimensions and a hash of the embedder. In Milvus
    Lite, which frees no file of what was deleted, that is the alias of a collection that can be written anew. Calls run
    in threads; those that write go one after the other, for Milvus Lite has no order between writers of a collection.
    """

    def __init__(
        self,
        uri: Callable[[], str],
        *,
        installation: Callable[[], str],
        token: str = "",
        embedded: bool,
        timeout_seconds: float,
        search_seconds: float = 2.0,
        forget_seconds: float = 0.0,
        threads: int = 4,
    ) -> None:
        """Take where the index is; nothing is opened yet.

        Args:
            uri: gives the address, which of a child is known only once it is started.
            installation: gives what tells its collections from those of others on the same server, who would otherwise
                take each other's points for their own that are too many; letters and digits.
            embedded: Milvus Lite. Its rows are searched fast only once they are flushed, so each put flushes; a server
                has them in its log when it answers and decides by itself.
            timeout_seconds: after which a call has failed.
            search_seconds: for which a search waits; one that hangs must leave time for an answer without it.
            forget_seconds: after which a server has dropped what was compacted away, message log included.
        """
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints what is raised here anyway
        self._uri = uri
        self._installation = installation
        self._token = token
        self._embedded = embedded
        self._timeout = timeout_seconds
        self._search_seconds = search_seconds
        self._forget_after = timedelta(seconds=forget_seconds)
        self._readers = Worker("milvus-read", threads=threads, queue=64)
        self._writer = Worker("milvus-write", threads=1, queue=64)
        self._lock = threading.Lock()
        self._client: MilvusClient | None = None
        self._ready: set[str] = set()
        self._used: set[str] = set()
        self._growing: Counter[str] = Counter()
        self._asked_at = -_GRAPH_SECONDS
        self._reason = "the vector index is starting"
        self._losses = 0

    @property
    def healthy(self) -> bool:
        """Whether the last call was answered."""
        return not self._reason

    @property
    def reason(self) -> str:
        """Why it is not healthy; empty if it is."""
        return self._reason

    @property
    def losses(self) -> int:
        """How often its answer failed so far, or its connection."""
        return self._losses

    def lost(self) -> None:
        """Take note that it does not answer, until a call has shown that it does."""
        self._losses += 1
        self._reason = _SILENT

    async def probe(self) -> bool:
        """Ask whether it answers, and return that.

        A server that comes back lists its collections long before it can search them: after an absence those that were
        in use have to answer, too.
        """
        try:
            await self._call(self._readers, self._list if self.healthy else self._look_into)
        except DependencyUnavailable:
            return False
        except Overloaded:
            return self.healthy  # the searches in front of it tell
        return True

    async def finish(self) -> None:
        """Have a server build the graph of what was put lately, if that is much, and not too often.

        It does so by itself only once a segment is full, or has rested for ten minutes. Until then a coarse index finds
        about nine of ten neighbours there.
        """
        due = [name for name, rows in list(self._growing.items()) if rows >= _GRAPH_ROWS]
        if self._embedded or not self.healthy or not due or time.monotonic() - self._asked_at < _GRAPH_SECONDS:
            return
        self._asked_at = time.monotonic()

        def work(client: MilvusClient) -> None:
            for name in due:
                del self._growing[name]
                with suppress(MilvusException):  # one that is slow to write its files is not gone
                    client.flush(name, timeout=self._timeout)

        await self._call(self._readers, work)

    async def close(self) -> None:
        """Close the client. Can be called twice."""
        self._reason = "the vector index is closed"
        await self._readers.close()
        await self._writer.close()
        await asyncio.to_thread(self._forget)

    async def put(self, points: Sequence[Point]) -> None:
        """Add points; durable and searched fast when it returns."""
        for embedder, group in by_embedder(points).items():
            await self._call(self._writer, partial(self._upsert, embedder, group))

    async def remove(self, embedder: str, ids: Sequence[PointId]) -> None:
        """Remove; unknown ids are left out."""
        keys = [key_of(id) for id in ids]

        def work(client: MilvusClient) -> None:
            for name in self._collections(client, embedder):
                for start in range(0, len(keys), _DELETES):
                    client.delete(name, ids=keys[start : start + _DELETES], timeout=self._timeout)
                self._make_seen(client, name)

        await self._call(self._writer, work)

    async def contents(self, embedder: str, dimensions: int, *, after: str, until: str | None) -> list[PointId]:
        """Return what it holds of the cubes with `after` < uid <= `until`."""

        def work(client: MilvusClient) -> list[PointId]:
            name = self._collection(client, embedder, dimensions)
            return contents_of(client, name, between(after, until), self._timeout)

        return await self._call(self._writer, work)

    async def held(self, embedder: str, dimensions: int, ids: Sequence[PointId]) -> list[PointId]:
        """Return those that it holds."""
        keys = [key_of(id) for id in ids]

        def work(client: MilvusClient) -> list[PointId]:
            name = self._collection(client, embedder, dimensions)
            return [
                id_of(row["id"]) for row in client.query(name, ids=keys, output_fields=["id"], timeout=self._timeout)
            ]

        return await self._call(self._writer, work) if keys else []

    async def scrub(self, embedder: str, dimensions: int, *, now: datetime) -> Reach:
        """Milvus Lite: write the collection anew, as its compaction frees nothing. A server: compact."""
        tier = f"vector index, {embedder}"
        if self._embedded:
            return Reach(tier, await self._call(self._writer, partial(self._rewrite, embedder, dimensions)))
        completed = await self._compacted(embedder, dimensions)
        return Reach(
            tier,
            f"The points were removed and looked for; a compaction was {'completed' if completed else 'begun'}.",
            remains="Replaced segment files until Milvus collects its garbage, and its message log until it is cut.",
            until=now + self._forget_after if completed else None,
        )

    async def search(self, query: Vector, scope: Scope, *, limit: int, until: datetime | None = None) -> list[DenseHit]:
        """Return the nearest cubes of the scope, best first, by cosine; only points recorded `until` then."""

        def work(client: MilvusClient) -> list[DenseHit]:
            name = self._collection(client, query.embedder, query.values.size)
            found = client.search(
                name,
                [query.values],
                limit=limit,
                filter=expression(scope, until),
                search_params={"metric_type": "IP", "params": {} if self._embedded else {"ef": max(_WIDTH, 2 * limit)}},
                consistency_level="Bounded",
                timeout=self._timeout,
            )
            return [DenseHit(*id_of(hit["id"]), float(hit["distance"])) for hit in found[0]]

        try:
            async with asyncio.timeout(self._search_seconds):
                hits = await self._call(self._readers, work)
        except TimeoutError as error:
            # Slow is not gone: nothing to compare with the catalogue afterwards.
            self._reason = _SILENT
            raise _away() from error
        return sorted(hits, key=lambda hit: (-hit.score, hit.uid))

    async def _call(self, worker: Worker, work: Callable[[MilvusClient], T]) -> T:
        try:
            result: T = await worker.run(self._with_client, work)
        except _AWAY as error:
            self.lost()
            _LOG.debug("the vector index failed", exc_info=error)
            await asyncio.to_thread(self._forget)
            raise _away() from error
        self._reason = ""
        return result

    def _with_client(self, work: Callable[[MilvusClient], T]) -> T:
        with self._lock:
            if self._client is None:
                self._client = MilvusClient(uri=self._uri(), token=self._token, timeout=self._timeout)
                self._ready.clear()
            client = self._client
        return work(client)

    def _list(self, client: MilvusClient) -> list[str]:
        return list(client.list_collections(timeout=self._timeout))

    def _look_into(self, client: MilvusClient) -> None:
        self._list(client)
        for name in sorted(self._used):
            if client.has_collection(name, timeout=self._timeout):
                client.load_collection(name, timeout=self._timeout)
                client.query(name, ids=[_NOBODY], output_fields=["id"], timeout=self._timeout)
            else:
                self._used.discard(name)

    def _forget(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _upsert(self, embedder: str, points: Sequence[Point], client: MilvusClient) -> None:
        name = self._collection(client, embedder, points[0].vector.values.size)
        client.upsert(name, [row_of(point) for point in points], timeout=self._timeout)
        self._growing[name] += len(points)
        self._make_seen(client, name)

    def _make_seen(self, client: MilvusClient, name: str) -> None:
        """Wait until searches see what was written.

        A server's nodes learn of writes five times a second. Who asks for all of them ("Strong") waits for the next
        time, 200 ms; so the writer waits, once for many rows, and no search does.
        """
        if self._embedded:
            client.flush(name, timeout=self._timeout)
        else:
            client.query(name, ids=[_NOBODY], output_fields=["id"], consistency_level="Strong", timeout=self._timeout)

    @property
    def _prefix(self) -> str:
        return f"memos_{self._installation()}_{_LAYOUT}_"

    def _name(self, embedder: str, dimensions: int) -> str:
        """Return the name of an embedder's collection; vectors of different embedders never meet."""
        return f"{self._prefix}{dimensions}_{digest(embedder)}"

    def _collections(self, client: MilvusClient, embedder: str) -> list[str]:
        of = digest(embedder)
        return [name for name in self._list(client) if name.startswith(self._prefix) and of in name]

    def _collection(self, client: MilvusClient, embedder: str, dimensions: int) -> str:
        """Return the name of a collection that is there and loaded."""
        name = self._name(embedder, dimensions)
        made = name
        if self._embedded:
            name, made = _version(name, _CURRENT), _version(name, 1)
        if name not in self._ready:
            with self._lock:
                if not client.has_collection(name, timeout=self._timeout):
                    if self._embedded:  # a kill may have left one before it had its alias
                        client.drop_collection(made, timeout=self._timeout)
                    self._make(client, made, dimensions)
                    if self._embedded:
                        client.create_alias(made, name, timeout=self._timeout)
                client.load_collection(name, timeout=self._timeout)
                self._ready.add(name)
                self._used.add(name)
        return name

    def _rewrite(self, embedder: str, dimensions: int, client: MilvusClient) -> str:
        """Copy a collection into a new one, and drop every other one that has been in its place."""
        alias, name = self._collection(client, embedder, dimensions), self._name(embedder, dimensions)
        old = str(client.describe_alias(alias, timeout=self._timeout)["collection_name"])
        new = _version(name, int(old.removeprefix(_version(name, ""))) + 1)
        client.drop_collection(new, timeout=self._timeout)  # of a copy that was cut off
        self._make(client, new, dimensions)
        fields = ["id", "tenant", "vault", "recorded", "vector"]
        for page in pages_of(client, old, between("", None), fields, self._timeout):
            client.upsert(new, page, timeout=self._timeout)
        client.flush(new, timeout=self._timeout)
        client.load_collection(new, timeout=self._timeout)
        client.alter_alias(new, alias, timeout=self._timeout)
        for other in self._list(client):
            if (other.startswith(name) and other != new) or not other.startswith(self._prefix):
                client.drop_collection(other, timeout=self._timeout)
        return "The points were removed and looked for; then the collection was written anew, and the old one deleted."

    async def _compacted(self, embedder: str, dimensions: int) -> bool:
        """Ask for a compaction; return whether it is completed after a while, in which others write."""

        def begin(client: MilvusClient) -> int:
            name = self._collection(client, embedder, dimensions)
            client.flush(name, timeout=self._timeout)
            return int(client.compact(name, timeout=self._timeout))

        def state(client: MilvusClient) -> str:
            return str(client.get_compaction_state(job, timeout=self._timeout))

        job = await self._call(self._writer, begin)
        deadline = time.monotonic() + _COMPACTION_SECONDS
        while time.monotonic() < deadline:
            if await self._call(self._readers, state) == "Completed":
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    def _make(self, client: MilvusClient, name: str, dimensions: int) -> None:
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("tenant", DataType.VARCHAR, max_length=63)
        schema.add_field("vault", DataType.VARCHAR, max_length=160)
        schema.add_field("recorded", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions)
        index = client.prepare_index_params()
        if self._embedded:  # exact: no neighbour of another vault changes what is found
            index.add_index("vector", index_type="FLAT", metric_type="IP")
        else:
            index.add_index("vector", index_type="HNSW", metric_type="IP", params=_GRAPH)
        client.create_collection(
            name, schema=schema, index_params=index, consistency_level="Strong", timeout=self._timeout
        )


async def keep_probing(index: MilvusVectorIndex) -> None:
    """Ask whether the index answers, until cancelled; more often while it does not. Have it finish what was put."""
    for number in itertools.count():
        if not index.healthy or number % _PROBES_WHILE_HEALTHY == 0:
            try:
                await index.probe()
                await index.finish()
            except MemosError as error:
                _LOG.debug("the vector index does not finish what was put: %s", error.message)
            except Exception:
                # without probes an index that was lost would stay so for ever
                _LOG.exception("the vector index could not be probed")
        await asyncio.sleep(_PROBE_SECONDS)


def _version(name: str, number: int | str) -> str:
    """Return the name of a collection of Milvus Lite that has the alias."""
    return f"{name}_{number}"


def _away() -> DependencyUnavailable:
    return DependencyUnavailable(
        "The vector index does not answer; it is tried again.", retry_after=1.0, dependency="milvus"
    )
