"""Addresses and certificates of servers: what may be said in plain text, and where the next port is."""

import socket
from pathlib import Path

from memos_client import is_local
from memos_runtime.config import TlsConfig, host_and_port
from memos_runtime.tls import Certificates
from memosctl.failures import Failure, usage


def split(address: str) -> tuple[str, int]:
    """Read `host:port` or `[v6]:port`.

    Raises:
        Failure: it is neither.
    """
    try:
        host, port = host_and_port(address)
    except ValueError:
        host, port = "", 0
    if not host:
        raise usage(f"{address!r} is not host:port.")
    return host, port


def shifted(address: str, offset: int) -> str:
    """Return the address some ports further; empty stays empty, and port 0 takes any free port."""
    if not address or not offset:
        return address
    _, port = split(address)
    return with_port(address, port + offset if port else 0)


def with_port(address: str, port: int) -> str:
    """Return the address with another port."""
    return f"{address.rpartition(':')[0]}:{port}"


def is_loopback(address: str) -> bool:
    """Return whether an address or gRPC target stays on this machine."""
    if not address.startswith("unix:"):
        split(address.rpartition("/")[2])
    return is_local(address)


def require_loopback(*given: str, why: str) -> None:
    """Refuse addresses beyond this machine.

    Raises:
        Failure: one is.
    """
    for address in given:
        if not is_loopback(address):
            raise usage(
                f"{address} is reached from other machines, and {why}.",
                "Set tls.cert_file, tls.key_file and tls.ca_file; memosctl certs makes some to try.",
            )


def require_free(address: str) -> None:
    """Refuse an address that another process listens on.

    Raises:
        Failure: it is taken, or not of this machine.
    """
    host, port = split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Failure(
                f"Cannot listen on {address}: {error.strerror}.",
                "Stop what listens there, or choose another address with --address.",
                reason="ADDRESS_TAKEN",
            ) from None


def certificates_of(config: TlsConfig, service: str) -> Certificates | None:
    """Return the files of one service, or None without TLS; `{service}` in a path stands for its name.

    Raises:
        Failure: only some of the files are given.
    """
    given = (config.cert_file, config.key_file, config.ca_file)
    if not any(given):
        return None
    cert, key, authority = (Path(str(path).replace("{service}", service)) if path else None for path in given)
    if cert is None or key is None or authority is None:
        raise usage("TLS needs all of tls.cert_file, tls.key_file and tls.ca_file.")
    return Certificates(cert, key, authority)
