"""The default embedder without a service, and another one: all-MiniLM-L6-v2 with fewer layers."""

import json
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from memos_inference.adapters import torch_encoder
from memos_inference.adapters.checkpoint import bundled_minilm


def bundled_encoder() -> torch_encoder.TorchEncoder:
    """Return the default embedder."""
    return torch_encoder.load(bundled_minilm(), weights_sha256="0" * 64, device="cpu")


def write_smaller_minilm(folder: Path, *, layers: int = 4) -> Path:
    """Write the first layers of the bundled embedder as a sentence-transformers model; returns the folder."""
    source = bundled_minilm().folder
    folder.mkdir(parents=True)
    for path in source.rglob("*.json"):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": layers}))
    tensors = load_file(source / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if _layer(name) < layers}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _layer(name: str) -> int:
    """Return the number of the layer that a tensor belongs to; -1 if it is of none."""
    parts = name.split(".")
    return int(parts[parts.index("layer") + 1]) if "layer" in parts else -1
