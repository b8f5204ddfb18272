"""How much a request may hold."""

from memos_kernel import limits
from memos_kernel.errors import LimitExceeded


def check_number(count: int, limit: int, *, field: str) -> None:
    """Refuse a list that is too long.

    Raises:
        LimitExceeded: it is.
    """
    if count > limit:
        raise LimitExceeded(f"{field} has {count}; the limit is {limit}.", field=field, limit=str(limit))


def check_size(text: str, *, field: str, limit: int = limits.TEXT_BYTES) -> None:
    """Refuse a text that is too long; `limit` is in bytes of UTF-8.

    Raises:
        LimitExceeded: it is.
    """
    size = len(text.encode())
    if size > limit:
        raise LimitExceeded(
            f"{field} has {size} bytes; the limit is {limit}.",
            field=field,
            limit=str(limit),
            unit="bytes",
        )
