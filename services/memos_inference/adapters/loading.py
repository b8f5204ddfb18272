"""From settings to models on this machine. Runs in a thread; the heavy libraries are imported here, when needed."""

import json
import logging
import threading
import time
from typing import TYPE_CHECKING

from memos_inference.adapters import environment
from memos_inference.adapters.checkpoint import Checkpoint, FileDigests, bundled_minilm, bundled_tiny, find
from memos_inference.adapters.engine_work import LoadedModel
from memos_inference.config import BUNDLED_EMBEDDER, BUNDLED_MODEL, InferenceConfig
from memos_inference.domain.models import EngineDescription
from memos_kernel.identity import CompatibilityIdentity

if TYPE_CHECKING:
    from memos_inference.adapters.chat_tokenizer import ChatTokenizer
    from memos_inference.adapters.torch_decoder import TorchDecoder
    from memos_inference.adapters.torch_encoder import TorchEncoder

_ONE_AT_A_TIME = threading.Lock()
"""transformers loads a model under process-wide settings (default device, initialisers); two loads spoil each other."""

_log = logging.getLogger(__name__)


def load_encoder(name: str, config: InferenceConfig, digests: FileDigests, *, setting: str) -> "TorchEncoder":
    """Load an embedder; `setting` is the one that names it.

    Raises:
        DependencyUnavailable, DataCorrupted: it cannot be had.
    """
    started = time.perf_counter()
    environment.prepare(config.threads)
    from memos_inference.adapters import torch_encoder

    checkpoint = bundled_minilm() if name == BUNDLED_EMBEDDER else find(name, setting=setting)
    weights = checkpoint.weights_sha256 or digests.of(checkpoint.weights())
    with _ONE_AT_A_TIME:
        encoder = torch_encoder.load(checkpoint, weights_sha256=weights, device=environment.pick_device(config.device))
    _log.info("embedder loaded in %.1f s", time.perf_counter() - started)
    return encoder


def checkpoint_of(config: InferenceConfig) -> Checkpoint:
    """Return the files of the generating model.

    Raises:
        DependencyUnavailable: it cannot be had.
    """
    return bundled_tiny() if config.model == BUNDLED_MODEL else find(config.model, setting="model")


def load_model(config: InferenceConfig, digests: FileDigests) -> LoadedModel:
    """Load the generating model.

    Raises:
        DependencyUnavailable: it cannot be had.
    """
    started = time.perf_counter()
    environment.prepare(config.threads)
    from memos_inference.adapters import chat_tokenizer, torch_decoder

    checkpoint = checkpoint_of(config)
    _log.info("loading the model %s", checkpoint.name)
    weights = digests.of(checkpoint.weights())
    tokenizer = chat_tokenizer.load(checkpoint)
    with _ONE_AT_A_TIME:
        device = environment.pick_device(config.device)
        decoder = torch_decoder.load(checkpoint, device=device, dtype=config.dtype, threads=config.threads)
    description = _describe(checkpoint, config, decoder, tokenizer, weights, digests.of(checkpoint.tokenizer_files()))
    ends = frozenset() if tokenizer.end_id is None else frozenset({tokenizer.end_id})
    _log.info("model %s loaded in %.1f s", description.model, time.perf_counter() - started)
    return LoadedModel(decoder, tokenizer, description, decoder.stop_ids | ends)


def _describe(
    checkpoint: Checkpoint,
    config: InferenceConfig,
    decoder: "TorchDecoder",
    tokenizer: "ChatTokenizer",
    weights_sha256: str,
    tokenizer_sha256: str,
) -> EngineDescription:
    stated = json.loads((checkpoint.folder / "config.json").read_text()).get("memos", {})
    model = f"{checkpoint.name}@{(checkpoint.revision or weights_sha256)[:12]}"
    identity = CompatibilityIdentity(
        model=model,
        weights_sha256=weights_sha256,
        tokenizer_sha256=tokenizer_sha256,
        chat_template_sha256=tokenizer.template_sha256,
        rope_config=decoder.rope_config,
        dtype=decoder.dtype,
        quantization=decoder.quantization,
        token_ids_sha256="",
        adapter="base",
    )
    return EngineDescription(
        model=model,
        context_length=min(decoder.context_length, tokenizer.longest),
        memories_read_well=int(stated.get("memories_read_well", config.memories_read_well)),
        identity=identity,
    )
