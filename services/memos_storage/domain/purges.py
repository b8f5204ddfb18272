"""Erasures of cubes for good: what is erased, what must not come back, and how far it has come."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from memos_kernel.cube import MemCube
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
        lift_time: since when it no longer keeps what it erased from being stored again.
    """

    name: PurgeName
    vault: VaultName
    principal: PrincipalName
    reason: str
    cubes: int
    create_time: datetime
    stale: int = 0
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


def tombstones(cubes: Iterable[MemCube], secret: bytes) -> frozenset[bytes]:
    """Return what stands for the words of cubes, and for the places of messages that they are from.

    Keyed by a secret of the installation, so that a copy of them alone does not let words be guessed; and by vault, so
    that nobody learns from a refusal what another vault has forgotten.
    """
    return frozenset(
        hmac.digest(secret, _framed(str(cube.vault), *parts), hashlib.sha256)
        for cube in cubes
        for parts in _signs(cube)
    )


def _signs(cube: MemCube) -> Iterator[tuple[str, ...]]:
    if cube.fingerprint:
        yield "text", cube.fingerprint
    for span in cube.sources:
        if span.message_id:
            yield "source", span.session, span.message_id, str(span.start_char), str(span.end_char)


def _framed(*parts: str) -> bytes:
    """Return parts as bytes that no other parts have."""
    raw = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in raw)
