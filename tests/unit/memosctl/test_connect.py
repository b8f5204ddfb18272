"""What a person is told of a server that is not reached: it is away, or TLS is not as it should be."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from memosctl.certificates import write_certificates

NOW = datetime.now(UTC)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    for name, made in (("ours", NOW), ("theirs", NOW), ("old", NOW - timedelta(days=9_000))):
        write_certificates(tmp_path / name, ["interface", "client"], namespace="memos", now=made)
    return tmp_path


@pytest.fixture
def serve(certificates):
    """Starts a server with the certificates of a folder, and returns its port."""
    running = []

    def start(folder: str, *, asks: bool = False) -> int:
        files = [(certificates / folder / name).read_bytes() for name in ("interface.key", "interface.crt", "ca.crt")]
        credentials = grpc.ssl_server_credentials(
            [(files[0], files[1])], root_certificates=files[2] if asks else None, require_client_auth=asks
        )
        server = grpc.server(ThreadPoolExecutor(1))
        port: int = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        running.append(server)
        return port

    yield start
    for server in running:
        server.stop(None)


@pytest.fixture
def told(memosctl, monkeypatch):
    """Runs a command against a port with files of TLS, and returns what it says."""

    def run(port: int, **files: Path) -> str:
        monkeypatch.setenv("MEMOS_API_KEY", "mk_x")
        monkeypatch.setenv("MEMOS_ADDRESS", f"localhost:{port}")
        for name, file in files.items():
            monkeypatch.setenv(name, str(file))
        result = memosctl.run("vault", "list")
        assert result.exit_code == 1
        return result.stderr

    return run


@pytest.mark.parametrize(
    ("folder", "authority", "why"),
    [
        ("ours", "theirs", "CERTIFICATE_VERIFY_FAILED"),
        ("old", "old", "CERTIFICATE_VERIFY_FAILED: certificate has expired"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_told_with_the_variable(
    serve, told, certificates, folder, authority, why
) -> None:
    said = told(serve(folder), MEMOS_CA_FILE=certificates / authority / "ca.crt")

    assert "The TLS handshake with localhost" in said
    assert why in said
    assert "MEMOS_CA_FILE" in said
    assert "memosctl up" not in said


def test_tls_to_a_server_without_it_is_no_server_that_is_away(server, told, certificates) -> None:
    port = int(server.address.rpartition(":")[2])

    assert "The TLS handshake with localhost" in told(port, MEMOS_CA_FILE=certificates / "ours" / "ca.crt")


def test_plain_text_to_a_server_with_tls_is_told_how_to_name_the_authority(serve, told) -> None:
    said = told(serve("ours"))

    assert "name the CA of its certificate with MEMOS_CA_FILE" in said
    assert "memosctl up" not in said


@pytest.mark.parametrize("pair", [None, "theirs"])
def test_a_certificate_of_the_client_that_is_missing_or_foreign_is_told_with_the_variables(
    serve, told, certificates, pair
) -> None:
    files = {"MEMOS_CA_FILE": certificates / "ours" / "ca.crt"}
    if pair:
        files["MEMOS_CERT_FILE"] = certificates / pair / "client.crt"
        files["MEMOS_KEY_FILE"] = certificates / pair / "client.key"

    said = told(serve("ours", asks=True), **files)

    assert "MEMOS_CERT_FILE and MEMOS_KEY_FILE" in said
    assert "memosctl up" not in said


def test_a_server_that_is_full_is_not_told_to_be_away(memosctl, monkeypatch) -> None:
    class Full(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many calls.")
            )

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Full()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("MEMOS_API_KEY", "mk_x")

    said = memosctl.run("vault", "list", "--address", f"127.0.0.1:{port}").stderr

    server.stop(None)
    assert "Too many calls." in said
    assert "memosctl up" not in said


def test_an_address_that_is_none_and_a_key_that_is_none_are_refused_before_any_call(memosctl, monkeypatch) -> None:
    monkeypatch.setenv("MEMOS_API_KEY", "mk_s\u00e9cret")
    refused = memosctl.run("vault", "list")
    assert (refused.exit_code, "The API key of MEMOS_API_KEY" in refused.stderr) == (2, True)
    assert "cret" not in refused.stderr
    monkeypatch.setenv("MEMOS_API_KEY", "mk_x")
    monkeypatch.setenv("MEMOS_ADDRESS", "nonsense")
    refused = memosctl.run("vault", "list")
    assert (refused.exit_code, "MEMOS_ADDRESS" in refused.stderr) == (2, True)
