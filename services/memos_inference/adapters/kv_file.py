"""KV caches as safetensors files: any first part of the tokens is a first part of the file.

`ids` holds the tokens as int64. `kv.00000`, `kv.00001`, ... hold chunks of 256 tokens, the last one fewer, each
`[layer, key or value, kv_head, token, element]` in the dtype of the model. The library puts the widest elements first
and then goes by name, so a reader who wants n tokens needs one range from the first byte on. The metadata names the
format, its version, the identity of the model, and the memories.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from memos_inference.adapters.kv_cache import KvGeometry, KvPrefix
from memos_kernel.cube import Activation, MemCube, RevisionRef
from memos_kernel.errors import DataCorrupted, IncompatiblePayload
from memos_kernel.identity import CompatibilityIdentity

CHUNK_TOKENS = 256
FORMAT, VERSION = "memos-kv", "1"
_IDS, _CHUNK = "ids", "kv.{:05d}"


def digest_of(ids: Sequence[int]) -> str:
    """Return the hex SHA-256 of tokens, each as four bytes, little endian."""
    return hashlib.sha256(_as_bytes(ids)).hexdigest()


def write(
    path: Path,
    layers: Sequence[tuple[torch.Tensor, torch.Tensor]],
    *,
    ids: Sequence[int],
    identity: CompatibilityIdentity,
    sources: Sequence[RevisionRef],
) -> None:
    """Write keys and values of some tokens.

    Args:
        path: the file, which must not be there.
        layers: keys and values of each layer, `[1, kv_heads, tokens, head_dim]`.
        ids: the tokens.
        identity: model that they are of, with the digest of the tokens.
        sources: memories whose words the tokens are.
    """
    tensors = {_IDS: torch.tensor(ids, dtype=torch.int64)}
    for number, start in enumerate(range(0, len(ids), CHUNK_TOKENS)):
        part = slice(start, start + CHUNK_TOKENS)
        pairs = [torch.stack((keys[0, :, part], values[0, :, part])) for keys, values in layers]
        tensors[_CHUNK.format(number)] = torch.stack(pairs).cpu()
    said = {
        "format": FORMAT,
        "version": VERSION,
        "identity": asdict(identity),
        "sources": [[str(ref.name), ref.revision] for ref in sources],
    }
    # one entry: the library writes several in an order of chance, and equal caches are to have equal bytes
    save_file(tensors, path, {FORMAT: json.dumps(said, sort_keys=True)})


def read(path: Path, cube: MemCube, *, geometry: KvGeometry, vocabulary: int) -> KvPrefix:
    """Map the file of a cube into memory; what it holds is read once, to be sure of it.

    Args:
        path: the file, with the bytes that the cube names.
        cube: an activation cube.
        geometry: what the running model's keys and values are like.
        vocabulary: number of its tokens.

    Raises:
        DataCorrupted: it is no such file, or not the one that the cube tells of.
        IncompatiblePayload: it is of another format or model; the fields are named.
    """
    assert isinstance(cube.payload, Activation)
    try:
        with safe_open(str(path), framework="pt") as file:
            _check_metadata(file.metadata() or {}, cube, cube.payload.identity)
            names = file.keys()
            ids = file.get_tensor(_IDS) if _IDS in names else torch.empty(0)
            chunks = [file.get_tensor(name) for name in sorted(set(names) - {_IDS})]
            expected = sorted({_IDS, *(_CHUNK.format(number) for number in range(len(chunks)))})
    except (SafetensorError, OSError) as error:
        raise _corrupted(cube, "it is no safetensors file") from error
    if sorted(names) != expected:
        raise _corrupted(cube, "its tensors are not those of the format")
    prefix = KvPrefix(_ids(ids, cube, cube.payload, vocabulary), tuple(chunks))
    _check_chunks(prefix, cube, geometry)
    return prefix


def _check_metadata(metadata: dict[str, str], cube: MemCube, identity: CompatibilityIdentity) -> None:
    try:
        said: Any = json.loads(metadata.get(FORMAT, "{}"))
    except ValueError as error:
        raise _corrupted(cube, "what it says of itself cannot be read") from error
    if not isinstance(said, dict) or (said.get("format"), said.get("version")) != (FORMAT, VERSION):
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


def _ids(tensor: torch.Tensor, cube: MemCube, payload: Activation, vocabulary: int) -> tuple[int, ...]:
    if tensor.dtype != torch.int64 or tensor.ndim != 1 or len(tensor) != payload.token_count or not len(tensor):
        raise _corrupted(cube, f"it does not hold {payload.token_count} tokens")
    ids = tuple(tensor.tolist())
    if min(ids) < 0 or max(ids) >= vocabulary or digest_of(ids) != payload.identity.token_ids_sha256:
        raise _corrupted(cube, "its tokens are not those that the cube tells of")
    return ids


def _check_chunks(prefix: KvPrefix, cube: MemCube, geometry: KvGeometry) -> None:
    starts = range(0, len(prefix.ids), CHUNK_TOKENS)
    shapes = [geometry.chunk_shape(min(CHUNK_TOKENS, len(prefix.ids) - start)) for start in starts]
    if [tuple(chunk.shape) for chunk in prefix.chunks] != shapes:
        raise _corrupted(cube, "its tensors are not of the model's shape")
    if any(chunk.dtype != geometry.dtype for chunk in prefix.chunks):
        raise _corrupted(cube, "its tensors are not of the model's dtype")
    if not all(bool(torch.isfinite(chunk).all()) for chunk in prefix.chunks):
        raise _corrupted(cube, "it holds values that are no numbers")


def _corrupted(cube: MemCube, why: str) -> DataCorrupted:
    return DataCorrupted(f"The KV cache of {cube.name} cannot be used: {why}.", name=str(cube.name))


def _as_bytes(ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(ids)}I", *ids)
