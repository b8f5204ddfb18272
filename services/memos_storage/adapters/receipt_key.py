"""The key that deletion receipts are signed with."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class ReceiptKey:
    """Implements `ports.Signer` with a seed of 32 random bytes, which the catalogue keeps for all processes."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, statement: bytes) -> bytes:
        """Return the signature."""
        return self._key.sign(statement)
