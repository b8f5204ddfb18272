"""Safetensors files for the tests."""

import numpy as np
from safetensors.numpy import save

IDENTITY = {
    "model": "tiny@1",
    "weights_sha256": "a" * 64,
    "tokenizer_sha256": "b" * 64,
    "chat_template_sha256": "c" * 64,
    "rope_config": "{}",
    "dtype": "float32",
    "quantization": "none",
    "adapter": "base",
}
"""The model that an adapter fits, as a client says it."""


def tensors(seed: int = 0, *, elements: int = 64) -> bytes:
    """Return a file with one tensor; the same for the same seed."""
    values = np.random.default_rng(seed).standard_normal(elements).astype(np.float32)
    return save({"lora_A": values})
