"""Becomes another program that ends when its parent does: `python -I bound_exec.py <parent pid> <command>...`.

Linux keeps the parent-death signal over `exec`. It is set here, in a process of its own, and not between fork
and exec of the parent, where Python code is unsafe once the parent has threads. Elsewhere it only executes.
Imports nothing of the project: it runs isolated.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to its parent and execute the command."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != int(parent):  # it ended before the signal was set
            return
    os.execvp(command[0], command)  # noqa: S606 - the command comes from the supervisor, without a shell


if __name__ == "__main__":
    main()
