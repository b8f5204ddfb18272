"""Which memories may enter a prompt, and which cache or adapter may stand in for the reading of them."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from memos_inference.domain.seals import Seals
from memos_inference.domain.sizes import check_number
from memos_kernel import limits
from memos_kernel.cube import Activation, Kind, MemCube, Parametric, Plaintext
from memos_kernel.errors import (
    GrantInvalid,
    IncompatiblePayload,
    InvalidField,
    MemosError,
    StateConflict,
)
from memos_kernel.identity import CompatibilityIdentity, differing_fields
from memos_kernel.names import CubeName
from memos_kernel.permission import Action, Grant
from memos_kernel.states import INJECTABLE, is_over


class Form(StrEnum):
    """How a memory reaches the model: its words, keys and values computed from them before, or an adapter's weights."""

    TEXT = "text"
    KV = "kv"
    LORA = "lora"


@dataclass(frozen=True, slots=True)
class Injection:
    """A memory whose words enter the prompt; where `form` is `lora`, only if the adapter cannot be used."""

    cube: MemCube
    form: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A cache or adapter that was not used, and the reason and message of the error that it would have been.

    The words of its memories were read instead.
    """

    name: CubeName
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """What reaches the model.

    Attributes:
        memories: in the order of the prompt.
        known: names of those that the adapter knows.
        caches: of what the prompt tells.
        adapter: to be attached.
        refusals: what will not do.
    """

    memories: tuple[MemCube, ...] = ()
    known: frozenset[CubeName] = frozenset()
    caches: tuple[MemCube, ...] = ()
    adapter: MemCube | None = None
    refusals: tuple[Refusal, ...] = ()


def check_injections(
    injections: Sequence[Injection],
    caches: Sequence[MemCube] = (),
    *,
    adapter: MemCube | None = None,
    grant: Grant,
    now: datetime,
    running: CompatibilityIdentity,
    seals: Seals,
) -> Admitted:
    """Return what may reach the model: all of it, or the call is refused. A cache or adapter can be done without.

    Raises:
        GrantInvalid: the grant does not allow use, or does not cover a vault.
        StateConflict: a memory is deleted, expired, or in a state that may not be injected.
        InvalidField: an unknown form, a memory that is no text, a cache or adapter that is none.
        LimitExceeded: too many memories or caches.
    """
    if not injections and not caches and adapter is None:
        return Admitted()
    grant.require(Action.CUBE_USE)
    check_number(len(injections), limits.BATCH_ITEMS, field="injections")
    check_number(len(caches), limits.PROMPT_CACHES, field="caches")
    for index, injection in enumerate(injections):
        field = f"injections[{index}]"
        if injection.form not in (Form.TEXT, Form.LORA):
            raise InvalidField(
                f"{field}.form is {injection.form[:40]!r}; write `text` or `lora`, and give a KV cache in `caches`.",
                field=f"{field}.form",
            )
        check_memory(injection.cube, grant=grant, now=now, field=f"{field}.cube")
    refusals: list[Refusal] = []
    told = {injection.cube.name for injection in injections}
    learned = {ref.name for ref in adapter.derived_from} if adapter is not None else set()

    def usable(cube: MemCube | None, kind: type[Activation | Parametric], field: str) -> MemCube | None:
        if cube is None:
            return None
        _check_scope(cube, grant)
        if not isinstance(cube.payload, kind):
            raise InvalidField(f"{field} is no {kind.__name__.lower()} cube with payload.", field=field)
        try:
            _check_usable(cube, now, running, seals)
            _check_told(cube, told)
        except MemosError as error:
            refusals.append(refusal_of(cube, error))
            return None
        return cube

    return Admitted(
        memories=tuple(injection.cube for injection in injections),
        known=frozenset(
            injection.cube.name
            for injection in injections
            if injection.form == Form.LORA and injection.cube.name in learned
        ),
        caches=tuple(
            cache
            for index, given in enumerate(caches)
            if (cache := usable(given, Activation, f"caches[{index}]")) is not None
        ),
        adapter=usable(adapter, Parametric, "adapter"),
        refusals=tuple(refusals),
    )


def refusal_of(cube: MemCube, error: MemosError) -> Refusal:
    """Return that a cache or adapter was not used for an error."""
    return Refusal(cube.name, error.reason, error.message)


def check_memory(cube: MemCube, *, grant: Grant, now: datetime, field: str) -> None:
    """Refuse a memory whose words may not reach the model.

    Raises:
        InvalidField: it is no text.
        GrantInvalid: the grant does not cover it.
        StateConflict: it is deleted, expired, or in a state that may not be injected.
    """
    if cube.kind is not Kind.PLAINTEXT:
        raise InvalidField(f"{field} is no text but {cube.kind.name.lower()}.", field=field)
    if not isinstance(cube.payload, Plaintext):
        raise InvalidField(f"{field} has no payload; read it with view FULL.", field=field)
    _check_scope(cube, grant)
    _check_alive(cube, now)


def check_identity(cube: MemCube, running: CompatibilityIdentity) -> None:
    """Refuse a payload that was made with another model than the running one.

    Raises:
        IncompatiblePayload: it was; the fields that differ, or that the payload leaves open, are named.
    """
    assert isinstance(cube.payload, Activation | Parametric)
    made_with = cube.payload.identity
    differing = differing_fields(made_with, running)
    if isinstance(cube.payload, Activation) and not made_with.token_ids_sha256:
        differing = (*differing, "token_ids_sha256")
    if differing:
        raise IncompatiblePayload(
            f"{cube.name} was made with another {', '.join(differing)} than the running model has.",
            name=str(cube.name),
            fields=",".join(differing),
        )


def _check_scope(cube: MemCube, grant: Grant) -> None:
    if cube.name.tenant != grant.principal.tenant or not grant.covers(cube.vault):
        raise GrantInvalid("The grant does not cover a cube that shall be injected.", cause="vault")


def _check_alive(cube: MemCube, now: datetime) -> None:
    state = cube.state.name
    if cube.delete_time is not None:
        state = "DELETED"
    elif is_over(cube, now=now):
        state = "EXPIRED"
    elif cube.state in INJECTABLE:
        return
    raise StateConflict(f"{cube.name} is {state} and cannot be injected; plan again.", name=str(cube.name), state=state)


def check_stand_in(cube: MemCube, *, grant: Grant, now: datetime, running: CompatibilityIdentity, seals: Seals) -> None:
    """Refuse a cache or adapter that may not be used.

    Raises:
        GrantInvalid: the grant does not allow use, or does not cover it.
        InvalidField: it is neither.
        StateConflict: it is deleted, expired, or in a state that may not be injected.
        IncompatiblePayload: it is of another model, or not sealed here.
    """
    grant.require(Action.CUBE_USE)
    _check_scope(cube, grant)
    if not isinstance(cube.payload, Activation | Parametric):
        raise InvalidField(f"{cube.name} is neither a KV cache nor an adapter with payload.", field="cube")
    _check_usable(cube, now, running, seals)


def _check_told(cube: MemCube, told: Set[CubeName]) -> None:
    """Refuse a cache that holds what the prompt does not tell.

    Behind the words of one memory the keys and values of another know of the first.
    """
    if isinstance(cube.payload, Activation) and not {ref.name for ref in cube.derived_from} <= told:
        raise IncompatiblePayload(
            f"{cube.name} holds memories that this prompt does not tell.", name=str(cube.name), fields="derived_from"
        )


def _check_usable(cube: MemCube, now: datetime, running: CompatibilityIdentity, seals: Seals) -> None:
    _check_alive(cube, now)
    check_identity(cube, running)
    if not seals.fits(cube):
        raise IncompatiblePayload(
            f"{cube.name} has no seal of the inference that runs here, so nobody knows what it would make the"
            " model say; build it here.",
            name=str(cube.name),
            fields="seal",
        )
