"""A whole system as a child process, for as long as it is needed."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from memosctl.failures import Failure
from memosctl.state import StateDir

READY_SECONDS = 120
STOP_SECONDS = 30
_ANY_PORT = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Child:
    """A running `memosctl up`."""

    address: str
    state: StateDir
    ready_seconds: float


@contextmanager
def running_system(*, waiting: Callable[[str], AbstractContextManager[None]]) -> Iterator[Child]:
    """Start `memosctl up` on free ports with a state directory of its own, and stop it and remove that at the end.

    Args:
        waiting: shows a person what is waited for.

    Raises:
        Failure: it does not become ready; its last log lines are in the message.
    """
    with tempfile.TemporaryDirectory(prefix="memos-demo-") as name:
        state, log = StateDir(Path(name) / "state"), Path(name) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603  # this program itself
                [sys.executable, "-m", "memosctl", "up", "--json", "--address", _ANY_PORT],
                env=_environment(state),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the parent, which stops the child in order
            )
        try:
            with waiting("starting the six services"):
                child = _wait(process, state, log)
            yield child
        finally:
            with waiting("stopping"):
                _stop(process)


def _environment(state: StateDir) -> dict[str, str]:
    """Return the environment without what would lead the child elsewhere; the model may be chosen."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMOS_") or name == "MEMOS_MODEL"}
    return {**kept, "MEMOS_STATE_DIR": str(state.root)}


def _wait(process: subprocess.Popen[bytes], state: StateDir, log: Path) -> Child:
    assert process.stdout is not None
    said: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=lambda stream: said.put(stream.readline()), args=(process.stdout,), daemon=True).start()
    try:
        line = said.get(timeout=READY_SECONDS)
    except queue.Empty:
        line = b""
    if not line:
        raise Failure("The system did not become ready.", log.read_text(errors="replace")[-2000:].strip())
    ready = json.loads(line)
    return Child(ready["addresses"][0], state, ready["seconds"])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
