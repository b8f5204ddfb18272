"""Cubes as rows. The document of a revision is the contract's own message, and evolves by the contract's rules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from memos_api.v1 import memcube_pb2
from memos_kernel.cube import MemCube, Usage
from memos_kernel.moments import micros, moment
from memos_storage.adapters.sql import schema
from memos_storage.domain.filters import event_time, fold
from memos_storage.domain.quotas import text_bytes
from memos_storage.domain.values import Floats, StoredCube, Vector
from memos_wire.cubes import cube_from_proto, cube_to_proto

STORED = (
    schema.cubes.c.key,
    schema.revisions.c.content_revision,
    schema.cubes.c.hits,
    schema.cubes.c.heat,
    schema.cubes.c.last_used_time,
    schema.revisions.c.document,
)
"""Columns that a cube is read from, in any of its revisions."""

_UNUSED = Usage()


def stored_cube(row: RowMapping | Mapping[str, Any]) -> StoredCube:
    """Return the cube of a row with the columns `STORED`."""
    usage = Usage(hits=row["hits"], last_used_time=moment(row["last_used_time"]), heat=row["heat"])
    return StoredCube(replace(cube_of(row["document"]), usage=usage), row["content_revision"])


def document(cube: MemCube) -> bytes:
    """Return the document of a revision; usage has columns of its own and is left out."""
    unused = cube if cube.usage == _UNUSED else replace(cube, usage=_UNUSED)
    return cube_to_proto(unused).SerializeToString()


def cube_of(data: bytes) -> MemCube:
    """Return the cube of a document."""
    return cube_from_proto(memcube_pb2.MemCube.FromString(data))


def header(cube: MemCube) -> dict[str, Any]:
    """Return the columns of `cubes` that change with a revision."""
    return {
        "kind": int(cube.kind),
        "state": int(cube.state),
        "frozen": cube.frozen,
        "semantic_type": int(cube.semantic_type),
        "content_hash": cube.content_hash,
        "revision": cube.revision,
        "update_time": micros(cube.update_time),
        "event_time": micros(event_time(cube)),
        "expire_time": micros(cube.expire_time),
        "delete_time": micros(cube.delete_time),
        "purge_time": micros(cube.purge_time),
        "valid_from": micros(cube.valid_from),
        "valid_until": micros(cube.valid_until),
        "text_bytes": text_bytes(cube),
    }


def source_rows(key: int, cube: MemCube) -> list[dict[str, Any]]:
    """Return the rows of `sources`."""
    return [
        {
            "cube_key": key,
            "position": position,
            "message_id": source.message_id,
            "speaker": fold(source.speaker),
            "session": source.session,
            "event_time": micros(source.event_time),
        }
        for position, source in enumerate(cube.sources)
    ]


def label_rows(key: int, cube: MemCube) -> list[dict[str, Any]]:
    """Return the rows of `labels`."""
    return [{"cube_key": key, "label": label, "value": value} for label, value in cube.labels.items()]


def vector_bytes(values: Floats) -> bytes:
    """Return a vector as it is stored."""
    return values.astype("<f4").tobytes()


def vector_row(row: Any) -> Vector:
    """Return the vector of a row with `embedder`, `data` and `tokens`."""
    return Vector(row.embedder, vector_of(row.data), row.tokens)


def vectors_of(data: Sequence[bytes]) -> Floats:
    """Return stored vectors of one embedder, shape (vectors, dimensions); at least one."""
    return np.frombuffer(b"".join(data), dtype="<f4").reshape(len(data), -1)


def vector_of(data: bytes) -> Floats:
    """Return a stored vector."""
    return np.frombuffer(data, dtype="<f4")
