"""The state directory: where each thing lies, and who may open it.

<state>/                        0700
  lock                          held by the process that serves from here
  address                       public address of the newest `up`
  health                        its health endpoint
  admin.key                     0600, API key of the local admin
  last_answer                   name of the newest answer of `memosctl chat`
  keys/grant_ed25519.pem        0600, private; governance alone reads it
  keys/grant_ed25519.pub.pem    public; every service reads it
  run/internal.sock             socket between the services
  <service>/                    0700, what the service keeps
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_SOCKET_PATH_BYTES = 100
"""A Unix socket's path may have 107 bytes; a longer one gets a directory of its own."""


@dataclass(frozen=True, slots=True)
class StateDir:
    """Paths below one root."""

    root: Path

    @classmethod
    def locate(cls, given: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the given directory, else that of MEMOS_STATE_DIR, XDG_STATE_HOME or the home directory."""
        if given is not None:
            return cls(given.expanduser().absolute())
        if chosen := environ.get("MEMOS_STATE_DIR"):
            return cls(Path(chosen).expanduser().absolute())
        if home := environ.get("XDG_STATE_HOME"):
            return cls(Path(home) / "memos")
        return cls(Path.home() / ".local" / "state" / "memos")

    @property
    def lock_file(self) -> Path:
        """Held by whoever serves from here."""
        return self.root / "lock"

    @property
    def address_file(self) -> Path:
        """Public address of the newest start."""
        return self.root / "address"

    @property
    def health_file(self) -> Path:
        """Health endpoints of the newest start, one a line."""
        return self.root / "health"

    @property
    def admin_key_file(self) -> Path:
        """API key of the local admin."""
        return self.root / "admin.key"

    @property
    def last_answer_file(self) -> Path:
        """Name of the newest answer of `memosctl chat`."""
        return self.root / "last_answer"

    @property
    def private_key_file(self) -> Path:
        """Private key that signs grants."""
        return self.root / "keys" / "grant_ed25519.pem"

    @property
    def public_key_file(self) -> Path:
        """Public key that grants are checked against."""
        return self.root / "keys" / "grant_ed25519.pub.pem"

    def make(self) -> Self:
        """Make the directory, closed to everybody else."""
        private_directory(self.root)
        return self

    def of(self, service: str) -> Path:
        """Return the directory of one service; it is made if it is new."""
        return private_directory(self.root / service)

    def socket_directory(self) -> Path:
        """Return a directory of mode 0700 for the socket between the services, short enough for its path."""
        wanted = self.root / "run"
        if len(os.fsencode(wanted / "internal.sock")) <= _SOCKET_PATH_BYTES:
            return private_directory(wanted)
        return Path(tempfile.mkdtemp(prefix="memos-run-"))


def private_directory(path: Path) -> Path:
    """Make a directory of the system that only its owner may enter, with its parents; close one that is open."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all, and durably."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
