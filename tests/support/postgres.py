"""PostgreSQL: one server for the test session, with a database of its own for each test that asks, and one to kill."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from at_end import AT_END


def new_database(purpose: str) -> str:
    """Make an empty database and return its URL for SQLAlchemy; blocks."""
    import psycopg

    name = f"{purpose}_{uuid.uuid4().hex}"
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return _server().replace("postgresql:", "postgresql+psycopg:").replace("/postgres?", f"/{name}?")


@cache
def _have_runtime_folder() -> None:
    """Give pgserver a folder for its locks, which it warns without; to be called before it is imported.

    It writes there even as the process ends, so the folder is removed after that.
    """
    if "XDG_RUNTIME_DIR" not in os.environ:
        os.environ["XDG_RUNTIME_DIR"] = made = tempfile.mkdtemp(prefix="memos-pg-run-")
        atexit.register(shutil.rmtree, made, ignore_errors=True)


@cache
def _server() -> str:
    _have_runtime_folder()
    import pgserver
    from pgserver.postgres_server import pg_ctl

    data = Path(tempfile.mkdtemp(prefix="memos-pg-"))
    server = pgserver.get_server(data, cleanup_mode=None)

    def stop() -> None:
        # "fast", which pgserver asks for, waits a minute for connections of tests that have failed.
        pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=data, user=server.system_user)
        shutil.rmtree(data, ignore_errors=True)

    AT_END.callback(stop)
    return str(server.get_uri())


class PostgresProcess:
    """A server of its own, which can be killed and started again under the same address."""

    def __init__(self, folder: Path) -> None:
        """Make its files in a folder, and start it; blocks."""
        _have_runtime_folder()
        import pgserver

        folder.chmod(0o755)
        self._data = folder / "pg"
        self._server = pgserver.get_server(self._data, cleanup_mode=None)
        self.url = str(self._server.get_uri()).replace("postgresql:", "postgresql+psycopg:")

    @property
    def process_id(self) -> int:
        """Id of the first of its processes."""
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def kill(self) -> None:
        """End the server as a crash would; the processes for its connections end by themselves."""
        pid = self.process_id
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]:
            time.sleep(0.01)

    def start(self) -> None:
        """Start it again; blocks until it has recovered."""
        from pgserver.postgres_server import pg_ctl

        sockets = parse_qs(urlsplit(self.url).query)["host"][0]
        options = ["-w", "-t", "60", "-o", '-h ""', "-o", f"-k {sockets}", "-l", str(self._data / "log"), "start"]
        for _ in range(60):  # shared memory is in use until the last process for a connection has ended
            try:
                pg_ctl(options, pgdata=self._data, user=self._server.system_user, timeout=90)
            except subprocess.CalledProcessError:
                time.sleep(0.5)
            else:
                return
        raise AssertionError((self._data / "log").read_text()[-2000:])

    def stop(self) -> None:
        """End it without waiting for connections."""
        from pgserver.postgres_server import pg_ctl

        pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=self._data, user=self._server.system_user)
