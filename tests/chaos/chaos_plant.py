"""A system to kill: six processes, with a storage on files of its own or on servers, each of which can be killed."""

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from chaos_power import Disk

import s3
from deployment import Deployment
from milvus_server import MilvusProcess
from postgres import PostgresProcess

_HASTE = {
    "MEMOS_STORAGE__INDEX_IDLE_SECONDS": "0.5",
    "MEMOS_STORAGE__INDEX_DELAY_SECONDS": "1",
    "MEMOS_STORAGE__INDEX_LEASE_SECONDS": "3",
    "MEMOS_SCHEDULER__LEASE_SECONDS": "2",
}
"""What a killed worker had is taken over sooner than by default, so that a cycle does not wait for it."""

CHILD = (sys.executable, str(Path(__file__).with_name("chaos_child.py")))
_LOOK_SECONDS = 0.05


class Plant(ABC):
    """A system, and the ways in which it can fail."""

    kind = ""
    failures: tuple[str, ...] = ()
    """What can be killed, or go wrong on the disk."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """Take an empty folder, and settings of the storage for all its starts."""
        self.folder = folder
        self.control = folder / "control"
        self.control.mkdir(parents=True)
        self._env = dict(env)
        self.system = Deployment.six_processes(folder / "state", env={**_HASTE, **self._settings()})
        self.kill_storage()
        self._start({})

    @property
    def state(self) -> Path:
        """The state directory of the storage."""
        return self.folder / "state" / "storage" / "storage"

    @abstractmethod
    def _settings(self) -> dict[str, str]: ...

    @abstractmethod
    def fail(self, failure: str, rng: random.Random) -> str:
        """Let something go wrong, mend it, and return a word about it; blocks."""

    def arm(self, point: str, number: int) -> None:
        """Start the storage anew, so that it kills itself at a point once there is a file `armed`."""
        (self.control / "hit").unlink(missing_ok=True)
        self.kill_storage()
        self._start({"CHAOS_POINT": f"{point}:{number}:{self.control}"})

    def fire(self, *, seconds: float) -> bool:
        """Let the point be reached, start the storage anew then, and return whether it was reached; blocks."""
        (self.control / "armed").touch()
        end = time.monotonic() + seconds
        while not (ended := self.system.has_ended("storage")) and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        (self.control / "armed").unlink()
        if ended:
            self.kill_storage()
            self._start({})
        return (self.control / "hit").exists()

    def compare(self) -> None:
        """Have the index compared with the catalogue, as each start does, and each hour; blocks."""
        self.kill_storage()
        self._start({})

    def kill_storage(self) -> None:
        """End the storage, and what it has started, as a crash would."""
        children = self.children()
        self.system.kill_one("storage")
        for pid in children:  # they would end by themselves, in their own time
            _kill(pid)
        while any(_is_running(pid) for pid in children):
            time.sleep(_LOOK_SECONDS)

    def children(self) -> list[int]:
        """Return the processes that the storage has started."""
        pid = self.system.process_id("storage")
        found = [
            int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
        ]
        return [child for child in found if "milvus_child" in self.system.command_line(child)]

    def stop(self) -> None:
        """End everything, and remove the files."""
        self.system.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, env: Mapping[str, str]) -> None:
        self.system.start_one("storage", program=CHILD, env={**self._env, **env})


class EmbeddedPlant(Plant):
    """SQLite, Milvus Lite and a directory, on a disk that loses what was not synced."""

    kind = "embedded"
    failures = ("kill storage", "kill Milvus Lite", "lose power", "disk full", "disk slow")

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """See `Plant`."""
        self.disk = Disk(folder / "disk", folder / "state" / "storage")
        super().__init__(folder, {**env, **self.disk.environment})

    def _settings(self) -> dict[str, str]:
        return {"MEMOS_STORAGE__HOT_ROWS": "0"}  # or searches would not look at Milvus Lite

    def fail(self, failure: str, rng: random.Random) -> str:
        """See `Plant`."""
        match failure:
            case "kill storage":
                self.kill_storage()
                self._start({})
            case "kill Milvus Lite":
                for pid in self.children():
                    _kill(pid)
            case "lose power":
                self.kill_storage()
                lost = self.disk.lose_power()
                self._start({})
                return f"{failure}, {lost} changes"
            case _:
                fault = failure.removeprefix("disk ")
                self.disk.switch(fault, on=True)
                time.sleep(rng.uniform(0.5, 2))
                self.disk.switch(fault, on=False)
        return failure

    def _start(self, env: Mapping[str, str]) -> None:
        self.disk.forget()  # what a killed process had written is in the page cache, and stays
        super()._start(env)


class ServedPlant(Plant):
    """PostgreSQL, a Milvus server and S3."""

    kind = "served"
    failures = ("kill storage", "kill Milvus", "kill S3", "kill PostgreSQL")

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """See `Plant`."""
        folder.mkdir(parents=True)
        self.postgres = PostgresProcess(folder)
        self.milvus = MilvusProcess(folder / "milvus")
        self.milvus.folder.mkdir()
        self.milvus.start()
        self.bucket = s3.S3Server(folder / "s3")
        self.bucket.folder.mkdir()
        self.bucket.start()
        self._bucket_url, self.objects = self.bucket.bucket()
        super().__init__(folder, env)

    def _settings(self) -> dict[str, str]:
        return {
            "MEMOS_STORAGE__DATABASE_URL": self.postgres.url,
            "MEMOS_STORAGE__MILVUS_URI": self.milvus.uri,
            "MEMOS_STORAGE__BLOBS_URL": self._bucket_url,
            "MEMOS_STORAGE__BLOBS_ACCESS_KEY": s3.ACCESS_KEY,
            "MEMOS_STORAGE__BLOBS_SECRET_KEY": s3.SECRET_KEY,
        }

    def fail(self, failure: str, rng: random.Random) -> str:
        """See `Plant`."""
        match failure:
            case "kill storage":
                self.kill_storage()
                self._start({})
            case "kill Milvus":
                self.milvus.kill()
                self.milvus.start()
            case "kill S3":
                self.bucket.kill()
                time.sleep(rng.uniform(0, 1))
                self.bucket.start()
            case "kill PostgreSQL":
                self.postgres.kill()
                time.sleep(rng.uniform(0, 1))
                self.postgres.start()
        return failure

    def stop(self) -> None:
        """See `Plant`."""
        self.system.kill()
        self.milvus.kill()
        self.bucket.kill()
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


PLANTS = {plant.kind: plant for plant in (EmbeddedPlant, ServedPlant)}


def _is_running(pid: int) -> bool:
    """Return whether a process can still write; one that has ended may wait for its parent for ever."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
