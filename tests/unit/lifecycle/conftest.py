"""Cubes and a clock for the tests of lifecycle."""

from datetime import UTC, datetime, timedelta

import pytest

from memos_kernel.cube import Kind, MemCube
from memos_kernel.names import CubeName, VaultName

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOW


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def make_cube():
    def make(name: str, *, expires_in: timedelta | None = None, **fields) -> MemCube:
        return MemCube(
            name=CubeName("acme", name),
            vault=VaultName("acme", "main"),
            kind=Kind.PLAINTEXT,
            payload=None,
            revision=fields.pop("revision", 1),
            etag=fields.pop("etag", "r1"),
            expire_time=NOW + expires_in if expires_in is not None else None,
            **fields,
        )

    return make
