"""KV caches as safetensors files: any first part of the tokens is a first part of the file.

`ids` holds the tokens as int64. `kv.00000`, `kv.00001`, ... hold chunks of tokens, each `[layer, key or value, kv_head,
token, element]`. In the encoding `native` a chunk has 256 tokens, the last one fewer, in the dtype of the model. In
`int8` the first chunk has 4 tokens in that dtype, for models lean on their first tokens; the others have 256 in eight
bits, with `key_scale.00001`, `value_scale.00001`, ... (see `kv_chunks.Int8Chunk`). The library puts the widest elements
first and then goes by name, so a reader who wants n tokens needs one range from the first byte on. The metadata names
the format, its version, the encoding, the identity of the model, and the memories.
"""

import hashlib
import json
import os
import struct
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from memos_inference.adapters.kv_cache import KvGeometry, KvPrefix
from memos_inference.adapters.kv_chunks import Int8Chunk, KvChunk, NativeChunk, Pair
from memos_kernel.cube import Activation, MemCube, RevisionRef
from memos_kernel.errors import DataCorrupted, IncompatiblePayload
from memos_kernel.identity import CompatibilityIdentity

CHUNK_TOKENS = 256
FORMAT, VERSION = "memos-kv", "1"
_IDS, _CHUNK = "ids", "kv.{:05d}"
_KEY_SCALE, _VALUE_SCALE = "key_scale.{:05d}", "value_scale.{:05d}"
_NATIVE_TOKENS = 4
"""First tokens that are never written in eight bits."""


class KvEncoding(StrEnum):
    """How keys and values are written."""

    NATIVE = "native"
    INT8 = "int8"


def digest_of(ids: Sequence[int]) -> str:
    """Return the hex SHA-256 of tokens, each as four bytes, little endian."""
    return hashlib.sha256(struct.pack(f"<{len(ids)}I", *ids)).hexdigest()


def write(
    path: Path,
    layers: Sequence[Pair],
    *,
    ids: Sequence[int],
    identity: CompatibilityIdentity,
    sources: Sequence[RevisionRef],
    encoding: KvEncoding = KvEncoding.NATIVE,
) -> None:
    """Write keys and values of some tokens.

    Args:
        path: the file, which must not be there.
        layers: keys and values of each layer, `[1, kv_heads, tokens, head_dim]`.
        ids: the tokens.
        identity: model that they are of, with the digest of the tokens.
        sources: memories whose words the tokens are.
        encoding: how the keys and values are written.
    """
    tensors = {_IDS: torch.tensor(ids, dtype=torch.int64)}
    for number, chunk in enumerate(_chunks(layers, len(ids), encoding)):
        tensors |= _tensors(number, chunk.to(torch.device("cpu")))
    said = {
        "encoding": encoding,
        "format": FORMAT,
        "version": VERSION,
        "identity": asdict(identity),
        "sources": [[str(ref.name), ref.revision] for ref in sources],
    }
    # one entry: the library writes several in an order of chance, and equal caches are to have equal bytes
    save_file(tensors, path, {FORMAT: json.dumps(said, sort_keys=True)})


def prefix_of(ids: Sequence[int], layers: Sequence[Pair], encoding: KvEncoding = KvEncoding.NATIVE) -> KvPrefix:
    """Return what reading a file of these would give; see `write`."""
    return KvPrefix(tuple(ids), tuple(_chunks(layers, len(ids), encoding)))


def _chunks(layers: Sequence[Pair], tokens: int, encoding: KvEncoding) -> Iterator[NativeChunk | Int8Chunk]:
    """Yield the chunks in which keys and values are written."""
    for number, part in enumerate(_parts(tokens, encoding)):
        data = torch.stack([torch.stack((keys[0, :, part], values[0, :, part])) for keys, values in layers])
        yield NativeChunk(data) if encoding is KvEncoding.NATIVE or number == 0 else Int8Chunk.of(data)


def read(
    path: Path,
    cube: MemCube,
    *,
    geometry: KvGeometry,
    vocabulary: int,
    allowed: Container[KvEncoding] = frozenset(KvEncoding),
    checked: bool = False,
) -> KvPrefix:
    """Map the file of a cube into memory; what it holds is read once, to be sure of it.

    Args:
        path: the file, with the bytes that the cube names.
        cube: an activation cube.
        geometry: what the running model's keys and values are like.
        vocabulary: number of its tokens.
        allowed: encodings that may be used.
        checked: whether these bytes were read before without an error: then keys and values are not looked at, and come
            from the disk when they are needed.

    Raises:
        DataCorrupted: it is no such file, or not the one that the cube tells of.
        IncompatiblePayload: it is of another format or model; the fields are named.
    """
    assert isinstance(cube.payload, Activation)
    try:
        with safe_open(str(path), framework="pt") as file:
            encoding = _check_metadata(file.metadata() or {}, cube, cube.payload.identity)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # the library's own
    except (SafetensorError, OSError) as error:
        raise _corrupted(cube, "it is no safetensors file") from error
    if encoding not in allowed:
        raise IncompatiblePayload(
            f"The KV cache of {cube.name} is in {encoding}; inference.kv_encoding does not allow that.",
            name=str(cube.name),
            fields="encoding",
        )
    ids = _ids(tensors.pop(_IDS, torch.empty(0)), cube, cube.payload, vocabulary)
    chunks = [
        _chunk(tensors, number, geometry.chunk_shape(part.stop - part.start), geometry.dtype, cube, encoding, checked)
        for number, part in enumerate(_parts(len(ids), encoding))
    ]
    if tensors:
        raise _corrupted(cube, f"it holds {min(tensors)[:40]!r}, which the format does not have")
    return KvPrefix(ids, tuple(chunks))


