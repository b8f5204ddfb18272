"""What a client of an earlier release sends and expects is still understood, and still sent."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory

from golden import FOLDER, ROOT, public_messages

RELEASES = sorted(FOLDER.glob("*.json"))
BASELINES = sorted((ROOT / "protos" / "released").glob("*.binpb"))
BUF = shutil.which("buf", path=str(Path(sys.executable).parent)) or "buf"


@pytest.fixture(scope="module", autouse=True)
def known():
    """Every public message."""
    return list(public_messages())


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_the_bytes_of_earlier_clients_say_what_they_said(release):
    kept = json.loads(release.read_text(encoding="utf-8"))
    assert len(kept) > 150
    for name, example in kept.items():
        kind = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name.partition("#")[0]))
        wire = base64.b64decode(example["wire"])
        read = kind.FromString(wire)
        says = json_format.MessageToDict(read, preserving_proto_field_name=True)
        assert says == example["says"], name
        assert read.SerializeToString(deterministic=True) == wire, name


def test_every_release_with_messages_has_its_contract():
    assert [path.stem for path in RELEASES] == [path.stem for path in BASELINES] != []


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda path: path.stem)
def test_nothing_was_taken_from_the_contract_of_a_release(baseline):
    built = subprocess.run([BUF, "build", ROOT / "protos", "-o", "-#format=binpb"], capture_output=True, check=True)
    compared = subprocess.run(
        [BUF, "breaking", "-#format=binpb", "--against", baseline], input=built.stdout, capture_output=True
    )
    assert compared.returncode == 0, compared.stdout.decode()


def test_a_change_that_breaks_clients_would_be_noticed(tmp_path):
    folder = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", folder)
    changed = folder / "memos_api" / "v1" / "memory_service.proto"
    text = changed.read_text()
    assert "int32 top_k = 3;" in text
    changed.write_text(text.replace("int32 top_k = 3;", "int32 top_k = 33;"))
    built = subprocess.run([BUF, "build", folder, "-o", "-#format=binpb"], capture_output=True, check=True)
    compared = subprocess.run(
        [BUF, "breaking", "-#format=binpb", "--against", BASELINES[-1]], input=built.stdout, capture_output=True
    )
    assert compared.returncode != 0
    assert b"top_k" in compared.stdout
