"""A real S3 server for the tests, one a session; each test that asks gets a bucket of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from at_end import AT_END
from deployment import free_port

ACCESS_KEY, SECRET_KEY = "memos-tests", "memos-tests-secret"


@dataclass
class S3Server:
    """A server process over a directory."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="memos-s3-")))
    port: int = 0
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        self.port = self.port or free_port()
        options = ["--data-dir", self.folder, "--host", "127.0.0.1", "--port", str(self.port), "--log-level", "error"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nanio", "serve", *options, "--no-access-log"],
            stderr=subprocess.DEVNULL,  # it prints a trace when a test has damaged its files
            env={**os.environ, "NANIO_ACCESS_KEY": ACCESS_KEY, "NANIO_SECRET_KEY": SECRET_KEY},
        )
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the S3 server did not start")

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def bucket(self) -> tuple[str, Path]:
        """Return the URL of a new bucket, and the directory where its objects will be."""
        name = f"b-{uuid.uuid4().hex}"
        return f"http://127.0.0.1:{self.port}/{name}", self.folder / name


@cache
def shared_server() -> S3Server:
    """Return the server of the session."""
    server = S3Server()
    server.start()

    def stop() -> None:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)

    AT_END.callback(stop)
    return server
