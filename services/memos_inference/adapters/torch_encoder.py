"""An encoder of texts on torch; lives in one thread."""

import inspect
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn.functional import normalize
from transformers import MODEL_MAPPING, AutoConfig

from memos_inference.adapters.bert import BertForward
from memos_inference.adapters.checkpoint import Checkpoint
from memos_inference.adapters.token_packing import pack
from memos_inference.domain.models import EmbedderDescription, TokenUse
from memos_kernel.embedding import Embedding
from memos_kernel.errors import DependencyUnavailable

PASS_TOKENS = 512
"""Tokens of one pass, padding included. More do not raise the throughput of a CPU, and delay whoever comes next."""

_log = logging.getLogger(__name__)


class TorchEncoder:
    """Tokens, model, pooling, normalisation."""

    def __init__(
        self, *, model: Any, tokenizer: Tokenizer, pooling: str, pad_id: int, description: EmbedderDescription
    ) -> None:
        self.description = description
        self._hidden = _hidden_states(model)
        self._device = model.device
        self._tokenizer = tokenizer
        self._cls = pooling == "cls"
        self._pad_id = pad_id

    def encode(self, texts: Sequence[str], *, max_texts: int, uses: Sequence[TokenUse] = ()) -> list[Embedding]:
        """Return one vector a text, float32 and of length 1, in order, and those of its tokens where they are wanted.

        Texts of similar length share a pass of at most `max_texts` and PASS_TOKENS.
        """
        read = self._tokenizer.encode_batch(list(texts))
        ids = [encoding.ids for encoding in read]
        found = [Embedding(())] * len(ids)
        for group in _passes(ids, max_texts):
            hidden, pooled = self._forward([ids[index] for index in group])
            for place, (index, vector) in enumerate(zip(group, pooled, strict=True)):
                use = uses[index] if uses else TokenUse.NONE
                found[index] = Embedding(vector, pack(hidden[place], read[index], texts[index], use))
        return found

    @torch.inference_mode()
    def _forward(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, list[list[float]]]:
        """Run one pass over token ids, which are padded to the longest row; return hidden states and vectors."""
        width = max(map(len, rows))
        padded = [[*row, *[self._pad_id] * (width - len(row))] for row in rows]
        ids = torch.tensor(padded, device=self._device)
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        mask = torch.arange(width, device=self._device) < lengths[:, None]
        even = len(rows[0]) == width and all(len(row) == width for row in rows)
        hidden = self._hidden(ids, None if even else mask)
        pooled = hidden[:, 0] if self._cls else (hidden * mask[..., None]).sum(1) / lengths[:, None]
        vectors: list[list[float]] = normalize(pooled.float(), dim=-1).tolist()
        return hidden, vectors


def _hidden_states(model: Any) -> Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]:
    """Return what makes the last hidden state of token ids and mask."""
    if BertForward.fits(model.config):
        return BertForward(model)

    def forward(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        hidden: torch.Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden

    return forward


def _passes(ids: Sequence[Sequence[int]], max_texts: int) -> Iterator[list[int]]:
    """Yield groups of indexes by falling length, each within the limits of one pass."""
    group: list[int] = []
    for index in sorted(range(len(ids)), key=lambda index: -len(ids[index])):
        if group and (len(group) == max_texts or (len(group) + 1) * len(ids[group[0]]) > PASS_TOKENS):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def load(checkpoint: Checkpoint, *, weights_sha256: str, device: str) -> TorchEncoder:
    """Load a sentence-transformers model.

    Raises:
        DependencyUnavailable: its files are not what this encoder can run.
    """
    pooling = _pooling(checkpoint)
    config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True)
    kind: Any = MODEL_MAPPING[type(config)]
    options = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind).parameters else {}
    model = kind.from_pretrained(
        checkpoint.folder, config=config, dtype=torch.float32, local_files_only=True, use_safetensors=True, **options
    )
    longest = _max_tokens(checkpoint, config)
    encoder = TorchEncoder(
        model=model.eval().to(device),
        tokenizer=_tokenizer(checkpoint, longest),
        pooling=pooling,
        pad_id=config.pad_token_id or 0,
        description=EmbedderDescription(f"{checkpoint.name}@{weights_sha256[:12]}", config.hidden_size),
    )
    encoder.encode(["The first pass is the slowest."], max_texts=1)
    _log.info("embedder %s on %s, %s pooling, %d tokens", encoder.description.id, device, pooling, longest)
    return encoder


def _tokenizer(checkpoint: Checkpoint, longest: int) -> Tokenizer:
    file = checkpoint.folder / "tokenizer.json"
    if not file.is_file():
        raise DependencyUnavailable(
            f"The embedder {checkpoint.name} has no tokenizer.json; choose another for inference.embedder.",
            dependency="embedder",
        )
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer


def _pooling(checkpoint: Checkpoint) -> str:
    """Return `mean` or `cls`; a bare encoder without pooling settings gets the mean, as in sentence-transformers."""
    settings = _json(checkpoint, "1_Pooling/config.json")
    modes = sorted(name for name, value in settings.items() if name.startswith("pooling_mode") and value is True)
    if not settings or modes == ["pooling_mode_mean_tokens"]:
        return "mean"
    if modes == ["pooling_mode_cls_token"]:
        return "cls"
    raise DependencyUnavailable(
        f"The embedder {checkpoint.name} pools by {', '.join(modes)}; only mean and CLS pooling are supported.",
        dependency="embedder",
    )


def _max_tokens(checkpoint: Checkpoint, config: Any) -> int:
    """Return the most tokens of a text; what is longer is cut off."""
    stated = _json(checkpoint, "sentence_bert_config.json").get("max_seq_length")
    return int(stated or min(config.max_position_embeddings, 512))


def _json(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    file = checkpoint.folder / name
    return dict(json.loads(file.read_text())) if file.is_file() else {}
