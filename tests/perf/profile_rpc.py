"""Where the time of a thin call goes, in the processes that serve it: py-spy's samples by package.

A sample counts for the innermost frame that says something: that of a package, of one of ours its subpackage. What the
standard library does counts for who called it. Where only the event loop runs, it and gRPC's own threads do the work.
Samples are taken of threads that hold Python's lock.
"""

import asyncio
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

LOOP = "event loop and gRPC"
_RATE = 500
_OURS = re.compile(r"(?:^|/)(memos_\w+)/(?:(\w+)/)?")
_PACKAGES = re.compile(r"site-packages/(\w+)(?:/(\w+))?")
_FRAME = re.compile(r"\((.+):\d+\)$")


@asynccontextmanager
async def sampled(processes: Mapping[str, int], *, seconds: float) -> AsyncIterator[dict[str, dict[str, float]]]:
    """Sample processes during the body; afterwards what is yielded holds the share of each package by process."""
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or "py-spy"
    shares: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in processes}
        running = [
            await asyncio.create_subprocess_exec(
                *(program, "record", "--gil", "--full-filenames", "--format", "raw", "--rate", str(_RATE)),
                *("--duration", str(round(seconds)), "--pid", str(pid), "--output", str(files[name])),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            for name, pid in processes.items()
        ]
        yield shares
        for each in running:
            _, said = await each.communicate()
            if each.returncode:
                raise RuntimeError(f"py-spy: {said.decode().strip()}")
        shares |= {name: summed(file.read_text()) for name, file in files.items()}


def summed(raw: str) -> dict[str, float]:
    """Return the share of each package in collapsed stacks, a line each with its count, largest first."""
    counted: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        counted[package(stack.split(";"))] += int(count)
    return {name: round(count / counted.total(), 3) for name, count in counted.most_common() if count}


def package(stack: list[str]) -> str:
    """Return what a sample counts for, given its frames from the outermost to the innermost."""
    for frame in reversed(stack):
        found = _FRAME.search(frame)
        path = found[1] if found else ""
        if "/memosctl/" in path or "/asyncio/" in path:
            return LOOP
        if installed := _PACKAGES.search(path):
            return ".".join(filter(None, installed.groups())) if installed[1] == "grpc" else installed[1]
        if ours := _OURS.search(path):
            return ".".join(filter(None, ours.groups()))
    return LOOP
