"""One PostgreSQL server for the test session; each test that asks gets a database of its own."""

import atexit
import os
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path


def new_database(purpose: str) -> str:
    """Make an empty database and return its URL for SQLAlchemy; blocks."""
    import psycopg

    name = f"{purpose}_{uuid.uuid4().hex}"
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return _server().replace("postgresql:", "postgresql+psycopg:").replace("/postgres?", f"/{name}?")


@cache
def _server() -> str:
    runtime = tempfile.mkdtemp(prefix="memos-pg-run-")
    os.environ.setdefault("XDG_RUNTIME_DIR", runtime)  # or one of pgserver's parts warns
    import pgserver
    from pgserver.postgres_server import pg_ctl

    data = Path(tempfile.mkdtemp(prefix="memos-pg-"))
    server = pgserver.get_server(data, cleanup_mode=None)

    def stop() -> None:
        # "fast", which pgserver asks for, waits a minute for connections of tests that have failed.
        pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=data, user=server.system_user)
        for folder in (data, runtime):
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    return str(server.get_uri())
