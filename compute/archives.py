"""A bundle that comes as one file: .tar, .tar.zst or .zip, unpacked under limits, without trusting a byte of it.

Only plain files and folders come out, under names of letters, digits, dots, dashes and underscores; links, devices and
names that lead elsewhere refuse the whole archive.
"""

from __future__ import annotations

import errno
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from compute.bundle import Bundle, open_bundle, storage_errors
from compute.errors import BundleError

MAX_MEMBERS, MAX_DEPTH, MAX_NAME = 1_000, 8, 120
MAX_BYTES, MAX_RATIO, FREE_BYTES = 2_000_000_000, 200, 1_000_000
MAX_WINDOW = 128 << 20  # bytes that a .zst may ask this machine to remember
MAX_MANIFEST, MAX_DOCUMENTS, MAX_LINE = 16_000_000, 200_000_000, 1_000_000
MAX_CLUSTERED, MAX_VOCABULARY = 100_000, 64_000_000
LABELS = "labels.jsonl"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_BLOCK, _CHUNK, _MAX_EXTRA = 512, 1 << 20, 1 << 16
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_EXTRA = (tarfile.XHDTYPE, tarfile.XGLTYPE)
_BAD_ZIP = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OverflowError, ValueError, OSError,
            zlib.error, struct.error)  # fmt: skip
Report = Callable[[int, int], None]  # bytes of the archive read, of how many


@dataclass(frozen=True)
class Unpacked:
    """Where the bundle lies, and labels that came beside it."""

    bundle: Path
    labels: Path | None


class _Readable(Protocol):
    def read(self, n: int, /) -> bytes: ...


@dataclass(frozen=True)
class _Member:
    name: str
    file: _Readable
    n_read: Callable[[], int]  # bytes of the archive that were read so far


def unpack(archive: Path, into: Path, report: Report = lambda done, total: None) -> Unpacked:
    """Unpack an archive into an empty folder and find the one bundle in it.

    Raises
    ------
    BundleError
        If it is no such archive, breaks a limit, or holds not exactly one bundle. The caller removes the folder.
    """
    total = archive.stat().st_size
    limit = min(MAX_BYTES, MAX_RATIO * total + FREE_BYTES)
    written, seen = 0, set()
    for member in _members(archive):
        parts = _parts(member.name)
        if parts is None:
            continue
        key = "/".join(parts).lower()
        if key in seen:
            raise BundleError(f"The archive holds {member.name!r} twice.")
        seen.add(key)
        if len(seen) > MAX_MEMBERS:
            raise BundleError(f"The archive holds more than {MAX_MEMBERS:,} files.")
        written = _write(member, into.joinpath(*parts), written, limit, lambda n: report(n, total))
    return _found(into)


def require_modest(bundle: Bundle) -> None:
    """Refuse a bundle from elsewhere that would take this machine's memory, or holds files that it does not list."""
    listed = {*bundle.hashes, "manifest.json", "run.json"}
    there = {str(file.relative_to(bundle.path)) for file in bundle.path.rglob("*") if not file.is_dir()}
    if extra := sorted(there - listed):
        raise BundleError(f"The bundle holds {extra[0]}, which its manifest does not list.")
    if any(file.is_symlink() for file in bundle.path.rglob("*")):
        raise BundleError("The bundle holds links; copy the files themselves.")
    _require_lines(bundle.path / "documents.jsonl")
    for name in bundle.manifest["arrays"]:
        array = bundle.array(name)  # memory-mapped: the header alone is read
        if array.dtype.kind not in "biuf":
            raise BundleError(f"The bundle’s {name} is of type {array.dtype}; bundles hold numbers only.")
        if name == "selection/flat_index" and array.size > MAX_CLUSTERED:
            raise BundleError(f"The bundle has {array.size:,} clustered tokens; at most {MAX_CLUSTERED:,} are taken.")
        if name.startswith("vocabulary/") and array.nbytes > MAX_VOCABULARY:
            raise BundleError(
                f"The bundle’s {name} takes {array.nbytes:,} bytes; at most {MAX_VOCABULARY:,} are taken."
            )


def _require_lines(path: Path) -> None:
    if not path.is_file():
        return
    if path.stat().st_size > MAX_DOCUMENTS:
        raise BundleError(f"Its documents.jsonl is larger than {MAX_DOCUMENTS:,} bytes.")
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise BundleError(f"Its documents.jsonl has a line of more than {MAX_LINE:,} bytes.")


def _found(folder: Path) -> Unpacked:
    manifests = [file for file in folder.rglob("manifest.json") if file.is_file()]
    if len(manifests) != 1:
        raise BundleError(
            f"The archive holds {len(manifests) or 'no'} bundle{'s' if len(manifests) > 1 else ''}: one folder with a "
            "manifest.json is needed."
        )
    if manifests[0].stat().st_size > MAX_MANIFEST:
        raise BundleError(f"Its manifest.json is larger than {MAX_MANIFEST:,} bytes.")
    bundle = open_bundle(manifests[0].parent).path
    beside = [file for file in folder.rglob(LABELS) if bundle not in file.parents]
    return Unpacked(bundle, beside[0] if beside else None)


