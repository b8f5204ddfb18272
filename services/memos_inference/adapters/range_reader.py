"""Bytes straight from an object store: many parts of one object at the same time, into a file."""

import hashlib
import http.client
import mmap
import os
import socket
import ssl
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

PART = 8 * 1024 * 1024
"""Bytes of one request."""

PARALLEL = 4
"""Requests at the same time: one stream of an object store is slower than a network, or a disk."""

_AT_FIRST = 2
"""Such requests until the first has shown how fast the store is, and on if it is: more only share the cores then."""

_FAST = 200e6
"""Bytes per second of one request."""

_PIECE = 1024 * 1024
_SECONDS = 30.0
_CONNECT_SECONDS = 3.0
"""The store is near, or cannot be reached from here at all."""

_MOST_SECONDS = 600.0
"""Of all requests together."""

_PATIENCE = 0.2
_PARTIAL = 206


class AddressFailed(Exception):
    """The bytes could not be read from there."""


def fetch(address: str, path: Path, size: int, *, stop: threading.Event) -> str:
    """Write what is at an address into a new file, and return its hex SHA-256. Blocks.

    The hash is computed along with the reading: what has come is hashed while the next is on its way.

    Args:
        address: of the object, `http` or `https`; it is a secret and appears in no error.
        path: the file.
        size: bytes of the object, one at least.
        stop: set to give up; `AddressFailed` then comes soon.

    Raises:
        AddressFailed: the store does not answer, or not with these bytes.
        OSError: the disk has no room.
    """
    with path.open("w+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)  # or a disk that is full would end the process, not the call
        with mmap.mmap(file.fileno(), size) as room, memoryview(room) as bytes_, _Reader(address) as reader:
            bounds = list(pairwise([*range(0, size, PART), size]))
            digest, begun, ahead = hashlib.sha256(), time.monotonic(), _AT_FIRST
            coming = [reader.read(start, bytes_[start:end]) for start, end in bounds[:ahead]]
            try:
                for number, (start, end) in enumerate(bounds):
                    while not wait((coming[number],), _PATIENCE).done:
                        if stop.is_set() or time.monotonic() > begun + _MOST_SECONDS:
                            raise AddressFailed("nobody waits for the object any more")
                    coming[number].result()
                    if number == 0 and end < _FAST * (time.monotonic() - begun):
                        ahead = PARALLEL
                    more = bounds[len(coming) : number + 1 + ahead]
                    coming += [reader.read(start, bytes_[start:end]) for start, end in more]
                    with bytes_[start:end] as part:
                        digest.update(part)
            except (OSError, http.client.HTTPException) as error:
                raise AddressFailed(f"{type(error).__name__} while the object was read") from None
    return digest.hexdigest()


class _Reader:
    """Threads with a connection each."""

    def __init__(self, address: str) -> None:
        self._target = urlsplit(address)
        self._tls = ssl.create_default_context() if self._target.scheme == "https" else None
        self._closed = False
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="kv_parts")
        self._connections: list[http.client.HTTPConnection] = []

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is still under way, and wait for the threads."""
        self._closed = True
        for connection in self._connections:
            with suppress(OSError, AttributeError):  # not connected any more, or not yet
                connection.sock.shutdown(socket.SHUT_RDWR)  # wakes who waits for bytes
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()

    def read(self, start: int, into: memoryview) -> "Future[None]":
        """Read a part of the object, from a place on, as much as there is room."""
        return self._pool.submit(self._read, start, into)

    def _read(self, start: int, into: memoryview) -> None:
        with into:
            if self._closed:
                raise http.client.HTTPException("closed")
            connection = self._connection()
            target = f"{self._target.path}?{self._target.query}"
            connection.request("GET", target, headers={"Range": f"bytes={start}-{start + len(into) - 1}"})
            response = connection.getresponse()
            if response.status != _PARTIAL or response.length != len(into):
                raise http.client.HTTPException(f"status {response.status}")
            place = 0
            while place < len(into):
                if self._closed:
                    raise http.client.HTTPException("closed")
                with into[place : place + _PIECE] as piece:
                    count = response.readinto(piece)
                if not count:
                    raise http.client.IncompleteRead(b"", len(into) - place)
                place += count
            response.read()  # what follows the last byte; the connection serves the next part

    def _connection(self) -> http.client.HTTPConnection:
        with suppress(AttributeError):
            known: http.client.HTTPConnection = self._own.connection
            return known
        made = self._own.connection = _connect(self._target, self._tls)
        self._connections.append(made)
        return made


def _connect(target: SplitResult, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if tls is None:
        made = http.client.HTTPConnection(target.netloc, timeout=_CONNECT_SECONDS)
    else:
        made = http.client.HTTPSConnection(target.netloc, timeout=_CONNECT_SECONDS, context=tls)
    made.connect()
    made.sock.settimeout(_SECONDS)
    made.timeout = _SECONDS
    return made
