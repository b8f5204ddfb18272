"""Who serves from a state directory: one `up`, or any number of `serve` with a service each."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from memosctl.failures import Failure
from memosctl.state import StateDir


@contextmanager
def locked(state: StateDir, services: Iterable[str] = ()) -> Iterator[None]:
    """Hold the whole state directory, or these services of it.

    Raises:
        Failure: another process holds it.
    """
    state.make()
    with ExitStack() as held:
        if names := tuple(services):
            held.enter_context(_hold(state.lock_file, state, fcntl.LOCK_SH))
            for name in names:
                held.enter_context(_hold(state.of(name) / "lock", state, fcntl.LOCK_EX))
        else:
            held.enter_context(_hold(state.lock_file, state, fcntl.LOCK_EX))
        yield


def is_locked(state: StateDir) -> bool:
    """Return whether a process serves from the directory now."""
    if not state.lock_file.exists():
        return False
    try:
        with _hold(state.lock_file, state, fcntl.LOCK_EX, sign=False):
            return False
    except Failure:
        return True


@contextmanager
def _hold(file: Path, state: StateDir, kind: int, *, sign: bool = True) -> Iterator[None]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"Process {os.pread(handle, 32, 0).decode(errors='replace') or '?'} serves from {state.root} already.",
                "Stop it first, or choose another directory with --state-dir.",
                reason="STATE_LOCKED",
            ) from None
        if sign:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
