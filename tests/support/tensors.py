"""Safetensors files for the tests."""

import numpy as np
from safetensors.numpy import save


def tensors(seed: int = 0, *, elements: int = 64) -> bytes:
    """Return a file with one tensor; the same for the same seed."""
    values = np.random.default_rng(seed).standard_normal(elements).astype(np.float32)
    return save({"lora_A": values})
