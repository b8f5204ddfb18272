"""Column types that the services share."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from memos_kernel.moments import micros, moment


class Moment(TypeDecorator[datetime]):
    """An aware datetime, stored as microseconds since 1970: exact and sortable in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return what is stored."""
        return micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the moment, with zone UTC."""
        return moment(value)
