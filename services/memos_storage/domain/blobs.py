"""Rules for the bytes of activation and parametric payloads."""

import re
from dataclasses import dataclass
from datetime import datetime

from memos_kernel import limits
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, MemCube, Parametric
from memos_kernel.errors import InvalidField, LimitExceeded
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import VaultName
from memos_kernel.text import check_plain

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HASHES = ("weights_sha256", "tokenizer_sha256", "chat_template_sha256")
_IDENTITY_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class BlobHeader:
    """What an upload says that it brings."""

    vault: VaultName
    media_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BlobChunk:
    """Some bytes, and how many come before them."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Staged:
    """A blob that no cube has taken yet, and when it is removed if none does."""

    blob: BlobRef
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob in the store, known by its vault and name."""

    vault: VaultName
    name: str


@dataclass(frozen=True, slots=True)
class BlobKey:
    """The key of an encrypted blob.

    Attributes:
        wrapped: the key, encrypted by one that is in no store.
        sealed_sha256: SHA-256, hex, of the bytes as they were encrypted.
    """

    wrapped: bytes
    sealed_sha256: str


@dataclass(frozen=True, slots=True)
class BlobDrift:
    """What the comparison of store and catalogue found.

    Attributes:
        lost: blobs of cubes whose bytes are not in the store.
        removed: how many were removed that no cube has or can have any more.
    """

    lost: tuple[StoredBlob, ...] = ()
    removed: int = 0


def check_header(header: BlobHeader) -> None:
    """Refuse an upload by what it says of itself.

    Raises:
        InvalidField, LimitExceeded: the message names the field.
    """
    if header.media_type != SAFETENSORS:
        raise InvalidField(
            f"header.media_type is {header.media_type[:80]!r}; only {SAFETENSORS} is stored, which holds no code.",
            field="header.media_type",
        )
    if header.size_bytes < 0:
        raise InvalidField(
            f"header.size_bytes is {header.size_bytes}; give the number of bytes.", field="header.size_bytes"
        )
    if header.size_bytes > limits.BLOB_BYTES:
        raise LimitExceeded(
            f"header.size_bytes is {header.size_bytes}; the limit is {limits.BLOB_BYTES}.",
            field="header.size_bytes",
            limit=str(limits.BLOB_BYTES),
            unit="bytes",
        )
    _check_hash(header.sha256, field="header.sha256")


def check_payload(payload: Activation | Parametric, *, field: str) -> None:
    """Refuse a payload that could never be loaded: every field of its identity has to be there.

    Raises:
        InvalidField: the message names the field.
    """
    if isinstance(payload, Activation):
        _check_number(payload.token_count, 1, 2**31 - 1, field=f"{field}.token_count")
        _check_hash(payload.identity.token_ids_sha256, field=f"{field}.identity.token_ids_sha256")
    else:
        _check_number(payload.rank, 1, limits.ADAPTER_RANK, field=f"{field}.rank")
        if payload.identity.token_ids_sha256:
            where = f"{field}.identity.token_ids_sha256"
            raise InvalidField(f"{where} belongs to an activation payload; leave it empty.", field=where)
    _check_identity(payload.identity, field=f"{field}.identity")


def with_blob(cube: MemCube, blob: BlobRef, *, field: str) -> MemCube:
    """Return the cube with the blob as it is stored; what the caller said of it beside the name has to be right.

    Raises:
        InvalidField: the message names the field.
    """
    payload = cube.payload
    assert isinstance(payload, Activation | Parametric)
    for name in ("size_bytes", "sha256", "media_type"):
        said, stored = getattr(payload.blob, name), getattr(blob, name)
        if said and said != stored:
            where = f"{field}.blob.{name}"
            raise InvalidField(f"{where} is {said}; what is stored has {stored}.", field=where)
    return cube.with_blob(blob)


def _check_identity(identity: CompatibilityIdentity, *, field: str) -> None:
    for name in (item for item in CompatibilityIdentity.__dataclass_fields__ if item != "token_ids_sha256"):
        where, value = f"{field}.{name}", str(getattr(identity, name))
        if not value:
            raise InvalidField(f"{where} is empty; a payload is used only where every field is known.", field=where)
        if name in _HASHES:
            _check_hash(value, field=where)
        else:
            check_plain(value, field=where, limit=_IDENTITY_BYTES)


def _check_hash(value: str, *, field: str) -> None:
    if not _SHA256.fullmatch(value):
        raise InvalidField(f"{field} is no SHA-256; give 64 lower-case hex digits.", field=field)


def _check_number(value: int, least: int, most: int, *, field: str) -> None:
    if not least <= value <= most:
        raise InvalidField(f"{field} is {value}; give {least} to {most}.", field=field)
