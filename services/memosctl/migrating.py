"""The databases of services: brought to the newest schema as soon as they can be reached, and told of where not."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from memosctl.failures import Failure

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_TOLD_EVERY_SECONDS = 10.0

S = TypeVar("S")


def migrate_waiting(
    migrate: Callable[[S, Path], None],
    config: S,
    directory: Path,
    *,
    service: str,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Migrate the database of a service; wait `seconds` for one that cannot be reached.

    Raises:
        Failure: it did not come within that time, or it refused.
    """
    begin, told = now(), -_TOLD_EVERY_SECONDS
    while True:
        try:
            migrate(config, directory)
        except OperationalError as error:
            waited = now() - begin
            if waited >= seconds:
                raise _refused(service, "migrated", error, "Start it, or give it more time with --wait.") from error
            if waited - told >= _TOLD_EVERY_SECONDS:
                told = waited
                _LOG.warning("waiting for the database of %s: %s", service, _said(error))
            sleep(_PAUSE_SECONDS)
        except SQLAlchemyError as error:
            raise _refused(
                service, "migrated", error, f"{service}.database_url says which database that is."
            ) from error
        else:
            return


@contextmanager
def opening(service: str) -> Iterator[None]:
    """Tell of a database that a service cannot open as of one that cannot be migrated.

    Raises:
        Failure: the database cannot be reached, or refused.
    """
    try:
        yield
    except SQLAlchemyError as error:
        hint = f"See that it runs, and that {service}.database_url says where it is."
        raise _refused(service, "opened", error, hint) from error


def _refused(service: str, what: str, error: SQLAlchemyError, hint: str) -> Failure:
    return Failure(
        f"The database of {service} cannot be {what}: {_said(error)}",
        hint,
        reason="DATABASE_UNAVAILABLE",
    )


def _said(error: SQLAlchemyError) -> str:
    """Return the first line of what the database said, which never holds a password."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return said[0] if said else type(error).__name__
