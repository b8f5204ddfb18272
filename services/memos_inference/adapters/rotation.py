"""Keys that were computed at one position, moved to another."""

from typing import Any

import torch


class Rotation:
    """Rotary positions (RoFormer, arXiv 2104.09864): a key is turned by its position, so moving it is one more turn.

    Halves of a key are turned together, element by element, as llama's checkpoints have it in transformers. Whether a
    model does so is seen by trying, see `TorchDecoder`.
    """

    def __init__(self, frequencies: torch.Tensor) -> None:
        """Take the angle of one position for each pair of elements, `[rotated elements / 2]`."""
        self._frequencies = frequencies.double().cpu()

    @classmethod
    def of(cls, model: Any) -> "Rotation | None":
        """Return that of a model of transformers; None if it has none, or several."""
        found = [
            module.inv_freq for module in model.modules() if isinstance(getattr(module, "inv_freq", None), torch.Tensor)
        ]
        return cls(found[0]) if len(found) == 1 else None

    def moved(self, keys: torch.Tensor, positions: int) -> torch.Tensor:
        """Return keys `[..., tokens, head_dim]` so many positions further on; computed in float32."""
        angles = (positions * self._frequencies).remainder(2 * torch.pi)
        angles = torch.cat((angles, angles)).to(keys.device, torch.float32)
        given = keys.float()
        turned, kept = given[..., : len(angles)], given[..., len(angles) :]
        first, second = turned.chunk(2, dim=-1)
        turned = turned * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()
        return torch.cat((turned, kept), dim=-1).to(keys.dtype)
