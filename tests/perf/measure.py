"""Reading a process tree's cost from /proc, and summing up durations."""

import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def summary(seconds: Sequence[float]) -> dict[str, float | int]:
    """Return count, median and 95th percentile in milliseconds."""
    ordered = sorted(seconds)
    return {
        "n": len(ordered),
        "p50_ms": round(statistics.median(ordered) * 1e3, 3),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] * 1e3, 3),
    }


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """Return user and system time of the tree, in seconds."""
    total = 0.0
    for member in tree(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def memory_mib(pid: int) -> dict[str, float]:
    """Return resident memory of the tree now and at its peak, in MiB; shared pages count once a process."""
    now = peak = 0
    for member in tree(pid):
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{member}/status").read_text().splitlines() if ":" in line
        )
        now += int(status["VmRSS"].split()[0])
        peak += int(status["VmHWM"].split()[0])
    return {"resident_mib": round(now / 1024, 1), "peak_mib": round(peak / 1024, 1)}
