"""Rules for cubes that a caller writes himself: a new one, and a change of one."""

from dataclasses import dataclass, replace
from datetime import datetime

from memos_interface.domain.moments import check_moment
from memos_interface.domain.semantics import guess
from memos_kernel import limits
from memos_kernel.cube import UPDATABLE, MemCube, Origin, Plaintext, SemanticType
from memos_kernel.errors import CubeNotFound, ImmutableField, InvalidField, LimitExceeded, MissingField
from memos_kernel.names import CubeName
from memos_kernel.text import check_labels, check_plain, check_text

_LANGUAGE_BYTES = 35
_TAGS = 64
_TAG_BYTES = 64
_PRIORITY = 100


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
    if not isinstance(cube.payload, Plaintext):
        if cube.payload is None:
            raise MissingField("cube.plaintext is required.", field="cube.plaintext")
        field = f"cube.{cube.kind.name.lower()}"
        raise InvalidField(f"{field} cannot be created by a call: derived payloads are made by jobs.", field=field)
    if cube.name.tenant != tenant:
        raise CubeNotFound(f"{cube.name} is not there.", name=str(cube.name))
    check_text(cube.payload.text, field="cube.plaintext.text")
    check_plain(cube.payload.language, field="cube.plaintext.language", limit=_LANGUAGE_BYTES)
    check_labels(dict(cube.labels), field="cube.labels")
    _check_header(cube.priority, cube.sensitivity_tags)
    _check_times(cube.expire_time, cube.valid_from, cube.valid_until, now=now)
    _check_sources(cube, now=now)
    spoken = any(source.speaker for source in cube.sources)
    return replace(
        cube,
        semantic_type=cube.semantic_type or guess(cube.payload.text, spoken=spoken),
        origin=cube.origin or Origin.USER_INPUT,
    )


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
        check_plain(change.language, field="cube.plaintext.language", limit=_LANGUAGE_BYTES)
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


def check_expiry(expire_time: datetime | None, *, field: str, now: datetime) -> None:
    """Refuse a time of expiry that has passed.

    Raises:
        InvalidField: it has.
    """
    if expire_time is not None and expire_time <= now:
        raise InvalidField(f"{field} has passed; delete the cube instead.", field=field)


def _check_header(priority: int, tags: tuple[str, ...]) -> None:
    if not 0 <= priority <= _PRIORITY:
        raise InvalidField(f"cube.priority is {priority}; it goes from 0 to {_PRIORITY}.", field="cube.priority")
    if len(tags) > _TAGS:
        raise LimitExceeded(
            f"cube.sensitivity_tags has {len(tags)} entries; the limit is {_TAGS}.",
            field="cube.sensitivity_tags",
            limit=str(_TAGS),
            unit="entries",
        )
    for index, tag in enumerate(tags):
        check_text(tag, field=f"cube.sensitivity_tags[{index}]", limit=_TAG_BYTES)


def _check_times(
    expire_time: datetime | None, valid_from: datetime | None, valid_until: datetime | None, *, now: datetime
) -> None:
    check_expiry(expire_time, field="cube.expire_time", now=now)
    if valid_from is not None and valid_until is not None and valid_until <= valid_from:
        raise InvalidField("cube.valid_until is not after cube.valid_from.", field="cube.valid_until")


def _check_sources(cube: MemCube, *, now: datetime) -> None:
    if len(cube.sources) > limits.BATCH_ITEMS:
        raise LimitExceeded(
            f"cube.sources has {len(cube.sources)} entries; the limit is {limits.BATCH_ITEMS}.",
            field="cube.sources",
            limit=str(limits.BATCH_ITEMS),
            unit="entries",
        )
    for index, source in enumerate(cube.sources):
        field = f"cube.sources[{index}]"
        for name in ("message_id", "speaker", "session", "role", "utc_offset"):
            check_plain(getattr(source, name), field=f"{field}.{name}", limit=limits.SOURCE_FIELD_BYTES)
        if source.event_time is not None:
            check_moment(source.event_time, field=f"{field}.event_time", now=now)
        if source.start_char < 0 or (source.end_char and source.end_char < source.start_char):
            raise InvalidField(f"{field} ends before it starts.", field=f"{field}.end_char")
