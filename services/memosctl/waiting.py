"""Waiting for a system that went away in the middle of long work."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memos_client import MemosError

_PAUSE_SECONDS = 1.0
_PATIENCE_SECONDS = 300.0


@dataclass(slots=True)
class Patience:
    """How long has been waited since the last thing that was done."""

    waited: float = 0.0

    def renew(self) -> None:
        """Something was done."""
        self.waited = 0.0

    def wait(self, error: "MemosError", *, begun: bool) -> None:
        """Wait a moment, if that may help and something was `begun` at all; otherwise the error stands.

        Raises:
            MemosError: the error.
        """
        if self.waited >= _PATIENCE_SECONDS or not begun or error.reason == "STORE_FULL":
            raise error
        time.sleep(_PAUSE_SECONDS)
        self.waited += _PAUSE_SECONDS
