"""The one schema of the configuration: a section a service, and what a process needs around them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from pydantic import Field

from memos_governance.config import GovernanceConfig
from memos_inference.config import InferenceConfig
from memos_interface.config import InterfaceConfig
from memos_lifecycle.config import LifecycleConfig
from memos_runtime.config import (
    OptionalServerAddress,
    PeerConfig,
    Section,
    ServerAddress,
    ServerConfig,
    TelemetryConfig,
    TlsConfig,
)
from memos_runtime.loading import ConfigError, load
from memos_scheduler.config import SchedulerConfig
from memos_storage.config import StorageConfig
from memosctl.failures import Failure
from memosctl.state import StateDir

ALIASES: Mapping[str, str] = {"MEMOS_MODEL": "inference.model"}
"""Short names of the environment."""

RESERVED = frozenset(
    {
        "MEMOS_CONFIG",
        "MEMOS_ADDRESS",
        "MEMOS_API_KEY",
        "MEMOS_API_KEY_FILE",
        "MEMOS_CA_FILE",
        "MEMOS_CERT_FILE",
        "MEMOS_KEY_FILE",
        "MEMOS_TENANT",
        "MEMOS_DEBUG",
        "MEMOS_EVAL_DATA",
    }
)
"""Names of the environment that belong to clients, tests or the command line itself."""


class ServerSettings(ServerConfig):
    """The servers of a process, with the defaults of one machine."""

    address: ServerAddress = Field(
        "127.0.0.1:7070",
        description="host:port of the server: the public API in `up` and `serve interface`, else the service; "
        "several services of one `serve` take consecutive ports from here",
    )
    health_address: OptionalServerAddress = Field(
        "127.0.0.1:0",
        description="host:port of the plaintext grpc.health.v1 server, counted on like address; port 0 takes a free "
        "one, empty turns it off",
    )


class Settings(Section):
    """The configuration of a process. Every default works offline on one machine."""

    state_dir: Path | None = Field(
        None, description="directory of everything that is kept; empty is $XDG_STATE_HOME/memos or ~/.local/state/memos"
    )
    grant_key_files: tuple[Path, ...] = Field(
        (),
        description="PEM files of governance's public keys; empty is keys/grant_ed25519.pub.pem in the state directory",
    )
    allow_plaintext: bool = Field(
        False, description="take API keys in plain text from other machines, for a proxy that ends TLS"
    )
    governance: GovernanceConfig = GovernanceConfig()
    storage: StorageConfig = StorageConfig()
    inference: InferenceConfig = InferenceConfig()
    lifecycle: LifecycleConfig = LifecycleConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    interface: InterfaceConfig = InterfaceConfig()
    server: ServerSettings = ServerSettings()
    peers: PeerConfig = PeerConfig()
    tls: TlsConfig = TlsConfig()
    telemetry: TelemetryConfig = TelemetryConfig()

    def section(self, service: str) -> Section:
        """Return the section of a service."""
        return cast(Section, getattr(self, service))

    def state(self) -> StateDir:
        """Return the state directory."""
        return StateDir.locate(self.state_dir, environ=os.environ)


def load_settings(
    *,
    file: Path | None = None,
    state_dir: Path | None = None,
    address: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the effective configuration: options over environment over file over defaults.

    Args:
        file: TOML file; None takes MEMOS_CONFIG, else there is none.
        state_dir: option `--state-dir`.
        address: option `--address` of a server.
        environ: environment.

    Raises:
        Failure: a key is unknown or a value does not fit.
    """
    chosen = file or (Path(environ["MEMOS_CONFIG"]) if environ.get("MEMOS_CONFIG") else None)
    given = dict(environ)
    if state_dir is not None:
        given["MEMOS_STATE_DIR"] = str(state_dir)
    if address is not None:
        given["MEMOS_SERVER__ADDRESS"] = address
    try:
        return load(Settings, file=chosen, environ=given, aliases=ALIASES, reserved=RESERVED)
    except ConfigError as error:
        raise Failure(
            " ".join(error.problems), "memosctl config --schema lists every key.", reason="CONFIG_INVALID", exit_code=2
        ) from None
