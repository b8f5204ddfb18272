"""The optimizer of the tiny model: Muon for the matrices of the layers, AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised (Jordan et al., 2024), scaled to AdamW's step size (Liu et al., 2025).

    In float32: the implementation of PyTorch works in bfloat16, which is slow on processors without AVX-512.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update. Matrices of one shape are orthogonalised together."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for param in group["params"]:
                if param.grad is not None:
                    shapes[param.shape].append(param)
            for shape, params in shapes.items():
                updates = torch.stack([self._momentum(param, group["momentum"]) for param in params])
                scale = 0.2 * max(shape) ** 0.5 * group["lr"]
                for param, update in zip(params, orthogonalised(updates), strict=True):
                    param.mul_(1 - group["lr"] * group["decay"]).sub_(update, alpha=scale)

    def _momentum(self, param: nn.Parameter, momentum: float) -> Tensor:
        assert param.grad is not None
        state = self.state[param]
        buffer = state.setdefault("momentum", torch.zeros_like(param))
        buffer.lerp_(param.grad, 1 - momentum)
        return param.grad.lerp(buffer, momentum)


def orthogonalised(matrices: Tensor, steps: int = 4) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: Newton-Schulz on a stack of shape (n, rows, columns)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    result: Tensor = x.mT if tall else x
    return result
