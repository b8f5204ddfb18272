"""The file of an adapter: what is written is read, and what is anything else is refused."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from memos_inference.adapters import lora_file
from memos_inference.adapters.lora_shape import LoraShape
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import BlobRef, Kind, Parametric, RevisionRef
from memos_kernel.errors import DataCorrupted, IncompatiblePayload
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName

SHAPE = LoraShape(rank=2, alpha=6, activated=True)
IDENTITY = CompatibilityIdentity("m", "w", "t", "c", "{}", "float32", "none", "", "base")
MODULES = {"model.layers.0.mlp.up_proj": (5, 3), "model.layers.1.mlp.up_proj": (5, 3)}
NAME = "base_model.model.model.layers.0.mlp.up_proj"


def matrices():
    return {f"{NAME}.lora_A.weight": torch.rand(2, 3), f"{NAME}.lora_B.weight": torch.rand(5, 2)}


@pytest.fixture
def adapter(cube):
    blob = BlobRef("b", 100, "d" * 64, SAFETENSORS)
    return cube(name=CubeName("t", "lora"), kind=Kind.PARAMETRIC, payload=Parametric(blob, IDENTITY, 2, activated=True))


def written(path, tensors, *, shape=SHAPE, identity=IDENTITY):
    lora_file.write(path, tensors, shape=shape, identity=identity, sources=[RevisionRef(CubeName("t", "c"), 1)])
    return path


def test_what_is_written_is_read(tmp_path, adapter):
    tensors = matrices()
    read = lora_file.read(written(tmp_path / "a", tensors), adapter, modules=MODULES)
    assert (read.digest, read.activated) == ("d" * 64, True)
    (module,) = read.down
    assert module in MODULES
    assert torch.equal(read.down[module], tensors[f"{NAME}.lora_A.weight"])
    assert torch.equal(read.up[module], 3 * tensors[f"{NAME}.lora_B.weight"])


def test_equal_adapters_have_equal_bytes(tmp_path):
    tensors = matrices()
    first, second = written(tmp_path / "a", tensors), written(tmp_path / "b", dict(reversed(tensors.items())))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors | {f"{NAME}.lora_A.weight": torch.rand(3, 3)},
        lambda tensors: tensors | {f"{NAME}.lora_A.weight": torch.full((2, 3), float("nan"))},
        lambda tensors: {f"{NAME}.lora_A.weight": tensors[f"{NAME}.lora_A.weight"]},
        lambda tensors: tensors | {"base_model.model.other.lora_A.weight": torch.rand(2, 3)},
        lambda tensors: {name.replace("layers.0", "layers.7"): matrix for name, matrix in tensors.items()},
        lambda _: {},
    ],
)
def test_matrices_that_do_not_fit_the_model_are_refused(tmp_path, adapter, change):
    with pytest.raises(DataCorrupted):
        lora_file.read(written(tmp_path / "a", change(matrices())), adapter, modules=MODULES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"identity": replace(IDENTITY, weights_sha256="other")},
        {"shape": replace(SHAPE, rank=3)},
        {"shape": replace(SHAPE, activated=False)},
    ],
)
def test_a_file_that_tells_of_another_adapter_is_refused(tmp_path, adapter, wrong):
    with pytest.raises(DataCorrupted):
        lora_file.read(written(tmp_path / "a", matrices(), **wrong), adapter, modules=MODULES)


@pytest.mark.parametrize("data", [b"", b"torn", b"\x80\x04pickle"])
def test_what_is_no_such_file_is_refused(tmp_path, adapter, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DataCorrupted):
        lora_file.read(tmp_path / "a", adapter, modules=MODULES)


@pytest.mark.parametrize("said", ["{}", "[]", "nonsense", '{"format": "memos-lora"}'])
def test_a_file_that_says_nothing_of_itself_is_refused(tmp_path, adapter, said):
    save_file(matrices(), tmp_path / "a", {lora_file.FORMAT: said})
    with pytest.raises(DataCorrupted):
        lora_file.read(tmp_path / "a", adapter, modules=MODULES)


def test_a_newer_file_is_told_from_a_broken_one(tmp_path, adapter):
    path = written(tmp_path / "a", matrices())
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        said = json.loads(file.metadata()[lora_file.FORMAT])
    save_file(matrices(), path, {lora_file.FORMAT: json.dumps({**said, "version": "2"})})
    with pytest.raises(IncompatiblePayload):
        lora_file.read(path, adapter, modules=MODULES)
