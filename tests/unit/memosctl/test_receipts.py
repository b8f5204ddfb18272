"""Receipts are checked offline, and a changed one is refused."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from memosctl.main import app

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
STATEMENT = {
    "form": "memos.deletion-receipt.v1",
    "purge": "tenants/local/purges/p",
    "vault": "tenants/local/vaults/main",
    "principal": "tenants/local/principals/nora",
    "reason": "",
    "requested": "2026-03-02T12:00:00.000Z",
    "completed": "2026-03-02T12:00:01.000Z",
    "cubes": [{"name": f"tenants/local/cubes/c{number}", "uid": "u", "revisions": 2} for number in range(25)],
    "derived_made_stale": 1,
    "derived_left": 0,
    "tiers": [{"tier": "catalogue", "done": "Erased.", "remains": "A log.", "until": "2026-03-05T12:00:01.000Z"}],
    "out_of_reach": ["Backups."],
}


def purge(tmp_path, said=STATEMENT, **changed):
    said = json.dumps(said).encode()
    receipt = {"statement": said, "signature": KEY.sign(said), "public_key": KEY.public_key().public_bytes_raw()}
    receipt = {name: base64.b64encode(value).decode() for name, value in {**receipt, **changed}.items()}
    path = tmp_path / "purge.json"
    path.write_text(json.dumps({"name": "tenants/local/purges/p", "receipt": receipt}))
    return str(path)


def verify(*arguments, text=None):
    return CliRunner().invoke(app, ["purge", "verify", *arguments], input=text)


def test_a_receipt_is_shown_with_what_it_cannot_reach(tmp_path):
    shown = verify(purge(tmp_path))
    assert shown.exit_code == 0, shown.output
    for words in ("signed", "c0, revisions: 2", "and 5 more", "A log.", "until 2026-03-05", "Backups."):
        assert words in " ".join(shown.output.split())


def test_it_is_read_from_standard_input_and_told_as_json(tmp_path):
    shown = verify("-", "--json", text=Path(purge(tmp_path)).read_text())
    answer = json.loads(shown.stdout)
    assert answer["statement"] == STATEMENT
    assert verify(purge(tmp_path), "--key", answer["key"]).exit_code == 0
    assert verify(purge(tmp_path), "--key", "0" * 16).exit_code == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"statement": b'{"form":"memos.deletion-receipt.v1"}'},
        {"signature": bytes(64)},
        {"signature": b""},
        {"public_key": bytes(32)},
        {"public_key": b"short"},
    ],
)
def test_a_changed_receipt_is_refused(tmp_path, changed):
    refused = verify(purge(tmp_path, **changed))
    assert refused.exit_code == 1
    assert "signature does not fit" in refused.output


def test_what_is_no_receipt_is_refused(tmp_path):
    assert "another form" in verify(purge(tmp_path, {"form": "v2"})).output
    path = tmp_path / "other"
    for text in ("", "{", "[]", '{"receipt": 3}', "\x00"):
        path.write_text(text)
        assert verify(str(path)).exit_code == 1
    assert "cannot be read" in verify(str(tmp_path / "none")).output