def _parts(name: str) -> list[str] | None:
    """The parts of a member's name; None for what other systems add beside the files."""
    if "\\" in name or name.startswith("/") or "\0" in name:
        raise BundleError(f"The archive holds {name[:80]!r}, a name that leads elsewhere.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or parts[0] == "__MACOSX" or parts[-1].startswith("._"):
        return None
    if len(parts) > MAX_DEPTH or any(len(part) > MAX_NAME or not _PART.fullmatch(part) for part in parts):
        raise BundleError(
            f"The archive holds {name[:80]!r}; names have letters, digits, dots, dashes and underscores, at most "
            f"{MAX_DEPTH} folders deep."
        )
    return parts


def _write(member: _Member, path: Path, written: int, limit: int, report: Callable[[int], None]) -> int:
    """Write one file; give the bytes written of all."""
    with storage_errors(path.parent), _as_refusal(member.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while chunk := member.file.read(_CHUNK):
                written += len(chunk)
                if written > limit:
                    raise BundleError(
                        f"The archive unpacks to more than {limit:,} bytes: at most {MAX_RATIO} times its size and "
                        f"{MAX_BYTES // 10**9} GB are taken."
                    )
                file.write(chunk)
                report(member.n_read())
    return written


@contextmanager
def _as_refusal(name: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise BundleError(f"The archive holds {name!r} both as a file and as a folder.") from None


def _members(archive: Path) -> Iterator[_Member]:
    with archive.open("rb") as file:
        start = file.read(_BLOCK)
        file.seek(0)
        if start.startswith(b"PK"):
            yield from _zip_members(file)
        elif start.startswith(b"\x28\xb5\x2f\xfd"):
            yield from _zst_members(file)
        elif start[257:262] == b"ustar":
            yield from _tar_members(file, file.tell)
        else:
            raise BundleError("This is no .tar, .tar.zst or .zip file; pack the bundle’s folder as one of these.")


def _zst_members(file: IO[bytes]) -> Iterator[_Member]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    try:
        with decompressor.stream_reader(file, read_across_frames=True, closefd=False) as stream:
            yield from _tar_members(stream, file.tell)
    except zstandard.ZstdError as error:
        raise BundleError(f"The .zst file cannot be unpacked ({error}); pack it again.") from None


def _tar_members(stream: IO[bytes], n_read: Callable[[], int]) -> Iterator[_Member]:
    """Plain files of a tar, read from its beginning to its end; extra headers are small, or refuse it."""
    n_headers = 0
    while header := _exactly(stream, _BLOCK):
        if not header.strip(b"\0"):
            return
        n_headers += 1
        if n_headers > 4 * MAX_MEMBERS:
            raise BundleError(f"The archive holds more than {MAX_MEMBERS:,} files.")
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.TarError as error:
            raise BundleError(f"The archive is no whole tar ({error}); pack it again.") from None
        if info.size < 0 or (info.type in _EXTRA and info.size > _MAX_EXTRA):
            raise BundleError("The archive has a header of an impossible size; pack it again.")
        padding = -info.size % _BLOCK
        if info.type in _EXTRA:
            _require_harmless(_exactly(stream, info.size + padding))
        elif info.type in _PLAIN:
            part = _Part(stream, info.size)
            yield _Member(info.name, part, n_read)
            part.skip_rest(padding)
        elif info.type != tarfile.DIRTYPE:
            raise BundleError(f"The archive holds {info.name[:80]!r}, a link or device; only plain files are taken.")
    raise BundleError("The archive is cut short; send it again.")


def _require_harmless(extra: bytes) -> None:
    """Times and owners may be told more exactly; names, sizes and links may not be told anew."""
    if re.search(rb" (path|size|linkpath|GNU\.[^=]*)=", extra):
        raise BundleError("The archive has names of more than 100 characters or of other letters; use short names.")


class _Part:
    """The next so many bytes of a stream, as a file."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, n: int) -> bytes:
        if not self._left:
            return b""
        data = self._stream.read(min(n, self._left))
        if not data:
            raise BundleError("The archive is cut short; send it again.")
        self._left -= len(data)
        return data

    def skip_rest(self, padding: int) -> None:
        self._left += padding
        while self._left:
            self.read(_CHUNK)


def _exactly(stream: IO[bytes], n: int) -> bytes:
    """So many bytes; nothing at the end of the stream."""
    data = b""
    while len(data) < n:
        more = stream.read(n - len(data))
        if not more:
            if data:
                raise BundleError("The archive is cut short; send it again.")
            return b""
        data += more
    return data


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    _require_small_directory(file)
    with _zip_errors(), zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise BundleError(f"The archive holds {info.filename[:80]!r}, a link; only plain files are taken.")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BundleError("The archive is encrypted or packed in a rare way; pack it as a plain .zip.")
            with archive.open(info) as member:
                yield _Member(info.orig_filename, _ZipPart(member), file.tell)


class _ZipPart:
    """A file of a zip, whose damage is told when it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, n: int) -> bytes:
        with _zip_errors():
            return self._file.read(n)


@contextmanager
def _zip_errors() -> Iterator[None]:
    try:
        yield
    except _BAD_ZIP as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the file's beginning
            raise
        raise BundleError(f"The .zip file cannot be unpacked ({str(error)[:100]}); pack it again.") from None


def _require_small_directory(file: IO[bytes]) -> None:
    """A zip lists its members at its end: look at the list's length before Python reads it whole."""
    size = file.seek(0, 2)
    length = min(size, (1 << 16) + 22)
    file.seek(size - length)
    tail = file.read(length)
    at = len(tail) - 22
    if at < 0 or not (tail[at:].startswith(b"PK\5\6") and tail.endswith(b"\0\0")):
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        raise BundleError("The .zip file is cut short; send it again.")
    n_members, n_bytes = struct.unpack_from("<HI", tail, at + 10)
    if b"PK\6\7" in tail[max(at - 20, 0) : at] or n_members > MAX_MEMBERS or n_bytes > 1 << 20:
        raise BundleError(f"The archive holds more than {MAX_MEMBERS:,} files, or is a zip64; pack it as a .tar.")
    file.seek(0)
