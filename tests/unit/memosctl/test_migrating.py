import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from memosctl.failures import Failure
from memosctl.migrating import migrate_waiting


class Database:
    """Refuses as often as it is told to, before it answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.waited: list[float] = []

    def migrate(self, config: object, directory: object) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def migrated(self, *, seconds: float) -> None:
        time = lambda: sum(self.waited)  # noqa: E731 - what is waited is all the time that passes
        migrate_waiting(
            self.migrate, None, None, service="storage", seconds=seconds, sleep=self.waited.append, now=time
        )


def away() -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception("connection refused\nIs the server running?"))


def test_a_database_that_is_away_is_waited_for() -> None:
    database = Database(away(), away())

    database.migrated(seconds=5)

    assert database.waited == [1.0, 1.0]


def test_it_is_not_waited_for_longer_than_asked() -> None:
    database = Database(*(away() for _ in range(9)))

    with pytest.raises(Failure, match=r"of storage cannot be migrated: connection refused ") as failure:
        database.migrated(seconds=3)

    assert sum(database.waited) == 3
    assert "--wait" in failure.value.hint


def test_what_waiting_does_not_mend_is_told_at_once() -> None:
    database = Database(ProgrammingError("CREATE", {}, Exception("permission denied for schema public")))

    with pytest.raises(Failure, match="permission denied"):
        database.migrated(seconds=60)

    assert database.waited == []
