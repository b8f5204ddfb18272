"""One process at a time serves from a state directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from memosctl.failures import Failure
from memosctl.state import StateDir


@contextmanager
def locked(state: StateDir) -> Iterator[None]:
    """Hold the state directory.

    Raises:
        Failure: another process holds it.
    """
    handle = os.open(state.make().lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"Process {_holder(handle)} serves from {state.root} already.",
                "Stop it first, or choose another directory with --state-dir.",
                reason="STATE_LOCKED",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def is_locked(state: StateDir) -> bool:
    """Return whether a process serves from the directory now."""
    if not state.lock_file.exists():
        return False
    handle = os.open(state.lock_file, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _holder(handle: int) -> str:
    return os.pread(handle, 32, 0).decode(errors="replace") or "?"
