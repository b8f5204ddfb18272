"""Encryption of blobs: AES-256-GCM by segments, each blob under a key of its own, each wrapped by a key of the store.

A segment is 1 MiB of the blob and a tag of 16 bytes, so that a part can be read without the rest. Its number is the
nonce: a key encrypts one blob, once. How long the blob is stands in the catalogue, so nothing can be cut off unseen.
"""

import base64
import binascii
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from memos_kernel.errors import DataCorrupted, DependencyUnavailable, InvalidField

SEGMENT = 1024 * 1024
SEALED_SEGMENT = SEGMENT + 16

_KEY_BYTES = 32


def store_keys(text: str) -> list[bytes]:
    """Return the keys of `storage.blobs_key`: base64 of 32 bytes each, the newest first.

    Raises:
        InvalidField: one is something else.
    """
    keys: list[bytes] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            keys.append(base64.b64decode(part, validate=True))
        except binascii.Error:
            keys.append(b"")
    if any(len(key) != _KEY_BYTES for key in keys):
        raise InvalidField(
            "storage.blobs_key takes keys of 32 bytes as base64, such as `openssl rand -base64 32` makes; several are"
            " separated by commas, the newest first.",
            field="blobs_key",
        )
    return keys


def sealed_size(size: int) -> int:
    """Return how many bytes a blob of a size has when it is encrypted."""
    return size + (SEALED_SEGMENT - SEGMENT) * -(-size // SEGMENT)


class BlobCipher:
    """Encrypts the segments of one blob."""

    def __init__(self, key: bytes) -> None:
        """Take the key of the blob, 32 bytes."""
        self._key = key
        self._cipher = AESGCM(key)

    @classmethod
    def new(cls) -> "BlobCipher":
        """Return one with a new key."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    @classmethod
    def unwrapped(cls, wrapped: bytes, keys: Sequence[bytes]) -> "BlobCipher":
        """Return the one whose key was wrapped by one of the store's keys.

        Raises:
            DependencyUnavailable: by none of them.
        """
        for key in keys:
            try:
                return cls(aes_key_unwrap(key, wrapped))
            except InvalidUnwrap:
                continue
        raise DependencyUnavailable(
            "A blob is encrypted under a key that storage.blobs_key does not hold; an operator has to add that key.",
            dependency="blobs",
        )

    def wrapped(self, key: bytes) -> bytes:
        """Return the key of the blob as it may be stored (RFC 3394)."""
        return aes_key_wrap(key, self._key)

    def seal(self, index: int, data: bytes) -> bytes:
        """Return a segment encrypted, with its tag."""
        return self._cipher.encrypt(_nonce(index), data, None)

    def open(self, index: int, sealed: bytes) -> bytes:
        """Return what a segment holds.

        Raises:
            DataCorrupted: it is not as it was made, or not the segment of this number.
        """
        try:
            return self._cipher.decrypt(_nonce(index), sealed, None)
        except InvalidTag:
            raise DataCorrupted(f"Segment {index} of an encrypted blob differs from what was stored.") from None


def _nonce(index: int) -> bytes:
    return index.to_bytes(12, "big")
