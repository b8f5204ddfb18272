"""A process that serves: prepared, started, announced, drained when it is asked to end."""

import asyncio
import logging
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from memos_kernel.ids import Clock, SystemClock
from memos_runtime import logging as runtime_logging
from memos_runtime import loop
from memos_runtime.observability import Observability
from memos_wire.methods import GOVERNANCE, INTERFACE
from memosctl import addresses, compose, exposure
from memosctl.failures import Failure
from memosctl.keys import ensure_grant_keys
from memosctl.lock import locked
from memosctl.settings import Settings
from memosctl.state import StateDir, write_private

_LOG = logging.getLogger(__name__)

_KEY_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What is told when all services take calls.

    Attributes:
        services: what is served.
        addresses: where, one a host.
        health: health endpoints; empty if they are off.
        seconds: from the start of the process's own work to now.
        key_file: file of the admin's key, if it was made by this start.
    """

    services: tuple[str, ...]
    addresses: tuple[str, ...]
    health: tuple[str, ...]
    seconds: float
    key_file: Path | None


Announce = Callable[[Ready], None]


def up(settings: Settings, *, announce: Announce) -> None:
    """Serve all six services from one process until SIGTERM or SIGINT.

    Raises:
        Failure: the state directory is in use, or an address is taken.
    """
    exposure.check_up(settings)
    state = settings.state()
    runtime_logging.configure(settings.telemetry)
    with locked(state):
        if settings.governance.signing_key_file is None:
            ensure_grant_keys(state)
        run_dir = state.socket_directory()
        try:
            loop.run(_up(settings, state, run_dir, announce))
        finally:
            if run_dir.parent != state.root:
                shutil.rmtree(run_dir, ignore_errors=True)


def serve(settings: Settings, names: Sequence[str], *, announce: Announce) -> None:
    """Serve some services, each on its own port, until SIGTERM or SIGINT.

    Raises:
        Failure: as `up`, or the services cannot know each other.
    """
    exposure.check_serve(settings, names)
    state = settings.state()
    runtime_logging.configure(settings.telemetry)
    with locked(state, names):
        if GOVERNANCE in names and settings.governance.signing_key_file is None:
            ensure_grant_keys(state)
        loop.run(_serve(settings, state, names, announce))


async def _up(settings: Settings, state: StateDir, run_dir: Path, announce: Announce) -> None:
    begin = time.monotonic()
    (run_dir / compose.SOCKET).unlink(missing_ok=True)  # left behind by a killed process
    key_file = await _admin_key(settings, state, SystemClock())
    async with _telemetry(settings, state) as process:
        hosted = compose.all_in_one(process, run_dir=run_dir)
        await _run([hosted], announce, begin=begin, key_file=key_file, state=state)


async def _serve(settings: Settings, state: StateDir, names: Sequence[str], announce: Announce) -> None:
    begin = time.monotonic()
    key_file = await _admin_key(settings, state, SystemClock()) if GOVERNANCE in names else None
    for file in settings.grant_key_files or (state.public_key_file,):
        await _wait_for(file)
    async with _telemetry(settings, state) as process:
        hosted = compose.one_by_one(process, names)
        await _run(hosted, announce, begin=begin, key_file=key_file, state=state)


async def _run(
    hosted: Sequence[compose.Hosted], announce: Announce, *, begin: float, key_file: Path | None, state: StateDir
) -> None:
    """Start the hosts one after the other, wait to be asked to end, and drain them in reverse."""
    asked = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, _stop_or_exit, asked)
    started: list[compose.Hosted] = []
    _check_free(hosted)
    try:
        for one in hosted:
            started.append(one)
            await _start(one, asked)
        if not asked.is_set():
            ready = _ready(hosted, seconds=time.monotonic() - begin, key_file=key_file)
            _note_addresses(ready, state)
            announce(ready)
        await asked.wait()
    finally:
        for one in reversed(started):
            await one.host.drain()
            await one.pool.close()


def _check_free(hosted: Sequence[compose.Hosted]) -> None:
    """Refuse an address that is taken before the models are loaded, not after."""
    for one in hosted:
        for address in filter(None, (one.address, one.health_address)):
            addresses.require_free(address)


async def _start(hosted: compose.Hosted, asked: asyncio.Event) -> None:
    """Start a host; give up at once when the process is asked to end meanwhile."""
    starting = asyncio.ensure_future(hosted.host.start())
    ending = asyncio.ensure_future(asked.wait())
    await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return
    try:
        await starting
    except (OSError, RuntimeError) as error:
        raise Failure(f"The services cannot start: {error}", "memosctl doctor looks for the cause.") from error


def _stop_or_exit(asked: asyncio.Event) -> None:
    if asked.is_set():
        os._exit(130)  # asked twice: no more patience
    asked.set()


def _ready(hosted: Sequence[compose.Hosted], *, seconds: float, key_file: Path | None) -> Ready:
    return Ready(
        services=tuple(name for one in hosted for name in one.services),
        addresses=tuple(_listening(one) for one in hosted),
        health=tuple(
            addresses.with_port(one.health_address, one.host.ports["health"]) for one in hosted if one.health_address
        ),
        seconds=seconds,
        key_file=key_file,
    )


def _listening(hosted: compose.Hosted) -> str:
    ports = hosted.host.ports
    return addresses.with_port(hosted.address, ports["public"] if "public" in ports else ports["internal"])


def _note_addresses(ready: Ready, state: StateDir) -> None:
    """Write down where the public server is, for the clients of this machine."""
    if INTERFACE in ready.services:
        alone = len(ready.addresses) == len(ready.services)  # each service on its own address, or all behind one
        public = ready.addresses[ready.services.index(INTERFACE)] if alone else ready.addresses[0]
        write_private(state.address_file, public.encode() + b"\n")
        write_private(state.health_file, "\n".join(ready.health).encode() + b"\n")


async def _admin_key(settings: Settings, state: StateDir, clock: Clock) -> Path | None:
    """Make the local tenant with its admin, vault and key on the first start; return the key's file if it is new."""
    from memos_governance.local import bootstrap_local
    from memosctl.migrating import opening

    if state.admin_key_file.exists():
        return None
    with opening(GOVERNANCE):
        secret = await bootstrap_local(settings.governance, state.of(GOVERNANCE), clock)
    if settings.governance.admin_key.get_secret_value():
        if secret is None:
            _LOG.info("the local tenant is there already; governance.admin_key is for its first start alone")
        return None  # who gave it has it
    if secret is None:
        _LOG.warning("%s is missing; memosctl key recover makes a new one", state.admin_key_file)
        return None
    write_private(state.admin_key_file, secret.encode() + b"\n")
    return state.admin_key_file


async def _wait_for(file: Path) -> None:
    """Wait for governance to make its key, or for whoever brings it here."""
    begin, told = time.monotonic(), False
    while not await asyncio.to_thread(file.exists):
        if time.monotonic() > begin + _KEY_WAIT_SECONDS:
            raise Failure(
                f"{file} does not exist.",
                "Start governance, which makes it, or set grant_key_files to where governance's public key is.",
                reason="KEY_MISSING",
            )
        if not told:
            told = True
            _LOG.warning("waiting for governance's public key %s (grant_key_files)", file)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def _telemetry(settings: Settings, state: StateDir) -> AsyncIterator[compose.Process]:
    observability = Observability(settings.telemetry)
    await observability.start()
    try:
        yield compose.Process(settings=settings, state=state, telemetry=observability.telemetry, clock=SystemClock())
    finally:
        await observability.close()
