"""An archive on disk: a directory that is written file by file, and checked against its manifest."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

from memos_client._errors import RequestError

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
UNFINISHED = "unfinished.json"
LIST = "part.json"

_PATH = re.compile(r"parts/\d{5}/(?:[a-z0-9_]+\.(?:json|parquet)|blobs/[0-9a-f-]{36}\.safetensors)")
_CHUNK = 1024 * 1024

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of an archive: its path below the directory, and what its bytes have to be."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)  # without slots, so that the manifest is read once
class Signed:
    """A manifest with its signature, as they are on disk."""

    statement: bytes
    signature: bytes
    public_key: bytes

    @property
    def key(self) -> str:
        """Fingerprint of the installation that signed it: hex SHA-256 of its public key."""
        return hashlib.sha256(self.public_key).hexdigest()

    @cached_property
    def said(self) -> dict[str, Any]:
        """What the manifest says."""
        said: dict[str, Any] = json.loads(self.statement)
        return said

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Return the manifest of an archive.

        Raises:
            RequestError: there is none, or it cannot be read.
        """
        if (directory / UNFINISHED).exists() and not (directory / MANIFEST).exists():
            raise damaged(MANIFEST, "is not there yet: the export is unfinished; run it again")
        try:
            statement = (directory / MANIFEST).read_bytes()
            seal = json.loads((directory / SIGNATURE).read_bytes())
            found = cls(statement, b64decode(seal["signature"]), b64decode(seal["public_key"]))
            if not isinstance(found.said["parts"], list):
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(MANIFEST, "cannot be read") from error
        return found

    def write(self, directory: Path) -> None:
        """Write it; the archive is complete with this."""
        seal = {"signature": b64encode(self.signature).decode(), "public_key": b64encode(self.public_key).decode()}
        write_file(directory / SIGNATURE, json.dumps(seal).encode())
        write_file(directory / MANIFEST, self.statement)
        (directory / UNFINISHED).unlink(missing_ok=True)


class Incoming:
    """A file that is being received; it appears under its name when it is complete, and is on disk then."""

    def __init__(self, directory: Path, file: ListedFile) -> None:
        """Begin a file.

        Raises:
            RequestError: the path is none of an archive.
        """
        if not _PATH.fullmatch(file.path):
            raise damaged(file.path, "is no path of an archive")
        self._listed = file
        self._path = directory / file.path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._digest = hashlib.sha256()
        self._size = 0
        self._file: IO[bytes] = tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=".", delete=False)  # noqa: SIM115

    def add(self, data: bytes) -> None:
        """Write bytes."""
        self._digest.update(data)
        self._size += len(data)
        self._file.write(data)

    def finish(self) -> None:
        """Give it its name.

        Raises:
            RequestError: it is not as it should be.
        """
        with self._file:
            if (self._size, self._digest.hexdigest()) != (self._listed.size_bytes, self._listed.sha256):
                raise damaged(self._listed.path, "differs from its hash or size")
            self._file.flush()
            os.fsync(self._file.fileno())
        Path(self._file.name).replace(self._path)
        _sync(self._path.parent)

    def discard(self) -> None:
        """Remove what is there of it, unless it is finished."""
        self._file.close()
        with suppress(FileNotFoundError):
            Path(self._file.name).unlink()


def check(directory: Path, signed: Signed, *, progress: Progress | None = None) -> None:
    """Compare every file of an archive with its hash, up to the manifest.

    Raises:
        RequestError: a file is missing, cut off or changed; the message names it.
    """
    listed: set[Path] = set()
    for number in range(len(signed.said["parts"])):
        for file in files_of_part(directory, signed, number):
            listed.add(directory / file.path)
            digest, size = hashlib.sha256(), 0
            for data in chunks(directory, file):
                digest.update(data)
                size += len(data)
                if progress is not None:
                    progress(len(data))
            if (size, digest.hexdigest()) != (file.size_bytes, file.sha256):
                raise damaged(file.path, "differs from its hash or size")
    for path in (directory / "parts").rglob("*"):
        if path.is_file() and path not in listed:
            raise damaged(str(path.relative_to(directory)), "is on no list of the archive; remove it")


def drop_after(directory: Path, parts: int) -> None:
    """Remove what there is of parts that were not completed."""
    for path in (directory / "parts").glob("*"):
        if path.name.isdigit() and int(path.name) >= parts:
            shutil.rmtree(path)


def files_of_part(directory: Path, signed: Signed, number: int) -> list[ListedFile]:
    """Return the files of a part: its list, and what is on it.

    Raises:
        RequestError: the list is missing or changed.
    """
    path = f"parts/{number:05d}/{LIST}"
    try:
        listed = (directory / path).read_bytes()
    except OSError as error:
        raise damaged(path, "is missing") from error
    sha256 = hashlib.sha256(listed).hexdigest()
    if sha256 != signed.said["parts"][number]:
        raise damaged(path, "differs from its hash")
    try:
        named = [
            ListedFile(f"parts/{number:05d}/{one['path']}", one["size_bytes"], one["sha256"])
            for one in json.loads(listed)["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, "is no list of files") from error
    if strange := [file.path for file in named if not _PATH.fullmatch(file.path)]:
        raise damaged(strange[0], "is no path of an archive")
    return [ListedFile(path, len(listed), sha256), *named]


def chunks(directory: Path, file: ListedFile) -> Iterator[bytes]:
    """Yield the bytes of a file.

    Raises:
        RequestError: it is missing.
    """
    try:
        with (directory / file.path).open("rb") as opened:
            while data := opened.read(_CHUNK):
                yield data
    except FileNotFoundError as error:
        raise damaged(file.path, "is missing") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file, which appears whole or not at all, and is on disk then."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damaged(path: str, problem: str) -> RequestError:
    """Return the error of a file."""
    return RequestError(f"{path} {problem}.", reason="ARCHIVE_INVALID", metadata={"file": path})
