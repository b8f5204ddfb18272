"""The system under test: one process or six, started as a user would."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployment import Caller, Deployment
from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import vault_pb2 as vaults


@pytest.fixture(scope="session", params=["one-process", "six-processes"])
def system(request, tmp_path_factory) -> Iterator[Deployment]:
    """A running system with telemetry off, and sweeps each second."""
    state = tmp_path_factory.mktemp("system") / "state"
    start = Deployment.one_process if request.param == "one-process" else Deployment.six_processes
    sweeps = {"MEMOS_SCHEDULER__SWEEP_SECONDS": "1", "MEMOS_SCHEDULER__VAULT_SWEEP_SECONDS": "1"}
    with start(state, env=sweeps) as running:
        yield running


@pytest.fixture
async def caller(system) -> Caller:
    """The public API with the admin's key."""
    async with system.caller() as opened:
        yield opened


@pytest.fixture
async def vault(caller) -> str:
    """A new, empty vault that the admin owns."""
    name = f"tenants/local/vaults/v{uuid.uuid4().hex[:12]}"
    await caller.governance.CreateVault(governance.CreateVaultRequest(vault=vaults.Vault(name=name)))
    return name


@pytest.fixture
def launch() -> Iterator[Callable[[Path], Deployment]]:
    """Start systems in one process that the test may kill; what is left at the end is stopped."""
    started: list[Deployment] = []

    def start(state: Path, **options) -> Deployment:
        system = Deployment.one_process(state, **options)
        started.append(system)
        return system

    yield start
    for system in started:
        system.stop()
