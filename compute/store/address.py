"""Where the store is, and with which keys; read once, checked before anything starts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from compute.errors import ConfigError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*)?")


@dataclass(frozen=True, kw_only=True)
class StoreAddress:
    """A folder that all hosts mount, or a bucket; keys stand in no text that is made of this."""

    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    patience: float = 120.0  # seconds that a store may be silent before work fails

    def __str__(self) -> str:
        """For people: without endpoint and keys."""
        return f"file://{self.folder}" if self.folder else f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def store_address(
    url: str, *, endpoint: str = "", key: str = "", secret: str = "", is_insecure: bool = False, patience: float = 120.0
) -> StoreAddress | None:
    """The store that settings name; None where they name none.

    Raises
    ------
    ConfigError
        If the address is neither file:///… nor s3://…, or would send keys in the clear.
    """
    if not url:
        return None
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("QW_STORE_URL holds more than a place; keys belong in QW_STORE_KEY and QW_STORE_SECRET.")
    if parts.scheme == "file":
        return StoreAddress(folder=_folder(parts.netloc, parts.path), patience=patience)
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc):
        raise ConfigError(f"QW_STORE_URL is {url!r}; write s3://bucket/prefix or file:///folder.")
    prefix = parts.path.strip("/")
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(f"QW_STORE_URL is {url!r}; its prefix may hold letters, digits, '.', '_', '-' and '/'.")
    if bool(key) != bool(secret):
        raise ConfigError("Of QW_STORE_KEY and QW_STORE_SECRET one is set; set both, or none for the host's own role.")
    _refuse_open_endpoint(endpoint, is_insecure)
    return StoreAddress(
        bucket=parts.netloc, prefix=prefix, endpoint=endpoint, key=key, secret=secret, patience=patience
    )


def _folder(host: str, path: str) -> Path:
    folder = Path(path)
    if host or not folder.is_absolute() or folder.parent == folder or ".." in folder.parts:
        raise ConfigError(f"QW_STORE_URL is 'file://{host}{path}'; write file:/// and a whole path below /.")
    return folder


def _refuse_open_endpoint(endpoint: str, is_insecure: bool) -> None:
    """Keys and texts travel encrypted, unless they stay on this host or an operator says otherwise."""
    parts = urlsplit(endpoint)
    if not endpoint or (parts.scheme == "https" and parts.hostname and not parts.username):
        return
    if parts.scheme != "http" or not parts.hostname or parts.username:
        raise ConfigError("QW_STORE_ENDPOINT must be an https address without a name or password in it.")
    if not (is_insecure or _is_loopback(parts.hostname)):
        raise ConfigError(
            f"QW_STORE_ENDPOINT is {endpoint}, which would send texts in the clear; use https, or set "
            "QW_STORE_INSECURE=1 where the network itself is private."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
