"""The Ed25519 key pair that signs grants, made on the first start."""

from memosctl.failures import Failure
from memosctl.state import StateDir, write_private


def ensure_grant_keys(state: StateDir) -> bool:
    """Make the key pair unless it exists; return whether it was made.

    Raises:
        Failure: the public key is there without the private one, or is not its half.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from memos_wire.grants import key_id, load_private_key, load_public_key

    fresh = not state.private_key_file.exists()
    if fresh and state.public_key_file.exists():
        raise Failure(
            f"{state.private_key_file} is missing, though its public half is there.",
            "Restore it from a backup, or remove the public half to start with new keys.",
            reason="KEY_MISSING",
        )
    if fresh:
        made = Ed25519PrivateKey.generate()
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        write_private(state.private_key_file, made.private_bytes(encoding, form, serialization.NoEncryption()))
    key = load_private_key(state.private_key_file).public_key()
    if not state.public_key_file.exists():
        form_public = serialization.PublicFormat.SubjectPublicKeyInfo
        write_private(state.public_key_file, key.public_bytes(serialization.Encoding.PEM, form_public))
    elif key_id(load_public_key(state.public_key_file)) != key_id(key):
        raise Failure(
            f"{state.public_key_file} is not the public half of {state.private_key_file.name}.",
            "Remove the public key; it is made again from the private one.",
            reason="KEY_MISMATCH",
        )
    return fresh
