"""What a client tells of itself to a server behind TLS: its certificate, also a renewed one, and its trace."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from opentelemetry import trace

from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import governance_service_pb2_grpc as governance_grpc
from memos_client import AsyncClient, Settings, Tls, Unavailable
from memos_client import _transport as transport
from memos_runtime.tls import Certificates
from memosctl.certificates import write_certificates

NOW = datetime.now(UTC)


class Server(governance_grpc.GovernanceServiceServicer):
    """Keeps who called, and what came along."""

    def __init__(self):
        self.serials = []
        self.metadata = {}

    async def ListVaults(self, request, context):
        self.metadata = dict(context.invocation_metadata())
        if pem := context.auth_context().get("x509_pem_cert"):
            self.serials.append(x509.load_pem_x509_certificate(pem[0]).serial_number)
        return governance.ListVaultsResponse()


@pytest.fixture
async def server(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "_LOOK_SECONDS", 0.0)
    folder = tmp_path / "certificates"
    write_certificates(folder, ["interface", "client"], namespace="memos", now=NOW)
    files = Certificates(folder / "interface.crt", folder / "interface.key", folder / "ca.crt")
    servicer, running = Server(), grpc.aio.server()
    governance_grpc.add_GovernanceServiceServicer_to_server(servicer, running)
    servicer.port = running.add_secure_port("127.0.0.1:0", files.server_credentials())
    servicer.folder = folder
    await running.start()
    yield servicer
    await running.stop(None)


def client(server, **tls):
    folder = server.folder
    pair = {"cert_file": folder / "client.crt", "key_file": folder / "client.key", **tls}
    return AsyncClient(f"localhost:{server.port}", api_key="mk_x", tls=Tls(ca_file=folder / "ca.crt", **pair))


async def list_vaults(memos):
    return [vault async for vault in memos.list_vaults()]


async def test_a_renewed_certificate_is_shown_without_a_new_client(server):
    async with client(server) as memos:
        await list_vaults(memos)
        await list_vaults(memos)
        write_certificates(server.folder, ["client"], namespace="memos", now=NOW + timedelta(seconds=1))
        await list_vaults(memos)
    first, second, renewed = server.serials
    assert first == second != renewed


async def test_while_the_files_cannot_be_read_the_connection_stays(server):
    async with client(server) as memos:
        await list_vaults(memos)
        (server.folder / "client.crt").rename(server.folder / "gone")
        await list_vaults(memos)
    assert len(server.serials) == 2


async def test_a_call_that_runs_ends_on_the_connection_that_it_has(server):
    async with client(server) as memos:
        await list_vaults(memos)
        running = asyncio.create_task(list_vaults(memos))
        await asyncio.sleep(0)
        write_certificates(server.folder, ["client"], namespace="memos", now=NOW + timedelta(seconds=1))
        await asyncio.gather(running, list_vaults(memos))
    assert len(server.serials) == 3


async def test_a_file_that_is_half_written_is_not_taken_and_tried_again(server):
    async with client(server) as memos:
        await list_vaults(memos)
        whole = (server.folder / "client.key").read_bytes()
        for part in (b"", whole[:40]):
            (server.folder / "client.key").write_bytes(part)
            await list_vaults(memos)
        write_certificates(server.folder, ["client"], namespace="memos", now=NOW + timedelta(seconds=1))
        await list_vaults(memos)
    assert server.serials[0] == server.serials[2] != server.serials[3]


def test_half_a_pair_is_refused(tmp_path):
    with pytest.raises(ValueError, match="go together"):
        Tls(cert_file=tmp_path / "client.crt")


async def test_without_a_certificate_it_is_not_let_in(server):
    async with client(server, cert_file=None, key_file=None) as memos:
        with pytest.raises(Unavailable):
            await memos._transport.call(governance.ListVaultsRequest(), timeout=1)


async def test_the_span_of_the_caller_goes_along(server):
    context = trace.SpanContext(0xA1B2, 0xC3, is_remote=False, trace_flags=trace.TraceFlags(1))
    async with client(server) as memos:
        await list_vaults(memos)
        assert "traceparent" not in server.metadata
        with trace.use_span(trace.NonRecordingSpan(context)):
            await list_vaults(memos)
    assert server.metadata["traceparent"] == f"00-{0xA1B2:032x}-{0xC3:016x}-01"


def test_the_environment_names_the_certificate(tmp_path):
    settings = Settings.from_env({"MEMOS_CA_FILE": "/ca", "MEMOS_CERT_FILE": "/c", "MEMOS_KEY_FILE": "/k"})
    assert [str(path) for path in (settings.tls.ca_file, settings.tls.cert_file, settings.tls.key_file)] == [
        "/ca", "/c", "/k",
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["mk_secret\n", "mk_s\u00e9cret", "mk_\x00secret"])
def test_a_key_that_no_header_carries_is_refused_when_the_client_is_made_and_never_shown(tmp_path, key):
    file = tmp_path / "key"
    file.write_text(f"{key}x")
    for make, source in (
        (lambda: AsyncClient(api_key=key), "api_key"),
        (lambda: Settings.from_env({"MEMOS_API_KEY": key}), "MEMOS_API_KEY "),
        (lambda: Settings.from_env({"MEMOS_API_KEY_FILE": str(file)}), "MEMOS_API_KEY_FILE"),
    ):
        with pytest.raises(ValueError, match=f"The API key of {source}") as caught:
            make()
        assert "cret" not in str(caught.value)


def test_a_file_of_a_key_that_is_no_text_is_refused_without_its_bytes(tmp_path):
    (tmp_path / "key").write_bytes(b"mk_\xff")
    with pytest.raises(ValueError, match="The API key of MEMOS_API_KEY_FILE") as caught:
        Settings.from_env({"MEMOS_API_KEY_FILE": str(tmp_path / "key")})
    assert type(caught.value) is ValueError


@pytest.mark.parametrize(
    "address",
    ["nonsense", "http://localhost:7070", "localhost:", "localhost:port", "localhost:0", ":7070", "a b:1", "::1"],
)
def test_an_address_that_is_no_host_and_port_is_refused(address):
    with pytest.raises(ValueError, match=r"is no host:port .*MEMOS_ADDRESS"):
        Settings(address=address)


@pytest.mark.parametrize(
    "address", ["localhost:1", "[::1]:7070", "dns:///a.b:7070", "dns:a:1", "ipv4:10.0.0.1:80", "unix:/a/b", "unix:///a"]
)
def test_an_address_may_be_any_target_of_grpc(address):
    assert Settings(address=address).address == address
