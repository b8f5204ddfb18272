"""The state directory: who may read it, whether its keys fit, whether its databases are whole."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from memos_wire.grants import key_id, load_private_key, load_public_key
from memos_wire.methods import GOVERNANCE
from memosctl.checks import Finding, failed, ok, skipped, warning
from memosctl.settings import Settings
from memosctl.state import StateDir

_LOW_DISK_BYTES = 1_000_000_000


def directory(state: StateDir) -> Iterator[Finding]:
    """Check owner, permissions and free space of the state directory."""
    if not state.root.is_dir():
        yield skipped("state directory", f"{state.root} is made by the first memosctl up")
        return
    status = state.root.stat()
    if status.st_uid != os.getuid():
        yield failed("state directory", f"{state.root} belongs to user {status.st_uid}", "Run as that user.")
    elif status.st_mode & 0o077:
        hint = f"chmod 700 {state.root}"
        yield failed("state directory", f"{state.root} is open to others (mode {status.st_mode & 0o777:o})", hint)
    else:
        yield ok("state directory", str(state.root))
    free = shutil.disk_usage(state.root).free
    space = f"{free / 1e9:.1f} GB free"
    yield ok("disk", space) if free >= _LOW_DISK_BYTES else warning("disk", space, "Free some space.")


def keys(settings: Settings, state: StateDir) -> Iterator[Finding]:
    """Check the key pair that signs grants, and the files that hold secrets."""
    private = settings.governance.signing_key_file or state.private_key_file
    public = settings.grant_key_files[0] if settings.grant_key_files else state.public_key_file
    if not private.exists() and not public.exists():
        yield skipped("grant keys", "made by the first memosctl up")
        return
    try:
        if key_id(load_private_key(private).public_key()) == key_id(load_public_key(public)):
            yield ok("grant keys", f"a pair, {key_id(load_public_key(public))}")
        else:
            yield failed("grant keys", f"{public} is not the public half", "Remove it; memosctl up makes it again.")
    except (OSError, ValueError) as error:
        yield failed("grant keys", str(error), "Restore the keys from a backup.")
    for secret in (private, state.admin_key_file):
        if secret.exists() and secret.stat().st_mode & 0o077:
            yield failed("secrets", f"{secret} is readable by others", f"chmod 600 {secret}")
    if not state.admin_key_file.exists():
        yield warning("admin key", f"{state.admin_key_file} is missing", "memosctl key recover makes a new one.")


def databases(state: StateDir) -> Iterator[Finding]:
    """Check every SQLite file of the services, read-only."""
    for path in sorted(state.root.glob("*/*.db")):
        name = f"{path.parent.name} database"
        try:
            problem = _integrity(path)
        except sqlite3.Error as error:
            problem = str(error)
        if problem == "ok":
            yield ok(name, f"{path.name} is whole, {path.stat().st_size / 1e6:.1f} MB")
        else:
            yield failed(name, f"{path.name}: {problem}", "Stop the system and restore the file from a backup.")


def audit(settings: Settings, state: StateDir) -> Iterator[Finding]:
    """Check the audit chain of every tenant, from its first entry to its last."""
    from memos_governance.local import verify_audit

    embedded = not settings.governance.database_url.get_secret_value()
    if embedded and not any((state.root / GOVERNANCE).glob("*.db")):
        yield skipped("audit chain", "nothing is recorded yet")
        return
    try:
        problems = asyncio.run(verify_audit(settings.governance, state.root / GOVERNANCE))
    except Exception as error:  # a damaged file, a server that is away: what it looks for must not end the doctor
        text = str(getattr(error, "orig", error)).splitlines()
        yield failed("audit chain", f"cannot be read: {text[0] if text else type(error).__name__}")
        return
    for found in problems:
        detail = f"{found.tenant}: entry {found.sequence}: {found.problem}"
        yield failed("audit chain", detail, "Somebody changed the database; compare it with a backup.")
    if not problems:
        yield ok("audit chain", "every chain holds")


def _integrity(path: Path) -> str:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
