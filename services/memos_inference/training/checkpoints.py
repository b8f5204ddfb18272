"""Where a training is, in a file, so that one that was broken off goes on from there."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_STEP = "step"

_log = logging.getLogger(__name__)


class Checkpoint:
    """The file of one training. Its name says what is trained, so that no other training takes it for its own."""

    def __init__(self, path: Path, *, every: float = 30.0) -> None:
        """Take the path, and the seconds between two times of writing."""
        self._path = path
        self._every = every
        self._written = time.monotonic()

    def load(self) -> tuple[int, dict[str, torch.Tensor]]:
        """Return how many lessons were learned, and what was noted then; none, if there is no file that can be read."""
        try:
            with safe_open(str(self._path), framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # the library's own
                return int((file.metadata() or {})[_STEP]), tensors
        except (OSError, SafetensorError, KeyError, ValueError):
            return 0, {}

    def note(self, step: int, state: Callable[[], Mapping[str, torch.Tensor]]) -> None:
        """Write how many lessons were learned and what state that gave, if it is time to.

        A disk that has no room does not end the training.
        """
        if time.monotonic() - self._written < self._every:
            return
        self._written = time.monotonic()
        fresh = self._path.with_suffix(".part")
        try:
            save_file({name: tensor.contiguous() for name, tensor in state().items()}, fresh, {_STEP: str(step)})
            fresh.replace(self._path)
        except (OSError, SafetensorError) as error:
            _log.warning("how far the training is cannot be written: %s", error)
