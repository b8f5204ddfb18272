"""What a person and a program see of commands that fail, or need no server."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from memosctl import exposure
from memosctl.certificates import write_certificates
from memosctl.keys import ensure_grant_keys
from memosctl.settings import load_settings
from memosctl.state import StateDir

COMMANDS = (
    "up", "serve", "add", "update", "delete", "undelete", "freeze", "unfreeze", "import", "load",
    "search", "get", "list", "history", "diff", "rollback", "links", "settle", "chat", "provenance",
)  # fmt: skip
CHORES = ("demo", "doctor", "config", "migrate", "certs", "secrets")
GROUPS = ("vault", "blob", "snapshot", "purge", "key", "tenant", "jobs", "audit")


def test_the_help_names_every_command(memosctl) -> None:
    shown = memosctl.run("--help").stdout

    assert [name for name in (*COMMANDS, *CHORES, *GROUPS) if f" {name} " not in shown] == []


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name not in {"vault", "key", "tenant", "jobs", "audit"}]
)
def test_every_command_has_json(memosctl, command: str) -> None:
    assert "--json" in memosctl.run(command, "--help").stdout


@pytest.mark.parametrize(
    "path",
    [
        "vault create", "vault list", "vault get", "vault permissions", "vault grant", "vault revoke",
        "snapshot create", "snapshot list", "snapshot get", "snapshot delete", "snapshot restore",
        "blob put", "blob get",
        "purge run", "purge list", "purge get", "purge lift", "purge verify",
        "key create", "key list", "key revoke", "key recover", "tenant create",
        "jobs list", "jobs get", "jobs cancel", "jobs retry", "jobs watch", "audit query",
    ],
)  # fmt: skip
def test_every_command_of_a_group_has_json(memosctl, path: str) -> None:
    assert "--json" in memosctl.run(*path.split(), "--help").stdout


def test_without_a_key_the_first_step_is_named(memosctl) -> None:
    result = memosctl.run("search", "cat")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "No API key" in result.stderr
    assert "memosctl up" in result.stderr


def test_without_a_server_the_command_that_starts_it_is_named(memosctl) -> None:
    memosctl.state.mkdir()
    (memosctl.state / "admin.key").write_text("mk_x")

    result = memosctl.run("search", "cat", "--address", "127.0.0.1:1")

    assert result.exit_code == 1
    assert "No server answers at 127.0.0.1:1" in result.stderr
    assert "Start it with: memosctl up" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_failure_is_json_on_stderr_for_programs(memosctl) -> None:
    result = memosctl.run("search", "cat", "--json")

    assert result.stdout == ""
    assert json.loads(result.stderr)["error"]["reason"] == "NO_API_KEY"


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",),
        ("search", "x", "--top", "0"),
        ("vault", "grant", "notes", "alice", "king"),
        ("update", "x"),
        ("provenance",),
        ("provenance", "x", "--last"),
        ("search", "x", "--label", "colour"),
        ("search", "x", "--after", "yesterday"),
        ("serve", "postgres"),
        ("serve", "storage", "storage"),
        ("tenant", "create", "Not A Name"),
    ],
)
def test_a_call_that_is_wrong_in_itself_ends_with_2(memosctl, arguments: tuple[str, ...]) -> None:
    assert memosctl.run(*arguments).exit_code == 2


def test_an_unknown_key_of_the_configuration_is_refused_with_a_guess(memosctl, monkeypatch) -> None:
    monkeypatch.setenv("MEMOS_STORAGE__REEDERS", "4")

    result = memosctl.run("config")

    assert result.exit_code == 2
    assert "MEMOS_STORAGE__READERS" in result.stderr


def test_a_variable_of_clients_is_known_by_a_misspelt_name(memosctl, monkeypatch) -> None:
    monkeypatch.setenv("MEMOS_ADRESS", "127.0.0.1:7070")

    assert "did you mean MEMOS_ADDRESS?" in memosctl.run("config").stderr


@pytest.mark.parametrize("arguments", [("config",), ("up",), ("up", "--address", "foo")])
def test_an_address_of_the_server_that_is_none_is_named_by_its_key(memosctl, monkeypatch, arguments) -> None:
    monkeypatch.setenv("MEMOS_SERVER__ADDRESS", "foo")

    result = memosctl.run(*arguments)

    assert result.exit_code == 2
    assert "server.address: it has to be host:port" in result.stderr


def test_the_effective_configuration_is_toml_without_secrets(memosctl, monkeypatch) -> None:
    monkeypatch.setenv("MEMOS_MODEL", "some/model")
    monkeypatch.setenv("MEMOS_PEERS__TOKEN", "hush-hush")

    shown = memosctl.run("config").stdout
    effective = tomllib.loads(shown)

    assert effective["inference"]["model"] == "some/model"
    assert effective["peers"]["token"] == "***"
    assert effective["state_dir"] == str(memosctl.state)
    assert "hush-hush" not in shown


def test_the_environment_goes_before_the_file_and_the_option_before_both(memosctl, monkeypatch, tmp_path: Path) -> None:
    file = tmp_path / "memos.toml"
    file.write_text('state_dir = "/of/the/file"\n[storage]\nreaders = 7\n[scheduler]\ncandidates = 9\n')
    monkeypatch.setenv("MEMOS_STORAGE__READERS", "8")

    effective = memosctl.json("config", "--config", str(file), "--state-dir", str(tmp_path / "option"))

    assert (effective["storage"]["readers"], effective["scheduler"]["candidates"]) == (8, 9)
    assert effective["state_dir"] == str(tmp_path / "option")


def test_the_table_of_keys_names_each_with_its_variable_and_what_it_is(memosctl) -> None:
    rows = [line.split(" | ") for line in memosctl.run("config", "--schema").stdout.splitlines()[2:]]

    assert "`inference.model`" in {row[0].removeprefix("| ") for row in rows}
    assert all(len(row[-1].strip("| ")) > 10 for row in rows)


def test_certificates_are_made_for_every_service(memosctl, tmp_path: Path) -> None:
    made = memosctl.json("certs", "--out", str(tmp_path / "certs"), "--client")

    stems = ["ca", "governance", "storage", "inference", "lifecycle", "scheduler", "interface", "client"]
    assert set(made["files"]) == {f"{stem}.{end}" for stem in stems for end in ("crt", "key")}


def test_certificates_that_take_the_place_of_others_are_told_as_renewed(memosctl, tmp_path: Path) -> None:
    out = ("certs", "--out", str(tmp_path / "certs"))
    first = memosctl.run(*out).stdout
    (tmp_path / "certs" / "storage.crt").unlink()

    again = memosctl.run(*out).stdout
    told = memosctl.json(*out)["renewed"]
    for name in ("ca.crt", "ca.key"):
        (tmp_path / "certs" / name).unlink()

    assert "renewed" not in first
    assert "under the same CA: governance, inference, lifecycle, scheduler, interface" in " ".join(again.split())
    assert "storage" in told
    assert "under a new CA" in memosctl.run(*out).stdout


def test_a_tenant_is_made_once_and_a_lost_key_is_replaced(memosctl) -> None:
    made = memosctl.json("tenant", "create", "local")
    again = memosctl.run("tenant", "create", "local")
    recovered = memosctl.json("key", "recover")

    assert made["vault"] == "tenants/local/vaults/main"
    assert made["secret"].startswith("mk_")
    assert again.exit_code == 1
    key = Path(recovered["key_file"])
    assert key.read_text().startswith("mk_")
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_key_cannot_be_recovered_for_a_tenant_that_does_not_exist(memosctl) -> None:
    result = memosctl.run("key", "recover")

    assert result.exit_code == 1
    assert "memosctl up makes it" in result.stderr


def test_services_of_several_processes_need_a_way_to_know_each_other(memosctl) -> None:
    result = memosctl.run("serve", "governance")

    assert result.exit_code == 2
    assert "peers.token" in result.stderr


def test_a_service_is_not_served_in_plain_text_to_other_machines(memosctl, monkeypatch) -> None:
    monkeypatch.setenv("MEMOS_PEERS__TOKEN", "hush-hush")

    result = memosctl.run("serve", "governance", "--address", "0.0.0.0:7600")

    assert result.exit_code == 2
    assert "reached from other machines" in result.stderr


def test_a_secret_does_not_leave_the_machine_for_a_service_that_is_also_served_here(memosctl, monkeypatch) -> None:
    monkeypatch.setenv("MEMOS_PEERS__TOKEN", "hush-hush")
    monkeypatch.setenv("MEMOS_PEERS__ADDRESSES__STORAGE", "dns:///10.0.0.7:7600")

    result = memosctl.run("serve", "governance", "storage", "--address", "127.0.0.1:7600")

    assert result.exit_code == 2
    assert "dns:///10.0.0.7:7600 is reached from other machines" in result.stderr


def test_the_public_api_is_not_served_in_plain_text_to_other_machines(memosctl) -> None:
    result = memosctl.run("up", "--address", "0.0.0.0:7070")

    assert result.exit_code == 2
    assert "API keys" in result.stderr


def test_tls_with_a_file_missing_is_refused(memosctl, monkeypatch, tmp_path: Path) -> None:
    write_certificates(tmp_path, ["governance"], namespace="memos")
    monkeypatch.setenv("MEMOS_TLS__CERT_FILE", str(tmp_path / "governance.crt"))

    result = memosctl.run("serve", "governance")

    assert result.exit_code == 2
    assert "tls.key_file" in result.stderr


@pytest.mark.parametrize(
    ("command", "away"),
    [
        (("serve", "governance"), "governance"),
        (("serve", "storage"), "storage"),
        (("serve", "scheduler"), "scheduler"),
        (("up",), "storage"),
    ],
)
def test_a_database_that_is_away_at_the_start_is_named_by_its_key(memosctl, monkeypatch, command, away: str) -> None:
    ensure_grant_keys(StateDir(memosctl.state).make())
    monkeypatch.setenv("MEMOS_PEERS__TOKEN", "hush-hush")
    monkeypatch.setenv(f"MEMOS_{away.upper()}__DATABASE_URL", "postgresql+psycopg://nora:hunter2@127.0.0.1:1/memos")
    for name in ("MILVUS_URI", "BLOBS_URL"):
        monkeypatch.setenv(f"MEMOS_STORAGE__{name}", "http://127.0.0.1:1/memos")

    result = memosctl.run(*command, "--address", "127.0.0.1:0", "--json")

    said = json.loads(result.stderr.splitlines()[-1])["error"]
    assert (result.exit_code, said["reason"]) == (1, "DATABASE_UNAVAILABLE")
    assert said["message"].startswith(f"The database of {away} cannot be opened: connection failed")
    assert f"{away}.database_url" in said["hint"]
    assert "sqlalche" not in result.stderr
    assert "hunter2" not in result.stderr


def test_a_database_url_that_cannot_be_read_is_named_by_its_key(memosctl, monkeypatch) -> None:
    ensure_grant_keys(StateDir(memosctl.state).make())
    monkeypatch.setenv("MEMOS_PEERS__TOKEN", "hush-hush")
    monkeypatch.setenv("MEMOS_SCHEDULER__DATABASE_URL", "nonsense")

    result = memosctl.run("serve", "scheduler", "--address", "127.0.0.1:0")

    assert result.exit_code == 1
    assert "scheduler.database_url" in result.stderr
    assert "Unexpected" not in result.stderr


def test_a_service_waits_for_the_key_of_governance_wherever_it_is_to_come(memosctl, monkeypatch, tmp_path) -> None:
    governance = StateDir(tmp_path / "elsewhere")
    monkeypatch.setenv("MEMOS_PEERS__TOKEN", "hush-hush")
    monkeypatch.setenv("MEMOS_GRANT_KEY_FILES", json.dumps([str(governance.public_key_file)]))
    command = (sys.executable, "-m", "memosctl", "serve", "lifecycle", "--address", "127.0.0.1:0", "--json")

    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as serving:
        try:
            waits = serving.stderr.readline()
            ensure_grant_keys(governance)
            ready = json.loads(serving.stdout.readline())
        finally:
            serving.terminate()

    assert f"waiting for governance's public key {governance.public_key_file} (grant_key_files)" in waits
    assert ready["services"] == ["lifecycle"]


def test_a_key_of_governance_that_cannot_be_used_is_named_by_its_option(memosctl, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMOS_GRANT_KEY_FILES", json.dumps([str(tmp_path / "none.pem")]))

    result = memosctl.run("up", "--address", "127.0.0.1:0")

    assert result.exit_code == 1
    assert "grant_key_files" in result.stderr
    assert "No such file" in result.stderr
    assert "governance makes" in result.stderr


@pytest.fixture
def tls(tmp_path: Path, monkeypatch):
    """Return what points `[tls]` at the files that `memosctl certs` made for two services."""
    write_certificates(tmp_path, ["governance", "storage", "interface"], namespace="memos")

    def point(certificate: str, key: str) -> None:
        files = {"CERT": f"{certificate}.crt", "KEY": f"{key}.key", "CA": "ca.crt"}
        for name, file in files.items():
            monkeypatch.setenv(f"MEMOS_TLS__{name}_FILE", str(tmp_path / file))

    return point


@pytest.mark.parametrize("command", [("up",), ("serve", "storage")])
def test_a_key_of_another_certificate_is_refused_before_a_port_is_taken(memosctl, tls, command) -> None:
    tls("storage", "interface")

    result = memosctl.run(*command, "--address", "127.0.0.1:0")

    assert result.exit_code == 2
    assert "interface.key does not belong to tls.cert_file" in result.stderr
    assert "another process" not in result.stderr


@pytest.mark.parametrize(("shown", "served"), [("interface", "storage"), ("storage", "governance")])
def test_a_service_is_not_served_with_the_certificate_of_another_one(memosctl, tls, shown: str, served: str) -> None:
    tls(shown, shown)

    result = memosctl.run("serve", served, "--json")

    said = json.loads(result.stderr)["error"]
    assert (result.exit_code, said["reason"]) == (2, "CERTIFICATE_INVALID")
    assert f"{shown}.crt is not a certificate of {served}" in said["message"]
    assert f"{served}.memos" in said["message"]
    assert "{service}" in said["hint"]


def test_each_service_of_a_process_is_checked_with_its_own_certificate(tls) -> None:
    tls("{service}", "{service}")

    exposure.check_serve(load_settings(), ("governance", "storage", "interface"))


def test_doctor_finds_nothing_wrong_before_the_first_start(memosctl) -> None:
    findings = {one["check"]: one["verdict"] for one in memosctl.json("doctor")["findings"]}

    assert findings["versions"] == findings["embedder"] == "ok"
    assert findings["state directory"] == "skipped"


def test_doctor_fails_for_an_open_state_directory_and_a_damaged_database(memosctl) -> None:
    (memosctl.state / "storage").mkdir(parents=True)
    memosctl.state.chmod(0o755)
    (memosctl.state / "governance").mkdir()
    for damaged in ("storage/catalogue.db", "governance/governance.db"):
        (memosctl.state / damaged).write_bytes(b"no database at all" * 100)

    result = memosctl.run("doctor", "--json")
    failed = {one["check"] for one in json.loads(result.stdout)["findings"] if one["verdict"] == "failed"}

    assert result.exit_code == 1
    assert {"state directory", "storage database", "governance database", "audit chain"} <= failed


def test_a_model_that_is_still_being_fetched_does_not_keep_the_process() -> None:
    code = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
from memos_inference.adapters.model_loader import THREAD
from memosctl import main

fetching = threading.Event()
def fetch():
    pool = ThreadPoolExecutor(1)  # as the client of the hub has one; Python waits for its threads at the end
    pool.submit(lambda: (fetching.set(), time.sleep(60))).result()

threading.Thread(target=fetch, name=THREAD, daemon=True).start()
fetching.wait()
main.main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True, timeout=40
    )

    assert ended.stdout.startswith("memosctl")


def test_a_client_command_imports_no_model_database_or_schema() -> None:
    code = "import sys, memosctl.main, memosctl.connect; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"torch", "transformers", "pymilvus", "sqlalchemy", "pydantic", "opentelemetry"}.isdisjoint(loaded)


@pytest.mark.parametrize("words", [("add", "\udcff\udcfe"), ("add", "a", "--label", "a=\udcff"), ("search", "\udcff")])
def test_words_that_are_no_utf8_are_refused_with_the_argument(memosctl, words) -> None:
    result = memosctl.run(*words)

    assert result.exit_code == 2
    assert "holds bytes that are no UTF-8" in result.stderr


def test_standard_input_that_is_no_utf8_is_refused(memosctl) -> None:
    result = memosctl.run("add", "-", stdin=b"\xff\xfe")

    assert result.exit_code == 2
    assert "Standard input is no UTF-8" in result.stderr
