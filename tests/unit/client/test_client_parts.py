"""The client's parts: settings, retries, errors, values, and the facade that is written by a program."""

import ast
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

import memos_client
from memos_api.v1 import error_reason_pb2
from memos_client import (
    Message,
    NotFound,
    Overloaded,
    RequestError,
    Retries,
    ServerFault,
    Settings,
    Unavailable,
    _facade,
    _sync,
)
from memos_client._errors import BY_REASON, error_of_call
from memos_client._methods import METHODS
from memos_client._values import Cube
from memos_kernel.errors import CubeNotFound
from memos_kernel.errors import Overloaded as OverloadedThere
from memos_wire.errors import status_of
from memos_wire.methods import METHODS as TABLE


def test_every_public_name_is_there():
    assert memos_client.__all__ == sorted(memos_client.__all__)
    assert all(hasattr(memos_client, name) for name in memos_client.__all__)


def test_the_blocking_client_is_what_the_program_writes():
    written = Path(_sync.__file__).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(written)) == ast.dump(ast.parse(_facade.source())), (
        "run: python -m memos_client._facade | ruff format - > clients/python/memos_client/_sync.py"
    )


def test_every_reason_of_the_contract_has_its_error():
    reasons = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name}
    assert set(BY_REASON) == reasons - {"UNSPECIFIED"}


def test_every_public_method_is_known():
    assert {method.path for method in METHODS.values()} == {row.name for row in TABLE.values() if row.public}
    assert {method.path for method in METHODS.values() if method.mutating} == {
        row.name for row in TABLE.values() if row.public and row.mutating
    }
    assert [name for name, method in METHODS.items() if not method.repeatable] == ["memos.v1.CreateApiKeyRequest"]


def failed(code, details="", status=None):
    trailing = grpc.aio.Metadata(*((("grpc-status-details-bin", status),) if status is not None else ()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)


def test_an_error_of_the_server_keeps_reason_metadata_and_pause():
    missing = CubeNotFound("x is not there.", name="x")
    error = error_of_call(failed(grpc.StatusCode.NOT_FOUND, status=status_of(missing).SerializeToString()))
    assert type(error) is NotFound
    assert (error.reason, error.metadata, str(error)) == ("CUBE_NOT_FOUND", {"name": "x"}, "x is not there.")
    full = OverloadedThere("full", retry_after=1.5, queue="engine")
    error = error_of_call(failed(grpc.StatusCode.RESOURCE_EXHAUSTED, status=status_of(full).SerializeToString()))
    assert (type(error), error.retry_after) == (Overloaded, 1.5)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.CANCELLED, Unavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, RequestError),
        (grpc.StatusCode.UNKNOWN, ServerFault),
    ],
)
def test_an_error_without_a_reason_is_told_by_its_code(code, kind):
    for status in (None, b"\xff\xff"):
        error = error_of_call(failed(code, "proxy", status))
        assert (type(error), error.reason, error.code) == (kind, "", code.name)


def test_only_what_passes_is_tried_again():
    retries = Retries(attempts=3, first_delay=0.1, longest_delay=2.0)
    away = Unavailable("away", code="UNAVAILABLE")
    first, second = (retries.delay(away, attempt=attempt, left=60) for attempt in (1, 2))
    assert 0.1 <= first <= 0.125
    assert 0.2 <= second <= 0.25
    assert retries.delay(away, attempt=3, left=60) is None
    assert retries.delay(away, attempt=1, left=0.05) is None
    assert retries.delay(RequestError("bad"), attempt=1, left=60) is None
    full = {"code": "RESOURCE_EXHAUSTED"}
    assert 1.0 <= retries.delay(Overloaded("full", retry_after=1.0, **full), attempt=1, left=60) <= 1.25
    assert retries.delay(Overloaded("full", retry_after=9.0, **full), attempt=1, left=60) is None
    assert retries.delay(Overloaded("disk full", **full), attempt=1, left=60) is None


