"""Follow the changes of a vault."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from memos_kernel import limits
from memos_kernel.changes import Change
from memos_kernel.errors import ResumeTokenExpired
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant
from memos_storage.domain.feed import Place
from memos_storage.ports import ChangeFeed, Commits
from memos_storage.usecases.access import require_vault

PAGE = 100
"""Most changes in one answer."""

_MOST_SECONDS = 20.0
_MARGIN = timedelta(hours=1)
"""For clocks of several processes that differ."""

_LOOK_SECONDS = 1.0
"""Seconds between two looks for what other processes have changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCubes:
    """Answers with what comes after a place, and waits for it if there is nothing yet."""

    feed: ChangeFeed
    commits: Commits
    clock: Clock

    async def __call__(
        self, vault: VaultName, *, after: Place | None, told: datetime | None, seconds: float, grant: Grant
    ) -> tuple[Sequence[Change], Place]:
        """Return the next changes, none after `seconds`, at most 20; and the place to go on from.

        Args:
            after: None asks for the place of now; it is answered at once.
            told: when `after` was answered.

        Raises:
            VaultNotFound: the grant does not cover the vault.
            ResumeTokenExpired: changes since then may be forgotten.
        """
        require_vault(grant, vault, field="vault")
        if after is None:
            return (), await self.feed.latest(vault)
        now = self.clock.now()
        if told is not None and now - told > limits.CHANGE_RETENTION:
            raise ResumeTokenExpired(
                f"resume_token is older than {limits.CHANGE_RETENTION.days} days; list the vault and watch anew.",
                field="resume_token",
            )
        left = min(seconds, _MOST_SECONDS)
        while True:
            with self.commits.noticing() as commit:
                found = await self.feed.after(vault, after, limit=PAGE, now=self.clock.now())
                if found or left <= 0:
                    break
                left -= await commit.wait(min(left, _LOOK_SECONDS))
        return [change for _, change in found], found[-1][0] if found else after


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetChanges:
    """Removes changes that no resume token is good for any more."""

    feed: ChangeFeed
    clock: Clock

    async def __call__(self) -> int:
        """Return how many were removed."""
        return await self.feed.forget(before=self.clock.now() - limits.CHANGE_RETENTION - _MARGIN)
