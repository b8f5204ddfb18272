"""Puts services into a process: all six behind one public port, or some of them for a cluster.

Each service gets its own configuration, directory and channels; every hop between two of them is a gRPC
call, inside one process too.
"""

import importlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from memos_kernel.ids import SystemClock
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.server import Host, Listener, Trust
from memos_runtime.service import Service, ServiceContext
from memos_runtime.telemetry import Telemetry
from memos_runtime.tls import Certificates
from memos_wire.grants import GrantVerifier, load_public_key
from memos_wire.methods import INTERFACE, SERVICES
from memosctl import addresses
from memosctl.failures import Failure
from memosctl.settings import Settings
from memosctl.state import StateDir

SOCKET = "internal.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What the services of a process have in common."""

    settings: Settings
    state: StateDir
    telemetry: Telemetry
    clock: SystemClock

    def verifier(self) -> GrantVerifier:
        """Return what checks grants, by the configured public keys.

        Raises:
            Failure: one of them cannot be read.
        """
        files = self.settings.grant_key_files or (self.state.public_key_file,)
        return GrantVerifier([_public_key(path) for path in files], clock=self.clock)


@dataclass(frozen=True, slots=True)
class Hosted:
    """A host with the channels of its services.

    Attributes:
        services: names of what it hosts.
        address: where callers find it: of the public server, or of the one service.
        health_address: where its health is asked for; empty if nowhere.
    """

    host: Host
    pool: ChannelPool
    services: tuple[str, ...]
    address: str
    health_address: str


def all_in_one(process: Process, *, run_dir: Path) -> Hosted:
    """Return the six services behind one public server; between them a Unix socket that nobody else may enter."""
    settings = process.settings
    socket = f"unix:{run_dir / SOCKET}"
    token = secrets.token_urlsafe(32)  # lives and dies with the process
    pool = ChannelPool(dict.fromkeys(SERVICES, socket), max_message_bytes=settings.server.max_message_bytes)
    verifier = process.verifier()
    certificates = addresses.certificates_of(settings.tls, INTERFACE)
    services = [_build(process, name, pool=pool, token=token, verifier=verifier) for name in SERVICES]
    host = Host(
        services,
        config=settings.server,
        telemetry=process.telemetry,
        trust=Trust(verifier=verifier, clock=process.clock, peer_token=token),
        public=_public(settings, settings.server.address, certificates),
        internal=Listener(address=socket),
        pool=pool,
        certificates=certificates,
    )
    return Hosted(host, pool, SERVICES, settings.server.address, settings.server.health_address)


def one_by_one(process: Process, names: Sequence[str]) -> list[Hosted]:
    """Return a host for each service, with its own identity, on consecutive ports in the order of the names."""
    settings = process.settings
    token = settings.peers.token.get_secret_value()
    verifier = process.verifier()
    return [_hosted_alone(process, name, offset, token, verifier) for offset, name in enumerate(names)]


def _hosted_alone(process: Process, name: str, offset: int, token: str, verifier: GrantVerifier) -> Hosted:
    settings = process.settings
    certificates = addresses.certificates_of(settings.tls, name)
    config = settings.server.model_copy(
        update={
            "address": addresses.shifted(settings.server.address, offset),
            "health_address": addresses.shifted(settings.server.health_address, offset),
        }
    )
    pool = ChannelPool(settings.peers.addresses, certificates=certificates, max_message_bytes=config.max_message_bytes)
    service = _build(process, name, pool=pool, token=token, verifier=verifier)
    if name == INTERFACE:
        public, internal = _public(settings, config.address, certificates), None
    else:
        public, internal = None, _internal(config.address, certificates)
    trust = Trust(verifier=verifier, clock=process.clock, peer_token=None if certificates else token)
    host = Host(
        [service],
        config=config,
        telemetry=process.telemetry,
        trust=trust,
        public=public,
        internal=internal,
        pool=pool,
        certificates=certificates,
    )
    return Hosted(host, pool, (name,), config.address, config.health_address)


def _public_key(file: Path) -> Ed25519PublicKey:
    try:
        return load_public_key(file)
    except (OSError, ValueError) as error:
        raise Failure(
            f"grant_key_files: {file} cannot be used: {getattr(error, 'strerror', None) or error}.",
            "It has to be governance's public key, which governance makes as keys/grant_ed25519.pub.pem in its state"
            " directory; with no grant_key_files it is looked for in the own one.",
            reason="KEY_MISSING",
        ) from error


def _build(process: Process, name: str, *, pool: ChannelPool, token: str, verifier: GrantVerifier) -> Service:
    """Build one service. Its package is imported here, so that a process holds only what it serves."""
    wiring = importlib.import_module(f"memos_{name}.wiring")
    telemetry = process.telemetry.for_service(name)
    context = ServiceContext(
        name=name,
        state_dir=process.state.of(name),
        channels=Channels(service=name, pool=pool, telemetry=telemetry, peer_token=token),
        clock=process.clock,
        telemetry=telemetry,
        verifier=verifier,
    )
    try:
        if not hasattr(wiring, "migrate"):  # it keeps nothing in a database
            return cast(Service, wiring.build(process.settings.section(name), context))
        return _with_database(lambda: cast(Service, wiring.build(process.settings.section(name), context)), name)
    except (OSError, ValueError) as error:
        raise Failure(f"{name} cannot be built: {error}", "See memosctl config and memosctl doctor.") from error


def _with_database(build: Callable[[], Service], name: str) -> Service:
    """Build a service that tells of a database that it cannot open by the key that names it."""
    from memosctl.migrating import opening

    with opening(name):
        service = build()

    async def start() -> None:
        with opening(name):
            await service.start()

    return replace(service, start=start)


def _public(settings: Settings, address: str, certificates: Certificates | None) -> Listener:
    if certificates is None:
        return Listener(address=address)
    required = settings.tls.client_certificates
    return Listener(address=address, credentials=certificates.server_credentials(require_client=required))


def _internal(address: str, certificates: Certificates | None) -> Listener:
    return Listener(address=address, credentials=certificates.server_credentials() if certificates else None)
