"""Blobs on MinIO, or anything else that speaks S3."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import IO, Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import MinioException, S3Error
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig, Rule
from minio.versioningconfig import OFF
from urllib3.exceptions import HTTPError

from memos_kernel.cube import BlobRef
from memos_kernel.errors import DataCorrupted, DependencyUnavailable, InvalidField, ResourceNotFound, StoreFull
from memos_kernel.ids import IdFactory, uuid7
from memos_kernel.names import VaultName
from memos_runtime.workers import Worker
from memos_storage.adapters.blobs import (
    CHUNK,
    FULL,
    STEPS,
    TRANSFERS,
    Transfers,
    checked,
    is_name,
    name_of,
    part_of,
    vault_of,
)
from memos_storage.domain.purges import Reach

T = TypeVar("T")

PART = 16 * CHUNK
"""A larger blob is uploaded in parts of this size; S3 takes 10,000 of them."""

_IN_MEMORY = 8 * CHUNK
_ADDRESS_HOLDS = timedelta(minutes=10)
_RETRIES = 2
_FULL_CODES = ("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "QuotaExceeded")
_ABSENT_CODES = ("NoSuchKey", "NoSuchBucket", "NotFound")
_AWAY_CODES = ("InternalError", "ServiceUnavailable", "SlowDown", "XMinioServerNotInitialized")
_REFUSED_CODES = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_UNKNOWING_CODES = ("NotImplemented", "MethodNotAllowed", "AccessDenied")
"""What a store answers that does not have, or does not allow us, what not every store has."""

_BROKEN_OFF = (
    "Uploads that broke off: what was not noted goes within three hours, and parts of it when the bucket's own rule"
    " removes them, after a day if we made the bucket."
)
_EXISTS_CODES = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


class S3BlobStore:
    """Implements `ports.BlobStore`. An object is `installation/tenant/vault/name`.

    Bytes wait in memory or, beyond 8 MiB, in a temporary file until all are there, so that a source that fails sends
    nothing. An object appears whole or not at all, however many parts it was sent in.
    """

    def __init__(
        self,
        url: str,
        *,
        access_key: str,
        secret_key: str,
        installation: Callable[[], str],
        region: str = "us-east-1",
        timeout_seconds: float = 30.0,
        direct: bool = True,
        new_id: IdFactory = uuid7,
    ) -> None:
        """Take the endpoint with the bucket, such as `http://minio:9000/memos`; nothing is opened yet.

        With `direct`, others are told addresses at which they can read from the store themselves.

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
        self._steps = Worker("blobs", threads=4, queue=STEPS)
        self._uploads = Worker("blob-uploads", threads=4, queue=TRANSFERS)
        self._transfers = Transfers()
        self._installation = installation
        self._new_id = new_id
        self._direct = direct
        self._has_bucket = False
        self._away = False

    @property
    def healthy(self) -> bool:
        """Whether it answered when it was asked last."""
        return not self._away

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes; they survive a power loss when this returns, as far as the store keeps what S3 promises."""
        digest, size = hashlib.sha256(), 0
        with self._transfers.one(), tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            try:
                async for chunk in data:
                    size += len(chunk)
                    await self._steps.run(digest.update, chunk)
                    await self._steps.run(file.write, chunk)
                file.seek(0)
            except OSError as error:
                if error.errno in FULL:
                    raise StoreFull("No room for a blob on its way; nothing was stored.", store="blobs") from error
                raise
            blob = BlobRef(self._new_id(), size, digest.hexdigest(), media_type)
            await self._send(vault, blob, file)
        return blob

    async def _send(self, vault: VaultName, blob: BlobRef, file: IO[bytes]) -> None:
        source = _Source(file)
        work = self._call(self._upload, self._key(vault, blob.name), blob, source, worker=self._uploads)
        upload = asyncio.ensure_future(work)
        try:
            await asyncio.shield(upload)
        except asyncio.CancelledError:
            source.stop()  # the caller has left, and must not close the file under the thread
            await asyncio.wait([upload])
            if upload.exception() is None:
                await self.remove(vault, blob.name)
            raise

    async def get(
        self, vault: VaultName, blob: BlobRef, *, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Return the bytes in chunks of at most 1 MiB; size and hash are compared at the end, where all is read."""
        whole, length = part_of(blob, offset, limit)
        if not length:
            return
        with self._transfers.one():
            response = await self._call(self._open, self._key(vault, blob.name), offset, 0 if whole else length)
            try:
                read = partial(self._call, response.read)
                async with aclosing(checked(blob, read, whole=whole, limit=length)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            finally:
                response.close()
                response.release_conn()

    async def address(self, vault: VaultName, blob: BlobRef) -> str:
        """Return a presigned address; it names the store as we reach it, which is not asked for it."""
        if not self._direct:
            return ""
        key = self._key(vault, blob.name)
        return self._client.presigned_get_object(self._bucket, key, expires=_ADDRESS_HOLDS)

    async def remove(self, vault: VaultName, name: str) -> bool:
        """Remove a blob; False if there was none."""
        return await self._call(self._remove, self._key(vault, name))

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that may have blobs."""
        return await self._call(self._vaults)

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        return await self._call(self._names, f"{self._prefix}{vault.tenant}/{vault.id}/")

    async def scrub(self) -> Reach:
        """Say what the bucket keeps: older versions, where it is told to, and parts of uploads that broke off."""
        done = "Objects removed, and looked for."
        status = await self._call(self._versioning)
        if status == OFF:
            return Reach("blobs", done, _BROKEN_OFF)
        versions = f"Older versions, also of what was removed, stay where the bucket keeps them; it says: {status}."
        return Reach("blobs", done, f"{versions} {_BROKEN_OFF}")

    async def close(self) -> None:
        """Stop the threads. Can be called twice."""
        await self._steps.close()
        await self._uploads.close()

    def _key(self, vault: VaultName, name: str) -> str:
        return f"{self._prefix}{vault.tenant}/{vault.id}/{name_of(vault, name)}"

    @property
    def _prefix(self) -> str:
        return f"{self._installation()}/"

    async def _call(self, work: Callable[..., T], *args: Any, worker: Worker | None = None) -> T:
        """Run work in a thread.

        Raises:
            ResourceNotFound: there is no such object.
            StoreFull: the store has no room.
            DataCorrupted: an object is shorter than it should be.
            DependencyUnavailable: it does not answer, or not as S3 does.
        """
        try:
            answer = await (worker or self._steps).run(work, *args)
        except S3Error as error:
            self._away = error.code in _AWAY_CODES or error.code in _REFUSED_CODES
            if error.code == "InvalidRange":
                raise DataCorrupted("A blob is shorter than it should be.") from error
            if error.code in _ABSENT_CODES:
                name = (error.object_name or "").rpartition("/")[2]
                raise ResourceNotFound(f"The blob store has no blob {name}.", name=name) from error
            if error.code in _FULL_CODES:
                raise StoreFull("The blob store is full; nothing was stored.", store="blobs") from error
            if error.code in _REFUSED_CODES:
                raise DependencyUnavailable(
                    "The blob store refuses our keys; an operator has to set them right.", dependency="s3"
                ) from error
            raise self._lost() from error
        except (MinioException, HTTPError, OSError) as error:
            raise self._lost() from error
        self._away = False
        return answer

    def _lost(self) -> DependencyUnavailable:
        self._away = True
        return DependencyUnavailable("The blob store does not answer; try again.", retry_after=1.0, dependency="s3")

    def _upload(self, key: str, blob: BlobRef, file: "_Source") -> None:
        self._make_bucket()
        self._client.put_object(
            self._bucket,
            key,
            cast(BinaryIO, file),
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
                self._set_rule()
        except S3Error as error:
            if error.code not in _EXISTS_CODES:
                raise
        self._has_bucket = True

    def _set_rule(self) -> None:
        """Let the store remove parts of uploads that broke off; a bucket that an operator made keeps its own rules."""
        abort = AbortIncompleteMultipartUpload(days_after_initiation=1)
        rule = Rule(ENABLED, rule_filter=Filter(prefix=""), rule_id="broken", abort_incomplete_multipart_upload=abort)
        try:
            self._client.set_bucket_lifecycle(self._bucket, LifecycleConfig([rule]))
        except S3Error as error:
            if error.code not in _UNKNOWING_CODES:
                raise

    def _open(self, key: str, offset: int, length: int) -> Any:
        return self._client.get_object(self._bucket, key, offset=offset, length=length)

    def _versioning(self) -> str:
        try:
            return self._client.get_bucket_versioning(self._bucket).status_string
        except S3Error as error:
            if error.code in _UNKNOWING_CODES:
                return "nothing"
            raise

    def _vaults(self) -> list[VaultName]:
        found = [
            vault_of(tenant, vault)
            for tenant in self._folders(self._prefix)
            for vault in self._folders(f"{self._prefix}{tenant}/")
        ]
        return [vault for vault in found if vault is not None]

    def _folders(self, prefix: str) -> list[str]:
        return [str(found.object_name).removeprefix(prefix).rstrip("/") for found in self._listed(prefix)]

    def _listed(self, prefix: str) -> list[Any]:
        try:
            return list(self._client.list_objects(self._bucket, prefix))
        except S3Error as error:
            if error.code in _ABSENT_CODES:
                return []
            raise

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
        names = (str(found.object_name).removeprefix(prefix) for found in self._listed(prefix))
        return sorted(name for name in names if is_name(name))


class _Source:
    """The bytes of an upload, until it is stopped."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def read(self, size: int = -1) -> bytes:
        if self._stopped:
            raise OSError("the caller has left")
        return self._file.read(size)


def _parsed(url: str) -> tuple[str, str, bool]:
    parts = urlsplit(url)
    bucket = parts.path.strip("/")
    if parts.scheme not in ("http", "https") or not parts.netloc or not bucket or "/" in bucket or parts.username:
        raise InvalidField(
            "The address of the blob store must look like https://host:9000/bucket, without a user.", field="blobs_url"
        )
    return parts.netloc, bucket, parts.scheme == "https"
