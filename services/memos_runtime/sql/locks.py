"""Locks that PostgreSQL keeps by number. SQLite needs none: its writers come one after the other."""

import hashlib


def lock_number(text: str) -> int:
    """Return the number of a lock that has a text for its name."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
