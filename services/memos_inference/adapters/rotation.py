"""Keys that were computed at one position, moved to another."""

from functools import lru_cache
from typing import Any

import torch

_KEPT = 64
"""Turns that are remembered."""


class Rotation:
    """Rotary positions (RoFormer, arXiv 2104.09864): a key is turned by its position, so moving it is one more turn.

    Halves of a key are turned together, element by element, as llama's checkpoints have it in transformers. Whether a
    model does so is seen by trying, see `TorchDecoder`.
    """

    def __init__(self, frequencies: torch.Tensor) -> None:
        """Take the angle of one position for each pair of elements, `[rotated elements / 2]`."""
        self._frequencies = frequencies.double().cpu()
        self._turn = lru_cache(_KEPT)(self._turn_of)  # every layer moves by the same positions

    @classmethod
    def of(cls, model: Any) -> "Rotation | None":
        """Return that of a model of transformers; None if it has none, or several."""
        found = [
            module.inv_freq for module in model.modules() if isinstance(getattr(module, "inv_freq", None), torch.Tensor)
        ]
        return cls(found[0]) if len(found) == 1 else None

    def moved(self, keys: torch.Tensor, positions: int) -> torch.Tensor:
        """Return keys `[..., tokens, head_dim]` so many positions further on; computed in float32."""
        cos, sin = self._turn(positions, keys.device)
        given = keys.float()
        turned, kept = given[..., : len(cos)], given[..., len(cos) :]
        first, second = turned.chunk(2, dim=-1)
        turned = turned * cos + torch.cat((-second, first), dim=-1) * sin
        if kept.shape[-1]:
            turned = torch.cat((turned, kept), dim=-1)
        return turned.to(keys.dtype)

    def _turn_of(self, positions: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine by which so many positions turn each element."""
        angles = (positions * self._frequencies).remainder(2 * torch.pi)
        angles = torch.cat((angles, angles)).to(device, torch.float32)
        return angles.cos(), angles.sin()
