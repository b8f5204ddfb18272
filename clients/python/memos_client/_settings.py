"""Where the server is, and who is calling."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

DEFAULT_ADDRESS = "127.0.0.1:7070"
DEFAULT_TENANT = "local"


_SCHEME = re.compile(r"(dns|ipv4|ipv6|xds):(//[^/]*/)?")
_HOST = re.compile(r"\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A connection with TLS.

    Attributes:
        ca_file: PEM certificates that the server is checked against; None takes the system's.
        cert_file: PEM certificate of the client, where the server asks for one.
        key_file: PEM private key of that certificate.
        server_name: name in the server's certificate, if it is not the host of the address.

    Raises:
        ValueError: there is a certificate without its key, or a key without its certificate.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("A certificate and its key go together: give both (MEMOS_CERT_FILE, MEMOS_KEY_FILE).")

    def stamp(self) -> "Stamp":
        """Return what changes when one of the files does.

        Raises:
            OSError: a file cannot be read.
        """
        files = (self.ca_file, self.cert_file, self.key_file)
        found = [path.stat() for path in files if path is not None]
        return tuple((each.st_mtime_ns, each.st_ino) for each in found)


Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a client is made from.

    Attributes:
        address: gRPC target, such as `host:7070`, `dns:///host:7070` or `unix:/path`.
        api_key: secret of the API key.
        tenant: tenant that short names belong to: `notes` is `tenants/{tenant}/vaults/notes`.
        tls: None for a connection without TLS.
        allow_plaintext: send the key without TLS to other machines, for a network that encrypts by itself.

    Raises:
        ValueError: the key would leave this machine in plain text, or holds what no HTTP header carries; the address
            is no host:port.
    """

    address: str = DEFAULT_ADDRESS
    api_key: str = ""
    tenant: str = DEFAULT_TENANT
    tls: Tls | None = None
    allow_plaintext: bool = False

    def __post_init__(self) -> None:
        _check_key(self.api_key, "api_key")
        if not _is_target(self.address):
            raise ValueError(f"The address {self.address!r} is no host:port such as {DEFAULT_ADDRESS} (MEMOS_ADDRESS).")
        if self.api_key and self.tls is None and not self.allow_plaintext and not self.is_local:
            raise ValueError(
                f"The API key would be sent to {self.address} in plain text; give TLS (MEMOS_CA_FILE), or allow it "
                "(allow_plaintext, MEMOS_ALLOW_PLAINTEXT=1) where the network encrypts by itself."
            )

    def __repr__(self) -> str:
        return f"Settings(address={self.address!r}, tenant={self.tenant!r}, tls={self.tls!r}, api_key=***)"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the environment.

        MEMOS_ADDRESS, MEMOS_TENANT, MEMOS_CA_FILE (turns TLS on), MEMOS_CERT_FILE and MEMOS_KEY_FILE (where the
        server asks for a certificate), MEMOS_ALLOW_PLAINTEXT, and the key from MEMOS_API_KEY or the file
        MEMOS_API_KEY_FILE. What is missing is taken from the state directory of `memosctl up`
        on this machine (MEMOS_STATE_DIR, else $XDG_STATE_HOME/memos, else ~/.local/state/memos), if there is one; its
        key is for servers on this machine alone.

        Raises:
            OSError: MEMOS_API_KEY_FILE cannot be read.
            ValueError: the key would leave this machine in plain text, or holds what no HTTP header carries; the
                address is no host:port.
        """
        env = os.environ if environ is None else environ
        state = _state_directory(env)
        key_file = env.get("MEMOS_API_KEY_FILE")
        key = env.get("MEMOS_API_KEY") or (_text(Path(key_file)).strip() if key_file else "")
        _check_key(key, "MEMOS_API_KEY" if env.get("MEMOS_API_KEY") else f"MEMOS_API_KEY_FILE ({key_file})")
        ca_file = env.get("MEMOS_CA_FILE")
        pair = [Path(env[name]) if env.get(name) else None for name in ("MEMOS_CERT_FILE", "MEMOS_KEY_FILE")]
        address = env.get("MEMOS_ADDRESS") or _content(state / "address") or DEFAULT_ADDRESS
        return cls(
            address=address,
            api_key=key or (_content(state / "admin.key") if is_local(address) else ""),
            tenant=env.get("MEMOS_TENANT") or DEFAULT_TENANT,
            tls=Tls(ca_file=Path(ca_file), cert_file=pair[0], key_file=pair[1]) if ca_file else None,
            allow_plaintext=env.get("MEMOS_ALLOW_PLAINTEXT", "").lower() in ("1", "true", "yes", "on"),
        )

    @property
    def is_local(self) -> bool:
        """Whether the address is on this machine."""
        return is_local(self.address)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a client that is made from these settings."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def name(self, collection: str, value: str) -> str:
        """Return the full resource name of a short one; a full one and an empty one stay as they are."""
        if not value or value.startswith("tenants/"):
            return value
        return f"tenants/{self.tenant}/{collection}/{value.removeprefix(collection + '/')}"


def _check_key(key: str, source: str) -> None:
    """Refuse a key that no HTTP header carries; what it is stays untold.

    Raises:
        ValueError: it is one.
    """
    if not (key.isascii() and key.isprintable()):
        raise ValueError(
            f"The API key of {source} holds characters that no key has, such as a line break or an accent; "
            "give it as it was shown when it was made."
        )


def _is_target(address: str) -> bool:
    """Return whether an address is host:port, with or without the scheme of a gRPC resolver, or a socket's path."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host, _, port = _SCHEME.sub("", address).rpartition(":")
    return _HOST.fullmatch(host) is not None and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def is_local(address: str) -> bool:
    """Return whether a gRPC target or the address of a server is on this machine."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition("/")[2].rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _state_directory(env: Mapping[str, str]) -> Path:
    if chosen := env.get("MEMOS_STATE_DIR"):
        return Path(chosen).expanduser()
    if home := env.get("XDG_STATE_HOME"):
        return Path(home) / "memos"
    return Path(env.get("HOME") or Path.home()) / ".local" / "state" / "memos"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")  # of a decoder's error the bytes could be read


def _content(path: Path) -> str:
    try:
        return _text(path).strip()
    except OSError:
        return ""
