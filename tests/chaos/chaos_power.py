"""The power goes: writes, renames and removals that no fsync made durable are taken back, as `disk.c` has noted them.

Not modelled: a file that was made and whose directory was not synced, and disks that keep a later write and lose an
earlier one.
"""

import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")


@dataclass(frozen=True)
class _Record:
    kind: str
    path: str
    old: bytes
    offset: int
    size: int


class Disk:
    """The faults of one system's disk."""

    def __init__(self, folder: Path, root: Path) -> None:
        """Build the library into `folder`, where switches and journals are too; `root` is what it looks after."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._library = folder / "disk.so"
        build = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE), "-ldl", "-lpthread"]
        subprocess.run(build, check=True)
        self.environment = {
            "LD_PRELOAD": str(self._library),
            "CHAOS_ROOT": f"{root}/",
            "CHAOS_DIR": str(folder),
        }

    def switch(self, fault: str, *, on: bool) -> None:
        """Turn `full`, `slow` or `nosync` on or off."""
        path = self._folder / fault
        path.touch() if on else path.unlink(missing_ok=True)

    def lose_power(self) -> int:
        """Take back what was not synced by the processes that have been killed; return how many changes that is."""
        lost = 0
        for journal in self._folder.glob("journal-*"):
            records = list(_read(journal.read_bytes()))
            synced: set[str] = set()
            moved: dict[str, str] = {}  # name at that time -> where the file is
            for record in reversed(records):
                if record.kind == "S":
                    synced.add(record.path)
                elif record.kind == "R":
                    lost += _take_back_rename(record, synced, moved)
                elif record.kind == "U":
                    lost += _take_back_removal(record, synced)
                elif record.path not in synced:
                    _take_back_write(record, Path(moved.get(record.path, record.path)))
                    lost += 1
            journal.unlink()
        self.forget()
        return lost

    def forget(self) -> None:
        """Forget what was written so far; all of it is on the disk."""
        for pattern in ("journal-*", "removed-*"):
            for path in self._folder.glob(pattern):
                path.unlink()


def _take_back_write(record: _Record, path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        file.truncate(record.size)
        file.seek(record.offset)
        file.write(record.old)


def _take_back_rename(record: _Record, synced: set[str], moved: dict[str, str]) -> int:
    """A name is durable once its directory was synced afterwards; the bytes were written under the old name."""
    path, before = Path(record.path), record.old.decode()
    if str(path.parent) in synced:
        if record.path in synced:
            synced.add(before)
        moved[before] = moved.get(record.path, record.path)
        return 0
    if path.exists() and Path(before).parent.exists():
        shutil.move(path, before)
    return 1


def _take_back_removal(record: _Record, synced: set[str]) -> int:
    path, kept = Path(record.path), Path(record.old.decode())
    if str(path.parent) in synced or path.exists() or not kept.exists() or not path.parent.exists():
        return 0  # also where the whole directory has gone since
    shutil.move(kept, path)
    return 1


def _read(data: bytes) -> Iterator[_Record]:
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        if at > len(data):
            raise EOFError
        return data[at - size : at]

    while at < len(data):
        try:
            kind = take(1).decode()
            path = take(*struct.unpack("<I", take(4))).decode()
            old = take(*struct.unpack("<Q", take(8)))
            offset, size = struct.unpack("<QQ", take(16))
        except EOFError:  # the kill came while it was written, and so before what it notes
            return
        yield _Record(kind, path, old, offset, size)
