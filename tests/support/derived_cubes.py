"""KV caches and adapters of memories, as plans meet them."""

from dataclasses import replace
from typing import Any

from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, MemCube, Parametric, RevisionRef
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName, VaultName
from memos_scheduler.domain.plan import Plan

MAIN = VaultName("acme", "main")
RUNNING = CompatibilityIdentity("m", "w", "t", "c", "{}", "float32", "none", "", "base")


def cache_of(
    *sources: MemCube,
    id: str = "kv",
    tokens: int = 20,
    identity: CompatibilityIdentity = RUNNING,
    seal: str = "s",
    **fields: Any,
) -> MemCube:
    """Return a KV cache of memories."""
    payload = Activation(_blob(id), replace(identity, token_ids_sha256="i" * 64), tokens, seal)
    return MemCube(**{**_of(sources, id), "kind": Kind.ACTIVATION, "payload": payload, **fields})


def adapter_of(
    *sources: MemCube,
    id: str = "lora",
    identity: CompatibilityIdentity = RUNNING,
    seal: str = "s",
    activated: bool = False,
    **fields: Any,
) -> MemCube:
    """Return an adapter that knows memories."""
    payload = Parametric(_blob(id), identity, 16, seal, activated)
    return MemCube(**{**_of(sources, id), "kind": Kind.PARAMETRIC, "payload": payload, **fields})


def told(plan: Plan) -> list[tuple[str, str]]:
    """Return form and id of what was chosen."""
    return [(memory.form, memory.cube.name.id) for memory in plan.chosen]


def refused(plan: Plan, form: str) -> list[str]:
    """Return why each cache or adapter was left out."""
    return [memory.reason for memory in plan.rejected if memory.form == form]


def _blob(id: str) -> BlobRef:
    return BlobRef(f"blobs/{id}", 1_000, id.ljust(64, "0"), SAFETENSORS)


def _of(sources: tuple[MemCube, ...], id: str) -> dict[str, Any]:
    refs = tuple(RevisionRef(source.name, 1) for source in sources)
    return {"name": CubeName("acme", id), "vault": MAIN, "derived_from": refs}
