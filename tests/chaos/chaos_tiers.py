"""What is really on each tier, read past the services: tables, files, collections, objects."""

import logging
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as parquet
from chaos_load import TOKEN
from chaos_plant import EmbeddedPlant, Plant, ServedPlant
from pymilvus import MilvusClient
from sqlalchemy import create_engine, text

logging.getLogger("pymilvus").setLevel(logging.ERROR)  # it warns of what Milvus Lite does not know

_CURRENT = (
    "SELECT c.uid, v.revision FROM cubes c JOIN vectors v ON v.cube_key = c.key AND v.revision = c.content_revision"
    " WHERE c.delete_time IS NULL"
)
_VECTOR = (
    "SELECT c.uid, v.data FROM cubes c JOIN vectors v ON v.cube_key = c.key AND v.revision = c.content_revision"
    " WHERE c.tenant = 'local' AND c.cube = :cube"
)


class Tiers(ABC):
    """The tiers of one system."""

    @abstractmethod
    def rows(self, statement: str, **values: str) -> list[tuple[object, ...]]:
        """Return what a statement reads from the catalogue."""

    @abstractmethod
    def tables(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name of each table of the catalogue with every value in it, one after the other."""

    @abstractmethod
    def files(self) -> dict[str, list[Path]]:
        """Return the files of each tier that an erasure has to reach."""

    @abstractmethod
    def client(self) -> MilvusClient:
        """Return a client of the vector index."""

    def vector(self, name: str) -> tuple[str, bytes]:
        """Return the uid of a cube and the vector of its text."""
        ((uid, data),) = self.rows(_VECTOR, cube=name.rpartition("/")[2])
        return str(uid), bytes(data)  # type: ignore[call-overload]

    def find(self, *needles: bytes) -> dict[str, list[str]]:
        """Return on which tiers one of these bytes is, and where there."""
        found: dict[str, list[str]] = {}
        for table, data in self.tables():
            if any(needle in data for needle in needles):
                found.setdefault("catalogue", []).append(table)
        for tier, paths in self.files().items():
            for path in paths:
                if any(needle in data for data in decoded(path) for needle in needles):
                    found.setdefault(tier, []).append(path.name)
        return found

    def tokens(self) -> dict[str, set[bytes]]:
        """Return the words by which memories are told apart, on each tier all that are there."""
        found: dict[str, set[bytes]] = {"catalogue": set()}
        for _, data in self.tables():
            found["catalogue"].update(TOKEN.findall(data))
        for tier, paths in self.files().items():
            found[tier] = {token for path in paths for data in decoded(path) for token in TOKEN.findall(data)}
        return found

    def points(self) -> set[tuple[str, int]]:
        """Return what the index holds."""
        client = self.client()
        try:
            held: set[tuple[str, int]] = set()
            names = [*client.list_collections()]
            for collection in {client.describe_collection(name)["collection_name"] for name in names}:
                client.load_collection(collection)
                pages = client.query_iterator(
                    collection, batch_size=1_000, output_fields=["id"], consistency_level="Strong"
                )
                while page := pages.next():
                    held |= {_point(str(row["id"])) for row in page}
                pages.close()
            return held
        finally:
            client.close()

    def drift(self) -> tuple[int, int]:
        """Return how many points the index lacks, and how many it has too many."""
        wanted = {(str(uid), int(str(revision))) for uid, revision in self.rows(_CURRENT)}
        held = self.points()
        return len(wanted - held), len(held - wanted)

    def settle(self, *, seconds: float) -> tuple[int, int]:
        """Wait until there is no drift, and return what is left of it."""
        end = time.monotonic() + seconds
        while True:
            try:
                drift = self.drift()
            except Exception:
                if time.monotonic() > end:
                    raise
                drift = (-1, -1)
            if drift == (0, 0) or time.monotonic() > end:
                return drift
            time.sleep(0.3)


class EmbeddedTiers(Tiers):
    """SQLite, Milvus Lite and a directory."""

    def __init__(self, plant: EmbeddedPlant) -> None:
        self._plant = plant

    def rows(self, statement: str, **values: str) -> list[tuple[object, ...]]:
        """See `Tiers`."""
        # Closed at once: reading the file itself, as `find` does, drops the locks that SQLite holds in this process.
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as connection:
            return connection.execute(statement, values).fetchall()

    def tables(self) -> Iterator[tuple[str, bytes]]:
        """See `Tiers`."""
        for (table,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
            yield str(table), _joined(self.rows(f"SELECT * FROM {table}"))

    def files(self) -> dict[str, list[Path]]:
        """See `Tiers`."""
        state = self._plant.state
        return {
            "catalogue files": [path for path in state.glob("catalogue.db*") if not path.name.endswith("-shm")],
            "index files": _files(state / "milvus"),
            "blobs": _files(state / "blobs"),
        }

    def client(self) -> MilvusClient:
        """See `Tiers`."""
        (child,) = self._plant.children()
        arguments = self._plant.system.command_line(child).split()
        return MilvusClient(uri=f"unix:{arguments[arguments.index('--socket') + 1]}:0")

    @property
    def _database(self) -> Path:
        return self._plant.state / "catalogue.db"


class ServedTiers(Tiers):
    """PostgreSQL, a Milvus server and S3. What the servers' files keep for a while, the receipt says."""

    def __init__(self, plant: ServedPlant) -> None:
        self._plant = plant
        self._engine = create_engine(plant.postgres.url, pool_pre_ping=True)

    def rows(self, statement: str, **values: str) -> list[tuple[object, ...]]:
        """See `Tiers`."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    def tables(self) -> Iterator[tuple[str, bytes]]:
        """See `Tiers`."""
        names = self.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in names:
            yield str(table), _joined(self.rows(f"SELECT * FROM {table}"))

    def files(self) -> dict[str, list[Path]]:
        """See `Tiers`."""
        return {"blobs": _files(self._plant.objects)}

    def client(self) -> MilvusClient:
        """See `Tiers`."""
        return MilvusClient(uri=self._plant.milvus.uri)


def tiers_of(plant: Plant) -> Tiers:
    """Return the tiers of a system."""
    return EmbeddedTiers(plant) if isinstance(plant, EmbeddedPlant) else ServedTiers(plant)  # type: ignore[arg-type]


def decoded(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and those of its columns if its format packs them."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    yield raw
    if raw[:4] == b"PAR1":
        table = parquet.read_table(path)
        for column in table.columns:
            for chunk in column.chunks:
                yield from (bytes(buffer) for buffer in chunk.buffers() if buffer is not None)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _joined(rows: Iterable[tuple[object, ...]]) -> bytes:
    values = (value for row in rows for value in row)
    return b"\0".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in values
    )


def _point(key: str) -> tuple[str, int]:
    uid, revision = key[:36], key[37:]
    return uid, int(revision)
