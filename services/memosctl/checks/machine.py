"""The installation: versions, model files, free ports."""

import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from memos_kernel.errors import MemosError
from memosctl import addresses
from memosctl.checks import Finding, failed, ok, skipped, warning
from memosctl.failures import Failure
from memosctl.settings import Settings

_PACKAGES = ("grpcio", "protobuf", "sqlalchemy", "pymilvus", "torch", "transformers")


def versions() -> Iterator[Finding]:
    """Check that the packages are there, by their metadata alone."""
    found, missing = [f"python {sys.version.split()[0]}"], []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    yield ok("versions", ", ".join(found))
    if missing:
        yield failed("packages", f"{', '.join(missing)} missing", "Install memos-grpc again.")


def models(settings: Settings) -> Iterator[Finding]:
    """Check that the files of both models are on this machine; nothing is fetched or loaded."""
    from memos_inference.adapters.checkpoint import bundled_minilm, bundled_tiny
    from memos_inference.config import BUNDLED_EMBEDDER, BUNDLED_MODEL

    for what, chosen, bundled, load in (
        ("embedder", settings.inference.embedder, BUNDLED_EMBEDDER, bundled_minilm),
        ("model", settings.inference.model, BUNDLED_MODEL, bundled_tiny),
    ):
        if chosen != bundled:
            yield skipped(what, f"{chosen} is found or fetched when it is loaded")
            continue
        try:
            files = load().weights()
            yield ok(what, f"{chosen}, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")
        except (MemosError, OSError) as error:
            yield failed(what, str(error), f"Install memos-grpc again, or set inference.{what}.")


def milvus(settings: Settings) -> Iterator[Finding]:
    """Check that a vector index can be had."""
    uri = settings.storage.milvus_uri
    if uri is not None:
        yield skipped("milvus", f"{uri} is asked by storage; its health is storage.milvus")
    elif importlib.util.find_spec("milvus_lite") is None:
        yield failed("milvus", "Milvus Lite is not installed", "Install milvus-lite, or set storage.milvus_uri.")
    else:
        yield ok("milvus", f"Milvus Lite {version('milvus-lite')}, started by storage")


def ports(settings: Settings) -> Iterator[Finding]:
    """Check that the server could listen."""
    for address in filter(None, (settings.server.address, settings.server.health_address)):
        try:
            addresses.require_free(address)
            yield ok("port", f"{address} is free")
        except Failure as taken:
            yield warning("port", taken.message, taken.hint)
