"""A client of the server that was asked for, and what its errors mean on a command line."""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from memos_client import (
    Client,
    LimitExceeded,
    MemosError,
    Overloaded,
    RequestError,
    Settings,
    Unauthenticated,
    Unavailable,
)
from memosctl.failures import Failure, usage
from memosctl.importing import LineRefused, Send, refused_index

if TYPE_CHECKING:
    from memos_api.v1.memory_service_pb2 import AddMemoriesRequest, AddMemoriesResponse
    from memosctl.command import Cli


_HANDSHAKE = re.compile(r"handshake failed|Hostname Verification Check failed", re.IGNORECASE)
_WHY = re.compile(r"CERTIFICATE_VERIFY_FAILED(: [\w ]+)?|WRONG_VERSION_NUMBER|\w+_ALERT_\w+")
_CLOSED = re.compile(r"failed to connect to all addresses.*(Socket closed|Connection reset)", re.DOTALL)
"""Somebody took the connection, and ended it: a server with TLS that was told none, or no certificate."""


def connect(cli: "Cli", *, environ: Mapping[str, str] = os.environ) -> Client:
    """Return a client; options go before the environment, and that before the state directory of this machine.

    Raises:
        Failure: there is no API key, or it would leave this machine in plain text.
    """
    settings = _settings(cli, environ)
    if not settings.api_key:
        raise Failure(
            f"No API key for {settings.address}.",
            "Give --api-key-file or MEMOS_API_KEY; memosctl up makes a key for this machine.",
            reason="NO_API_KEY",
        )
    return Client(**settings.arguments())


def sender(client: Client) -> Send:
    """Return what sends one request of an import; a message at fault is told by its position."""

    def send(request: "AddMemoriesRequest") -> "AddMemoriesResponse":
        try:
            return client.call(request)  # type: ignore[no-any-return]
        except RequestError as error:
            index = refused_index(error.field)
            if index is None and isinstance(error, LimitExceeded) and len(request.messages) == 1:
                index = 0
            if index is None:
                raise
            raise LineRefused(index, error.message) from error

    return send


def explain_call(error: Exception, cli: "Cli") -> Failure | None:
    """Return a failed call as a failure that says what to do; None if it is no error of a call."""
    if not isinstance(error, MemosError):
        return None
    if isinstance(error, Unavailable) and not error.reason and not isinstance(error, Overloaded):
        return _unreached(error.message, _settings(cli, os.environ))
    return Failure(error.message, _hint(error, cli), reason=error.reason or error.code, metadata=error.metadata)


def _unreached(details: str, settings: Settings) -> Failure:
    """Return what is told of a call that no server of memos answered, by what gRPC says of the connection."""
    address = settings.address
    if settings.tls is not None and (failed := _HANDSHAKE.search(details)):
        why = _WHY.search(details) or failed
        return Failure(
            f"The TLS handshake with {address} failed: {why[0]}.",
            "MEMOS_CA_FILE (--ca-file) must be the CA of the server's certificate, which must be valid and name the "
            "host; MEMOS_CERT_FILE and MEMOS_KEY_FILE are for a server that asks for one.",
            reason="TLS_FAILED",
        )
    if _CLOSED.search(details):
        return Failure(f"What listens at {address} ends the connection before a call.", _ended(settings), "NO_ANSWER")
    return Failure(f"No server answers at {address}.", "Start it with: memosctl up", reason="NO_SERVER")


def _ended(settings: Settings) -> str:
    if settings.tls is None:
        return "If it speaks TLS, name the CA of its certificate with MEMOS_CA_FILE (--ca-file)."
    return "It may ask for a certificate: MEMOS_CERT_FILE and MEMOS_KEY_FILE, of a CA that it trusts."


def _hint(error: MemosError, cli: "Cli") -> str:
    if isinstance(error, Unauthenticated):
        return f"Give a key that works with --api-key-file; the local admin's is in {cli.state.admin_key_file}."
    hints = {
        "VAULT_NOT_FOUND": "memosctl vault list shows yours; memosctl vault create makes one.",
        "CUBE_NOT_FOUND": "memosctl search and memosctl list show names.",
        "PERMISSION_DENIED": "Ask the vault's owner: memosctl vault grant VAULT PRINCIPAL ROLE.",
        "ETAG_MISMATCH": "Read it again with memosctl get, and use its etag.",
        "REQUEST_ID_REUSED": "Use another --request-id.",
        "DEPENDENCY_UNAVAILABLE": "memosctl doctor shows which part is away.",
        "STORE_FULL": "Free some disk space, and try again.",
        "OVERLOADED": "Try again in a moment.",
        "INTERNAL_ERROR": f"Look for error {error.metadata.get('error_id', '')} in the server's log.",
    }
    return hints.get(error.reason, "")


def _settings(cli: "Cli", environ: Mapping[str, str]) -> Settings:
    asked = {**environ, "MEMOS_STATE_DIR": str(cli.state.root)}
    if cli.address:
        asked["MEMOS_ADDRESS"] = cli.address
    if cli.ca_file:
        asked["MEMOS_CA_FILE"] = str(cli.ca_file)
    if cli.api_key_file:
        asked.pop("MEMOS_API_KEY", None)
        asked["MEMOS_API_KEY_FILE"] = str(cli.api_key_file)
    try:
        return Settings.from_env(asked)
    except ValueError as error:
        raise usage(str(error)) from None
