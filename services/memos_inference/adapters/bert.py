"""The forward pass of a BERT encoder without the bookkeeping of transformers.

The numbers are the same within float32 rounding; a short text takes less time, for there the overhead of each module
call counts.
"""

from typing import Any

import torch
from torch import Tensor, layer_norm
from torch.nn.functional import embedding, gelu, linear, scaled_dot_product_attention


class BertForward:
    """The layers of a `transformers.BertModel` as plain functions of its weights (Devlin et al. 2019)."""

    def __init__(self, model: Any) -> None:
        """Take the weights of a model that `fits`; queries, keys and values become one product."""
        embeddings = model.embeddings
        self._heads = model.config.num_attention_heads
        self._words = embeddings.word_embeddings.weight.detach()
        segment = embeddings.token_type_embeddings.weight[0]
        self._positions = (embeddings.position_embeddings.weight + segment).detach()
        self._norm = _norm(embeddings.LayerNorm)
        self._layers = [_layer(layer) for layer in model.encoder.layer]

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether a model of this configuration computes what is computed here."""
        return bool(config.model_type == "bert" and config.hidden_act == "gelu" and not config.is_decoder)

    def __call__(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Return the last hidden state, of shape (texts, length, width).

        Args:
            ids: int64 of shape (texts, length).
            mask: bool of the same shape, False where a text is padded; None if none is.
        """
        seen = None if mask is None else mask[:, None, None, :]
        hidden = layer_norm(embedding(ids, self._words) + self._positions[: ids.shape[1]], *self._norm)
        for attention, output, first_norm, up, down, last_norm in self._layers:
            mixed = self._mix(linear(hidden, *attention), seen)
            hidden = layer_norm(hidden + linear(mixed, *output), *first_norm)
            hidden = layer_norm(hidden + linear(gelu(linear(hidden, *up)), *down), *last_norm)
        return hidden

    def _mix(self, projected: Tensor, seen: Tensor | None) -> Tensor:
        texts, length, width = projected.shape
        parts = projected.view(texts, length, 3, self._heads, width // 3 // self._heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind()
        return scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2).flatten(2)


def _layer(layer: Any) -> tuple[tuple[Any, ...], ...]:
    """Return the arguments of a layer's six functions, in the order in which they are called."""
    attention = layer.attention.self
    parts = (attention.query, attention.key, attention.value)
    return (
        (torch.cat([part.weight for part in parts]).detach(), torch.cat([part.bias for part in parts]).detach()),
        _linear(layer.attention.output.dense),
        _norm(layer.attention.output.LayerNorm),
        _linear(layer.intermediate.dense),
        _linear(layer.output.dense),
        _norm(layer.output.LayerNorm),
    )


def _linear(module: Any) -> tuple[Tensor, Tensor]:
    return module.weight.detach(), module.bias.detach()


def _norm(module: Any) -> tuple[Any, ...]:
    return module.normalized_shape, module.weight.detach(), module.bias.detach(), module.eps
