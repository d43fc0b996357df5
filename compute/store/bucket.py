"""A store in a bucket of any service that speaks S3. Only workers and commands load this file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from compute.errors import StorageError
from compute.store.address import StoreAddress
from compute.store.places import PART_BYTES, Attempt, Listed, parts_of

logger = logging.getLogger(__name__)
CONNECT_SECONDS, READ_SECONDS = 5, 30
MAX_PARTS = 10_000  # of one upload, by the protocol
_PER_DELETE = 1000  # keys, likewise
_LIBRARIES = ("aiobotocore", "aiohttp", "asyncio", "botocore", "boto3", "fsspec", "s3fs", "urllib3")


class BucketPlace:
    """Every method is one request, or a row of small ones; who calls tries again."""

    def __init__(self, address: StoreAddress) -> None:
        try:
            import s3fs
        except ImportError as error:
            raise StorageError(
                "The store is a bucket, and s3fs is not installed here. Install it with the worker's requirements."
            ) from error
        for name in _LIBRARIES:  # at DEBUG they would write keys and signatures into the log
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
        self._root = f"{address.bucket}/{address.prefix}".rstrip("/")
        self._bucket, self._prefix = address.bucket, f"{address.prefix}/" if address.prefix else ""
        self._s3: Any = s3fs.S3FileSystem(
            key=address.key or None,
            secret=address.secret or None,
            endpoint_url=address.endpoint or None,
            config_kwargs={
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
                "retries": {"total_max_attempts": 1},
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._s3.retries = 1  # `Store` tries again, and tells that it does

    def read(self, key: str, most: int) -> bytes:
        try:
            return self.read_part(key, 0, most)
        except FileNotFoundError:
            raise
        except OSError:
            if self.facts(key).n_bytes == 0:  # nothing has no parts
                return b""
            raise

    def read_part(self, key: str, first: int, n_bytes: int) -> bytes:
        part: bytes = self._s3.cat_file(f"{self._root}/{key}", start=first, end=first + n_bytes)
        return part

    def write(self, key: str, content: bytes) -> None:
        self._s3.call_s3("put_object", Bucket=self._bucket, Key=self._prefix + key, Body=content)

    def create(self, key: str, content: bytes) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._s3.call_s3("put_object", Bucket=self._bucket, Key=self._prefix + key, Body=content, IfNoneMatch="*")
        except (ClientError, OSError) as error:
            if self._has(key):
                return False
            raise error
        return True

    def upload(self, key: str, path: Path, sha256: str, attempt: Attempt) -> None:
        """In parts where the file is large; only the last request makes it visible."""
        n_bytes = path.stat().st_size
        if n_bytes <= PART_BYTES:
            content = b"".join(parts_of(path, sha256))
            attempt(partial(self.write, key, content))
            return
        about = {"Bucket": self._bucket, "Key": self._prefix + key}
        about["UploadId"] = attempt(lambda: self._s3.call_s3("create_multipart_upload", **about))["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            for body in parts_of(path, sha256, max(PART_BYTES, -(-n_bytes // (MAX_PARTS - 1)))):
                send = partial(self._s3.call_s3, "upload_part", **about, PartNumber=len(parts) + 1, Body=body)
                parts.append({"PartNumber": len(parts) + 1, "ETag": attempt(send)["ETag"]})
            whole = {"Parts": parts}
            attempt(lambda: self._s3.call_s3("complete_multipart_upload", **about, MultipartUpload=whole))
        except BaseException:
            with suppress(Exception):  # out of reach, perhaps; it is dropped with other unfinished ones
                self._s3.call_s3("abort_multipart_upload", **about)
            raise

    def facts(self, key: str) -> Listed:
        found = self._s3.call_s3("head_object", Bucket=self._bucket, Key=self._prefix + key)
        return Listed(key, int(found["ContentLength"]), found["LastModified"].timestamp())

    def listed(self, prefix: str) -> Iterator[Listed]:
        more: dict[str, str] = {}
        while True:
            page = self._s3.call_s3("list_objects_v2", Bucket=self._bucket, Prefix=self._prefix + prefix, **more)
            for entry in page.get("Contents", ()):
                key = entry["Key"].removeprefix(self._prefix)
                yield Listed(key, int(entry["Size"]), entry["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def move(self, key: str, to: str) -> None:
        source = {"Bucket": self._bucket, "Key": self._prefix + key}
        self._s3.call_s3("copy_object", Bucket=self._bucket, Key=self._prefix + to, CopySource=source)
        self.remove([key])

    def remove(self, keys: Iterable[str]) -> None:
        names = [{"Key": self._prefix + key} for key in keys]
        for first in range(0, len(names), _PER_DELETE):
            chosen = {"Objects": names[first : first + _PER_DELETE], "Quiet": True}
            self._s3.call_s3("delete_objects", Bucket=self._bucket, Delete=chosen)

    def remove_unfinished(self, before: float) -> int:
        try:
            found = self._s3.call_s3("list_multipart_uploads", Bucket=self._bucket, Prefix=self._prefix)
        except (OSError, NotImplementedError) as error:  # a service that does not list them drops them by itself
            logger.info("unfinished uploads are not listed (%s)", type(error).__name__)
            return 0
        old = [one for one in found.get("Uploads", ()) if one["Initiated"].timestamp() < before]
        for one in old:
            self._s3.call_s3("abort_multipart_upload", Bucket=self._bucket, Key=one["Key"], UploadId=one["UploadId"])
        return len(old)

    def _has(self, key: str) -> bool:
        try:
            self.facts(key)
        except FileNotFoundError:
            return False
        return True
