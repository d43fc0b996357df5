"""Files made to do harm, sent to a real server and read by a real worker: refused in seconds, in little memory."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import zstandard
from django.contrib.auth.models import User

from clusters.models import Label, RegisteredCorpus, Run
from compute.models import Job
from tests.api.seeds import SCOPES, bearer, make_key
from tests.databases import Site
from tests.factories import make_run, write_bundle
from tests.faults.serving import SQLITE_IN_CI, Web, serving

SECONDS, MEGABYTES = 5, 200
PASSWORD = "a long password of 2026"
Members = dict[str, bytes]


@pytest.fixture
def web(site: Site) -> Iterator[Web]:
    with serving(site) as started:
        yield started


# ── archives of bundles ──


def tarred(members: Members, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(members: Members) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def header(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


class Loud:
    """Says so where somebody unpickles it."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return (Path.write_text, (Path("/tmp/qw-escaped-pickle"), "opened"))


def pickled() -> bytes:
    out, array = io.BytesIO(), np.empty(40, object)
    array[:] = [Loud() for _ in range(40)]
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def archives(bundle: Path) -> dict[str, Callable[[], bytes]]:
    """By what is wrong with it: an archive, made when it is wanted."""
    members = {f"b/{file.relative_to(bundle)}": file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    array = "b/map/gradients.npy"

    def with_array(content: bytes) -> bytes:
        return tarred(members | {array: content})

    zeros = bytes(250_000_000)
    return {
        "a zip bomb": lambda: zipped({"b/x": zeros}),
        "a zstd bomb": lambda: zstandard.compress(tarred({"b/x": zeros})),
        "a name that climbs": lambda: tarred(members | {"../../qw-escaped": b"x"}),
        "a name from the root": lambda: zipped(members | {"/tmp/qw-escaped": b"x"}),
        "a symlink": lambda: tarred(dict.fromkeys(members, b""), tarfile.SYMTYPE, "/etc/passwd"),
        "a hardlink": lambda: tarred(dict.fromkeys(members, b""), tarfile.LNKTYPE, "/etc/passwd"),
        "a device": lambda: tarred(dict.fromkeys(members, b""), tarfile.CHRTYPE),
        "a pickled array": lambda: with_array(pickled()),
        "an array of objects": lambda: with_array(header("(40, 2)", "|O") + bytes(640)),
        "an array of a trillion": lambda: with_array(header("(1000000000000,)")),
        "an array of a negative size": lambda: with_array(header("(-40, 2)") + bytes(320)),
        "an array of an endless header": lambda: with_array(header("(" * 90)),
        "an array that is cut": lambda: with_array(members[array][:-9]),
        "a manifest that is nested": lambda: tarred({"b/manifest.json": b"[" * 100_000}),
        "a manifest of other hashes": lambda: tarred(members | {array: members[array][:-1] + b"\x7f"}),
        "no archive": lambda: b"x" * 5000,
    }


def unfit(folder: Path) -> dict[str, bytes]:
    """Bundles that are whole and right but for numbers that are none."""
    found = {}
    for name, value in (("NaN", np.nan), ("infinity", np.inf)):
        table = np.eye(40, dtype=np.float32)
        table[3, 4] = value
        made = write_bundle(folder / name, arrays={"similarity/signed": table})
        found[f"{name} in an array"] = tarred(
            {f"b/{file.relative_to(made)}": file.read_bytes() for file in made.rglob("*") if file.is_file()}
        )
    return found


@SQLITE_IN_CI
def test_hostile_bundles_are_refused_by_the_worker_in_seconds(
    site: Site, web: Web, tmp_path: Path, measured: Any
) -> None:
    boss = User.objects.create_superuser("boss")
    bundle = write_bundle(tmp_path / "made")
    sent: dict[int, str] = {}
    packed = {name: make() for name, make in archives(bundle).items()} | unfit(tmp_path)
    with web.client(**bearer(make_key(boss, *SCOPES))) as client:
        for i, (name, raw) in enumerate(packed.items()):
            person = User.objects.create_superuser(f"boss{i}")  # three imports of one person wait at most
            client.headers.update(bearer(make_key(person, *SCOPES)))
            answer = client.post("/api/v1/imports/", data={"kind": "bundle"}, files={"file": ("a.tar", raw)})
            assert answer.status_code == 201, (name, answer.text)
            sent[answer.json()["job"]] = name
    told = worked(site)
    wrong = {sent[one["job"]]: one for one in told if one["state"] != "failed" or not one["error"].strip()}
    assert not wrong
    assert len(told) == len(packed)
    seconds, megabytes = max(one["seconds"] for one in told), max(one["megabytes"] for one in told[1:])
    assert megabytes <= MEGABYTES
    assert seconds <= SECONDS * patience()
    assert not Run.objects.exists()
    assert not escaped(tmp_path)
    assert not list((site.data / "imports").glob("*"))
    measured(14, "archives of bundles that do harm", files=len(packed), refused=len(told), slowest_seconds=seconds,
             most_megabytes=megabytes, files_elsewhere=0)  # fmt: skip


def worked(site: Site) -> list[dict[str, Any]]:
    """What a worker said of every job that waited."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.hostile_worker"], env=site.environment, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def patience() -> float:
    """How much slower than it is alone this machine is now."""
    began = time.process_time(), time.monotonic()
    sum(i * i for i in range(2_000_000))
    return max(1.0, (time.monotonic() - began[1]) / max(time.process_time() - began[0], 1e-6))


def escaped(folder: Path) -> list[Path]:
    return [*folder.rglob("qw-escaped*"), *Path("/tmp").glob("qw-escaped*"), *Path("/etc").glob("qw-escaped*")]


# ── text and labels, which the web process itself reads ──


def corpora() -> dict[str, bytes]:
    line = b'{"text": "' + b"a" * 300_000_000 + b'"}\n'
    many = b'{"text": "a"}\n' * 20_000_000
    return {
        "line.jsonl": line[:90_000_000],
        "bomb.jsonl.gz": gzip.compress(line, compresslevel=1),
        "bomb.jsonl.zst": zstandard.compress(line),
        "many.jsonl.zst": zstandard.compress(many),
        "window.jsonl.zst": _wide_window(line[:1000]),
        "bomb.parquet": _parquet(),
        "nul.jsonl": b'{"text": "a\\u0000b"}\n',
        "deep.jsonl": b'{"text": ' + b"[" * 200_000,
        "none.parquet": b"PAR1" + b"\xff" * 500 + b"PAR1",
    }


def _wide_window(text: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=30)
    ).compressobj()
    return stream.compress(text) + stream.flush()


def _parquet() -> bytes:
    """A few kilobytes that stand for 400 MB of one text again and again."""
    import pyarrow
    import pyarrow.parquet

    column = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(np.zeros(4000, np.int32)), pyarrow.array(["a" * 100_000])
    )
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), out, compression="zstd")
    return out.getvalue()


LABELS = {
    "cut.csv": b"affinity,k,cluster,name\nsigned,6,0,a\0b\n",
    "wide.csv": b"affinity,k,cluster,name\n" + b"x," * 4_000_000,
    "quote.csv": b'affinity,k,cluster,name\n"' + b"a" * 9_000_000,
    "utf16.csv": "affinity,k".encode("utf-16"),
    "rows.csv": b"affinity,k,cluster,name\n" + b"signed,6,0,a\n" * 700_000,
    "deep.json": b'{"2": ' + b"[" * 5_000_000,
    "space.json": b" " * 95_000_000,
    "many.json": b"[" + b"1," * 40_000_000,
}


class Sender:
    """A signed-in browser without a page."""

    def __init__(self, web: Web, name: str) -> None:
        self.web, self.client = web, web.client(Referer=f"{web.address}/")
        self.client.get("/sign-in/")
        fields = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": self.client.cookies["csrftoken"]}
        assert self.client.post("/sign-in/", data=fields).status_code == 302
        self.token = self.client.cookies["csrftoken"]

    def send(self, place: str, field: str, name: str, content: Any, /, **fields: str) -> tuple[int, float]:
        """The status, 0 where the server hung up, and the seconds until it."""
        began = time.monotonic()
        try:
            status = self.client.post(
                place, data=fields | {"csrfmiddlewaretoken": self.token}, files={field: (name, content)}
            ).status_code
        except httpx.TransportError:
            status = 0
        return status, time.monotonic() - began


class Endless(io.RawIOBase):
    """A gigabyte that is one line."""

    def __init__(self, n_bytes: int) -> None:
        self.left = self.size = n_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        self.left = self.size - place if whence == 0 else 0 if whence == 2 else self.left
        return self.size - self.left

    def tell(self) -> int:
        return self.size - self.left

    def read(self, n: int = -1) -> bytes:
        n = min(self.left, n if n >= 0 else 1 << 16)
        self.left -= n
        return b"a" * n


@SQLITE_IN_CI
def test_hostile_texts_and_labels_are_refused_by_the_web_process_in_seconds(
    site: Site, web: Web, tmp_path: Path, measured: Any
) -> None:
    boss = User.objects.create_superuser("boss", password=PASSWORD)
    make_run(site.data / "bundles", owner=boss)
    sender, statuses, seconds = Sender(web, "boss"), {}, {}
    files = [("/corpora/new/?kind=upload", "file", name, raw, {"name": name, "text_field": "text"})
             for name, raw in corpora().items()]  # fmt: skip
    files += [("/imports/?kind=labels", "file", name, raw, {"run": "synthetic"})
              for name, raw in LABELS.items() if name.endswith("csv")]  # fmt: skip
    files += [("/imports/?kind=published", "labels", name, raw, {"name": "p"})
              for name, raw in LABELS.items() if name.endswith("json")]  # fmt: skip
    assert sender.send("/corpora/new/?kind=upload", "file", "good.jsonl", b'{"text": "good"}\n', name="good",
                       text_field="text")[0] == 302  # fmt: skip
    web.forget_peak()
    before = web.peak_megabytes()
    for place, field, name, raw, fields in files:
        statuses[name], seconds[name] = sender.send(place, field, name, raw, **fields)
    statuses["1 GB"], seconds["1 GB"] = sender.send("/corpora/new/?kind=upload", "file", "g.jsonl",
                                                    Endless(10**9), name="g", text_field="text")  # fmt: skip
    grown = web.peak_megabytes() - before
    assert not {name: status for name, status in statuses.items() if status not in (0, 400, 413, 422)}
    assert [name for name, status in statuses.items() if status == 0] in ([], ["1 GB"])
    assert grown <= MEGABYTES
    slow = {name: one for name, one in seconds.items() if one > SECONDS * patience()}
    assert not slow
    assert [corpus.name for corpus in RegisteredCorpus.objects.all()] == ["good"]
    assert not Job.objects.exists()
    assert not escaped(tmp_path)
    measured(14, "texts and labels that do harm, at the web process", files=len(statuses), refused=len(statuses),
             slowest_seconds=max(seconds.values()), most_megabytes=grown)  # fmt: skip


@SQLITE_IN_CI
def test_cells_that_a_spreadsheet_would_run_leave_as_text(site: Site, measured: Any) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.test import Client

    from clusters.services.import_labels import Wanted, apply_plan, plan_of
    from clusters.services.imports import start_labels

    boss = User.objects.create_superuser("boss")
    make_run(site.data / "bundles", owner=boss)
    cells = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x")']
    rows = "".join(f'signed,6,{i},"{cell.replace(chr(34), chr(34) * 2)}"\n' for i, cell in enumerate(cells))
    file = SimpleUploadedFile("l.csv", f"affinity,k,cluster,name\n{rows}".encode())
    one, _ = start_labels(boss, file=file, asked={"run": "synthetic"})
    wanted = Wanted.of(one)
    apply_plan(boss, one, wanted, plan_of(boss, one, wanted).fingerprint)
    kept = {label.name for label in Label.objects.all()}
    client = Client()
    client.force_login(boss)
    n_cells = 0
    for place in ("/labels.csv", "/runs/synthetic/exports/labels.csv", "/runs/synthetic/k/6/clusters.csv"):
        answer = client.get(place)
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content
        import csv

        for cell in (cell for row in csv.reader(io.StringIO(text.decode("utf-8-sig"))) for cell in row):
            is_number = cell.lstrip("+-").replace(".", "", 1).replace("e-", "", 1).isdigit()
            assert is_number or not cell.startswith(("=", "+", "-", "@", "\t")), (place, cell)
            n_cells += 1
    assert len(kept) == len(cells)
    measured(14, "labels that a spreadsheet would run", cells=n_cells, run=0)
