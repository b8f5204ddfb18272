"""The backend that `grafomem conformance` audits: a running system, through its public API.

It finds the system as every client does (`MEMOS_ADDRESS`, `MEMOS_API_KEY`). A store of the suite is a vault of
its own; a tenant of the suite is a tenant, made with `memosctl tenant create`.

Claimed is what the system does itself:

- SUPERSESSION_CHAIN, BI_TEMPORAL: `valid_from` and `valid_until` of cubes, `valid_at` of searches. A successor is
  stored, then the period of the one before is closed, which keeps all of its revisions.
- HARD_DELETE: PurgeMemories; the call returns when the receipt is signed.
- MULTI_TENANT: tenants with a key each.
- AUDIT: ListMemories. PROVENANCE: provenance id, create time and owner of a cube. POINT_LOOKUP: GetMemory.

Not claimed: CRYPTOGRAPHIC_PROVENANCE (a caller's signature of a fact is not kept), CONCURRENCY_CONTROL (there are no
transactions over several calls), CROSS_SESSION_PROPAGATION and CONFLICT_DETECTION (the suite has no test of them).
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from aml.backends.interface import Capability, Memory, RetrieveOptions, SourceMeta, WriteOptions

from memos_client import Client, Cube, Filter, NotFound

_HITS = 50
_PAGE = 100
_SUPERSEDED_BY = "superseded_by"


class MemosBackend:
    """Implements the suite's MemoryBackend. Everything it knows beyond the running system is where its vaults are."""

    __grafomem_interface__ = "0.1.1"
    __grafomem_adapter_metadata__ = {"underlying_system": "memos-grpc"}  # noqa: RUF012 - the suite's convention

    def __init__(self) -> None:
        self._places: dict[str | None, tuple[Client, str]] = {}

    def capabilities(self) -> set[Capability]:
        """Return what is claimed."""
        return {
            Capability.AUDIT,
            Capability.SUPERSESSION_CHAIN,
            Capability.BI_TEMPORAL,
            Capability.HARD_DELETE,
            Capability.MULTI_TENANT,
            Capability.PROVENANCE,
            Capability.POINT_LOOKUP,
        }

    def write(self, content: str, options: WriteOptions) -> tuple[str | None, str]:
        """Store a memory; a reference is its tenant and its name."""
        client, vault = self._place(options.tenant_id)
        labels = {key: str(value) for key, value in options.metadata.items()}
        cube = client.create(vault, content, labels=labels, valid_from=options.valid_from)
        return options.tenant_id, cube.name

    def supersede(self, old_ref: tuple[str | None, str], content: str, options: WriteOptions) -> tuple[str | None, str]:
        """Store a memory that holds from now on in place of another one."""
        new = self.write(content, options)
        tenant, name = old_ref
        client, _ = self._place(tenant)
        old = client.get(name)
        labels = {**old.labels, _SUPERSEDED_BY: new[1]}
        client.update(name, labels=labels, valid_until=options.valid_from or datetime.now(UTC), etag=old.etag)
        return new

    def delete(self, ref: tuple[str | None, str]) -> bool:
        """Erase a memory for good, and wait for the proof."""
        tenant, name = ref
        client, vault = self._place(tenant)
        try:
            asked = client.purge(vault, [name], expected_count=1)
        except NotFound:
            return False
        for _ in client.watch_job(asked.job.name):
            pass
        assert client.get_purge(asked.purge.name).HasField("receipt")
        return True

    def retrieve(self, query: str, options: RetrieveOptions) -> list[Memory]:
        """Search what holds at a moment, the best first, as far as the budget of characters goes."""
        client, vault = self._place(options.tenant_id)
        holding = Filter(valid_at=options.as_of or datetime.now(UTC))
        found, used = [], 0
        for hit in client.search(query, vaults=[vault], top_k=_HITS, filter=holding).hits:
            used += len(hit.cube.text)
            if used > options.budget_tokens:
                break
            found.append(_memory(hit.cube, options.tenant_id))
        return found

    def audit(self) -> Iterator[Memory]:
        """Yield every memory of the store."""
        for tenant, (client, vault) in self._places.items():
            names = [cube.name for cube in client.list(vault, page_size=_PAGE)]
            for start in range(0, len(names), _PAGE):
                for cube in client.batch_get(names[start : start + _PAGE]):
                    assert isinstance(cube, Cube)
                    yield _memory(cube, tenant)

    def exists(self, ref: tuple[str | None, str]) -> bool:
        """Return whether a memory is there."""
        tenant, name = ref
        try:
            self._place(tenant)[0].get(name)
        except NotFound:
            return False
        return True

    def flush(self) -> None:
        """What is acknowledged is durable, and found by the next search."""

    def _place(self, tenant: str | None) -> tuple[Client, str]:
        if tenant not in self._places:
            self._places[tenant] = _new_vault() if tenant is None else _new_tenant()
        return self._places[tenant]


def _new_vault() -> tuple[Client, str]:
    client = Client.from_env()
    return client, client.create_vault(f"c{uuid.uuid4().hex[:12]}").name


def _new_tenant() -> tuple[Client, str]:
    command = ["memosctl", "tenant", "create", f"t{uuid.uuid4().hex[:12]}", "--json"]
    made = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    environment = {**os.environ, "MEMOS_API_KEY": made["secret"], "MEMOS_TENANT": made["tenant"].partition("/")[2]}
    return Client.from_env(environment), made["vault"]


def _memory(cube: Cube, tenant: str | None) -> Memory:
    message, successor = cube.message, cube.labels.get(_SUPERSEDED_BY)
    written = message.create_time.ToDatetime(tzinfo=UTC)
    return Memory(
        ref=(tenant, cube.name),
        content=cube.text,
        written_at=written,
        metadata=dict(cube.labels),
        valid_from=_time(message, "valid_from"),
        valid_until=_time(message, "valid_until"),
        tenant_id=tenant,
        superseded_by=(tenant, successor) if successor else None,
        source=SourceMeta(write_id=message.provenance_id, written_at=written, written_by=message.access.owner),
    )


def _time(message: Any, field: str) -> datetime | None:
    return getattr(message, field).ToDatetime(tzinfo=UTC) if message.HasField(field) else None
