"""What a database failure means to the caller. Nothing was committed in any of these cases."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from memos_kernel.errors import DependencyUnavailable, InternalError, MemosError, Overloaded, StoreFull

_STORE = "governance"
_FULL = ("disk is full", "disk i/o error", "readonly database", "no space left", "could not extend file")
_BUSY = ("database is locked", "database table is locked", "deadlock detected")
_AWAY = ("unable to open database file", "connection failed", "connection refused", "server closed the connection")


def fault_of(error: SQLAlchemyError) -> MemosError:
    """Return the domain error of a database failure."""
    text = str(error.orig).lower() if isinstance(error, DBAPIError) else ""
    if any(sign in text for sign in _FULL):
        return StoreFull("Governance's database refuses to write; free some space and try again.", store=_STORE)
    if isinstance(error, PoolTimeout) or any(sign in text for sign in _BUSY):
        return Overloaded("Governance's database is busy; try again.", retry_after=1.0, queue=_STORE)
    if any(sign in text for sign in _AWAY) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return DependencyUnavailable(
            "Governance's database does not answer; try again.", retry_after=1.0, dependency="governance database"
        )
    return InternalError("Governance's database failed.", store=_STORE)
