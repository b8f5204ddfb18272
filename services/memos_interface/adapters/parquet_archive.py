"""The tables of an archive as Parquet files."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from memos_api.v1 import memcube_pb2
from memos_interface.domain.archives import (
    CONTENT_BYTES,
    EDGES,
    NODES,
    REVISIONS,
    TABLE_ROWS,
    TABLES,
    VECTORS,
    ArchivedRevision,
    ArchivedVector,
    Part,
    invalid,
)
from memos_kernel.cube import Plaintext
from memos_kernel.errors import MemosError
from memos_kernel.lineage import Edge, Graph, Node, NodeKind, Relation
from memos_kernel.token_codes import TokenCodes
from memos_wire.cubes import cube_from_proto, cube_to_proto

_TIME = pa.timestamp("us", tz="UTC")
_REVISIONS = pa.schema(
    [
        ("uid", pa.string()),
        ("cube", pa.string()),
        ("revision", pa.int64()),
        ("content_revision", pa.int64()),
        ("record_time", _TIME),
        ("kind", pa.string()),
        ("deleted", pa.bool_()),
        ("text", pa.large_string()),
        ("document", pa.large_string()),
    ]
)
_POOLED = [("uid", pa.string()), ("revision", pa.int64()), ("embedder", pa.string()), ("vector", pa.large_binary())]
_VECTORS = pa.schema([*_POOLED, ("codebook", pa.int32()), ("tokens", pa.large_binary())])
_NODES = pa.schema(
    [
        ("name", pa.string()),
        ("kind", pa.string()),
        ("revision", pa.int64()),
        ("summary", pa.string()),
        ("time", _TIME),
        ("trace_id", pa.string()),
    ]
)
_EDGES = pa.schema(
    [("source", pa.string()), ("target", pa.string()), ("relation", pa.string()), ("detail", pa.string())]
)
_SCHEMAS = {REVISIONS: _REVISIONS, VECTORS: _VECTORS, NODES: _NODES, EDGES: _EDGES}
_OLDER = {VECTORS: pa.schema(_POOLED)}
"""Columns that a table had in archives of earlier versions, which had fewer."""

Rows = Sequence[Mapping[str, Any]]


class ParquetTables:
    """Implements `ports.ArchiveTables`. Blocks: to be called in a thread."""

    def written(self, part: Part) -> dict[str, bytes]:
        """Return the files of a part."""
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        for item in part.revisions:
            rows[REVISIONS].append(_revision_row(item))
            rows[VECTORS] += [_vector_row(item, vector) for vector in item.vectors]
        rows[NODES] = [_node_row(node) for node in part.lineage.nodes]
        rows[EDGES] = [_edge_row(edge) for edge in part.lineage.edges]
        return {name: _file(rows[name], _SCHEMAS[name]) for name in TABLES}

    def read(self, files: Mapping[str, bytes], *, directory: str) -> Part:
        """Return the part of some files.

        Raises:
            ArchiveInvalid: a file that is no such table, or with values that no cube has.
        """
        rows = {name: _rows(files[name], name, directory) for name in TABLES if name in files}
        vectors: dict[tuple[str, int], list[ArchivedVector]] = {}
        for row in rows.get(VECTORS, ()):
            held = vectors.setdefault((row["uid"], row["revision"]), [])
            held.append(_vector(row, f"{directory}/{VECTORS}"))
        return Part(
            revisions=[_revision(row, vectors, f"{directory}/{REVISIONS}") for row in rows[REVISIONS]],
            lineage=Graph(
                tuple(_node(row, f"{directory}/{NODES}") for row in rows.get(NODES, ())),
                tuple(_edge(row, f"{directory}/{EDGES}") for row in rows.get(EDGES, ())),
            ),
        )


def _file(rows: Rows, schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _rows(data: bytes, name: str, directory: str) -> Rows:
    path = f"{directory}/{name}"
    try:
        columns = _columns(pq.read_schema(io.BytesIO(data)))
        if columns not in [_columns(schema) for schema in (_SCHEMAS[name], _OLDER.get(name)) if schema is not None]:
            raise invalid(path, "has other columns")
        with pq.ParquetFile(io.BytesIO(data), read_dictionary=_texts_of(_SCHEMAS[name])) as file:
            rows: Rows = _unpacked(file, path).to_pylist()
            return rows
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise invalid(path, "is no Parquet file") from error


def _unpacked(file: pq.ParquetFile, path: str) -> pa.Table:
    """Return a table, unless it is much more than its file: a few bytes can stand for very many.

    Texts stay in dictionaries as they are read, so what they unpack to is known before they do.
    """
    told = file.metadata
    size = sum(told.row_group(group).total_byte_size for group in range(told.num_row_groups))
    if told.num_rows > TABLE_ROWS or size > CONTENT_BYTES:
        raise invalid(path, "has more in it than a part can have")
    table = file.read()
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            size += sum(_length(chunk) for chunk in column.chunks)
    if size > CONTENT_BYTES:
        raise invalid(path, "has more in it than a part can have")
    return table


def _length(chunk: Any) -> int:
    """Return the bytes of the texts of a column in a dictionary, once they are unpacked."""
    lengths = pc.binary_length(chunk.dictionary)
    return int(pc.sum(pc.take(lengths, chunk.indices)).as_py() or 0)


def _texts_of(schema: pa.Schema) -> list[str]:
    return [one.name for one in schema if str(one.type).removeprefix("large_") in ("string", "binary")]


def _columns(schema: pa.Schema) -> list[tuple[str, str]]:
    """Return names and types; a text is one however it is kept."""
    kinds = [(one.name, one.type.value_type if pa.types.is_dictionary(one.type) else one.type) for one in schema]
    return [(name, str(kind).removeprefix("large_")) for name, kind in kinds]


def _revision_row(item: ArchivedRevision) -> dict[str, Any]:
    cube = item.cube
    document = MessageToDict(cube_to_proto(cube))
    if isinstance(cube.payload, Plaintext):
        document["plaintext"].pop("text", None)  # which has a column of its own
    return {
        "uid": cube.uid,
        "cube": cube.name.id,
        "revision": cube.revision,
        "content_revision": item.content_revision,
        "record_time": cube.update_time,
        "kind": cube.kind.name,
        "deleted": cube.delete_time is not None,
        "text": cube.text if isinstance(cube.payload, Plaintext) else None,
        "document": json.dumps(document, sort_keys=True, ensure_ascii=False),
    }


def _vector_row(item: ArchivedRevision, vector: ArchivedVector) -> dict[str, Any]:
    tokens = vector.tokens
    return {
        "uid": item.cube.uid,
        "revision": item.cube.revision,
        "embedder": vector.embedder,
        "vector": np.asarray(vector.values, dtype="<f4").tobytes(),
        "codebook": None if tokens is None else tokens.codebook,
        "tokens": None if tokens is None else np.asarray(tokens.codes, dtype="<u8").tobytes(),
    }


def _vector(row: Mapping[str, Any], path: str) -> ArchivedVector:
    return ArchivedVector(row["embedder"], _floats(row["vector"], path), _codes(row, path))


def _codes(row: Mapping[str, Any], path: str) -> TokenCodes | None:
    codebook, data = row.get("codebook"), row.get("tokens")
    if codebook is None or data is None:
        return None
    if codebook < 1 or len(data) % 8:
        raise invalid(path, "holds something that is no vectors of tokens")
    codes: list[int] = np.frombuffer(data, dtype="<u8").tolist()
    return TokenCodes(codebook, codes)


def _floats(data: bytes | None, path: str) -> Sequence[float]:
    if not data or len(data) % 4:
        raise invalid(path, "holds something that is no vector")
    values: list[float] = np.frombuffer(data, dtype="<f4").tolist()
    return values


def _node_row(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "kind": node.kind.name,
        "revision": node.revision,
        "summary": node.summary,
        "time": node.time,
        "trace_id": node.trace_id,
    }


def _edge_row(edge: Edge) -> dict[str, Any]:
    return {"source": edge.source, "target": edge.target, "relation": edge.relation.name, "detail": edge.detail}


def _revision(
    row: Mapping[str, Any], vectors: Mapping[tuple[str, int], list[ArchivedVector]], path: str
) -> ArchivedRevision:
    try:
        message = ParseDict(json.loads(row["document"]), memcube_pb2.MemCube())
        cube = cube_from_proto(message)
        if isinstance(cube.payload, Plaintext):
            cube = replace(cube, payload=replace(cube.payload, text=row["text"] or ""))
    except (ParseError, MemosError, ValueError, TypeError, RecursionError) as error:
        raise invalid(path, f"holds something that is no cube, with the uid {row['uid']}") from error
    if (cube.uid, cube.revision, cube.name.id) != (row["uid"], row["revision"], row["cube"]):
        raise invalid(path, f"says two things of the cube {row['uid']}")
    held = vectors.get((cube.uid, cube.revision), ())
    return ArchivedRevision(cube, row["content_revision"], tuple(held))


def _node(row: Mapping[str, Any], path: str) -> Node:
    time: datetime | None = row["time"]
    try:
        kind = NodeKind[row["kind"]]
    except KeyError as error:
        raise invalid(path, f"holds a node of an unknown kind, {row['kind']!r}") from error
    return Node(row["name"], kind, row["revision"], row["summary"], time, row["trace_id"])


def _edge(row: Mapping[str, Any], path: str) -> Edge:
    try:
        relation = Relation[row["relation"]]
    except KeyError as error:
        raise invalid(path, f"holds an edge of an unknown relation, {row['relation']!r}") from error
    return Edge(row["source"], row["target"], relation, row["detail"])
