"""What storage refuses to store, whoever asks."""

import math
from datetime import datetime

import numpy as np

from memos_kernel import limits
from memos_kernel.checks import (
    check_count,
    check_expiry,
    check_language,
    check_priority,
    check_sources,
    check_tags,
    check_validity,
)
from memos_kernel.cube import MemCube, Plaintext
from memos_kernel.errors import InvalidField, MissingField
from memos_kernel.states import INITIAL
from memos_kernel.text import check_labels, check_plain, check_text
from memos_storage.domain.blobs import check_payload
from memos_storage.domain.values import Vector

NORM_TOLERANCE = 1e-3
DIMENSIONS = 4_096
"""Most elements in a vector."""


def check_new_cube(cube: MemCube, *, now: datetime, field: str) -> None:
    """Refuse a cube that breaks a rule of the contract.

    Raises:
        MissingField, InvalidField, LimitExceeded: the message names the field.
    """
    if cube.state not in INITIAL:
        known = " or ".join(sorted(state.name for state in INITIAL))
        raise InvalidField(f"{field}.state is {cube.state.name}; a new cube is {known}.", field=f"{field}.state")
    check_whole(cube, field=field)
    check_mutable(cube, now=now, field=field)


def check_whole(cube: MemCube, *, field: str) -> None:
    """Refuse what no cube may have, new or not; `check_mutable` has the rest.

    Raises:
        MissingField, InvalidField, LimitExceeded: the message names the field.
    """
    if cube.payload is None:
        raise MissingField(f"{field} has no payload; give it a text.", field=f"{field}.payload")
    if not isinstance(cube.payload, Plaintext):
        check_payload(cube.payload, field=f"{field}.{cube.kind.name.lower()}")
    if cube.name.tenant != cube.vault.tenant:
        raise InvalidField(f"{field}.name and {field}.vault are of two tenants.", field=f"{field}.name")
    check_sources(cube.sources, field=f"{field}.sources")
    check_count(cube.derived_from, limits.DERIVED_FROM, field=f"{field}.derived_from")
    for index, ref in enumerate(cube.derived_from):
        if ref.name.tenant != cube.name.tenant:
            where = f"{field}.derived_from[{index}].name"
            raise InvalidField(f"{where} is of another tenant than the cube.", field=where)


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
        check_language(cube.payload.language, field=f"{field}.plaintext.language")
    if asked("labels"):
        check_labels(dict(cube.labels), field=f"{field}.labels")
    if asked("priority"):
        check_priority(cube.priority, field=f"{field}.priority")
    if asked("sensitivity_tags"):
        check_tags(cube.sensitivity_tags, field=f"{field}.sensitivity_tags")
    if asked("expire_time"):
        check_expiry(cube.expire_time, field=f"{field}.expire_time", now=now)
    check_validity(cube.valid_from, cube.valid_until, field=field)


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
