"""Pages: sizes, and tokens that fit only the call that they were made for (AIP-158)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from google.protobuf.message import Message

from memos_kernel import limits
from memos_kernel.errors import InvalidField, LimitExceeded, PageTokenMismatch
from memos_runtime.secret_file import secret_in

_TAG_BYTES = 16

Cursor = Mapping[str, str | int]


class PageTokens:
    """Seals and opens page tokens with a secret key.

    A token is the cursor as JSON behind an HMAC over it and over the method, the principal and the
    rest of the request: it cannot be changed, nor used in another call or by another caller.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return tokens keyed by the file, which is made (mode 0600) if it does not exist."""
        return cls(secret_in(path))

    def seal(self, cursor: Cursor, *, method: str, principal: str, request_hash: str) -> str:
        """Return the token of a cursor."""
        body = json.dumps(cursor, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._tag(body, method, principal, request_hash) + body).decode()

    def open(self, token: str, *, method: str, principal: str, request_hash: str) -> dict[str, str | int]:
        """Return the cursor of a token; of the empty token, which asks for the first page, an empty one.

        Raises:
            PageTokenMismatch: the token belongs to another call or was changed.
        """
        if not token:
            return {}
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError as error:
            raise _mismatch() from error
        tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(body, method, principal, request_hash)):
            raise _mismatch()
        cursor: dict[str, str | int] = json.loads(body)
        return cursor

    def _tag(self, body: bytes, *binding: str) -> bytes:
        bound = json.dumps(binding).encode()
        message = len(bound).to_bytes(4, "big") + bound + body
        return hmac.digest(self._key, message, hashlib.sha256)[:_TAG_BYTES]


def page_size(requested: int) -> int:
    """Return the size of a page; 0 asks for the default.

    Raises:
        InvalidField: negative.
        LimitExceeded: more than `limits.PAGE_SIZE`.
    """
    if requested < 0:
        raise InvalidField(f"page_size is {requested}; give 0 or more.", field="page_size")
    if requested > limits.PAGE_SIZE:
        raise LimitExceeded(
            f"page_size is {requested}; the limit is {limits.PAGE_SIZE}.",
            field="page_size",
            limit=str(limits.PAGE_SIZE),
            unit="items",
        )
    return requested or limits.PAGE_SIZE_DEFAULT


def request_hash(message: Message) -> str:
    """Return the hex SHA-256 of a list request without its page token and page size."""
    body = type(message)()
    body.CopyFrom(message)
    for name in ("page_token", "page_size"):
        if name in message.DESCRIPTOR.fields_by_name:
            body.ClearField(name)
    return hashlib.sha256(body.SerializeToString(deterministic=True)).hexdigest()


def _mismatch() -> PageTokenMismatch:
    return PageTokenMismatch("page_token does not belong to this call; start again without it.", field="page_token")
