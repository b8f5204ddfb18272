"""The real Milvus server for the tests, one a session."""

import json
import os
import shutil
import socket
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from at_end import AT_END
from deployment import free_port

START_SECONDS = 180


@dataclass
class MilvusProcess:
    """A standalone server over a directory. Its wheel unpacks 250 MB of programs into it at the first start.

    Several can run on a machine at once: every port is one of its own, also those of the etcd inside it.
    """

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="memos-milvus-")))
    port: int = 0
    _server: Any = None
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def process_id(self) -> int:
        """Id of its process."""
        return int(self._server.server_proc.pid)

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on the ports that it had before, and wait until it answers; blocks for about 20 s.

        One that was killed takes over what it held by the addresses of its parts; under others it would wait a minute.
        """
        from milvus import MilvusServer, MilvusServerConfig

        config = MilvusServerConfig(data_dir=str(self.folder))
        names = [name for name in config.configurable_items if name.endswith("_port")]
        self._ports = self._ports or {name: free_port() for name in [*names, "etcd_peer_port", "metrics_port"]}
        config.update(**{name: self._ports[name] for name in names})
        config.try_bind_port = _bound  # its own finds no port free that was used a moment ago
        self._server = MilvusServer(config, wait_for_started=False)
        self._server.webservice_port = self._ports["metrics_port"]
        try:
            with warnings.catch_warnings(), self._own_etcd():
                warnings.simplefilter("ignore", ResourceWarning)  # the sockets that it looks for free ports with
                self._server.start()
            self._wait()
        except BaseException:
            self.kill()
            raise
        self.port = self._server.listen_port

    @contextmanager
    def _own_etcd(self) -> Iterator[None]:
        """Have the server that starts meanwhile put its etcd on ports of its own, and not on those of every etcd."""
        client, peer = (f"http://localhost:{self._ports[name]}" for name in ("etcd_port", "etcd_peer_port"))
        urls = {"listen-client-urls": client, "advertise-client-urls": client, "listen-peer-urls": peer}
        urls |= {"initial-advertise-peer-urls": peer, "initial-cluster": f"default={peer}"}
        file = self.folder / "etcd.yaml"
        file.write_text(json.dumps(urls))
        os.environ["ETCD_CONFIG_PATH"] = str(file)
        try:
            yield
        finally:
            del os.environ["ETCD_CONFIG_PATH"]

    def _wait(self) -> None:
        """Wait until it answers; the wheel's own waiting does not see that the process has ended."""
        address = f"http://127.0.0.1:{self._server.webservice_port}/healthz"
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._server.server_proc.poll() is None:
            try:
                with urllib.request.urlopen(address, timeout=5) as page:
                    if b"OK" in page.read():
                        return
            except OSError:
                pass
            time.sleep(0.1)
        said = (self.folder / "logs" / "milvus-stderr.log").read_text()
        raise AssertionError(f"Milvus did not start within {START_SECONDS} s:\n{said[:2000]}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._server is not None and self._server.running:
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
    AT_END.callback(server.remove)
    return server
