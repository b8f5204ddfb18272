"""Blobs on MinIO, or anything else that speaks S3."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from memos_kernel.cube import BlobRef
from memos_kernel.errors import DependencyUnavailable, InvalidField, ResourceNotFound, StoreFull
from memos_kernel.names import VaultName
from memos_runtime.workers import Worker
from memos_storage.adapters.blobs import CHUNK, FULL, is_name, name_of, verified

T = TypeVar("T")

PART = 16 * CHUNK
"""A larger blob is uploaded in parts of this size; S3 takes 10,000 of them."""

_IN_MEMORY = 8 * CHUNK
_RETRIES = 2
_FULL_CODES = ("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "QuotaExceeded")
_ABSENT_CODES = ("NoSuchKey", "NoSuchBucket", "NotFound")
_REFUSED_CODES = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_EXISTS_CODES = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


class S3BlobStore:
    """Implements `ports.BlobStore`. An object is `tenant/vault/hash of its bytes`.

    The hash, and with it the name, is known only at the end, so bytes wait in memory or, beyond 8 MiB, in a temporary
    file. An object appears whole or not at all, however many parts it was sent in.
    """

    def __init__(
        self, url: str, *, access_key: str, secret_key: str, region: str = "us-east-1", timeout_seconds: float = 30.0
    ) -> None:
        """Take the endpoint with the bucket, such as `http://minio:9000/memos`; nothing is opened yet.

        Raises:
            InvalidField: it is not of that form.
        """
        endpoint, self._bucket, secure = _parsed(url)
        retries = urllib3.Retry(total=_RETRIES, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504))
        self._client = Minio(
            endpoint,
            access_key=access_key,
            secret_key=secret_key,
            secure=secure,
            region=region,
            http_client=urllib3.PoolManager(timeout=timeout_seconds, maxsize=8, retries=retries),
        )
        self._worker = Worker("blobs", threads=4, queue=64)
        self._has_bucket = False

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes; they survive a power loss when this returns, as far as the store keeps what S3 promises."""
        digest, size = hashlib.sha256(), 0
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            try:
                async for chunk in data:
                    digest.update(chunk)
                    size += len(chunk)
                    await self._worker.run(file.write, chunk)
                file.seek(0)
            except OSError as error:
                if error.errno in FULL:
                    raise StoreFull("No room for a blob on its way; nothing was stored.", store="blobs") from error
                raise
            blob = BlobRef(digest.hexdigest(), size, digest.hexdigest(), media_type)
            upload = asyncio.ensure_future(self._call(self._upload, self._key(vault, blob), blob, file))
            try:
                await asyncio.shield(upload)
            finally:
                await asyncio.wait([upload])  # a caller that leaves must not close the file under the thread
        return blob

    async def get(self, vault: VaultName, blob: BlobRef) -> AsyncIterator[bytes]:
        """Return the bytes in chunks of at most 1 MiB; size and hash are compared at the end."""
        response = await self._call(self._open, self._key(vault, blob))
        try:
            async for chunk in verified(blob, lambda: self._call(response.read, CHUNK)):
                yield chunk
        finally:
            response.close()
            response.release_conn()

    async def remove(self, vault: VaultName, blob: BlobRef) -> bool:
        """Remove a blob; False if there was none."""
        return await self._call(self._remove, self._key(vault, blob))

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        return await self._call(self._names, f"{vault.tenant}/{vault.id}/")

    async def close(self) -> None:
        """Stop the threads. Can be called twice."""
        await self._worker.close()

    def _key(self, vault: VaultName, blob: BlobRef) -> str:
        return f"{vault.tenant}/{vault.id}/{name_of(vault, blob)}"

    async def _call(self, work: Callable[..., T], *args: Any) -> T:
        """Run work in a thread.

        Raises:
            ResourceNotFound: there is no such object.
            StoreFull: the store has no room.
            DependencyUnavailable: it does not answer, or not as S3 does.
        """
        try:
            return await self._worker.run(work, *args)
        except S3Error as error:
            if error.code in _ABSENT_CODES:
                name = (error.object_name or "").rpartition("/")[2]
                raise ResourceNotFound(f"The blob store has no blob {name}.", name=name) from error
            if error.code in _FULL_CODES:
                raise StoreFull("The blob store is full; nothing was stored.", store="blobs") from error
            if error.code in _REFUSED_CODES:
                raise DependencyUnavailable(
                    "The blob store refuses our keys; an operator has to set them right.", dependency="s3"
                ) from error
            raise _away() from error
        except (MinioException, HTTPError, OSError) as error:
            raise _away() from error

    def _upload(self, key: str, blob: BlobRef, file: Any) -> None:
        self._make_bucket()
        self._client.put_object(
            self._bucket,
            key,
            file,
            blob.size_bytes,
            content_type=blob.media_type,
            part_size=PART,
            num_parallel_uploads=1,  # its other threads would outlive a failure
        )

    def _make_bucket(self) -> None:
        if self._has_bucket:
            return
        try:
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in _EXISTS_CODES:
                raise
        self._has_bucket = True

    def _open(self, key: str) -> Any:
        return self._client.get_object(self._bucket, key)

    def _remove(self, key: str) -> bool:
        try:
            self._client.stat_object(self._bucket, key)
        except S3Error as error:
            if error.code in _ABSENT_CODES:
                return False
            raise
        self._client.remove_object(self._bucket, key)
        return True

    def _names(self, prefix: str) -> list[str]:
        try:
            keys = [found.object_name for found in self._client.list_objects(self._bucket, prefix, recursive=True)]
        except S3Error as error:
            if error.code in _ABSENT_CODES:
                return []
            raise
        names = (key.removeprefix(prefix) for key in keys if key is not None)
        return sorted(name for name in names if is_name(name))


def _parsed(url: str) -> tuple[str, str, bool]:
    parts = urlsplit(url)
    bucket = parts.path.strip("/")
    if parts.scheme not in ("http", "https") or not parts.netloc or not bucket or "/" in bucket or parts.username:
        raise InvalidField(
            "The address of the blob store must look like https://host:9000/bucket, without a user.", field="s3_url"
        )
    return parts.netloc, bucket, parts.scheme == "https"


def _away() -> DependencyUnavailable:
    return DependencyUnavailable("The blob store does not answer; try again.", retry_after=1.0, dependency="s3")
