"""Archives from anywhere: a bundle comes out whole, and nothing else comes out at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from compute import archives
from compute.archives import require_modest, unpack
from compute.bundle import BundleWriter, open_bundle
from compute.errors import BundleError

SECONDS, MEGABYTES = 5, 200


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    with BundleWriter(tmp_path / "made", "small") as writer:
        writer.add_array("clustering/signed/k2", np.array([0, 1], np.int32))
        writer.add_lines("documents.jsonl", iter([{"source": "a"}]))
        return writer.publish({"config": {}}, {})


def tar(files: dict[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(files: dict[str, bytes], mode: int = 0o100644, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, how
            archive.writestr(info, content)
    return out.getvalue()


def files_of(bundle: Path) -> dict[str, bytes]:
    return {f"{bundle.name}/{f.relative_to(bundle)}": f.read_bytes() for f in bundle.rglob("*") if f.is_file()}


def unpacked(raw: bytes, tmp_path: Path) -> archives.Unpacked:
    file, into = tmp_path / "archive", tmp_path / "in" / "here"
    file.write_bytes(raw)
    into.mkdir(parents=True)
    return unpack(file, into)


PACKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "tar": tar,
    "zip": zipped,
    "tar.zst": lambda files: zstandard.compress(tar(files)),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_a_bundle_comes_out_as_it_went_in(kind: str, bundle: Path, tmp_path: Path) -> None:
    found = unpacked(PACKERS[kind](files_of(bundle)), tmp_path)
    assert open_bundle(found.bundle).sha256 == open_bundle(bundle).sha256
    open_bundle(found.bundle).verify()
    require_modest(open_bundle(found.bundle))
    assert found.labels is None


def test_a_tar_of_gnu_tar_comes_out_too(bundle: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-C", str(bundle.parent), "-cf", str(tmp_path / "a.tar"), bundle.name], check=True)
    assert unpacked((tmp_path / "a.tar").read_bytes(), tmp_path).bundle.name == bundle.name


def test_labels_beside_the_bundle_are_found(bundle: Path, tmp_path: Path) -> None:
    inside = {f"run/bundle/{name.partition('/')[2]}": content for name, content in files_of(bundle).items()}
    found = unpacked(tar(inside | {"run/labels.jsonl": b"{}\n", "run/README.txt": b"."}), tmp_path)
    assert found.labels is not None
    assert found.labels.read_bytes() == b"{}\n"


@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a/../../x", "..\\x", "a/.hidden", "a\nb", "CON:x", "a" * 99 + "/" * 2 + "é", "-rf"]
)
def test_names_that_lead_elsewhere_are_refused(name: str, pack: Callable[..., bytes], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="archive"):
        unpacked(pack({name: b"x", "manifest.json": b"{}"}), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "in"}
    assert not [path for path in (tmp_path / "in").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="link or device"):
        unpacked(tar({"b/manifest.json": b""}, kind, "/etc/passwd"), tmp_path)


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a link"):
        unpacked(zipped({"b/manifest.json": b"/etc/passwd"}, 0o120777), tmp_path)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no .tar"),
        (b"hello", "no .tar"),
        (b"\x1f\x8b" + bytes(600), "no .tar"),
        (tar({"a/x": b"y"}), "no bundle"),
        (tar({"a/manifest.json": b"{}", "b/manifest.json": b"{}"}), "2 bundles"),
        (tar({"a/manifest.json": b"["}), "cannot be read"),
        (tar({"a/manifest.json": b"[" * 100_000}), "cannot be read"),
        (tar({"a/x": b"y" * 2000})[:1024], "cut short"),
        (tar({"a/x": b"y", "A/X": b"z"}), "twice"),
        (tar({"a/x": b"y", "a/x/y": b"z"}), "both as a file and as a folder"),
        (zstandard.compress(tar({"a/x": b"y" * 4000}))[:60], "cut short|cannot be unpacked"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "cannot be unpacked"),
        (zipped({"a/x": b"y"})[:40], "cut short"),
        (zipped({"a/x": b"y"}, how=zipfile.ZIP_LZMA), "rare way"),
        (tar({f"a/{n}": b"" for n in range(1002)}), "more than 1,000 files"),
        (zipped({f"a/{n}": b"" for n in range(1002)}), "more than 1,000 files"),
    ],
)
def test_what_is_no_bundle_is_refused(raw: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=said):
        unpacked(raw, tmp_path)


def test_a_header_that_asks_for_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    with pytest.raises(BundleError, match="impossible size"):
        unpacked(info.tobuf() + bytes(1024), tmp_path)


def test_names_told_anew_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a/x")
        info.pax_headers = {"path": "../../x"}
        archive.addfile(info)
    with pytest.raises(BundleError, match="short names"):
        unpacked(out.getvalue(), tmp_path)


def test_a_window_that_asks_for_memory_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    stream = compressor.compressobj()
    with pytest.raises(BundleError, match="cannot be unpacked"):
        unpacked(stream.compress(tar({"a/x": b"y"})) + stream.flush(), tmp_path)


BOMB = """
import resource, sys, time
from pathlib import Path
from compute.archives import unpack
from compute.errors import BundleError
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
try:
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
except BundleError as error:
    print(error)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024, time.monotonic() - began)
"""


@pytest.mark.parametrize("kind", ["zip", "tar.zst"])
def test_a_bomb_is_given_up_early(kind: str, tmp_path: Path) -> None:
    raw = PACKERS[kind]({"a/x": bytes(400_000_000)})
    assert len(raw) < 1_000_000
    (tmp_path / "bomb").write_bytes(raw)
    (tmp_path / "in").mkdir()
    command = [sys.executable, "-c", BOMB, str(tmp_path / "bomb"), str(tmp_path / "in")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout.splitlines()
    assert "unpacks to more than" in said[0]
    megabytes, seconds = said[1].split()
    assert int(megabytes) <= MEGABYTES
    assert float(seconds) <= SECONDS


# ── what is in a bundle ──


def test_a_file_that_the_manifest_does_not_list_is_refused(bundle: Path) -> None:
    (bundle / "run.sh").write_text("#!/bin/sh")
    with pytest.raises(BundleError, match=r"run\.sh, which its manifest does not list"):
        require_modest(open_bundle(bundle))


def test_links_in_a_folder_are_refused(bundle: Path) -> None:
    (bundle / "documents.jsonl").unlink()
    (bundle / "documents.jsonl").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="holds links"):
        require_modest(open_bundle(bundle))


def test_an_endless_line_is_refused(tmp_path: Path) -> None:
    with BundleWriter(tmp_path, "long") as writer:
        writer.add_lines("documents.jsonl", iter([{"source": "x" * 2_000_000}]))
        path = writer.publish({"config": {}}, {})
    with pytest.raises(BundleError, match="a line of more than"):
        require_modest(open_bundle(path))


def test_pickled_arrays_are_never_opened(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    array = np.empty(2, object)
    array[:] = [_Loud(), _Loud()]
    np.save(bundle / "clustering/signed/k2.npy", array, allow_pickle=True)
    assert manifest["arrays"]
    with pytest.raises(BundleError, match="missing or cut short"):
        require_modest(open_bundle(bundle))


class _Loud:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was opened",))


def test_a_header_that_promises_more_than_there_is_takes_no_memory(bundle: Path) -> None:
    file = bundle / "clustering/signed/k2.npy"
    with file.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, {"descr": "<i4", "fortran_order": False, "shape": (10**12,)})
    began = time.monotonic()
    with pytest.raises(BundleError, match="missing or cut short"):
        require_modest(open_bundle(bundle))
    assert time.monotonic() - began < SECONDS
