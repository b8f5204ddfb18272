"""Milvus Lite as a supervised child process. In-process it would stall the event loop."""

import asyncio
import logging
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_LOG = logging.getLogger(__name__)
_RESTART_FIRST, _RESTART_MOST = 0.5, 30.0
_STEADY_SECONDS = 30.0
_STOP_SECONDS = 5.0


class MilvusLiteServer:
    """Starts the child, again whenever it ends, and stops it. It listens on a Unix socket only its user can open."""

    def __init__(self, data_dir: Path, *, lost: Callable[[], None] = lambda: None) -> None:
        """Take the directory of the index, which only one process may use, and who is told that the child ended."""
        self._data_dir = data_dir
        self._lost = lost
        self._socket_dir: Path | None = None
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._starts = 0

    @property
    def uri(self) -> str:
        """Where it listens, as pymilvus takes it.

        Raises:
            ConnectionError: it does not listen yet.
        """
        if self._socket_dir is None or not self._listening.exists():
            raise ConnectionError("the vector server is starting")
        return f"unix:{self._listening}"

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None between two of them."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def _listening(self) -> Path:
        """The path that the server makes of the one it is given."""
        return Path(f"{self._socket}:0")

    @property
    def _socket(self) -> Path:
        assert self._socket_dir is not None
        # A name of its own each time, or gRPC would wait as long as it does for one that has failed before.
        return self._socket_dir / f"milvus-{self._starts}.sock"

    async def start(self) -> None:
        """Start the child and the watch over it; does not wait until it answers."""
        # A path of a socket has room for 107 bytes, which a state directory may exceed.
        self._socket_dir = Path(tempfile.mkdtemp(prefix="memos-"))
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._watch = asyncio.get_running_loop().create_task(self._supervise(), name="milvus-lite")

    async def close(self) -> None:
        """Stop the child. Can be called twice."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if self._process is not None:
            serving = await asyncio.to_thread(self._listening.exists)
            await _stop(self._process, gently=serving)
            self._process = None
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None

    async def _supervise(self) -> None:
        pause = _RESTART_FIRST
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                self._process = await self._spawn()
                code = str(await self._process.wait())
            except OSError as error:  # no memory, no process id
                code = str(error)
            self._lost()
            if loop.time() - started > _STEADY_SECONDS:
                pause = _RESTART_FIRST
            _LOG.warning("the vector server ended with %s; it is started again in %.1f s", code, pause)
            await asyncio.sleep(pause)
            pause = min(_RESTART_MOST, 2 * pause)

    async def _spawn(self) -> Process:
        self._starts += 1
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "memos_storage.adapters.milvus_child",
            "--data-dir",
            str(self._data_dir),
            "--socket",
            str(self._socket),
            stdin=PIPE,
            stdout=DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt at the terminal stops the service, and that stops the child
        )


async def _stop(process: Process, *, gently: bool) -> None:
    """End the child; one that does not serve yet has nothing to close."""
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    if not gently:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
