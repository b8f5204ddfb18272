"""What a failure of a SQL database means to the caller. Nothing was committed in any of these cases."""

import random
import time

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from memos_kernel.errors import DependencyUnavailable, InternalError, MemosError, Overloaded, StoreFull

_FULL = ("disk is full", "disk i/o error", "readonly database", "no space left", "could not extend file")
_BUSY = (
    "database is locked",
    "database table is locked",
    "deadlock detected",
    "lock timeout",
    "could not serialize access",
)
_AWAY = ("unable to open database file", "connection failed", "connection refused", "server closed the connection")

_RACES = ("40001", "40P01", "23505", "23503")
"""SQLSTATE of serialization failure, deadlock, and rows that somebody else made or removed first."""

_ATTEMPTS = 6
"""Most times that a transaction is run while others come between."""

_PAUSE_SECONDS = 0.02


def lost_a_race(error: Exception) -> bool:
    """Return whether a transaction may have failed only because of another one at the same time; run again, it sees it.

    Never on SQLite, which lets one write at a time.
    """
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _RACES


def wait_to_try_again(error: Exception, *, attempt: int) -> bool:
    """Return False if a transaction did not lose a race, or too often; else block for a moment and return True.

    The first attempt is 1.
    """
    if not lost_a_race(error) or attempt == _ATTEMPTS:
        return False
    time.sleep(random.uniform(0, _PAUSE_SECONDS * attempt))  # noqa: S311 - so that both do not meet again
    return True


def translated(error: Exception, *, store: str) -> Exception:
    """Return `fault_of` a database failure, which stays as its cause for the log; any other error as it is."""
    if not isinstance(error, SQLAlchemyError):
        return error
    fault = fault_of(error, store=store)
    fault.__cause__ = error
    return fault


def fault_of(error: SQLAlchemyError, *, store: str) -> MemosError:
    """Return the domain error of a database failure; `store` is what people call the database, such as `governance`.

    StoreFull, Overloaded and DependencyUnavailable may mend themselves. All else is a fault of ours, such as a table
    that is missing: InternalError, which no caller repeats.
    """
    text = str(error.orig).lower() if isinstance(error, DBAPIError) else ""
    if any(sign in text for sign in _FULL):
        return StoreFull(f"The {store} database refuses to write; free some space and try again.", store=store)
    if isinstance(error, PoolTimeout) or any(sign in text for sign in _BUSY):
        return Overloaded(f"The {store} database is busy; try again.", retry_after=1.0, queue=store)
    if any(sign in text for sign in _AWAY) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return DependencyUnavailable(
            f"The {store} database does not answer; try again.", retry_after=1.0, dependency=f"{store} database"
        )
    return InternalError(f"The {store} database failed.", store=store)
