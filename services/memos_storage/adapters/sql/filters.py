"""Scope and filter as SQL conditions on `cubes` joined with `vaults`."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, false, or_, select

from memos_kernel.cube import State
from memos_kernel.names import VaultName
from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.schema import micros
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import Scope

Condition = ColumnElement[bool]

_CUBES, _VAULTS = schema.cubes.c, schema.vaults.c


def in_scope(scope: Scope) -> Condition:
    """Return the condition on `vaults` of a scope."""
    if scope.vaults is None:
        return _VAULTS.tenant == scope.tenant
    ids = sorted(vault.id for vault in scope.vaults if vault.tenant == scope.tenant)
    return and_(_VAULTS.tenant == scope.tenant, _VAULTS.vault.in_(ids)) if ids else false()


def is_vault(vault: VaultName) -> Condition:
    """Return the condition on `vaults` of one vault."""
    return and_(_VAULTS.tenant == vault.tenant, _VAULTS.vault == vault.id)


def fulfils(filter: CubeFilter, *, now: datetime) -> list[Condition]:
    """Return the conditions on `cubes` of a filter; they mean what `CubeFilter.matches` means."""
    conditions: list[Condition] = [_CUBES.delete_time.is_(None), _in_states(filter, now)]
    if filter.kinds:
        conditions.append(_CUBES.kind.in_(sorted(filter.kinds)))
    if filter.semantic_types:
        conditions.append(_CUBES.semantic_type.in_(sorted(filter.semantic_types)))
    if filter.after is not None:
        conditions.append(_CUBES.event_time >= micros(filter.after))
    if filter.before is not None:
        conditions.append(_CUBES.event_time < micros(filter.before))
    labels, sources = schema.labels.c, schema.sources.c
    for label, value in sorted(filter.labels.items()):
        conditions.append(
            exists(select(1).where(labels.cube_key == _CUBES.key, labels.label == label, labels.value == value))
        )
    if filter.speakers:
        conditions.append(
            exists(select(1).where(sources.cube_key == _CUBES.key, sources.speaker.in_(sorted(filter.folded_speakers))))
        )
    if filter.sessions:
        conditions.append(
            exists(select(1).where(sources.cube_key == _CUBES.key, sources.session.in_(sorted(filter.sessions))))
        )
    return conditions


def _in_states(filter: CubeFilter, now: datetime) -> Condition:
    overdue = and_(_CUBES.expire_time.is_not(None), _CUBES.expire_time <= micros(now))
    living = sorted(filter.states - {State.EXPIRED})
    fresh = and_(_CUBES.state.in_(living), or_(_CUBES.expire_time.is_(None), _CUBES.expire_time > micros(now)))
    if State.EXPIRED not in filter.states:
        return fresh
    return or_(fresh, _CUBES.state == int(State.EXPIRED), overdue)
