"""Checks a deletion receipt, offline."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from memos_storage.domain.receipts import FORM
from memosctl.failures import Failure

if TYPE_CHECKING:
    from memos_api.v1.purge_service_pb2 import DeletionReceipt


def key_id(receipt: "DeletionReceipt") -> str:
    """Return the first 16 hex digits of the SHA-256 of the public key; it tells one installation from another."""
    return hashlib.sha256(receipt.public_key).hexdigest()[:16]


def verified(receipt: "DeletionReceipt") -> dict[str, Any]:
    """Return what a receipt states.

    Raises:
        Failure: the signature is not of these bytes and this key, or the form is unknown.
    """
    from memos_wire.signatures import fits

    changed = Failure("The receipt was changed, or is not one: its signature does not fit.")
    if not fits(receipt.statement, signature=receipt.signature, public_key=receipt.public_key):
        raise changed
    try:
        said = json.loads(receipt.statement)
    except ValueError:
        raise changed from None
    if not isinstance(said, dict) or said.get("form") != FORM:
        raise Failure(f"The receipt is of another form than {FORM}.", hint="Update memosctl.")
    return said
