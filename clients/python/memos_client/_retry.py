"""When a failed call is tried again, and after how long."""

import random
from dataclasses import dataclass

from memos_client._errors import MemosError, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """The client's patience.

    A call is repeated if the system was away, or full and said when to come back. A mutation is repeated with
    the same request id, so it is done once. `timeout` of the call bounds all attempts together.

    Attributes:
        attempts: most attempts of one call; 1 never repeats.
        first_delay: seconds before the second attempt, where the server names none; doubles each time.
        longest_delay: most seconds between two attempts; a server that asks for more is not waited for.
    """

    attempts: int = 4
    first_delay: float = 0.1
    longest_delay: float = 5.0

    def delay(self, error: MemosError, *, attempt: int, left: float) -> float | None:
        """Return the seconds to wait after a failed attempt, or None to give up.

        Args:
            error: what it failed with.
            attempt: its number, from 1.
            left: seconds left of the call's timeout.
        """
        if attempt >= self.attempts or not isinstance(error, Unavailable):
            return None
        if error.code == "RESOURCE_EXHAUSTED" and error.retry_after is None:
            return None  # a full disk: waiting does not mend it
        asked = error.retry_after
        wait = asked if asked is not None else self.first_delay * 2 ** (attempt - 1)
        wait *= 1 + random.random() / 4  # noqa: S311  # spreads callers, guards no secret
        return wait if wait <= min(self.longest_delay, left) else None
