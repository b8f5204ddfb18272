"""The real Milvus server for the tests, one a session."""

import atexit
import shutil
import socket
import tempfile
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass
class MilvusProcess:
    """A standalone server over a directory. Its wheel unpacks 250 MB of programs into it at the first start."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="memos-milvus-")))
    port: int = 0
    _server: Any = None

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, port: int = 0) -> None:
        """Start it, without a port on another each time, and wait until it answers; blocks for about 20 s."""
        from milvus import MilvusServer, MilvusServerConfig

        config = MilvusServerConfig(data_dir=str(self.folder), **({"proxy_port": port} if port else {}))
        config.try_bind_port = _bound  # its own finds no port free that was used a moment ago
        self._server = MilvusServer(config)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the sockets that it looks for free ports with
            self._server.start()
        self.port = self._server.listen_port

    def kill(self) -> None:
        """End it as a crash would."""
        if self._server.running:
            self._server.server_proc.kill()
            self._server.stop()

    def remove(self) -> None:
        """End it and remove its directory."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _bound(port: int) -> socket.socket | None:
    """Return a socket on a port, as Milvus itself will take it."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
        made.listen()
    except OSError:
        made.close()
        return None
    return made


@cache
def shared_server() -> MilvusProcess:
    """Return the server of the session."""
    server = MilvusProcess()
    server.start()
    atexit.register(server.remove)
    return server