def read_ahead(path: Path, layers: int) -> None:
    """Have the system read a file into its memory, in the order in which the model will ask for its layers. Blocks.

    The chunks lie one behind the other, each with all layers; a model that begins before all is there waits for little
    of the first layer, and the rest comes while it computes: as many layers at a time as have come before, for the
    system reads in large pieces with less work.
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        said = json.loads(file.read(length))
        places = [span["data_offsets"] for name, span in said.items() if name.startswith(_CHUNK.partition("{")[0])]
        first, last = 0, 1
        while first < layers:
            for start, end in places:
                size = (end - start) // layers
                at = 8 + length + start + first * size
                os.posix_fadvise(file.fileno(), at, (last - first) * size, os.POSIX_FADV_WILLNEED)
            first, last = last, min(2 * last, layers)


def _parts(tokens: int, encoding: KvEncoding) -> list[slice]:
    """Return which tokens each chunk has."""
    starts = [0, *range(_NATIVE_TOKENS if encoding is KvEncoding.INT8 else CHUNK_TOKENS, tokens, CHUNK_TOKENS)]
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], tokens], strict=True)]


def _tensors(number: int, chunk: NativeChunk | Int8Chunk) -> dict[str, torch.Tensor]:
    tensors = {_CHUNK.format(number): chunk.data}
    if isinstance(chunk, Int8Chunk):
        tensors |= {
            _KEY_SCALE.format(number): chunk.key_scale.contiguous(),
            _VALUE_SCALE.format(number): chunk.value_scale.contiguous(),
        }
    return tensors


def _chunk(
    tensors: dict[str, torch.Tensor],
    number: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    cube: MemCube,
    encoding: KvEncoding,
    checked: bool,
) -> KvChunk:
    """Take the tensors of a chunk out of those of the file."""

    def taken(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        tensor = tensors.pop(name.format(number), None)
        if tensor is None or tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise _corrupted(cube, f"{name.format(number)} is not of the model's shape and dtype")
        if not checked and tensor.is_floating_point() and not _finite(tensor):
            raise _corrupted(cube, "it holds values that are no numbers")
        return tensor

    if encoding is KvEncoding.NATIVE or number == 0:
        return NativeChunk(taken(_CHUNK, shape, dtype))
    layers, _, heads, tokens, width = shape
    return Int8Chunk(
        taken(_CHUNK, shape, torch.int8),
        taken(_KEY_SCALE, (layers, heads, 1, width), torch.float32),
        taken(_VALUE_SCALE, (layers, heads, tokens, 1), torch.float32),
        dtype,
    )


def _finite(tensor: torch.Tensor) -> bool:
    """Return whether all are numbers; if one is not, neither is the least or the greatest, which are found faster."""
    least, greatest = torch.aminmax(tensor)
    return bool(least.isfinite() and greatest.isfinite())


def _check_metadata(metadata: dict[str, str], cube: MemCube, identity: CompatibilityIdentity) -> KvEncoding:
    """Return the encoding of a file that is of the format, and of the model that the cube says."""
    try:
        said: Any = json.loads(metadata.get(FORMAT, "{}"))
    except ValueError as error:
        raise _corrupted(cube, "what it says of itself cannot be read") from error
    known = isinstance(said, dict) and (said.get("format"), said.get("version")) == (FORMAT, VERSION)
    if not known or said.get("encoding") not in set(KvEncoding):
        raise IncompatiblePayload(
            f"The bytes of {cube.name} are not of the format {FORMAT} {VERSION}.", name=str(cube.name), fields="format"
        )
    written, wanted = said.get("identity"), asdict(identity)
    if not isinstance(written, dict) or written != wanted:
        differing = [name for name in wanted if not isinstance(written, dict) or written.get(name) != wanted[name]]
        raise IncompatiblePayload(
            f"The bytes of {cube.name} are of another {', '.join(differing) or 'identity'} than the cube says.",
            name=str(cube.name),
            fields=",".join(differing),
        )
    return KvEncoding(said["encoding"])


def _ids(tensor: torch.Tensor, cube: MemCube, payload: Activation, vocabulary: int) -> tuple[int, ...]:
    if tensor.dtype != torch.int64 or tensor.ndim != 1 or len(tensor) != payload.token_count or not len(tensor):
        raise _corrupted(cube, f"it does not hold {payload.token_count} tokens")
    ids = tuple(tensor.tolist())
    if min(ids) < 0 or max(ids) >= vocabulary or digest_of(ids) != payload.identity.token_ids_sha256:
        raise _corrupted(cube, "its tokens are not those that the cube tells of")
    return ids


def _corrupted(cube: MemCube, why: str) -> DataCorrupted:
    return DataCorrupted(f"The KV cache of {cube.name} cannot be used: {why}.", name=str(cube.name))
