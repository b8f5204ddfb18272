"""The system under test: one process or six, started as a user would, or one that runs already.

SYSTEM_UNDER_TEST names a JSON file that says where that one is: its `address`, the `authority` of its certificate, and
`state`, a folder with the admin's key in admin.key.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector import Collector, collecting
from deployment import Caller, Deployment
from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import vault_pb2 as vaults

SWEEPS = {"MEMOS_SCHEDULER__SWEEP_SECONDS": "1", "MEMOS_SCHEDULER__VAULT_SWEEP_SECONDS": "1"}


@pytest.fixture(scope="session")
def one_process(tmp_path_factory) -> Iterator[Deployment]:
    """A system in one process, with telemetry off and sweeps each second."""
    with Deployment.one_process(tmp_path_factory.mktemp("one") / "state", env=SWEEPS) as running:
        yield running


@pytest.fixture(scope="session")
def six_processes(tmp_path_factory) -> Iterator[Deployment]:
    """The same in six processes."""
    with Deployment.six_processes(tmp_path_factory.mktemp("six") / "state", env=SWEEPS) as running:
        yield running


@pytest.fixture(scope="session")
def running_already() -> Deployment:
    """The system that SYSTEM_UNDER_TEST names."""
    found = json.loads(Path(os.environ["SYSTEM_UNDER_TEST"]).read_text())
    return Deployment(Path(found["state"]), found["address"], authority=Path(found["authority"]))


SYSTEMS = ["running-already"] if "SYSTEM_UNDER_TEST" in os.environ else ["one-process", "six-processes"]


@pytest.fixture(scope="session", params=SYSTEMS)
def system(request) -> Deployment:
    """Each of them, which go on running: whatever the order of the tests, each is started once."""
    return request.getfixturevalue(request.param.replace("-", "_"))


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
def collector() -> Iterator[Collector]:
    """A collector of OpenTelemetry."""
    with collecting() as running:
        yield running


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
