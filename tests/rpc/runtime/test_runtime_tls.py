import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from memos_api.internal.v1 import storage_service_pb2 as storage
from memos_api.internal.v1 import storage_service_pb2_grpc as storage_grpc
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import memory_service_pb2_grpc as memory_grpc
from memos_kernel.errors import DependencyUnavailable, PeerForbidden
from memos_kernel.ids import SystemClock
from memos_runtime.channels import ChannelPool, Channels, server_name
from memos_runtime.config import ServerConfig
from memos_runtime.context import use_grant
from memos_runtime.server import Host, Listener, Trust
from memos_runtime.telemetry import Telemetry
from memos_runtime.tls import Certificates

NOW = datetime.now(UTC)


class Authority:
    """A certificate authority of the test."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        self._write("ca", self._builder(self.name, self.key).add_extension(x509.BasicConstraints(True, None), True))

    def issue(self, service, *, serial=None, end=NOW + timedelta(hours=1)):
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.UniformResourceIdentifier(f"spiffe://memos/{service}"), x509.DNSName(server_name(service))]
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)]), key, serial, end)
        self._write(service, builder.add_extension(x509.SubjectAlternativeName(names), False))
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._replace(f"{service}.key", key.private_bytes(*pem))
        return Certificates(
            self.directory / f"{service}.crt", self.directory / f"{service}.key", self.directory / "ca.crt"
        )

    def _builder(self, subject, key, serial=None, end=NOW + timedelta(hours=1)):
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(end)
        )

    def _write(self, stem, builder):
        self._replace(f"{stem}.crt", builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _replace(self, name, data):
        (self.directory / f"{name}.new").write_bytes(data)
        (self.directory / f"{name}.new").replace(self.directory / name)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "tls")


@pytest.fixture
async def ask(serve, authority, edge_grant):
    """Return what calls storage, behind TLS, as a service with the certificates given."""
    async with serve() as running:
        host = Host(
            running.services.build(running.channels())[:1],
            config=ServerConfig(health_address="", grace_seconds=0),
            telemetry=Telemetry(),
            trust=Trust(verifier=running.host._trust.verifier, clock=running.host._trust.clock, peer_token=None),
            internal=Listener(address="127.0.0.1:0", credentials=authority.issue("storage").server_credentials()),
        )
        await host.start()

        async def call(tls, *, service="interface", pool=None):
            own = pool or ChannelPool({service: f"127.0.0.1:{host.ports['internal']}"}, certificates=tls)
            channels = Channels(service="interface", pool=own, telemetry=Telemetry())
            stub = channels.stub(storage_grpc.StorageServiceStub, service)
            try:
                with use_grant(await edge_grant()):
                    await stub.BatchGetMemCubes(storage.BatchGetMemCubesRequest(names=["c"]), timeout=5)
            finally:
                if pool is None:
                    await own.close()
            return running.services.storage.seen[-1][0]

        call.port = host.ports["internal"]
        yield call
        await host.stop(grace=0)


async def test_the_certificate_says_who_calls(ask, authority):
    assert await ask(authority.issue("scheduler"), service="storage") == "scheduler"


async def test_a_service_that_may_not_call_is_refused_by_its_certificate(ask, authority):
    with pytest.raises(PeerForbidden):
        await ask(authority.issue("governance"), service="storage")


async def test_a_certificate_of_another_authority_does_not_connect(ask, tmp_path):
    with pytest.raises(DependencyUnavailable):
        await ask(Authority(tmp_path / "other").issue("interface"), service="storage")


async def test_a_certificate_that_has_ended_does_not_connect(ask, authority):
    with pytest.raises(DependencyUnavailable):
        await ask(authority.issue("interface", end=NOW - timedelta(hours=1)), service="storage")


@pytest.mark.parametrize(
    ("left", "said"), [(-1, "ended at"), (3, "has not been renewed"), (30, "")], ids=["ended", "soon", "good"]
)
async def test_the_log_and_the_metrics_tell_when_a_certificate_ends(serve, authority, caplog, left, said):
    end = (NOW + timedelta(days=left)).replace(microsecond=0)
    certificates, telemetry = authority.issue("storage", end=max(end, NOW - timedelta(hours=1))), Telemetry()
    async with serve() as running:
        host = Host(
            running.services.build(running.channels())[:1],
            config=ServerConfig(health_address=""),
            telemetry=telemetry,
            trust=replace(running.host._trust, clock=SystemClock()),
            internal=Listener(address="127.0.0.1:0", credentials=certificates.server_credentials()),
            certificates=certificates,
        )
        await host.start()
        await asyncio.sleep(0.1)
        await host.stop(grace=0)
    told = [record.message for record in caplog.records if "the certificate" in record.message]
    assert len(told) == bool(said)
    assert said in "".join(told)
    shown = telemetry.metrics.registry.get_sample_value(
        "memos_certificate_end_timestamp_seconds", {"service": "storage"}
    )
    assert shown == certificates.end().timestamp()


async def test_a_caller_without_a_certificate_does_not_connect(ask, authority):
    roots = grpc.ssl_channel_credentials(root_certificates=(authority.directory / "ca.crt").read_bytes())
    options = (("grpc.ssl_target_name_override", server_name("storage")),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{ask.port}", roots, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await storage_grpc.StorageServiceStub(channel).BatchGetMemCubes(storage.BatchGetMemCubesRequest())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_at_the_public_edge_an_api_key_is_enough(serve, authority, authorized):
    async with serve() as running:
        credentials = authority.issue("interface").server_credentials(require_client=False)
        host = Host(
            running.services.build(running.channels())[2:],
            config=ServerConfig(health_address=""),
            telemetry=Telemetry(),
            trust=running.host._trust,
            public=Listener(address="127.0.0.1:0", credentials=credentials),
        )
        await host.start()
        roots = grpc.ssl_channel_credentials(root_certificates=(authority.directory / "ca.crt").read_bytes())
        options = (("grpc.ssl_target_name_override", server_name("interface")),)
        async with grpc.aio.secure_channel(f"127.0.0.1:{host.ports['public']}", roots, options=options) as channel:
            stub = memory_grpc.MemoryServiceStub(channel)
            answer = await stub.GetMemory(memory.GetMemoryRequest(name="c"), metadata=authorized)
        await host.stop(grace=0)
    assert answer.cube.name == "c"


async def test_a_server_that_is_another_service_is_not_talked_to(ask, authority):
    with pytest.raises(DependencyUnavailable):
        await ask(authority.issue("interface"), service="inference")


async def test_renewed_certificates_are_used_by_both_sides_without_a_restart(ask, authority):
    tls = authority.issue("interface")
    pool = ChannelPool({"storage": f"127.0.0.1:{ask.port}"}, certificates=tls)
    assert await ask(tls, service="storage", pool=pool) == "interface"
    before = pool.channel("storage")
    authority.issue("interface")
    authority.issue("storage", serial=4711)
    pool.refresh()
    assert pool.channel("storage") is not before
    assert await ask(tls, service="storage", pool=pool) == "interface"
    assert await serial_shown(ask.port, tls) == 4711
    await pool.close()


async def test_a_renewal_that_could_not_be_read_at_first_is_not_lost(authority, monkeypatch):
    pool = ChannelPool({"storage": "127.0.0.1:1"}, certificates=authority.issue("interface"))
    before = pool.channel("storage")
    authority.issue("interface")

    def unreadable(path):
        raise PermissionError(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", unreadable)
        with pytest.raises(PermissionError):
            pool.refresh()
    assert pool.channel("storage") is before
    pool.refresh()
    assert pool.channel("storage") is not before
    await pool.close()


def test_a_key_that_does_not_belong_to_the_certificate_is_named(authority):
    unfit = replace(authority.issue("interface"), key_file=authority.issue("storage").key_file)
    for use in (unfit.check, unfit.server_credentials, unfit.channel_credentials):
        with pytest.raises(
            OSError, match=r"tls\.key_file .*storage\.key does not belong to tls\.cert_file .*face\.crt$"
        ):
            use()


async def test_a_renewal_of_which_the_key_does_not_fit_leaves_both_sides_with_what_they_had(ask, authority, caplog):
    tls = authority.issue("interface")
    pool = ChannelPool({"storage": f"127.0.0.1:{ask.port}"}, certificates=tls)
    before, key = await serial_shown(ask.port, tls), (authority.directory / "storage.key").read_bytes()
    authority.issue("storage", serial=4711)
    fitting = (authority.directory / "storage.key").read_bytes()
    (authority.directory / "storage.key").write_bytes(key)
    assert [await serial_shown(ask.port, tls) for _ in range(2)] == [before] * 2
    (said,) = [record.message for record in caplog.records if "storage.key" in record.message]
    assert "does not belong to" in said
    (authority.directory / "storage.key").write_bytes(fitting)
    assert await serial_shown(ask.port, tls) == 4711

    was, kept = tls.key_file.read_bytes(), pool.channel("storage")
    tls.key_file.write_bytes(key)
    with pytest.raises(OSError, match="does not belong to"):
        pool.refresh()
    assert pool.channel("storage") is kept
    tls.key_file.write_bytes(was)
    assert await ask(tls, service="storage", pool=pool) == "interface"
    await pool.close()


async def test_a_host_tells_once_that_a_renewed_certificate_cannot_be_used(serve, authority, caplog, monkeypatch):
    monkeypatch.setattr("memos_runtime.server._TICK_SECONDS", 0.05)
    tls, other = authority.issue("storage"), authority.issue("interface")
    async with serve() as running:
        host = Host(
            running.services.build(running.channels())[:1],
            config=ServerConfig(health_address=""),
            telemetry=Telemetry(),
            trust=running.host._trust,
            internal=Listener(address="127.0.0.1:0", credentials=tls.server_credentials()),
            pool=ChannelPool({}, certificates=tls),
        )
        await host.start()
        tls.key_file.write_bytes(other.key_file.read_bytes())
        await asyncio.sleep(0.5)
        await host.stop(grace=0)
    (told,) = [record for record in caplog.records if "storage.key" in record.message]
    assert told.exc_info is None
    assert "certificate of before" in told.message


async def serial_shown(port, tls):
    """Return the serial number of the certificate that a server shows."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=server_name("storage"))
    serial = int(writer.get_extra_info("peercert")["serialNumber"], 16)
    writer.close()
    return serial
