"""A supervised child process: started, watched, started again with growing pauses, stopped with its owner."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from memos_runtime.context import spawn

_LOG = logging.getLogger(__name__)

_BOUND_EXEC = Path(__file__).with_name("bound_exec.py")
_PAUSE_MIN, _PAUSE_MAX = 0.5, 30.0
_STABLE_SECONDS = 60.0
"""A child that ran this long is started again without a long pause."""


class ChildProcess:
    """A program that runs as long as its owner wants it to, and never longer than this process.

    Attributes:
        restarts: how often it was started again after it had ended by itself.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log_file: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Take the program and its arguments; its output is appended to `log_file`."""
        self._name = name
        self._command = tuple(command)
        self._log_file = log_file
        self._environment = dict(environment) if environment is not None else None
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def running(self) -> bool:
        """Whether the program runs now; that it answers is for its user to find out."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Process id, if it was started."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the program and watch it.

        Raises:
            OSError: the log file cannot be opened.
        """
        await self._spawn()
        self._watcher = spawn(self._watch(), name=f"watch-{self._name}")

    async def stop(self, *, grace: float = 10.0) -> None:
        """Ask the program to end, and kill it after `grace` seconds. Can be called twice."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            _LOG.warning("%s did not end in %g seconds and is killed", self._name, grace)
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _spawn(self) -> None:
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(_BOUND_EXEC),
                str(os.getpid()),
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the owner, which stops the child in its turn
            )

    async def _watch(self) -> None:
        pause = _PAUSE_MIN
        while True:
            assert self._process is not None
            started = time.monotonic()
            code = await self._process.wait()
            if time.monotonic() - started > _STABLE_SECONDS:
                pause = _PAUSE_MIN
            _LOG.warning(
                "%s ended with code %s; it is started again in %g s; see %s", self._name, code, pause, self._log_file
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MAX)
            self.restarts += 1
            try:
                await self._spawn()
            except OSError:
                _LOG.exception("%s could not be started", self._name)
