"""Places in the feed of a vault's changes."""

from typing import NamedTuple


class Place(NamedTuple):
    """A place in the order in which changes became visible: transaction, then the number within it.

    PostgreSQL gives out numbers before it knows which transaction ends first; by transaction, nothing that is still
    under way can come before what was told already. SQLite has one writer and needs no transaction number.
    """

    transaction: int = 0
    sequence: int = 0
