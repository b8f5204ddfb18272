from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checkpoints import write_checkpoint
from memos_kernel.cube import Kind, MemCube, Plaintext
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action, Grant

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
VAULT = VaultName("local", "main")


@dataclass(frozen=True)
class FixedClock:
    def now(self) -> datetime:
        return NOW


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def cube() -> Callable[..., MemCube]:
    def make(text: str = "Nora has a red bicycle.", **fields: Any) -> MemCube:
        given = {"name": CubeName("local", "c1"), "vault": VAULT, "kind": Kind.PLAINTEXT, "payload": Plaintext(text)}
        return MemCube(**{**given, **fields})

    return make


@pytest.fixture
def grant() -> Callable[..., Grant]:
    def make(**fields: Any) -> Grant:
        given = {
            "id": "g",
            "principal": PrincipalName("local", "admin"),
            "issued_to": "interface",
            "vaults": frozenset({VAULT}),
            "all_vaults": False,
            "actions": frozenset({Action.MODEL_USE, Action.CUBE_USE}),
            "policy_epoch": 1,
            "expire_time": NOW + timedelta(seconds=60),
        }
        return Grant(**{**given, **fields})

    return make


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "random")
