"""API keys: 256 random bits that are shown once and stored as a digest."""

import hashlib
import re
import secrets

_SECRET = re.compile(r"mk_[A-Za-z0-9_-]{43}")


def new_secret() -> str:
    """Return a fresh secret: `mk_` and 43 characters of base64url (256 bits)."""
    return "mk_" + secrets.token_urlsafe(32)


def well_formed(secret: str) -> bool:
    """Return whether the text can be a secret at all."""
    return _SECRET.fullmatch(secret) is not None


def digest_of(secret: str) -> str:
    """Return the hex SHA-256 under which a secret is stored. It needs no salt: it is random already."""
    return hashlib.sha256(secret.encode()).hexdigest()
