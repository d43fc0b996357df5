"""Text from strangers is read under limits: what is larger than it looks is refused soon and in little memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from compute.config import CorpusConfig
from compute.errors import CorpusError
from compute.texts import TRUSTED, UPLOAD, Limits, Meter, check_upload, open_texts
from compute.texts.jsonl import BLANK_LINES
from compute.texts.limits import RATIO_FREE_BYTES, ZSTD_WINDOW_BYTES

MEGABYTE = 1_000_000
EXTRA_MEGABYTES = 200
SECONDS = 5


def line(n_bytes: int) -> bytes:
    """One document that fills so many bytes, its newline among them."""
    return b'{"text": "' + b"a" * (n_bytes - 13) + b'"}\n'


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def parquet_of(path: Path, texts: list[str], **options: object) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": texts}), path, **options)
    return path


def repeated_text(path: Path) -> Path:
    """A table of a million rows that all mean one text of 900 kB."""
    import pyarrow
    from pyarrow import parquet

    rows = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1_000_000, pyarrow.int32()), ["a" * 900_000])
    parquet.write_table(pyarrow.table({"text": rows}), path, store_schema=False)
    return path


def test_facts_of_a_good_upload_are_counted(tmp_path):
    path = written(tmp_path / "c.jsonl.gz", gzip.compress(b'{"body": "a"}\n\n{"body": ""}\n'))
    facts = check_upload(path, text_field="body")
    digests = b"".join(hashlib.sha256(text).digest() for text in (b"a", b""))
    assert (facts.n_documents, facts.n_bytes) == (2, 28)
    assert facts.sha256 == hashlib.sha256(digests).hexdigest()


def test_facts_of_a_good_table_are_counted(tmp_path):
    facts = check_upload(parquet_of(tmp_path / "c.parquet", ["ab", "ü"]))
    assert (facts.n_documents, facts.n_bytes) == (2, 4)


def test_an_upload_is_one_file(tmp_path):
    with pytest.raises(CorpusError, match="is no file"):
        check_upload(tmp_path)


def test_the_first_problem_of_an_upload_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"Line 2 of .*c\.jsonl is not JSON"):
        check_upload(written(tmp_path / "c.jsonl", b'{"text": "a"}\n{\n{"text": 3}\n'))


def test_a_line_of_exactly_the_limit_is_taken(tmp_path):
    assert check_upload(written(tmp_path / "c.jsonl", line(MEGABYTE + 1))).n_documents == 1


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_a_longer_line_is_refused_with_its_number(tmp_path, suffix):
    data = line(20) + line(MEGABYTE + 2)
    packed = {"jsonl": bytes, "jsonl.gz": gzip.compress, "jsonl.zst": zstandard.compress}[suffix](data)
    path = written(tmp_path / f"c.{suffix}", packed)
    with pytest.raises(CorpusError, match=rf"Line 2 of .*c\.{suffix} is longer than 1 MB"):
        check_upload(path)
    assert len(list(open_texts(CorpusConfig(source=str(path)), tmp_path).documents())) == 2


def test_a_longer_row_is_refused_with_its_number(tmp_path):
    path = parquet_of(tmp_path / "c.parquet", ["a", "b" * (MEGABYTE + 1)])
    with pytest.raises(CorpusError, match=r"Row 2 of .*c\.parquet is longer than 1 MB"):
        check_upload(path)
    assert len(list(open_texts(CorpusConfig(source=str(path)), tmp_path).documents())) == 2


def test_a_longer_text_file_is_refused(tmp_path):
    written(tmp_path / "a.txt", b"a" * 101)
    texts = open_texts(CorpusConfig(source=str(tmp_path)), tmp_path)
    with pytest.raises(CorpusError, match=r"a\.txt is longer than"):
        list(texts.documents(meter=Meter(Limits(line_bytes=100))))


def test_nul_is_refused_in_uploads_only(tmp_path):
    path = written(tmp_path / "c.jsonl", b'{"text": "a\\u0000b"}\n')
    with pytest.raises(CorpusError, match=r"Line 1 of .* holds the character NUL"):
        check_upload(path)
    assert next(open_texts(CorpusConfig(source=str(path)), tmp_path).documents()).text == "a\0b"


def test_more_text_than_allowed_is_refused(tmp_path):
    texts = open_texts(CorpusConfig(source=str(written(tmp_path / "c.jsonl", line(60) * 2))), tmp_path)
    assert len(list(texts.documents(meter=Meter(Limits(line_bytes=100, total_bytes=120))))) == 2
    with pytest.raises(CorpusError, match="holds more than"):
        list(texts.documents(meter=Meter(Limits(line_bytes=100, total_bytes=119))))


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, "gz"), (zstandard.compress, "zst")])
def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path, pack, suffix):
    n_lines = RATIO_FREE_BYTES // 100_000
    path = written(tmp_path / f"c.jsonl.{suffix}", pack(line(100_000) * (n_lines + 1)))
    with pytest.raises(CorpusError, match="more than 200 times its size"):
        check_upload(path)
    assert len(list(open_texts(CorpusConfig(source=str(path)), tmp_path).documents())) == n_lines + 1


def test_text_that_compresses_well_is_taken(tmp_path):
    columns = [" ".join(f"{n * k % 997:x}" for k in range(3000)) for n in range(1000)]
    text = "".join(json.dumps({"text": column}) + "\n" for column in columns)
    assert check_upload(written(tmp_path / "c.jsonl.zst", zstandard.compress(text.encode()))).n_bytes > RATIO_FREE_BYTES


def test_empty_lines_between_documents_are_passed_over_but_not_a_file_of_them(tmp_path):
    assert check_upload(written(tmp_path / "c.jsonl", line(20) + b"\n" * BLANK_LINES)).n_documents == 1
    assert check_upload(written(tmp_path / "c.jsonl", (line(20) + b"\n") * 2 * BLANK_LINES)).n_bytes == 420_000
    with pytest.raises(CorpusError, match="is mostly empty lines, to line 10002"):
        check_upload(written(tmp_path / "c.jsonl", line(20) + b"\n" * (BLANK_LINES + 1)))


@pytest.mark.parametrize("limits", [UPLOAD, TRUSTED])
def test_a_window_larger_than_allowed_is_refused(tmp_path, limits):
    wide = zstandard.ZstdCompressionParameters.from_level(1, window_log=ZSTD_WINDOW_BYTES.bit_length())
    compressor = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    path = written(tmp_path / "c.jsonl.zst", compressor.compress(line(20)) + compressor.flush())
    texts = open_texts(CorpusConfig(source=str(path)), tmp_path)
    with pytest.raises(CorpusError, match="asks for more than 128 MiB to be unpacked"):
        list(texts.documents(meter=Meter(limits)))


def test_the_widest_window_allowed_is_read(tmp_path):
    wide = zstandard.ZstdCompressionParameters.from_level(1, window_log=ZSTD_WINDOW_BYTES.bit_length() - 1)
    compressor = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    path = written(tmp_path / "c.jsonl.zst", compressor.compress(line(20)) + compressor.flush())
    assert check_upload(path).n_documents == 1


@pytest.mark.parametrize("column", ["text", "kind"])
def test_a_large_page_of_parquet_is_refused_before_it_is_unpacked(tmp_path, column):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"text": ["a"], "kind": ["b"]} | {column: ["a" * 3 * MEGABYTE]})
    parquet.write_table(table, tmp_path / "c.parquet", compression="zstd", use_dictionary=False)
    texts = open_texts(CorpusConfig(source=str(tmp_path / "c.parquet")), tmp_path)
    assert len(list(texts.documents(meter=Meter(Limits(line_bytes=MEGABYTE * 4, page_bytes=MEGABYTE * 4))))) == 1
    with pytest.raises(CorpusError, match=r"has a page of 3 MB, more than the 2 MB allowed"):
        list(texts.documents(meter=Meter(Limits(line_bytes=MEGABYTE * 4, page_bytes=MEGABYTE * 2))))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli"])
def test_pages_of_every_common_make_are_read(tmp_path, version, compression):
    texts = [f"text {n} " * 50 for n in range(500)]
    path = parquet_of(
        tmp_path / "c.parquet", texts, compression=compression, data_page_version=version, data_page_size=1000,
        row_group_size=200, write_page_checksum=True,
    )  # fmt: skip
    assert check_upload(path).n_documents == 500


def test_a_table_of_delta_coded_text_is_read(tmp_path):
    path = parquet_of(tmp_path / "c.parquet", ["ab", "abc"], use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY")
    assert check_upload(path).n_bytes == 5


BOMBS: dict[str, Callable[[Path], Path]] = {
    "a line without end": lambda folder: written(folder / "plain.jsonl", b"a" * 100 * MEGABYTE),
    "gzip of one line": lambda folder: written(folder / "line.jsonl.gz", gzip.compress(b"a" * (1 << 24)) * 64),
    "zstandard of one line": lambda folder: written(
        folder / "line.jsonl.zst", zstandard.compress(b"a" * (1 << 24)) * 64
    ),
    "gzip of empty lines": lambda folder: written(folder / "empty.jsonl.gz", gzip.compress(b"\n" * (1 << 24)) * 64),
    "zstandard of empty lines": lambda folder: written(
        folder / "empty.jsonl.zst", zstandard.compress(b"\n" * (1 << 24)) * 64
    ),
    "zstandard of good lines": lambda folder: written(
        folder / "good.jsonl.zst", zstandard.compress(line(900_000) * 16) * 64
    ),
    "a nested line": lambda folder: written(folder / "nested.jsonl", b"[" * 900_000),
    "a page that unpacks": lambda folder: parquet_of(
        folder / "page.parquet", ["a" * 120 * MEGABYTE], use_dictionary=False, write_statistics=False
    ),
    "a repeated text": lambda folder: repeated_text(folder / "repeated.parquet"),
}
MEASURED = """
import json, sys, time
from pathlib import Path
import pyarrow.parquet
from compute.config import CorpusConfig
from compute.errors import CorpusError
from compute.texts import check_upload, open_texts

