"""Cubes with their whole history, on their way out of an installation or into it."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import groupby, pairwise
from operator import attrgetter
from uuid import UUID

from memos_kernel import limits
from memos_kernel.cube import UPDATABLE, Access, MemCube, Plaintext, Usage, content_hash, fingerprint, kind_of
from memos_kernel.errors import InvalidField, MissingField, StateConflict
from memos_kernel.names import VaultName
from memos_kernel.states import COLD, is_hot
from memos_storage.domain.checks import check_mutable, check_vector, check_whole
from memos_storage.domain.revisions import etag
from memos_storage.domain.values import Vector

FORM = "memos.archive"
"""What the `form` of a statement about an archive begins with, so that nothing else is signed in its place."""

_TIMELESS = frozenset(UPDATABLE) - {"expire_time"}  # a time that is over by now was allowed when it was set
_CLOCKS_DIFFER = timedelta(minutes=1)
_TRACE = re.compile(r"[0-9a-f]{32}/[0-9a-f]{16}")


class ImportOutcome(IntEnum):
    """What became of a cube; the numbers are those of the contract."""

    CREATED = 1
    EXTENDED = 2
    UNCHANGED = 3


@dataclass(frozen=True, slots=True, eq=False)
class ArchivedRevision:
    """A cube as one revision has it, with the use of now.

    Attributes:
        content_revision: the revision that brought its text.
        vectors: of its text, in the revision that brought it.
    """

    cube: MemCube
    content_revision: int
    vectors: tuple[Vector, ...] = ()


History = Sequence[ArchivedRevision]
"""Revisions of one cube, one behind the other without a gap."""


def histories(revisions: Sequence[ArchivedRevision]) -> Iterator[History]:
    """Return the revisions of each cube, which are given one cube behind the other."""
    return (list(history) for _, history in groupby(revisions, key=attrgetter("cube.uid")))


def check_history(history: History, *, vault: VaultName, now: datetime, field: str) -> None:
    """Refuse what storage itself would never have stored.

    Raises:
        MissingField, InvalidField, LimitExceeded: the message names the field.
    """
    for index, item in enumerate(history):
        _check_revision(item, vault=vault, now=now, field=f"{field}[{index}]")
        _check_times(item.cube, now=now, field=f"{field}[{index}].cube")
    for index, (before, after) in enumerate(pairwise(history), 1):
        _check_step(before, after, field=f"{field}[{index}]")


def joined(history: History, here: MemCube, *, then: MemCube | None) -> History:
    """Return what a history has beyond the revisions of the same cube that are here.

    `then` is the cube here in the newest revision that both may have.

    Raises:
        StateConflict: the cube was changed here since, or the revisions between the two are missing.
    """
    newest = history[-1].cube
    if here.vault != newest.vault or here.name != newest.name:
        raise StateConflict(
            f"{here.name} of this installation is the same cube, in {here.vault}; a cube is in one vault only.",
            name=str(here.name),
            state="ELSEWHERE",
        )
    fresh = [item for item in history if item.cube.revision > here.revision]
    revived = bool(fresh) and here.delete_time is not None and fresh[0].cube.delete_time is None
    if revived and fresh[0].content_revision != fresh[0].cube.revision:
        raise InvalidField("A revision that takes a deletion back brings its text again.", field="content_revision")
    warmed = bool(fresh) and here.state in COLD and is_hot(newest)
    if warmed and history[-1].content_revision <= here.revision:
        raise InvalidField("A revision that leaves the archive brings its text again.", field="content_revision")
    known = [item for item in history if item.cube.revision <= here.revision]
    if not known:
        raise StateConflict(
            f"{here.name} is at revision {here.revision} here, and the archive begins with {fresh[0].cube.revision}, so"
            " nothing tells whether they belong together; export it with all revisions.",
            name=str(here.name),
            state="GAP",
        )
    if then is None or _comparable(known[-1].cube) != _comparable(then):
        raise StateConflict(
            f"{here.name} was changed here since it was exported; what is here stays.",
            name=str(here.name),
            state="CHANGED",
        )
    return fresh


def with_blob_of(history: History, held: MemCube) -> History:
    """Return a history with the bytes that are here already, which have another name elsewhere."""
    if held.blob is None:
        return history
    return [
        replace(item, cube=item.cube.with_blob(held.blob))
        if item.cube.blob is not None and item.cube.blob.sha256 == held.blob.sha256
        else item
        for item in history
    ]


def _comparable(cube: MemCube) -> MemCube:
    """Return a cube without what differs between installations, or between two reads."""
    access = None if cube.access is None else Access(cube.access.owner)
    if cube.blob is not None:
        cube = cube.with_blob(replace(cube.blob, name=""))
    return replace(cube, access=access, usage=Usage())


def _check_revision(item: ArchivedRevision, *, vault: VaultName, now: datetime, field: str) -> None:
    cube = item.cube
    if cube.vault != vault:
        raise InvalidField(f"{field}.cube.vault is {cube.vault}; this goes into {vault}.", field=f"{field}.cube.vault")
    check_whole(cube, field=f"{field}.cube")
    check_mutable(cube, now=now, field=f"{field}.cube", paths=_TIMELESS)
    assert cube.payload is not None
    _check_identity(cube, field=f"{field}.cube")
    expected = {
        "kind": kind_of(cube.payload),
        "etag": etag(cube.uid, cube.revision),
        "content_hash": content_hash(cube.payload, cube.sources),
        "fingerprint": fingerprint(cube.text) if isinstance(cube.payload, Plaintext) else "",
    }
    for name, value in expected.items():
        if getattr(cube, name) != value:
            where = f"{field}.cube.{name}"
            raise InvalidField(f"{where} does not fit the rest of {cube.name}.", field=where)
    if not 1 <= item.content_revision <= cube.revision:
        where = f"{field}.content_revision"
        raise InvalidField(f"{where} is {item.content_revision}; give 1 to {cube.revision}.", field=where)
    _check_use(cube.usage, now=now, field=f"{field}.cube.usage")
    if len({vector.embedder for vector in item.vectors}) != len(item.vectors):
        raise InvalidField(f"{field}.vectors has two of one embedder.", field=f"{field}.vectors")
    if item.vectors and (cube.blob is not None or item.content_revision != cube.revision):
        raise InvalidField(f"{field}.vectors belong to the revision that brought the text.", field=f"{field}.vectors")
    for number, vector in enumerate(item.vectors):
        check_vector(vector, field=f"{field}.vectors[{number}].embedding")


def _check_identity(cube: MemCube, *, field: str) -> None:
    """Refuse a cube without what storage gives to each, or with what it never gives."""
    try:
        if str(UUID(cube.uid)) != cube.uid:
            raise ValueError
    except ValueError:
        raise InvalidField(f"{field}.uid is no UUID in its usual form.", field=f"{field}.uid") from None
    if cube.revision < 1:
        raise InvalidField(f"{field}.revision is {cube.revision}; give 1 or more.", field=f"{field}.revision")
    if cube.access is None or cube.access.owner.tenant != cube.name.tenant:
        raise InvalidField(
            f"{field}.access.owner is no principal of {cube.name.parent}.", field=f"{field}.access.owner"
        )
    for name in ("create_time", "update_time"):
        if getattr(cube, name) is None:
            raise MissingField(f"{field}.{name} is not set.", field=f"{field}.{name}")
    expected = None if cube.delete_time is None else cube.delete_time + limits.DELETED_RETENTION
    if cube.purge_time != expected:
        raise InvalidField(
            f"{field}.purge_time is not {limits.DELETED_RETENTION.days} days behind delete_time.",
            field=f"{field}.purge_time",
        )
    trace = cube.origin_trace
    if trace is not None and not _TRACE.fullmatch(f"{trace.trace_id}/{trace.span_id}"):
        raise InvalidField(f"{field}.origin_trace is no span of a trace.", field=f"{field}.origin_trace")


def _check_times(cube: MemCube, *, now: datetime, field: str) -> None:
    """Refuse a time that has not come, as far as clocks may differ."""
    assert cube.create_time is not None
    assert cube.update_time is not None
    changed = cube.update_time
    if not cube.create_time <= (cube.delete_time or changed) <= changed <= now + _CLOCKS_DIFFER:
        where = f"{field}.update_time"
        raise InvalidField(
            f"{where} is {cube.update_time.isoformat()}; it lies behind create_time, and not in the future.",
            field=where,
        )


def _check_use(usage: Usage, *, now: datetime, field: str) -> None:
    """Refuse a use that no count comes to."""
    if usage.hits < 0 or not math.isfinite(usage.heat) or usage.heat < 0:
        raise InvalidField(f"{field} has hits or heat below zero or beyond all bounds.", field=field)
    if usage.last_used_time is not None and usage.last_used_time > now + _CLOCKS_DIFFER:
        raise InvalidField(f"{field}.last_used_time has not come.", field=f"{field}.last_used_time")


def _check_step(before: ArchivedRevision, after: ArchivedRevision, *, field: str) -> None:
    old, new = before.cube, after.cube
    if new.revision != old.revision + 1:
        where = f"{field}.cube.revision"
        raise InvalidField(f"{where} is {new.revision}, and the one before it {old.revision}.", field=where)
    for name in ("name", "kind", "create_time", "derived_from"):
        if getattr(old, name) != getattr(new, name):
            where = f"{field}.cube.{name}"
            raise InvalidField(f"{where} differs from the revision before; it never changes.", field=where)
    assert old.update_time is not None
    assert new.update_time is not None
    if new.update_time < old.update_time:
        where = f"{field}.cube.update_time"
        raise InvalidField(f"{where} is before that of the revision before.", field=where)
    if old.delete_time is not None and new.delete_time is None and after.content_revision != new.revision:
        where = f"{field}.content_revision"
        raise InvalidField(f"{where} has to be that of the revision that takes a deletion back.", field=where)
    if after.content_revision not in (before.content_revision, new.revision):
        where = f"{field}.content_revision"
        raise InvalidField(f"{where} names a revision between the two.", field=where)
