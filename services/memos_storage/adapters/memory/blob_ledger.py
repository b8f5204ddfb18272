"""The blobs inside a transaction, in memory."""

from dataclasses import replace

from memos_kernel.names import VaultName
from memos_storage.adapters.memory.tables import Tables


class MemoryBlobs:
    """Implements `ports.BlobLedger`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def free(self, vault: VaultName, name: str) -> bool:
        """Return whether the vault has such a blob and no cube has taken it."""
        row = self._tables.blobs.get(name)
        return row is not None and row.free and row.vault == vault

    def take(self, name: str, uid: str) -> None:
        """Give a free blob to a cube."""
        self._tables.blobs[name] = replace(self._tables.blobs[name], uid=uid)

    def drop(self, name: str) -> None:
        """Let a free blob go."""
        row = self._tables.blobs.get(name)
        if row is not None and row.free:
            self._tables.blobs[name] = replace(row, gone=True)
