"""Which cubes a read is about, and at which moment of record time."""

from dataclasses import dataclass, field
from datetime import datetime

from memos_kernel.cube import MemCube
from memos_kernel.errors import InvalidField
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Scope, filter and time of a read.

    Attributes:
        now: when the read began.
        as_of: the moment to read at, as if it were then; None is the present.
    """

    scope: Scope
    filter: CubeFilter = field(default_factory=CubeFilter)
    now: datetime
    as_of: datetime | None = None

    @property
    def moment(self) -> datetime:
        """When states are judged: a cube that expired since was not expired then."""
        return self.as_of or self.now

    def matches(self, cube: MemCube) -> bool:
        """Return whether a cube, in the revision of that moment, is selected."""
        return self.scope.covers(cube.vault) and self.filter.matches(cube, now=self.moment)


def check_as_of(as_of: datetime | None, *, now: datetime, field: str = "as_of") -> None:
    """Refuse a moment that has not come.

    Raises:
        InvalidField: as said.
    """
    if as_of is not None and as_of > now:
        raise InvalidField(
            f"{field} is {as_of.isoformat()}, and it is {now.isoformat()} here; leave it out to read the present.",
            field=field,
        )