def peak():
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l) / 1000

def go_through(path):
    for document in open_texts(CorpusConfig(source=path), Path()).documents():
        pass

read = {"upload": lambda path: check_upload(Path(path)), "trusted": go_through}[sys.argv[1]]
for path in sys.argv[2:]:
    Path("/proc/self/clear_refs").write_text("5")
    before, since, found = peak(), time.monotonic(), None
    try:
        read(path)
    except CorpusError as error:
        found = str(error)
    print(json.dumps([found, peak() - before, time.monotonic() - since]))
"""


LINES_WITHOUT_END = ("a line without end", "gzip of one line", "zstandard of one line")


@pytest.mark.parametrize(("trust", "names"), [("upload", tuple(BOMBS)), ("trusted", LINES_WITHOUT_END)])
def test_bombs_are_refused_within_seconds_and_little_memory(tmp_path, trust, names):
    paths = [str(BOMBS[name](tmp_path)) for name in names]
    command = [sys.executable, "-c", MEASURED, trust, *paths]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    for name, answer in zip(names, run.stdout.splitlines(), strict=True):
        refusal, megabytes, seconds = json.loads(answer)
        print(f"{name}: {megabytes:.0f} MB, {seconds:.2f} s: {refusal}")
        assert refusal, name
        assert megabytes <= EXTRA_MEGABYTES, name
        assert seconds <= SECONDS, name
