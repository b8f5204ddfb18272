"""What must be set before torch and transformers are imported, and how many threads they get."""

import logging
import os
from pathlib import Path

from memos_kernel.errors import DependencyUnavailable

_SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    # the lane is one thread already; a pool below it would only fight with torch for the cores
    "TOKENIZERS_PARALLELISM": "false",
}

MOST_THREADS = 8
"""Threads unless told otherwise: operations on short texts, and those of small models, gain nothing from more."""

_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "20000"}
"""How OpenMP threads wait, unless the user has said so.

If they spin for long they take the cores of whoever has work; if they never spin they wake so late that two threads
read a short text no faster than one. Only GNU's OpenMP knows the count.
"""

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

_log = logging.getLogger(__name__)


def prepare(threads: int) -> None:
    """Import torch and transformers quietly, which takes seconds, and set the number of threads.

    Args:
        threads: 0 for one a core, at most `MOST_THREADS`.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if not _WAITING.keys() & os.environ.keys():
        os.environ.update(_WAITING)
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads or min(MOST_THREADS, cores()))
    _log.info("torch %s with %d thread(s)", torch.__version__, torch.get_num_threads())


def pick_device(wanted: str) -> str:
    """Return `cuda` or `cpu`; `auto` is the GPU where there is one.

    Raises:
        DependencyUnavailable: a GPU is wanted, and torch sees none.
    """
    import torch

    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise DependencyUnavailable(
            "inference.device is cuda, but torch sees no GPU; set it to auto or cpu, or install torch for CUDA.",
            dependency="device",
        )
    return "cuda" if present and wanted != "cpu" else "cpu"


def cores() -> int:
    """Return the number of cores that the process may use, by its affinity and the quota of its container."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, min(available, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return available
