"""Signatures that travel with what they are of and with the key that made them."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def fits(statement: bytes, *, signature: bytes, public_key: bytes) -> bool:
    """Return whether an Ed25519 signature is of these bytes, by this key; whose the key is, it does not say."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True
