"""Databases for the contract suites of governance's stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from memos_governance.adapters.sql.database import Database
from memos_governance.migrations import migrate
from postgres import new_database

KINDS = ["memory", "sqlite", "postgresql"]


@asynccontextmanager
async def opened(kind: str, path: Path) -> AsyncIterator[Database]:
    """Yield a migrated, empty database."""
    if kind == "sqlite":
        url = f"sqlite:///{path / 'governance.db'}"
    else:
        url = await asyncio.to_thread(new_database, "governance")
    await asyncio.to_thread(migrate, url)
    database = Database(url, readers=2)
    await asyncio.to_thread(database.open)
    try:
        yield database
    finally:
        await database.close()
