"""Answers stored under request ids. Cubes are kept as references to their revisions, so that content is stored once."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from memos_kernel import errors
from memos_kernel.cube import MemCube
from memos_kernel.moments import micros
from memos_runtime.sql.locks import lock_number
from memos_storage.adapters.sql import filters, rows, schema
from memos_storage.adapters.sql.link_ledger import links_of
from memos_storage.domain.values import Answer, Outcome, Remembered, RequestOwner

_ERRORS: Mapping[str, type[errors.MemosError]] = {
    value.reason: value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.MemosError) and value.reason
}


class RequestLog:
    """Request ids inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def recall(self, owner: RequestOwner) -> Remembered | None:
        """Return what a request id was answered with; a cube that is no longer there is answered as not found.

        Whoever asks holds the id until its transaction ends: another process that is sent the same request waits.
        """
        table = schema.request_ids
        if self._connection.dialect.name != "sqlite":
            number = lock_number("\0".join(_identity(owner).values()))
            self._connection.execute(select(func.pg_advisory_xact_lock(number)))
        row = self._connection.execute(
            select(table.c.body_sha256, table.c.provenance_id, table.c.outcomes).where(
                *(table.c[name] == value for name, value in _identity(owner).items())
            )
        ).one_or_none()
        if row is None:
            return None
        outcomes = tuple(self._outcome(item) for item in json.loads(row.outcomes))
        return Remembered(row.body_sha256, Answer(outcomes, row.provenance_id))

    def remember(self, owner: RequestOwner, answer: Answer, *, now: datetime) -> None:
        """Store what a request id is answered with."""
        self._connection.execute(
            insert(schema.request_ids),
            {
                **_identity(owner),
                "body_sha256": owner.key.body_sha256,
                "provenance_id": answer.provenance_id,
                "outcomes": json.dumps([_reference(item) for item in answer.outcomes]).encode(),
                "record_time": micros(now),
            },
        )

    def _outcome(self, item: dict[str, Any]) -> Outcome:
        if "reason" in item:
            field = item["metadata"].pop("field", "")
            error = _ERRORS[item["reason"]](
                item["message"], field=field, retry_after=item["retry_after"], **item["metadata"]
            )
            return Outcome(error=error)
        pairs = {tuple(pair) for pair in item.get("links", ())}
        links = links_of(self._connection, item["uid"]) if pairs else []
        kept = tuple(link for link in links if (link.newer_uid, link.older_uid) in pairs)
        return Outcome(self._cube(item), created=item["created"], links=kept)

    def _cube(self, item: dict[str, Any]) -> MemCube:
        revisions, cubes = schema.revisions, schema.cubes
        data = self._connection.execute(
            select(revisions.c.document)
            .join(cubes, cubes.c.key == revisions.c.cube_key)
            .where(cubes.c.uid == item["uid"], revisions.c.revision == item["revision"], filters.STANDING)
        ).scalar()
        if data is None:
            raise errors.CubeNotFound(f"{item['name']} is not there for you.", name=item["name"])
        return rows.cube_of(data)


def _identity(owner: RequestOwner) -> dict[str, str]:
    return {
        "tenant": owner.tenant,
        "principal": owner.principal,
        "method": owner.key.method,
        "request_id": owner.key.request_id,
    }


def _reference(outcome: Outcome) -> dict[str, Any]:
    if outcome.error is not None:
        return {
            "reason": outcome.error.reason,
            "message": outcome.error.message,
            "metadata": dict(outcome.error.metadata),
            "retry_after": outcome.error.retry_after,
        }
    cube = outcome.cube
    assert cube is not None
    told = {"name": str(cube.name), "uid": cube.uid, "revision": cube.revision, "created": outcome.created}
    links = [(link.newer_uid, link.older_uid) for link in outcome.links]
    return {**told, "links": links} if links else told
