"""What storage refuses to store, whoever asks."""

import math
from datetime import UTC, datetime

import numpy as np

from memos_kernel import limits
from memos_kernel.cube import MemCube, Plaintext
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField
from memos_kernel.states import INITIAL
from memos_kernel.text import check_labels, check_plain, check_text
from memos_storage.domain.values import Vector

NORM_TOLERANCE = 1e-3
DIMENSIONS = 4_096
"""Most elements in a vector."""
SOURCES = 64
"""Most source spans of a cube."""
SENSITIVITY_TAGS = 32
DERIVED_FROM = 256
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)


def check_new_cube(cube: MemCube, *, now: datetime, field: str) -> None:
    """Refuse a cube that breaks a rule of the contract.

    Raises:
        MissingField, InvalidField, LimitExceeded: the message names the field.
    """
    if cube.payload is None:
        raise MissingField(f"{field} has no payload; give it a text.", field=f"{field}.payload")
    if cube.name.tenant != cube.vault.tenant:
        raise InvalidField(f"{field}.name and {field}.vault are of two tenants.", field=f"{field}.name")
    if cube.state not in INITIAL:
        known = " or ".join(sorted(state.name for state in INITIAL))
        raise InvalidField(f"{field}.state is {cube.state.name}; a new cube is {known}.", field=f"{field}.state")
    _check_count(cube.sources, SOURCES, field=f"{field}.sources")
    _check_count(cube.derived_from, DERIVED_FROM, field=f"{field}.derived_from")
    for index, source in enumerate(cube.sources):
        place = f"{field}.sources[{index}]"
        for name in ("message_id", "speaker", "session", "utc_offset", "role"):
            check_plain(getattr(source, name), field=f"{place}.{name}", limit=limits.SOURCE_FIELD_BYTES)
        if source.start_char < 0 or source.end_char < 0 or 0 < source.end_char < source.start_char:
            raise InvalidField(f"{place} ends before it starts.", field=f"{place}.end_char")
        _check_time(source.event_time, field=f"{place}.event_time")
    check_mutable(cube, now=now, field=field)


def check_mutable(cube: MemCube, *, now: datetime, field: str, paths: frozenset[str] | None = None) -> None:
    """Refuse values that neither a create nor an update may set; `paths` limits the check to an update's fields.

    Raises:
        MissingField, InvalidField, LimitExceeded: the message names the field.
    """

    def asked(path: str) -> bool:
        return paths is None or path in paths

    if isinstance(cube.payload, Plaintext):
        if asked("plaintext.text"):
            check_text(cube.payload.text, field=f"{field}.plaintext.text")
        check_plain(cube.payload.language, field=f"{field}.plaintext.language", limit=64)
    if asked("labels"):
        check_labels(dict(cube.labels), field=f"{field}.labels")
    if asked("priority") and not 0 <= cube.priority <= 100:
        raise InvalidField(f"{field}.priority is {cube.priority}; give 0 to 100.", field=f"{field}.priority")
    if asked("sensitivity_tags"):
        _check_count(cube.sensitivity_tags, SENSITIVITY_TAGS, field=f"{field}.sensitivity_tags")
        for index, tag in enumerate(cube.sensitivity_tags):
            check_text(tag, field=f"{field}.sensitivity_tags[{index}]", limit=64)
    for name in ("expire_time", "valid_from", "valid_until"):
        _check_time(getattr(cube, name), field=f"{field}.{name}")
    if asked("expire_time") and cube.expire_time is not None and cube.expire_time <= now:
        raise InvalidField(f"{field}.expire_time is past; give a time to come.", field=f"{field}.expire_time")
    check_validity(cube, field=field)


def check_validity(cube: MemCube, *, field: str) -> None:
    """Refuse a fact that ends before it starts.

    Raises:
        InvalidField: valid_until is not after valid_from.
    """
    if cube.valid_from and cube.valid_until and cube.valid_from >= cube.valid_until:
        raise InvalidField(f"{field}.valid_until is not after valid_from.", field=f"{field}.valid_until")


def check_vector(vector: Vector, *, field: str, dimensions: int | None = None) -> None:
    """Refuse a vector that the index cannot compare with others.

    Raises:
        InvalidField: no embedder, no elements, too many or another number than the embedder's vectors have, an element
            that is not finite, or an L2 norm that is not 1.
    """
    size = int(vector.values.size)
    if not vector.embedder:
        raise InvalidField(f"{field} comes without the name of its embedder.", field="embedder")
    check_plain(vector.embedder, field="embedder", limit=limits.SOURCE_FIELD_BYTES)
    if not 0 < size <= DIMENSIONS:
        raise InvalidField(f"{field} has {size} elements; give 1 to {DIMENSIONS}.", field=field)
    if dimensions is not None and size != dimensions:
        raise InvalidField(f"{field} has {size} elements; vectors of this embedder have {dimensions}.", field=field)
    norm = float(np.linalg.norm(vector.values.astype(np.float64)))
    if not math.isfinite(norm):
        raise InvalidField(f"{field} holds an element that is not a finite number.", field=field)
    if abs(norm - 1.0) > NORM_TOLERANCE:
        raise InvalidField(f"{field} has length {norm:.4f}; normalise it to 1.", field=field)


def _check_count(values: tuple[object, ...], limit: int, *, field: str) -> None:
    if len(values) > limit:
        raise LimitExceeded(
            f"{field} has {len(values)} entries; the limit is {limit}.", field=field, limit=str(limit), unit="entries"
        )


def _check_time(value: datetime | None, *, field: str) -> None:
    if value is not None and not _EARLIEST <= value <= _LATEST:
        raise InvalidField(f"{field} is at the edge of the calendar; give a real date.", field=field)
