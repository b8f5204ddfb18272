"""Scope and filter as SQL conditions on `cubes` joined with `vaults`.

A statement is built once for each shape of a filter, with parameters in place of values: to build one anew for each
call would take longer than to run it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, exists, not_, or_, select

from memos_kernel.cube import State
from memos_kernel.moments import micros
from memos_storage.adapters.sql import schema
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import Scope

Condition = ColumnElement[bool]
Parameters = Mapping[str, Any]

_CUBES, _VAULTS = schema.cubes.c, schema.vaults.c
_LABELS, _SOURCES = schema.labels.c, schema.sources.c


def _open_or(bound: ColumnElement[Any], condition: Condition) -> Condition:
    return or_(bound.is_(None), condition)


UNCHANGED = _CUBES.update_time <= bindparam("as_of")
"""The row is as it was at that moment."""

KEPT = _open_or(_CUBES.purge_time, _CUBES.purge_time > bindparam("read_time"))
"""The purge time has not come: history may be shown."""


STANDING = ~exists(select(1).where(schema.purge_cubes.c.uid == _CUBES.uid))
"""The cube is not being erased."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a scope and a filter is in the text of a statement."""

    all_vaults: bool
    expired: bool
    kinds: bool
    semantic_types: bool
    after: bool
    before: bool
    speakers: bool
    sessions: bool
    valid_at: bool
    labels: int
    past: bool

    @classmethod
    def of(cls, selection: Selection) -> Self:
        """Return the shape of a selection."""
        scope, filter = selection.scope, selection.filter
        return cls(
            all_vaults=scope.vaults is None,
            expired=State.EXPIRED in filter.states,
            kinds=bool(filter.kinds),
            semantic_types=bool(filter.semantic_types),
            after=filter.after is not None,
            before=filter.before is not None,
            speakers=bool(filter.speakers),
            sessions=bool(filter.sessions),
            valid_at=filter.valid_at is not None,
            labels=len(filter.labels),
            past=selection.as_of is not None,
        )


def in_scope(*, all_vaults: bool) -> Condition:
    """Return the condition on `vaults` of a scope; its values are in `scope_values`."""
    tenant = _VAULTS.tenant == bindparam("scope_tenant")
    return tenant if all_vaults else and_(tenant, _VAULTS.vault.in_(_several("scope_vaults")))


def scope_values(scope: Scope) -> Parameters:
    """Return the parameters of `in_scope`."""
    if scope.vaults is None:
        return {"scope_tenant": scope.tenant}
    ids = sorted(vault.id for vault in scope.vaults if vault.tenant == scope.tenant)
    return {"scope_tenant": scope.tenant, "scope_vaults": ids}


def conditions(shape: Shape) -> tuple[Condition, ...]:
    """Return the conditions of a selection."""
    return (in_scope(all_vaults=shape.all_vaults), *conditions_on_cubes(shape))


def conditions_on_cubes(shape: Shape) -> tuple[Condition, ...]:
    """Return the conditions of a filter on live cubes; they mean what `CubeFilter.matches` means.

    Of a past moment they select what has not changed since: the row is as it was. `past.py` has the others.
    """
    return (_CUBES.delete_time.is_(None), *conditions_on_rows(shape))


def conditions_on_rows(shape: Shape) -> tuple[Condition, ...]:
    """Return the conditions of a filter on cubes, deleted or not."""
    found: list[Condition] = [_in_states(expired=shape.expired)]
    if shape.kinds:
        found.append(_CUBES.kind.in_(_several("kinds")))
    if shape.semantic_types:
        found.append(_CUBES.semantic_type.in_(_several("semantic_types")))
    if shape.after:
        found.append(_CUBES.event_time >= bindparam("after"))
    if shape.before:
        found.append(_CUBES.event_time < bindparam("before"))
    if shape.valid_at:
        found.append(_open_or(_CUBES.valid_from, _CUBES.valid_from <= bindparam("valid_at")))
        found.append(_open_or(_CUBES.valid_until, _CUBES.valid_until > bindparam("valid_at")))
    if shape.past:
        found.append(UNCHANGED)
    found += [_has_label(number) for number in range(shape.labels)]
    if shape.speakers:
        found.append(_has_source(_SOURCES.speaker.in_(_several("speakers"))))
    if shape.sessions:
        found.append(_has_source(_SOURCES.session.in_(_several("sessions"))))
    return tuple(found)


def values(selection: Selection) -> Parameters:
    """Return the parameters of `conditions`, and so of `conditions_on_cubes`."""
    filter = selection.filter
    living = sorted(filter.states - {State.EXPIRED})
    found = {**scope_values(selection.scope), "now": micros(selection.moment), "living": living}
    found |= {"kinds": sorted(filter.kinds), "semantic_types": sorted(filter.semantic_types)}
    found |= {"speakers": sorted(filter.folded_speakers), "sessions": sorted(filter.sessions)}
    found |= {"after": micros(filter.after), "before": micros(filter.before)}
    found |= {"valid_at": micros(filter.valid_at), "as_of": micros(selection.as_of)}
    for number, (label, value) in enumerate(sorted(filter.labels.items())):
        found |= {f"label_{number}": label, f"label_value_{number}": value}
    return found


def _several(name: str) -> BindParameter[Any]:
    return bindparam(name, expanding=True)


def _has_label(number: int) -> Condition:
    label = _LABELS.label == bindparam(f"label_{number}")
    value = _LABELS.value == bindparam(f"label_value_{number}")
    return exists(select(1).where(_LABELS.cube_key == _CUBES.key, label, value))


def _has_source(condition: Condition) -> Condition:
    return exists(select(1).where(_SOURCES.cube_key == _CUBES.key, condition))


def _in_states(*, expired: bool) -> Condition:
    now = bindparam("now", type_=_CUBES.expire_time.type)
    # A frozen cube does not expire.
    in_time = or_(_CUBES.expire_time.is_(None), _CUBES.expire_time > now, _CUBES.frozen)
    fresh = and_(_CUBES.state.in_(_several("living")), in_time)
    if not expired:
        return fresh
    over = and_(_CUBES.expire_time <= now, not_(_CUBES.frozen))
    return or_(fresh, _CUBES.state == int(State.EXPIRED), over)
