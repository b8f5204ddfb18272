"""Copies of a state directory, made while it is served from, and put back into an empty one.

A backup has what cannot be made anew: databases, keys, blobs. The vector index is not in it, for storage fills one that
is empty from the catalogue. It holds keys and everything that was remembered: who has it needs no other permission.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memos_storage.local import blobs_of
from memosctl.failures import Failure
from memosctl.settings import Settings
from memosctl.state import StateDir, private_directory, write_private

FORM = "memos.backup.v1"
MANIFEST = "backup.json"

DATABASES = ("storage/catalogue.db", "scheduler/jobs.db", "governance/governance.db")
"""In this order: what storage has told governance by then is in governance's copy too, and what it tells later is told
again after the way back, once only."""

_KEYS = ("admin.key", "keys/grant_ed25519.pem", "keys/grant_ed25519.pub.pem", "scheduler/page_tokens.key")
_BLOBS = "storage/blobs"
_CHUNK = 1024 * 1024

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup on disk; `missing` are blobs that were removed while it was made."""

    directory: Path
    made: str
    files: Mapping[str, str]
    size_bytes: int
    missing: int = 0

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "directory": str(self.directory),
            "made": self.made,
            "files": len(self.files),
            "sizeBytes": self.size_bytes,
            "missing": self.missing,
        }


def check_settings(settings: Settings) -> None:
    """Refuse what lies on servers, which have tools of their own for it.

    Raises:
        Failure: a database or the blobs are not in the state directory.
    """
    storage, scheduler, governance = settings.storage, settings.scheduler, settings.governance
    elsewhere = {
        "storage.database_url": storage.database_url is not None,
        "storage.blobs_url": storage.blobs_url is not None,
        "scheduler.database_url": bool(scheduler.database_url.get_secret_value()),
        "governance.database_url": bool(governance.database_url.get_secret_value()),
    }
    if named := [name for name, away in elsewhere.items() if away]:
        raise Failure(
            f"{', '.join(named)} point away from this machine.",
            "Back PostgreSQL up with its own tools, such as pg_dump, and the bucket with those of its store; the vector"
            " index is filled from the catalogue.",
            reason="NOT_LOCAL",
        )


def back_up(state: StateDir, target: Path, *, progress: Progress) -> Backup:
    """Copy a state directory, served from or not, into a new one; it is complete once it has its manifest.

    Raises:
        Failure: the target is there already, or there is nothing to copy.
    """
    if not (state.root / DATABASES[0]).exists():
        raise Failure(f"{state.root} holds no catalogue.", "Choose the directory with --state-dir.", reason="NO_STATE")
    if target.exists():
        raise Failure(f"{target} is there already.", "Choose another name.", reason="DIRECTORY_IN_USE")
    private_directory(target)
    files: dict[str, str] = {}
    for name in DATABASES:
        if (state.root / name).exists():
            _copy_database(state.root / name, _below(target, name))
            files[name] = _hash(target / name, progress)
    missing = 0
    for name in (*_KEYS, *_blobs(state.root, target / DATABASES[0])):
        try:
            shutil.copy2(state.root / name, _below(target, name))
        except FileNotFoundError:
            missing += name.startswith(_BLOBS)
            continue
        files[name] = _hash(target / name, progress)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    said = {"form": FORM, "made": made, "files": files, "missing": missing}
    write_private(target / MANIFEST, json.dumps(said, sort_keys=True, indent=1).encode())
    return read_backup(target)


def read_backup(directory: Path) -> Backup:
    """Return a backup.

    Raises:
        Failure: there is none, or an incomplete one.
    """
    try:
        said = json.loads((directory / MANIFEST).read_bytes())
        if said["form"] != FORM:
            raise Failure(f"{directory} is of the form {said['form']!r}.", "Update memosctl.", reason="BACKUP_INVALID")
        files = dict(said["files"])
        size = sum((directory / name).stat().st_size for name in files)
        return Backup(directory, str(said["made"]), files, size, int(said["missing"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{directory} is no complete backup.", reason="BACKUP_INVALID") from error


def restore(backup: Backup, state: StateDir, *, progress: Progress) -> None:
    """Put a backup into an empty state directory, once every file of it is as it was then.

    Raises:
        Failure: the directory is not empty, or a file of the backup is missing or changed.
    """
    if state.root.exists() and any(state.root.iterdir()):
        raise Failure(
            f"{state.root} is not empty.",
            "Choose another with --state-dir, or move it away.",
            reason="DIRECTORY_IN_USE",
        )
    for name, sha256 in backup.files.items():
        path = backup.directory / name
        if not path.is_file() or _hash(path, progress) != sha256:
            raise Failure(f"{name} is missing or was changed since the backup.", reason="BACKUP_INVALID")
    state.make()
    for name in backup.files:
        shutil.copy2(backup.directory / name, _below(state.root, name))
        _sync(state.root / name)


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, while others write to it."""
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing)
    target.chmod(0o600)
    _sync(target)


def _blobs(root: Path, catalogue: Path) -> Iterator[str]:
    """Yield the files of the blobs that the copy of the catalogue names."""
    named = blobs_of(catalogue)
    for installation in sorted(path.name for path in (root / _BLOBS).glob("*")):
        yield from (f"{_BLOBS}/{installation}/{blob.vault.tenant}/{blob.vault.id}/{blob.name}" for blob in named)


def _below(root: Path, name: str) -> Path:
    path = root / name
    private_directory(path.parent)
    return path


def _hash(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
            progress(len(data))
    return digest.hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
