"""LoRA adapters as safetensors files, in the names of peft, so that any tool that knows peft can read them.

Tensors are float32: `base_model.model.{module}.lora_A.weight` of `[rank, inputs]`, and `lora_B.weight` of
`[outputs, rank]`. The metadata names the format, its version, rank and alpha, whether the adapter works from the first
turn on only, the identity of the model, the memories, and how to ask for what the adapter knows: questions without
answers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from memos_inference.adapters.lora import LoraAdapter
from memos_inference.adapters.lora_shape import LoraShape
from memos_inference.domain.recovery import Probe
from memos_kernel.cube import MemCube, Parametric, RevisionRef
from memos_kernel.errors import DataCorrupted, IncompatiblePayload
from memos_kernel.identity import CompatibilityIdentity

FORMAT, VERSION = "memos-lora", "1"
_OF_PEFT = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def write(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    *,
    shape: LoraShape,
    identity: CompatibilityIdentity,
    sources: Sequence[RevisionRef],
    probes: Sequence[Probe] = (),
) -> None:
    """Write the matrices of an adapter, in the names of peft."""
    said = {
        "format": FORMAT,
        "version": VERSION,
        **asdict(shape),
        "identity": asdict(identity),
        "sources": [[str(ref.name), ref.revision] for ref in sources],
        "probes": [[probe.say, *probe.ask] for probe in probes],
    }
    kept = {name: matrix.float().contiguous() for name, matrix in sorted(tensors.items())}
    save_file(kept, path, {FORMAT: json.dumps(said, sort_keys=True)})


def read(path: Path, cube: MemCube, *, modules: Mapping[str, tuple[int, int]]) -> LoraAdapter:
    """Return the adapter of a cube.

    Args:
        path: the file, with the bytes that the cube names.
        cube: a parametric cube.
        modules: outputs and inputs of each module that an adapter may change.

    Raises:
        DataCorrupted: it is no such file, or not the one that the cube tells of.
        IncompatiblePayload: it is of another format or model; the fields are named.
    """
    assert isinstance(cube.payload, Parametric)
    try:
        with safe_open(str(path), framework="pt") as file:
            shape, probes = _check_metadata(file.metadata() or {}, cube, cube.payload)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # the library's own
    except (SafetensorError, OSError) as error:
        raise DataCorrupted(f"The file of {cube.name} cannot be read: {error}", name=str(cube.name)) from error
    checked = _checked(tensors, shape, cube, modules)
    return adapter_of(checked, shape, digest=cube.payload.blob.sha256, probes=probes)


def adapter_of(
    tensors: Mapping[str, torch.Tensor], shape: LoraShape, *, digest: str, probes: Sequence[Probe] = ()
) -> LoraAdapter:
    """Return the adapter that matrices in the names of peft make."""
    down: dict[str, torch.Tensor] = {}
    up: dict[str, torch.Tensor] = {}
    for name, matrix in tensors.items():
        module = name.removeprefix(_OF_PEFT)
        if module.endswith(_DOWN):
            down[module.removesuffix(_DOWN)] = matrix
        else:
            up[module.removesuffix(_UP)] = matrix * (shape.alpha / shape.rank)
    return LoraAdapter(digest, down, up, shape.activated, tuple(probes))


def _check_metadata(metadata: Mapping[str, str], cube: MemCube, payload: Parametric) -> tuple[LoraShape, list[Probe]]:
    try:
        said: dict[str, Any] = json.loads(metadata[FORMAT])
        known = (said["format"], said["version"])
        shape = LoraShape(rank=int(said["rank"]), alpha=int(said["alpha"]), activated=bool(said["activated"]))
        identity = CompatibilityIdentity(**said["identity"])
        probes = [Probe(str(say), tuple(map(str, ask))) for say, *ask in said.get("probes", ())]
    except (KeyError, TypeError, ValueError) as error:
        raise DataCorrupted(f"The file of {cube.name} is no adapter of this system.", name=str(cube.name)) from error
    if known != (FORMAT, VERSION):
        raise IncompatiblePayload(
            f"{cube.name} is {' '.join(known)}; this is {FORMAT} {VERSION}.", name=str(cube.name), fields="version"
        )
    if (identity, shape.rank, shape.activated) != (payload.identity, payload.rank, payload.activated):
        raise DataCorrupted(f"The file of {cube.name} tells of another adapter.", name=str(cube.name))
    return shape, probes


def _checked(
    tensors: Mapping[str, torch.Tensor], shape: LoraShape, cube: MemCube, modules: Mapping[str, tuple[int, int]]
) -> Mapping[str, torch.Tensor]:
    """Return the matrices; all of them are of modules of the model, in pairs of the right shape, and numbers."""
    wanted = {
        f"{_OF_PEFT}{module}{part}": size
        for module, (outputs, inputs) in modules.items()
        for part, size in ((_DOWN, (shape.rank, inputs)), (_UP, (outputs, shape.rank)))
    }
    for name, matrix in tensors.items():
        partner = name.replace(_DOWN, _UP) if name.endswith(_DOWN) else name.replace(_UP, _DOWN)
        if tuple(matrix.shape) != wanted.get(name) or matrix.dtype != torch.float32 or partner not in tensors:
            raise DataCorrupted(f"{cube.name} has a matrix {name[:200]} that fits nothing.", name=str(cube.name))
        if not matrix.isfinite().all():
            raise DataCorrupted(f"{cube.name} has what is no number in {name}.", name=str(cube.name))
    if not tensors:
        raise DataCorrupted(f"{cube.name} has no matrices.", name=str(cube.name))
    return tensors
