"""Servers that tests share, and what stops them."""

import atexit
from contextlib import ExitStack

AT_END = ExitStack()
"""Closed as a session of tests ends, for a worker of xdist runs nothing of `atexit`; else as the process ends."""

atexit.register(AT_END.close)
