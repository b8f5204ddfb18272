"""Secrets of one process in its state directory."""

import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

KEY_BYTES = 32


def secret_in(path: Path) -> bytes:
    """Return the secret that a file holds, which is made (random, mode 0600) if it does not exist."""
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=path.parent) as file:  # mode 0600; linked only when it is complete
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            with suppress(FileExistsError):
                path.hardlink_to(file.name)
    return path.read_bytes()
