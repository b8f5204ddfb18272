"""Points as rows of a Milvus collection."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pymilvus import MilvusClient

from memos_kernel.moments import micros
from memos_storage.domain.values import Point, PointId, Scope

_PAGE = 10_000
_BEHIND = ":"
"""Between uid and revision in an id; the character after it, `;`, ends the ids of a uid."""


def digest(embedder: str) -> str:
    """Return what stands for an embedder in the name of a collection."""
    return hashlib.sha256(embedder.encode()).hexdigest()[:16]


def by_embedder(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Return points by their embedder."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.vector.embedder, []).append(point)
    return groups


def row_of(point: Point) -> dict[str, Any]:
    """Return the row of a point."""
    return {
        "id": key_of(point.id),
        "tenant": point.vault.tenant,
        "vault": str(point.vault),
        "recorded": micros(point.recorded),
        "vector": point.vector.values,
    }


def expression(scope: Scope, until: datetime | None) -> str:
    """Return the filter; names are of a form that needs no escaping, and JSON quotes them anyway."""
    inside = f"tenant == {json.dumps(scope.tenant)}"
    if scope.vaults is not None:
        vaults = sorted(str(vault) for vault in scope.vaults if vault.tenant == scope.tenant)
        inside = f"vault in {json.dumps(vaults)}"
    return inside if until is None else f"{inside} and recorded <= {micros(until)}"


def key_of(id: PointId) -> str:
    """Return the id of a row."""
    return f"{id.uid}{_BEHIND}{id.revision}"


def id_of(key: str) -> PointId:
    """Return the point of a row's id."""
    uid, _, revision = key.rpartition(_BEHIND)
    return PointId(uid, int(revision))


def between(after: str, until: str | None) -> str:
    """Return the filter of a range of uids, which are all of one length."""
    end = chr(ord(_BEHIND) + 1)
    lower = f"id > {json.dumps(after + end if after else '')}"
    return lower if until is None else f"{lower} and id < {json.dumps(until + end)}"


def contents_of(client: MilvusClient, name: str, filter: str, timeout: float) -> list[PointId]:
    """Return the points of a collection that a filter passes."""
    return [id_of(row["id"]) for page in pages_of(client, name, filter, ["id"], timeout) for row in page]


def pages_of(
    client: MilvusClient, name: str, filter: str, fields: list[str], timeout: float
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a collection that a filter passes, page by page; pages with vectors are shorter."""
    size = _PAGE if fields == ["id"] else _PAGE // 10
    pages = client.query_iterator(name, batch_size=size, filter=filter, output_fields=fields, timeout=timeout)
    try:
        while page := pages.next():
            yield [dict(row) for row in page]
    finally:
        pages.close()