def test_settings_come_from_the_environment(tmp_path):
    key = tmp_path / "key"
    key.write_text("mk_file\n")
    env = {
        "MEMOS_ADDRESS": "host:1",
        "MEMOS_API_KEY_FILE": str(key),
        "MEMOS_TENANT": "acme",
        "MEMOS_CA_FILE": "/ca.pem",
        "MEMOS_STATE_DIR": str(tmp_path),
    }
    settings = Settings.from_env(env)
    assert (settings.address, settings.api_key, settings.tenant) == ("host:1", "mk_file", "acme")
    assert settings.tls.ca_file == Path("/ca.pem")
    assert Settings.from_env({**env, "MEMOS_API_KEY": "mk_direct"}).api_key == "mk_direct"


def test_settings_find_the_server_of_this_machine(tmp_path):
    (tmp_path / "address").write_text("127.0.0.1:7999\n")
    (tmp_path / "admin.key").write_text("mk_local\n")
    settings = Settings.from_env({"MEMOS_STATE_DIR": str(tmp_path)})
    assert (settings.address, settings.api_key, settings.tenant) == ("127.0.0.1:7999", "mk_local", "local")
    assert Settings.from_env({"MEMOS_STATE_DIR": str(tmp_path / "none")}) == Settings()


def test_the_key_of_this_machine_goes_nowhere_else(tmp_path):
    (tmp_path / "admin.key").write_text("mk_local\n")
    env = {"MEMOS_STATE_DIR": str(tmp_path)}
    for address in ("localhost:1", "127.0.0.1:1", "[::1]:1", "unix:/s", "dns:///localhost:1"):
        assert Settings.from_env({**env, "MEMOS_ADDRESS": address}).api_key == "mk_local"
    for address in ("memos.example.com:7070", "10.0.0.1:7070", "dns:///memos:7070", "localhost.example.com:1"):
        assert Settings.from_env({**env, "MEMOS_ADDRESS": address}).api_key == ""


def test_a_key_is_not_sent_to_other_machines_in_plain_text_unless_that_is_allowed():
    there = {"MEMOS_ADDRESS": "memos.example.com:7070", "MEMOS_API_KEY": "mk_secret"}
    with pytest.raises(ValueError, match="plain text") as caught:
        Settings.from_env(there)
    assert "mk_secret" not in str(caught.value)
    assert Settings.from_env({**there, "MEMOS_ALLOW_PLAINTEXT": "1"}).api_key == "mk_secret"
    assert Settings.from_env({**there, "MEMOS_CA_FILE": "/ca.pem"}).api_key == "mk_secret"


def test_a_secret_is_not_shown():
    assert "mk_secret" not in repr(Settings(api_key="mk_secret"))


def test_short_names_belong_to_the_tenant():
    settings = Settings(tenant="acme")
    assert settings.name("vaults", "notes") == "tenants/acme/vaults/notes"
    assert settings.name("vaults", "vaults/notes") == "tenants/acme/vaults/notes"
    assert settings.name("vaults", "tenants/x/vaults/y") == "tenants/x/vaults/y"
    assert settings.name("vaults", "") == ""


def test_the_time_of_a_message_needs_a_zone():
    assert Message(text="a", time=datetime(2026, 3, 2, tzinfo=UTC)).to_proto().time == "2026-03-02T00:00:00+00:00"
    assert Message(text="a", time="2026-03-02T00:00:00Z").to_proto().time == "2026-03-02T00:00:00Z"
    assert Message(text="a").to_proto().time == ""
    with pytest.raises(ValueError, match="zone"):
        Message(text="a", time=datetime(2026, 3, 2)).to_proto()


def test_the_time_of_a_cube_is_on_the_speakers_clock():
    cube = Cube(memos_client._values.memcube_pb2.MemCube())
    assert cube.time is None
    source = cube.message.sources.add(utc_offset="-05:30")
    source.event_time.FromDatetime(datetime(2026, 3, 2, 12, tzinfo=UTC))
    assert cube.time.isoformat() == "2026-03-02T06:30:00-05:30"
