"""What a new revision of a cube looks like. Every change of header or content makes one; use does not."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from memos_kernel import limits
from memos_kernel.cube import (
    UPDATABLE,
    Access,
    MemCube,
    Plaintext,
    State,
    TraceRef,
    Usage,
    content_hash,
    fingerprint,
    kind_of,
)
from memos_kernel.errors import EtagMismatch, ImmutableField, MissingField, StateConflict
from memos_kernel.names import PrincipalName
from memos_kernel.states import check_not_frozen


def etag(uid: str, revision: int) -> str:
    """Return the version tag of a revision."""
    return hashlib.sha256(f"{uid}@{revision}".encode()).hexdigest()[:16]


def first_revision(
    cube: MemCube, *, uid: str, owner: PrincipalName, now: datetime, provenance_id: str, trace: TraceRef | None
) -> MemCube:
    """Return the cube as it is stored first: what a caller gave, and everything that only storage sets."""
    assert cube.payload is not None
    return replace(
        cube,
        uid=uid,
        kind=kind_of(cube.payload),
        frozen=False,
        create_time=now,
        update_time=now,
        delete_time=None,
        purge_time=None,
        access=Access(owner),
        usage=Usage(),
        fingerprint=fingerprint(cube.text) if isinstance(cube.payload, Plaintext) else "",
        content_hash=content_hash(cube.payload, cube.sources),
        revision=1,
        etag=etag(uid, 1),
        parent_revisions=(),
        provenance_id=provenance_id,
        origin_trace=trace,
        watermark_id="",
    )


def updated(cube: MemCube, wanted: MemCube, *, paths: Iterable[str], now: datetime) -> MemCube:
    """Return the cube with the named fields of `wanted`, as a new revision; the same cube if nothing changes.

    Raises:
        CubeFrozen: the cube is frozen.
        StateConflict: a text is given for a cube that holds none.
    """
    check_not_frozen(cube)
    changed = cube
    for path in paths:
        if path.startswith("plaintext."):
            changed = _with_plaintext(changed, wanted, path.removeprefix("plaintext."))
        else:
            changed = replace(changed, **{path: getattr(wanted, path)})
    return cube if changed == cube else next_revision(changed, now=now)


def deleted(cube: MemCube, *, now: datetime) -> MemCube:
    """Return the cube as soft-deleted.

    Raises:
        CubeFrozen: the cube is frozen.
    """
    check_not_frozen(cube)
    return next_revision(replace(cube, delete_time=now, purge_time=now + limits.DELETED_RETENTION), now=now)


def undeleted(cube: MemCube, *, now: datetime) -> MemCube:
    """Return a deleted cube as it was before, as a new revision."""
    return next_revision(replace(cube, delete_time=None, purge_time=None), now=now)


def restored(cube: MemCube, old: MemCube, *, now: datetime) -> MemCube:
    """Return the cube, deleted or not, as it was in an old revision that was live; the same cube if it is so.

    Raises:
        CubeFrozen: the cube is frozen, and was different.
    """
    if cube.delete_time is None:
        return rolled_back(cube, old, now=now) if _changeable(cube) != _changeable(old) else cube
    back = replace(cube, delete_time=None, purge_time=None)
    changed = rolled_back(back, old, now=now)
    return undeleted(cube, now=now) if changed is back else changed


def rolled_back(cube: MemCube, old: MemCube, *, now: datetime) -> MemCube:
    """Return the cube with the text and every other field that an update can change as they were in an old revision.

    It descends from both revisions. State, frozenness and use are not taken back: they belong to lifecycle.

    Raises:
        CubeFrozen: the cube is frozen.
    """
    check_not_frozen(cube)
    changed = replace(cube, fingerprint=old.fingerprint, content_hash=old.content_hash, **_changeable(old))
    if changed == cube:
        return cube
    return replace(next_revision(changed, now=now), parent_revisions=(cube.revision, old.revision))


def changed_paths(before: MemCube, after: MemCube) -> tuple[str, ...]:
    """Return what differs between two revisions of a cube, as paths; not what every revision has of its own."""
    paths = [path for path in UPDATABLE if _at(before, path) != _at(after, path)]
    paths += [name for name in ("state", "frozen", "delete_time") if getattr(before, name) != getattr(after, name)]
    return tuple(paths)


def moved(cube: MemCube, *, state: State, frozen: bool, now: datetime) -> MemCube:
    """Return the cube in the state that lifecycle decided; the same cube if it is there already."""
    if cube.state is state and cube.frozen is frozen:
        return cube
    return next_revision(replace(cube, state=state, frozen=frozen), now=now)


def next_revision(cube: MemCube, *, now: datetime) -> MemCube:
    """Return the cube with the next revision number. Record time never runs backwards."""
    revision = cube.revision + 1
    assert cube.update_time is not None
    return replace(
        cube,
        revision=revision,
        parent_revisions=(cube.revision,),
        etag=etag(cube.uid, revision),
        update_time=max(now, cube.update_time),
    )


def check_mask(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths without repetition.

    Raises:
        MissingField: the mask is empty.
        ImmutableField: a path that does not exist, that only the system sets, or `*`.
    """
    unique = tuple(dict.fromkeys(paths))
    if not unique:
        raise MissingField("update_mask is empty; name the fields to change.", field="update_mask")
    for path in unique:
        if path == "*":
            raise ImmutableField(
                "update_mask is '*', which would also name fields that only the system sets; "
                f"name some of {', '.join(UPDATABLE)}.",
                field="update_mask",
                path=path,
            )
        if path not in UPDATABLE:
            raise ImmutableField(
                f"update_mask names {path[:80]!r}; an update can change {', '.join(UPDATABLE)}.",
                field="update_mask",
                path=path[:80],
            )
    return unique


def check_etag(cube: MemCube, given: str) -> None:
    """Refuse an etag that is set and not the newest.

    Raises:
        EtagMismatch: somebody else changed the cube.
    """
    if given and given != cube.etag:
        raise EtagMismatch(f"{cube.name} has changed; read it again and repeat the change.", name=str(cube.name))


def _changeable(cube: MemCube) -> dict[str, Any]:
    """Return the payload and the fields that an update can change."""
    fields = {path: getattr(cube, path) for path in UPDATABLE if not path.startswith("plaintext.")}
    return {"payload": cube.payload, **fields}


def _at(cube: MemCube, path: str) -> object:
    owner, name = (cube.payload, path.removeprefix("plaintext.")) if path.startswith("plaintext.") else (cube, path)
    return getattr(owner, name, None)


def _with_plaintext(cube: MemCube, wanted: MemCube, part: str) -> MemCube:
    if not isinstance(cube.payload, Plaintext) or not isinstance(wanted.payload, Plaintext):
        raise StateConflict(
            f"plaintext.{part} can be changed in a plaintext cube, with a plaintext payload in the request.",
            name=str(cube.name),
            kind=cube.kind.name,
        )
    payload = replace(cube.payload, **{part: getattr(wanted.payload, part)})
    return replace(
        cube, payload=payload, fingerprint=fingerprint(payload.text), content_hash=content_hash(payload, cube.sources)
    )
