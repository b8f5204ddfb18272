"""Starts the system as a user or a cluster would, and calls its public API."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.rpc import error_details_pb2, status_pb2

from memos_api.v1 import (
    blob_service_pb2_grpc,
    chat_service_pb2_grpc,
    governance_service_pb2,
    governance_service_pb2_grpc,
    job_service_pb2_grpc,
    memory_service_pb2,
    memory_service_pb2_grpc,
    purge_service_pb2_grpc,
    snapshot_service_pb2_grpc,
    vault_pb2,
)
from memos_client import AsyncClient, Tls

if TYPE_CHECKING:
    from kube.cluster import Cluster

READY_SECONDS = 180
PROGRAM = (sys.executable, "-m", "memosctl")
SERVICES = ("governance", "storage", "inference", "lifecycle", "scheduler", "interface")


_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on, and that was not returned before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:  # a service that was given it may not have bound it yet
            _given.add(port)
            return port


class Caller:
    """The public API with one key."""

    def __init__(
        self,
        address: str,
        header: str | None,
        *,
        authority: Path | None = None,
        identity: tuple[Path, Path] | None = None,
    ) -> None:
        metadata = (("authorization", header),) if header is not None else ()
        kinds = (_UnaryMetadata, _StreamMetadata, _UploadMetadata, _ExchangeMetadata)
        interceptors = [kind(metadata) for kind in kinds]
        if authority is None:
            self.channel = grpc.aio.insecure_channel(address, interceptors=interceptors)
        else:
            certificate, key = (path.read_bytes() for path in identity) if identity else (None, None)
            credentials = grpc.ssl_channel_credentials(authority.read_bytes(), key, certificate)
            self.channel = grpc.aio.secure_channel(address, credentials, interceptors=interceptors)
        self.memory = memory_service_pb2_grpc.MemoryServiceStub(self.channel)
        self.blobs = blob_service_pb2_grpc.BlobServiceStub(self.channel)
        self.chat = chat_service_pb2_grpc.ChatServiceStub(self.channel)
        self.jobs = job_service_pb2_grpc.JobServiceStub(self.channel)
        self.purges = purge_service_pb2_grpc.PurgeServiceStub(self.channel)
        self.snapshots = snapshot_service_pb2_grpc.SnapshotServiceStub(self.channel)
        self.governance = governance_service_pb2_grpc.GovernanceServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def refused(self, call, code: grpc.StatusCode, reason: str | None = None, field: str | None = None) -> None:
        """Assert that a call ends with this status, ErrorInfo reason and field."""
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            assert error.code() is code, error.details()
            info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            packed = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
            for detail in status_pb2.Status.FromString(packed).details:
                detail.Unpack(info) or detail.Unpack(request)
            assert info.domain == "memos"
            if reason is not None:
                assert info.reason == reason, info
            if field is not None:
                assert info.metadata["field"] == field, info
                assert request.field_violations[0].field == field
        else:
            raise AssertionError(f"the call was not refused; it answered {answer}")

    async def allow(self, vault: str, principal: str, role: str) -> None:
        """Give a principal a role."""
        permission = vault_pb2.VaultPermission(
            vault=vault, principal=principal, role=vault_pb2.VaultRole.Value(f"VAULT_ROLE_{role}")
        )
        request = governance_service_pb2.SetVaultPermissionRequest(permission=permission)
        await self.governance.SetVaultPermission(request)


class _Metadata:
    def __init__(self, metadata) -> None:
        self._metadata = metadata

    def _with(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        return details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), *self._metadata))


class _UnaryMetadata(_Metadata, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation, details, request):
        return await continuation(self._with(details), request)


class _StreamMetadata(_Metadata, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, details, request):
        return await continuation(self._with(details), request)


class _UploadMetadata(_Metadata, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation, details, request_iterator):
        return await continuation(self._with(details), request_iterator)


class _ExchangeMetadata(_Metadata, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation, details, request_iterator):
        return await continuation(self._with(details), request_iterator)


class Deployment:
    """Processes that together are one system."""

    def __init__(self, state: Path, address: str, *, metrics_address: str = "", authority: Path | None = None) -> None:
        self.state = state
        self.address = address
        self.authority = authority
        self.identity: tuple[Path, Path] | None = None
        """Certificate and key of a client, where the system asks for one."""
        self.ready_seconds = 0.0
        self._metrics_address = metrics_address
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._logs: list[Path] = []

    @classmethod
    def one_process(
        cls,
        state: Path,
        *,
        metrics: bool = False,
        env: Mapping[str, str] | None = None,
        certificates: Path | None = None,
    ) -> Self:
        """Start `memosctl up` and wait until it is ready; with a folder for certificates over mutual TLS."""
        metrics_address = f"127.0.0.1:{free_port()}" if metrics else ""
        system = cls(state, f"127.0.0.1:{free_port()}", metrics_address=metrics_address)
        settings = {"MEMOS_STATE_DIR": str(state), "MEMOS_SERVER__ADDRESS": system.address}
        if certificates is not None:
            settings |= system._mutual_tls(certificates)
        if metrics:
            settings["MEMOS_TELEMETRY__PROMETHEUS_ADDRESS"] = metrics_address
        system._start("up", ["up"], {**settings, **(env or {})})
        system._wait()
        return system

    @classmethod
    def six_processes(
        cls, state: Path, *, env: Mapping[str, str] | None = None, replicas: Mapping[str, int] | None = None
    ) -> Self:
        """Start each service as a process of its own, with a state directory of its own, over mTLS.

        `replicas` says of which services there is more than one process: `storage`, `storage-2` ...
        """
        certificates = state / "certificates"
        state.mkdir()
        subprocess.run(
            [sys.executable, "-m", "memosctl", "certs", "--out", certificates], check=True, capture_output=True
        )
        counts = {service: (replicas or {}).get(service, 1) for service in SERVICES}
        addresses = {service: [f"127.0.0.1:{free_port()}" for _ in range(count)] for service, count in counts.items()}
        targets = {service: f"ipv4:{','.join(listed)}" for service, listed in addresses.items()}
        system = cls(state / "governance", addresses["interface"][0], authority=certificates / "ca.crt")
        places = [(each, number, place) for each in SERVICES for number, place in enumerate(addresses[each], 1)]
        for service, number, address in places:
            name = service if number == 1 else f"{service}-{number}"
            settings = {
                "MEMOS_STATE_DIR": str(state / name),
                "MEMOS_SERVER__ADDRESS": address,
                "MEMOS_PEERS__ADDRESSES": json.dumps(targets),
                "MEMOS_TLS__CERT_FILE": str(certificates / f"{service}.crt"),
                "MEMOS_TLS__KEY_FILE": str(certificates / f"{service}.key"),
                "MEMOS_TLS__CA_FILE": str(certificates / "ca.crt"),
            }
            if service != "governance":
                public_key = system.state / "keys" / "grant_ed25519.pub.pem"
                wait_for(public_key)
                settings["MEMOS_GRANT_KEY_FILES"] = json.dumps([str(public_key)])
            others = tuple(f"MEMOS_{other.upper()}__" for other in SERVICES if other != service)
            extra = {key: value for key, value in (env or {}).items() if not key.startswith(others)}
            system._start(name, ["serve", service], {**settings, **extra})
        system._wait()
        return system

    def _mutual_tls(self, folder: Path) -> dict[str, str]:
        subprocess.run([*PROGRAM, "certs", "--client", "--out", folder], check=True, capture_output=True)
        self.authority, self.identity = folder / "ca.crt", (folder / "client.crt", folder / "client.key")
        return {
            "MEMOS_TLS__CERT_FILE": str(folder / "interface.crt"),
            "MEMOS_TLS__KEY_FILE": str(folder / "interface.key"),
            "MEMOS_TLS__CA_FILE": str(folder / "ca.crt"),
            "MEMOS_TLS__CLIENT_CERTIFICATES": "true",
        }

    @classmethod
    def outside(cls, folder: Path, cluster: "Cluster") -> Self:
        """Return the public API of a cluster as somebody outside of it reaches it, with the admin's key in a folder."""
        folder.mkdir(parents=True)
        key = cluster.manifests.files("Secret", "governance-env")["MEMOS_GOVERNANCE__ADMIN_KEY"]
        (folder / "admin.key").write_bytes(key)
        (folder / "ca.crt").write_bytes(cluster.manifests.files("ConfigMap", "memos-ca")["ca.crt"])
        return cls(folder, cluster.address("interface"), authority=folder / "ca.crt")

    def new_tenant(self, name: str) -> tuple[str, str]:
        """Make a tenant, as its operator would on the machine of governance; return its name and its admin's key."""
        ran = self.memosctl("tenant", "create", name, "--json")
        return name, json.loads(ran.stdout)["secret"]

    @property
    def key(self) -> str:
        """The local admin's key."""
        return (self.state / "admin.key").read_text().strip()

    @property
    def pid(self) -> int:
        """The first process."""
        return next(iter(self._processes.values())).pid

    def caller(self, header: str | None = "") -> Caller:
        """Return the public API; by default with the admin's key."""
        key = f"Bearer {self.key}" if header == "" else header
        return Caller(self.address, key, authority=self.authority, identity=self.identity)

    def client(self) -> AsyncClient:
        """Return the client of the library, with the admin's key."""
        return AsyncClient(**self.client_settings())

    def client_settings(self) -> dict[str, Any]:
        """Return how a client of the library reaches the system."""
        pair = self.identity or (None, None)
        tls = Tls(ca_file=self.authority, cert_file=pair[0], key_file=pair[1]) if self.authority else None
        return {"address": self.address, "api_key": self.key, "tls": tls}

    def files_with(self, data: bytes) -> list[Path]:
        """Return the files of all services that hold these bytes."""
        root = self.state.parent if self.state.name == "governance" else self.state  # six processes, a directory each
        return [path for path in root.rglob("*") if path.is_file() and data in path.read_bytes()]

    def metrics(self) -> str:
        """Return the metrics page."""
        with urllib.request.urlopen(f"http://{self._metrics_address}/metrics", timeout=5) as page:
            return page.read().decode()

    async def settled(self, caller: Caller) -> None:
        """Wait until every row is in the vector index."""
        request = memory_service_pb2.SearchMemoriesRequest(query="settled", top_k=1)
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            answer = await caller.memory.SearchMemories(request)
            if not any(leg.candidates for leg in answer.legs if leg.name == "pending"):
                return
            await asyncio.sleep(0.2)
        raise AssertionError("rows are still waiting for the vector index")

    def descendants(self) -> list[int]:
        """Return the ids of all processes of the system."""
        found, left = [], [process.pid for process in self._processes.values()]
        while left:
            pid = left.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").glob("*/children"):
                    left += map(int, task.read_text().split())
        return found

    def command_line(self, pid: int) -> str:
        """Return the command line of a process."""
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()

    def memosctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI against this system."""
        return subprocess.run(
            [sys.executable, "-m", "memosctl", *arguments],
            env={**os.environ, **self.client_environment()},
            capture_output=True,
            text=True,
            check=check,
            stdin=subprocess.DEVNULL,
        )

    def client_environment(self) -> dict[str, str]:
        """Return the variables by which clients find the system."""
        found = {"MEMOS_STATE_DIR": str(self.state), "MEMOS_ADDRESS": self.address, "NO_COLOR": "1"}
        if self.authority is not None:
            found["MEMOS_CA_FILE"] = str(self.authority)
        if self.identity is not None:
            found["MEMOS_CERT_FILE"], found["MEMOS_KEY_FILE"] = map(str, self.identity)
        if not self.address.startswith("127."):  # to another machine the key of this one is only sent if it is named
            found["MEMOS_API_KEY_FILE"] = str(self.state / "admin.key")
        return found

    def kill_one(self, name: str) -> None:
        """End one process at once; the others go on."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def start_one(self, name: str, *, program: Sequence[str] = PROGRAM, env: Mapping[str, str] | None = None) -> None:
        """Start a process again that was killed, with more settings if wanted; does not wait until it answers."""
        arguments, settings = self._commands[name]
        self._spawn(name, [*program, *arguments], {**settings, **(env or {})})

    def has_ended(self, name: str) -> bool:
        """Return whether a process that nobody ended has ended."""
        return self._processes[name].poll() is not None

    def process_ids(self) -> dict[str, int]:
        """Return the ids of its processes by name."""
        return {name: process.pid for name, process in self._processes.items()}

    def process_id(self, name: str) -> int:
        """Return the id of one of the processes."""
        return self._processes[name].pid

    def kill(self) -> None:
        """End everything at once, without a chance to tidy up."""
        pids = self.descendants()
        for process in self._processes.values():
            process.send_signal(signal.SIGKILL)
        for process in self._processes.values():
            process.wait()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._processes.clear()

    def stop(self) -> None:
        """End everything as a cluster would: SIGTERM, then wait."""
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGTERM)
        for name, process in reversed(self._processes.items()):
            try:
                code = process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{name} did not stop within 30 s\n{self.log()}") from None
            assert code == 0, f"{name} ended with {code}\n{self.log()}"
        self._processes.clear()

    def log(self) -> str:
        """Return the end of each process's output."""
        return "\n".join(f"--- {path.stem}\n{path.read_text()[-4000:]}" for path in self._logs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, name: str, arguments: list[str], settings: dict[str, str]) -> None:
        self._commands[name] = arguments, settings
        self._spawn(name, [*PROGRAM, *arguments], settings)

    def _spawn(self, name: str, command: list[str], settings: Mapping[str, str]) -> None:
        log = self.state.parent / f"{self.state.name}-{name}.log"
        if log not in self._logs:
            self._logs.append(log)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("MEMOS_")}
        with log.open("ab") as output:
            self._processes[name] = subprocess.Popen(
                command,
                env={**inherited, **settings},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def _wait(self) -> None:
        try:
            self.wait()
        except BaseException:
            self.kill()
            raise

    def wait(self) -> None:
        """Wait until the system answers with all of its parts."""
        begin = time.monotonic()
        while time.monotonic() - begin < READY_SECONDS:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended with {process.returncode}\n{self.log()}")
            if self._answers():
                self.ready_seconds = time.monotonic() - begin
                return
            time.sleep(0.1)
        raise AssertionError(f"not ready after {READY_SECONDS} s\n{self.log()}")

    def _answers(self) -> bool:
        host, _, port = self.address.rpartition(":")
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))):
                return False
        ran = self.memosctl("search", "ready", "--json", check=False)
        return ran.returncode == 0 and not json.loads(ran.stdout).get("degraded", True)


def wait_for(file: Path) -> None:
    """Wait until a file exists."""
    end = time.monotonic() + READY_SECONDS
    while not file.exists():
        if time.monotonic() > end:
            raise AssertionError(f"{file} was not made")
        time.sleep(0.05)
