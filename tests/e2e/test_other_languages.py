"""Clients in Go, TypeScript and Java, generated and built here, use a running system over mutual TLS."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collector import collecting
from deployment import Deployment
from stopping import stopping

ROOT = Path(__file__).resolve().parents[2]
FACT = "The spare key of the boathouse hangs behind the green lantern."
TOOLS = {"go": ("go", "protoc-gen-go-grpc"), "typescript": ("npm",), "java": ("javac", "grpc_java_plugin")}
PROGRAMS = {"go": ["go/smoke"], "typescript": ["node", "typescript/dist/smoke.js"], "java": ["java/smoke"]}
JARS = "/usr/share/java/netty-tcnative.jar"


@pytest.fixture(scope="module")
def clients(tmp_path_factory) -> Path:
    """A copy of the clients, in which they are built."""
    folder = tmp_path_factory.mktemp("generated")
    shutil.copytree(ROOT / "protos", folder / "protos")
    ignored = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "clients"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    built = {str(ROOT / line.rstrip("/")) for line in ignored.stdout.splitlines()}
    shutil.copytree(
        ROOT / "clients",
        folder / "clients",
        ignore=lambda parent, names: [name for name in names if name == "python" or f"{parent}/{name}" in built],
    )
    return folder / "clients"


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """A system behind mutual TLS, and the collector of its spans."""
    folder = tmp_path_factory.mktemp("traced")
    with collecting() as collector:
        env = {"MEMOS_TELEMETRY__OTLP_ENDPOINT": f"http://{collector.address}"}
        system = Deployment.one_process(folder / "state", env=env, certificates=folder / "certificates")
        with system:
            yield system, collector


def smoke(clients: Path, language: str, system: Deployment, **changes: str) -> subprocess.CompletedProcess[str]:
    certificate, key = map(str, system.identity)
    env = {
        **os.environ,
        "MEMOS_ADDRESS": system.address.replace("127.0.0.1", "localhost"),
        "MEMOS_API_KEY": system.key,
        "MEMOS_CA_FILE": str(system.authority),
        "MEMOS_CERT_FILE": certificate,
        "MEMOS_KEY_FILE": key,
        **changes,
    }
    return subprocess.run(
        PROGRAMS[language],
        cwd=clients,
        env={name: value for name, value in env.items() if value},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_generated_client_adds_finds_chats_and_reads_errors(clients, traced, language):
    if missing := [tool for tool in TOOLS[language] if not shutil.which(tool)]:
        pytest.skip(f"needs {missing[0]}; clients/README.md names the packages")
    if language == "java" and not Path(JARS).exists():
        pytest.skip(f"needs {JARS}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # buf
    built = subprocess.run(
        ["make", language], cwd=clients, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr

    system, collector = traced
    ran = smoke(clients, language, system)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["added"].startswith("tenants/local/cubes/")
    assert seen["found"] == FACT
    assert seen["chosen"] >= 1
    assert seen["answer"] == seen["deltas"] != ""
    assert seen["reason"] == "VAULT_NOT_FOUND"
    assert seen["details"] == {"name": "tenants/local/vaults/nowhere"}

    end = time.monotonic() + 30
    while len(collector.services_of(seen["trace_id"])) < 6 and time.monotonic() < end:
        time.sleep(0.2)
    assert len(collector.services_of(seen["trace_id"])) == 6

    with stopping(system, "SearchMemories") as (address, met):  # repeats what it may
        ran = smoke(
            clients, language, system, MEMOS_ADDRESS=address, MEMOS_CA_FILE="", MEMOS_CERT_FILE="", GRPC_GO_RETRY="on"
        )
        assert ran.returncode == 0, ran.stderr
        assert met["SearchMemories"] == 3

    with stopping(system, "AddMemories") as (address, met):  # and nothing else
        ran = smoke(
            clients, language, system, MEMOS_ADDRESS=address, MEMOS_CA_FILE="", MEMOS_CERT_FILE="", GRPC_GO_RETRY="on"
        )
        assert ran.returncode != 0
        assert met["AddMemories"] == 1

    stranger = smoke(clients, language, system, MEMOS_CERT_FILE="", MEMOS_KEY_FILE="")
    assert stranger.returncode != 0
    assert FACT not in stranger.stdout
