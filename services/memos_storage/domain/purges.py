"""Erasures of cubes for good: what is erased, what must not come back, and how far it has come."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from memos_kernel.cube import MemCube, SourceSpan
from memos_kernel.names import CubeName, PrincipalName, PurgeName, VaultName


class PurgeState(IntEnum):
    """How far a purge is; the numbers are those of the contract's PurgeState."""

    ERASING = 1
    ERASED = 2
    DONE = 3


@dataclass(frozen=True, slots=True)
class Receipt:
    """The proof: a statement, as JSON, and the Ed25519 signature of exactly these bytes."""

    statement: bytes
    signature: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """An erasure of cubes of a vault.

    Attributes:
        cubes: how many it erases, derived ones included.
        stale: derived cubes that are not erased, such as those of other vaults, and not used any more.
        kept: derived cubes that are neither erased nor could be taken out of use, such as frozen ones.
        lift_time: since when it no longer keeps what it erased from being stored again.
    """

    name: PurgeName
    vault: VaultName
    principal: PrincipalName
    reason: str
    cubes: int
    create_time: datetime
    stale: int = 0
    kept: int = 0
    state: PurgeState = PurgeState.ERASING
    end_time: datetime | None = None
    lift_time: datetime | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Doomed:
    """A cube of a purge, as the receipt names it."""

    uid: str
    name: CubeName
    revisions: int
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """What one tier did with what was erased, as the receipt tells it.

    Attributes:
        tier: name of the tier.
        done: what was done and how it was checked.
        remains: what cannot be reached yet; empty if nothing is left.
        until: when that is over, as far as it is known.
    """

    tier: str
    done: str
    remains: str = ""
    until: datetime | None = None


def buried(cubes: Iterable[MemCube], secret: bytes) -> frozenset[bytes]:
    """Return the tombstones of cubes: their words, the places of messages that they are from, and their names.

    Words and places are keyed by vault, so that nobody learns from a refusal what another vault has forgotten. A place
    without end is a whole message: it stops every place of the message, and every place stops the whole.
    """
    return frozenset(_digest(secret, *sign) for cube in cubes for sign in _buried(cube))


def sought(cube: MemCube, secret: bytes) -> frozenset[bytes]:
    """Return the tombstones that keep a cube from being stored."""
    return frozenset(_digest(secret, *sign) for sign in _sought(cube))


def _buried(cube: MemCube) -> Iterator[tuple[str, ...]]:
    yield "cube", str(cube.name)
    if cube.fingerprint:
        yield "text", str(cube.vault), cube.fingerprint
    for span in _named(cube):
        yield "place", *_message(cube, span), str(span.start_char), str(span.end_char)
        yield "touched", *_message(cube, span)


def _sought(cube: MemCube) -> Iterator[tuple[str, ...]]:
    for ref in cube.derived_from:
        yield "cube", str(ref.name)
    if cube.fingerprint:
        yield "text", str(cube.vault), cube.fingerprint
    for span in _named(cube):
        if span.end_char == 0:
            yield "touched", *_message(cube, span)
        else:
            yield "place", *_message(cube, span), str(span.start_char), str(span.end_char)
            yield "place", *_message(cube, span), "0", "0"


def _named(cube: MemCube) -> list[SourceSpan]:
    return [span for span in cube.sources if span.message_id]


def _message(cube: MemCube, span: SourceSpan) -> tuple[str, ...]:
    """Return what identifies a message, by the contract's rule."""
    return str(cube.vault), span.session, span.speaker, span.message_id


def _digest(secret: bytes, *sign: str) -> bytes:
    raw = [part.encode() for part in sign]
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in raw)  # as no other parts have
    return hmac.digest(secret, framed, hashlib.sha256)
