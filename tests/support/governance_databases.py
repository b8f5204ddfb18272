"""Databases for the contract suites of governance's stores."""

import asyncio
import importlib.util
import os
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from memos_governance.adapters.sql.database import Database
from memos_governance.migrations import migrate

KINDS = [
    "memory",
    "sqlite",
    pytest.param(
        "postgresql",
        marks=pytest.mark.skipif(
            any(importlib.util.find_spec(name) is None for name in ("pgserver", "psycopg")),
            reason="needs the packages pgserver and psycopg",
        ),
    ),
]


@asynccontextmanager
async def opened(kind: str, path: Path) -> AsyncIterator[Database]:
    """Yield a migrated, empty database."""
    url = f"sqlite:///{path / 'governance.db'}" if kind == "sqlite" else await asyncio.to_thread(_postgresql)
    await asyncio.to_thread(migrate, url)
    database = Database(url, readers=2)
    await asyncio.to_thread(database.open)
    try:
        yield database
    finally:
        await database.close()


def _postgresql() -> str:
    """Make a database of its own on the session's server."""
    import psycopg

    name = f"governance_{uuid.uuid4().hex}"
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return _server().replace("postgresql:", "postgresql+psycopg:").replace("/postgres?", f"/{name}?")


@cache
def _server() -> str:
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())  # or one of its parts warns
    import pgserver

    return pgserver.get_server(tempfile.mkdtemp(prefix="memos-pg-"), cleanup_mode="delete").get_uri()
