"""LoRA adapters on a model that serves many at a time: low-rank changes of its linear modules, row by row.

Hu et al., 2021 (arXiv 2106.09685). The library that trains them, peft, changes the modules of a model in place; here
the model stays as it is, and what an adapter adds is computed beside it, for those tokens that want it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from memos_inference.domain.recovery import Probe


@dataclass(frozen=True, slots=True, eq=False)
class LoraAdapter:
    """Matrices by the name of the module that they change.

    Attributes:
        digest: of the file that they came in.
        down: `[rank, inputs]` each.
        up: `[outputs, rank]` each, with the scale of the adapter.
        activated: whether it works from the first turn on only, so that keys and values of the memories are those of
            the model without it (aLoRA, arXiv 2504.12397).
        probes: how to ask for what it knows.
    """

    digest: str
    down: Mapping[str, torch.Tensor]
    up: Mapping[str, torch.Tensor]
    activated: bool = False
    probes: tuple[Probe, ...] = ()

    def delta(self, module: str, given: torch.Tensor) -> torch.Tensor | None:
        """Return what is added to a module's output for some rows, `[rows, outputs]`; None if it is not changed."""
        down = self.down.get(module)
        return None if down is None else given @ down.T @ self.up[module].T

    def to(self, device: torch.device, dtype: torch.dtype) -> "LoraAdapter":
        """Return it on a device, in the element type of the model there."""
        down, up = ({name: matrix.to(device, dtype) for name, matrix in part.items()} for part in (self.down, self.up))
        return LoraAdapter(self.digest, down, up, self.activated, self.probes)

    @property
    def nbytes(self) -> int:
        """Bytes that the matrices take."""
        return sum(matrix.nbytes for part in (self.down, self.up) for matrix in part.values())
