"""Where the server is, and who is calling."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DEFAULT_ADDRESS = "127.0.0.1:7070"
DEFAULT_TENANT = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A connection with TLS.

    Attributes:
        ca_file: PEM certificates that the server is checked against; None takes the system's.
        cert_file: PEM certificate of the client, where the server asks for one.
        key_file: PEM private key of that certificate.
        server_name: name in the server's certificate, if it is not the host of the address.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a client is made from.

    Attributes:
        address: gRPC target, such as `host:7070`, `dns:///host:7070` or `unix:/path`.
        api_key: secret of the API key.
        tenant: tenant that short names belong to: `notes` is `tenants/{tenant}/vaults/notes`.
        tls: None for a connection without TLS.
    """

    address: str = DEFAULT_ADDRESS
    api_key: str = ""
    tenant: str = DEFAULT_TENANT
    tls: Tls | None = None

    def __repr__(self) -> str:
        return f"Settings(address={self.address!r}, tenant={self.tenant!r}, tls={self.tls!r}, api_key=***)"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the environment.

        MEMOS_ADDRESS, MEMOS_TENANT, MEMOS_CA_FILE (turns TLS on), and the key from MEMOS_API_KEY or the file
        MEMOS_API_KEY_FILE. What is missing is taken from the state directory of `memosctl up` on this machine
        (MEMOS_STATE_DIR, else $XDG_STATE_HOME/memos, else ~/.local/state/memos), if there is one.

        Raises:
            OSError: MEMOS_API_KEY_FILE cannot be read.
        """
        env = os.environ if environ is None else environ
        state = _state_directory(env)
        key_file = env.get("MEMOS_API_KEY_FILE")
        key = env.get("MEMOS_API_KEY") or (Path(key_file).read_text(encoding="utf-8").strip() if key_file else "")
        ca_file = env.get("MEMOS_CA_FILE")
        return cls(
            address=env.get("MEMOS_ADDRESS") or _content(state / "address") or DEFAULT_ADDRESS,
            api_key=key or _content(state / "admin.key"),
            tenant=env.get("MEMOS_TENANT") or DEFAULT_TENANT,
            tls=Tls(ca_file=Path(ca_file)) if ca_file else None,
        )

    def name(self, collection: str, value: str) -> str:
        """Return the full resource name of a short one; a full one and an empty one stay as they are."""
        if not value or value.startswith("tenants/"):
            return value
        return f"tenants/{self.tenant}/{collection}/{value.removeprefix(collection + '/')}"


def _state_directory(env: Mapping[str, str]) -> Path:
    if chosen := env.get("MEMOS_STATE_DIR"):
        return Path(chosen).expanduser()
    if home := env.get("XDG_STATE_HOME"):
        return Path(home) / "memos"
    return Path(env.get("HOME") or Path.home()) / ".local" / "state" / "memos"


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
