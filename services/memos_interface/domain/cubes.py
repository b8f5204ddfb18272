"""Rules for cubes that a caller writes himself: a new one, and a change of one."""

from dataclasses import dataclass, replace
from datetime import datetime

from memos_interface.domain.moments import check_moment
from memos_interface.domain.semantics import guess
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
from memos_kernel.cube import UPDATABLE, MemCube, Origin, Plaintext, SemanticType
from memos_kernel.errors import CubeNotFound, ImmutableField, MissingField
from memos_kernel.names import CubeName
from memos_kernel.text import check_labels, check_text


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeChange:
    """A change of a cube: the fields in `paths` take the values here; the others are left as they are."""

    name: CubeName
    paths: tuple[str, ...]
    etag: str = ""
    text: str = ""
    language: str = ""
    labels: dict[str, str] | None = None
    semantic_type: SemanticType = SemanticType.UNSPECIFIED
    expire_time: datetime | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    priority: int = 0
    sensitivity_tags: tuple[str, ...] = ()

    @property
    def changes_text(self) -> bool:
        """Whether the cube gets a new text, and so a new vector."""
        return "plaintext.text" in self.paths


def finish_new(cube: MemCube, *, tenant: str, now: datetime) -> MemCube:
    """Check a new cube of a caller and return it with sort of content and origin.

    Raises:
        MissingField, LimitExceeded, InvalidField: by field.
        CubeNotFound: the name is another tenant's.
    """
    if cube.payload is None:
        raise MissingField("The cube has no payload; give cube.plaintext.", field="cube.plaintext")
    if cube.name.tenant != tenant:
        raise CubeNotFound(f"{cube.name} is not there.", name=str(cube.name))
    if isinstance(cube.payload, Plaintext):
        check_text(cube.payload.text, field="cube.plaintext.text")
        check_language(cube.payload.language, field="cube.plaintext.language")
    elif not cube.payload.blob.name:
        field = f"cube.{cube.kind.name.lower()}.blob.name"
        raise MissingField(f"{field} is required; UploadBlob returns one.", field=field)
    check_labels(dict(cube.labels), field="cube.labels")
    _check_header(cube.priority, cube.sensitivity_tags)
    _check_times(cube.expire_time, cube.valid_from, cube.valid_until, now=now)
    check_sources(cube.sources, field="cube.sources")
    for index, source in enumerate(cube.sources):
        if source.event_time is not None:
            check_moment(source.event_time, field=f"cube.sources[{index}].event_time", now=now)
    check_count(cube.derived_from, limits.DERIVED_FROM, field="cube.derived_from")
    semantic_type = cube.semantic_type
    if not semantic_type and isinstance(cube.payload, Plaintext):
        semantic_type = guess(cube.text, spoken=any(source.speaker for source in cube.sources))
    return replace(cube, semantic_type=semantic_type, origin=cube.origin or Origin.USER_INPUT)


def check_change(change: CubeChange, *, now: datetime) -> None:
    """Refuse a change that cannot be made.

    Raises:
        MissingField: the mask is empty, or the new text is.
        ImmutableField: a path that is unknown or that only the system sets.
        LimitExceeded, InvalidField: a new value breaks a rule.
    """
    if not change.paths:
        raise MissingField("update_mask is empty; name the fields to change.", field="update_mask")
    for path in change.paths:
        if path not in UPDATABLE:
            raise ImmutableField(
                f"update_mask names {path[:80]!r}; it can name {', '.join(sorted(UPDATABLE))}.",
                field="update_mask",
                path=path[:80],
            )
    if change.changes_text:
        check_text(change.text, field="cube.plaintext.text")
    if "plaintext.language" in change.paths:
        check_language(change.language, field="cube.plaintext.language")
    if "labels" in change.paths:
        check_labels(change.labels or {}, field="cube.labels")
    _check_header(
        change.priority if "priority" in change.paths else 0,
        change.sensitivity_tags if "sensitivity_tags" in change.paths else (),
    )
    _check_times(
        change.expire_time if "expire_time" in change.paths else None,
        change.valid_from if "valid_from" in change.paths else None,
        change.valid_until if "valid_until" in change.paths else None,
        now=now,
    )


def _check_header(priority: int, tags: tuple[str, ...]) -> None:
    check_priority(priority, field="cube.priority")
    check_tags(tags, field="cube.sensitivity_tags")


def _check_times(
    expire_time: datetime | None, valid_from: datetime | None, valid_until: datetime | None, *, now: datetime
) -> None:
    check_expiry(expire_time, field="cube.expire_time", now=now)
    check_validity(valid_from, valid_until, field="cube")
