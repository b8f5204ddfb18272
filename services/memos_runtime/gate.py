"""Whether a service takes calls: not before it has started, and no new ones once it drains."""

from typing import Literal

from memos_kernel.errors import DependencyUnavailable, Draining

_RETRY_SECONDS = 1.0


class Gate:
    """The door of one service."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.state: Literal["starting", "open", "draining"] = "starting"

    def open(self) -> None:
        """Take calls."""
        self.state = "open"

    def drain(self) -> None:
        """Refuse new calls; those inside go on."""
        self.state = "draining"

    def check(self) -> None:
        """Refuse unless open.

        Raises:
            DependencyUnavailable: the service is still starting.
            Draining: it is going down.
        """
        if self.state == "open":
            return
        if self.state == "draining":
            raise Draining(f"{self._service} is going down; try again.", retry_after=_RETRY_SECONDS)
        raise DependencyUnavailable(
            f"{self._service} is starting; try again.", retry_after=_RETRY_SECONDS, dependency=self._service
        )
