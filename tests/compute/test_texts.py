"""Reading a person's own text: every kind gives the same documents; what is wrong is said, with file and line."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from compute.config import CorpusConfig
from compute.errors import CorpusError
from compute.texts import ContentHash, Document, open_texts, signature

DOCUMENTS = ["one", "", "zwei ü 😀", "a\nb\n\n", "<|endoftext|>"]
Write = Callable[[str, list[str]], Path]


def read(path: Path, **settings: Any) -> list[Document]:
    return list(open_texts(CorpusConfig(source=str(path), **settings), path.parent / "cache").documents())


def sha256(path: Path) -> str:
    content = ContentHash()
    for document in read(path):
        content.add(document.text)
    return content.hexdigest()


def lines(texts: list[str], **fields: str) -> bytes:
    return "".join(json.dumps({"text": text, **fields}) + "\n" for text in texts).encode()


def write_parquet(path: Path, texts: list[str], **columns: list[str]) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": texts, **columns}), path, row_group_size=2)
    return path


def write_shards(folder: Path, texts: list[str]) -> Path:
    """Three shards of different packing, the first of them in a folder of its own."""
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "0.jsonl.gz").write_bytes(gzip.compress(lines(texts[:2])))
    (folder / "b.jsonl").write_bytes(lines(texts[2:3]))
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress(lines(texts[3:])))
    (folder / "README.md").write_text("about the shards")
    return folder


def write_tables(folder: Path, texts: list[str]) -> Path:
    folder.mkdir()
    write_parquet(folder / "00.parquet", texts[:1])
    write_parquet(folder / "01.parquet", texts[1:])
    (folder / "README.md").write_text("about the tables")
    return folder


def write_members(path: Path, texts: list[str], compress: Callable[[bytes], bytes]) -> Path:
    """A compressed file of several members, cut in the middle of a line."""
    data = lines(texts)
    path.write_bytes(compress(data[:20]) + compress(data[20:50]) + compress(data[50:]))
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


KINDS: dict[str, Callable[[Path, list[str]], Path]] = {
    "jsonl": lambda folder, texts: write_bytes(folder / "c.jsonl", lines(texts)),
    "json lines with a byte order mark": lambda folder, texts: write_bytes(
        folder / "c.jsonl", b"\xef\xbb\xbf" + lines(texts)
    ),
    "lines of Windows": lambda folder, texts: write_bytes(folder / "c.json", lines(texts).replace(b"\n", b"\r\n")),
    "gzip": lambda folder, texts: write_bytes(folder / "c.jsonl.gz", gzip.compress(lines(texts))),
    "gzip of several members": lambda folder, texts: write_members(folder / "c.json.gz", texts, gzip.compress),
    "zstandard": lambda folder, texts: write_bytes(folder / "c.jsonl.zst", zstandard.compress(lines(texts))),
    "zstandard of several frames": lambda folder, texts: write_members(
        folder / "c.jsonl.zst", texts, zstandard.compress
    ),
    "parquet": lambda folder, texts: write_parquet(folder / "c.parquet", texts),
    "folder of shards": lambda folder, texts: write_shards(folder / "c", texts),
    "folder of tables": lambda folder, texts: write_tables(folder / "c", texts),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_documents(tmp_path, kind):
    path = KINDS[kind](tmp_path, DOCUMENTS)
    assert [document.text for document in read(path)] == DOCUMENTS
    texts = open_texts(CorpusConfig(source=str(path)), tmp_path)
    assert texts.name == "c"
    assert [document.text for document in texts.documents(start=3)] == DOCUMENTS[3:]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_first_documents_are_read_if_asked(tmp_path, kind):
    path = KINDS[kind](tmp_path, DOCUMENTS)
    assert [document.text for document in read(path, max_documents=3)] == DOCUMENTS[:3]


@pytest.fixture
def jsonl(tmp_path: Path):
    def write(*lines: str | bytes) -> Path:
        path = tmp_path / "corpus.jsonl"
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
        return path

    return write


def test_each_line_is_a_document(jsonl):
    assert [document.text for document in read(jsonl('{"text": "one"}', "", '{"text": "two"}', ""))] == ["one", "two"]


def test_source_and_kind_are_taken_from_the_line(jsonl):
    (document,) = read(jsonl('{"text": "one", "source": "a.py", "kind": "python"}'))
    assert (document.source, document.kind) == ("a.py", "python")


def test_source_and_kind_are_taken_from_the_row(tmp_path):
    (document,) = read(write_parquet(tmp_path / "c.parquet", ["one"], source=["a.py"], kind=["python"]))
    assert (document.source, document.kind) == ("a.py", "python")


@pytest.mark.parametrize("source", ["3", '"\\u0000"', '"\\ud800"', '""', json.dumps("x" * 501)])
def test_a_document_whose_source_cannot_be_shown_is_known_by_its_line(jsonl, source):
    assert read(jsonl("", f'{{"text": "one", "source": {source}}}'))[0].source == "corpus.jsonl:2"


def test_documents_of_shards_are_known_by_shard_and_line(tmp_path):
    sources = [document.source for document in read(write_shards(tmp_path / "c", DOCUMENTS))]
    assert sources == ["a/0.jsonl.gz:1", "a/0.jsonl.gz:2", "b.jsonl:1", "c.jsonl.zst:1", "c.jsonl.zst:2"]


def test_lines_after_the_last_wanted_document_are_not_read(jsonl):
    path = jsonl('{"text": "one"}', '{"text": "two"}', "not read")
    assert len(read(path, max_documents=2)) == 2


def test_documents_before_the_first_wanted_one_are_not_parsed(jsonl):
    path = jsonl('{"text": 3}', '{"text": "two"}')
    texts = open_texts(CorpusConfig(source=str(path)), path.parent)
    assert [document.text for document in texts.documents(start=1)] == ["two"]


def test_another_field_can_hold_the_text(tmp_path, jsonl):
    assert read(jsonl('{"text": 3, "content": "one"}'), text_field="content")[0].text == "one"
    path = write_parquet(tmp_path / "c.parquet", ["not this"], content=["one"])
    assert read(path, text_field="content")[0].text == "one"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "not JSON"),
        ('{"text": "a\0"}', "not JSON"),
        ('["text"]', "no object"),
        ("3", "no object"),
        ('{"text": 3}', "no text named 'text'"),
        ('{"content": "one"}', r"no text named 'text', only \['content'\]"),
        (b'{"text": "\xff"}', "not UTF-8"),
        ('{"text": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "not JSON"),
        ('{"text": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_a_bad_line_is_named(jsonl, line, fault):
    with pytest.raises(CorpusError, match=f"Line 2 of .*corpus.jsonl.*{fault}"):
        read(jsonl('{"text": "one"}', line))


def test_a_row_without_text_is_named(tmp_path):
    path = write_parquet(tmp_path / "c.parquet", ["one", None, "three"])
    with pytest.raises(CorpusError, match=r"Row 2 of .*c\.parquet has no text"):
        read(path)


def test_a_row_that_is_not_utf8_is_named(tmp_path):
    import pyarrow
    from pyarrow import parquet

    wrong = pyarrow.array([b"one", b"two", b"\xff"]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": wrong}), tmp_path / "c.parquet")
    with pytest.raises(CorpusError, match=r"Row 3 of .*c\.parquet is not UTF-8"):
        read(tmp_path / "c.parquet")


@pytest.mark.parametrize("name", ["content", "number"])
def test_a_column_that_is_absent_or_no_text_is_refused_with_those_there_are(tmp_path, name):
    path = write_parquet(tmp_path / "c.parquet", ["one"], number=[3])
    with pytest.raises(CorpusError, match=rf"no column '{name}' of text; its columns of text are \['text'\]"):
        read(path, text_field=name)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path, data):
    with pytest.raises(CorpusError, match=r"c\.parquet is no Parquet file, or damaged"):
        read(write_bytes(tmp_path / "c.parquet", data))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("fault", ["cut", "altered", "another kind"])
def test_a_damaged_archive_is_named(tmp_path, suffix, fault):
    whole = {"gz": gzip.compress, "zst": compress_with_checksum}[suffix](lines([str(n) for n in range(1000)]))
    middle = len(whole) // 2
    data = {
        "cut": whole[:-5],
        "altered": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
        "another kind": b"PK\x03\x04" + whole,
    }[fault]
    with pytest.raises(CorpusError, match=rf"c\.jsonl\.{suffix} is damaged or cut short|Line \d+ of"):
        read(write_bytes(tmp_path / f"c.jsonl.{suffix}", data))


def compress_with_checksum(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(CorpusError, match="There is no corpus"):
        read(tmp_path / "absent.jsonl")


@pytest.mark.parametrize("name", ["text.zip", "text.gz", "text.csv"])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    with pytest.raises(CorpusError, match="neither"):
        read(write_bytes(tmp_path / name, b""))


@pytest.mark.parametrize("content", [[], ["", " "], ['{"text": ""}']])
def test_text_that_is_empty_is_refused(jsonl, content):
    with pytest.raises(CorpusError, match="holds no text"):
        read(jsonl(*content))


def test_a_table_without_rows_is_refused(tmp_path):
    import pyarrow

    with pytest.raises(CorpusError, match="holds no text"):
        read(write_parquet(tmp_path / "c.parquet", pyarrow.array([], pyarrow.string())))


def test_a_folder_gives_its_text_files_in_order(tmp_path):
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "one.md").write_text("first of b")
    (folder / "a.txt").write_text("a")
    (folder / "image.png").write_bytes(b"\x89")
    assert [(d.source, d.kind, d.text) for d in read(folder)] == [
        ("a.txt", "txt", "a"),
        ("b/one.md", "md", "first of b"),
    ]


def test_a_folder_without_text_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no \.txt or \.md file, no JSON lines and no Parquet"):
        read(tmp_path)


def test_a_folder_of_two_kinds_of_shards_is_refused(tmp_path):
    write_tables(tmp_path / "c", DOCUMENTS)
    (tmp_path / "c" / "x.jsonl").write_bytes(lines(DOCUMENTS))
    with pytest.raises(CorpusError, match="holds both JSON lines"):
        read(tmp_path / "c")


def test_a_file_that_is_not_utf8_is_named_with_its_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\nfine\n\xff\n")
    with pytest.raises(CorpusError, match=r"Line 3 of .*a\.txt is not UTF-8"):
        read(tmp_path)


def test_a_file_that_holds_nul_is_named_with_its_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\n\0\n")
    with pytest.raises(CorpusError, match=r"Line 2 of .*a\.txt holds the character NUL"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path, name):
    (tmp_path / "secret").write_bytes(lines(["secret"]))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / name).symlink_to(tmp_path / "secret")
    with pytest.raises(CorpusError, match=rf"{name} is a link that leaves"):
        read(tmp_path / "c")


def test_a_link_within_the_folder_is_followed(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "blob").write_text("one")
    (tmp_path / "c" / "a.txt").symlink_to("blob")
    assert [document.text for document in read(tmp_path / "c")] == ["one"]


def test_folders_behind_links_are_not_entered(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.txt").write_text("one")
    (tmp_path / "c" / "link").symlink_to(tmp_path / "outside")
    assert [document.text for document in read(tmp_path / "c")] == ["one"]


def test_a_folder_within_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.txt").write_text("one")
    scandir = os.scandir

    def forbidden(path: str) -> Any:
        if Path(path).name == "inner":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(CorpusError, match="inner cannot be read .Permission denied"):
        read(tmp_path)


def test_the_hash_is_over_the_hashes_of_the_texts(jsonl):
    """sha256(sha256("a") + sha256("b")), worked out with the shell's sha256sum and xxd."""
    expected = "e5a01fee14e0ed5c48714f22180f25ad8365b53f9779f79dc4a3d7e93963f94a"
    assert sha256(jsonl('{"text": "a"}', '{"text": "b"}')) == expected


def test_the_hash_depends_on_where_documents_end(jsonl):
    one = sha256(jsonl('{"text": "ab"}', '{"text": "c"}'))
    other = sha256(jsonl('{"text": "a"}', '{"text": "bc"}'))
    assert one != other


def test_the_hash_depends_on_the_text_alone(jsonl):
    one = sha256(jsonl('{"text": "é"}'))
    other = sha256(jsonl(json.dumps({"text": "é", "extra": 1})))
    assert one == other


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_changes_with_the_files(tmp_path, kind):
    path = KINDS[kind](tmp_path, DOCUMENTS)
    config = CorpusConfig(source=str(path))
    before = signature(config)
    assert signature(config) == before
    file = path if path.is_file() else sorted(f for f in path.rglob("*") if f.name[0] in "0ab" and f.is_file())[0]
    file.write_bytes(file.read_bytes() + b"\n")
    assert signature(config) != before


def test_a_file_can_be_gone_through_twice(jsonl):
    path = jsonl('{"text": "one"}')
    texts = open_texts(CorpusConfig(source=str(path)), path.parent)
    assert list(texts.documents()) == list(texts.documents())


def test_nothing_is_held_open_when_reading_stops_early(tmp_path):
    path = write_bytes(tmp_path / "c.jsonl", lines(DOCUMENTS))
    documents = open_texts(CorpusConfig(source=str(path)), tmp_path).documents()
    opened = []
    original = Path.open

    def open_and_note(self: Path, *arguments: Any) -> Any:
        opened.append(original(self, *arguments))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", open_and_note)
        next(documents)
        documents.close()
    assert [file.closed for file in opened] == [True]
    assert isinstance(opened[0], io.BufferedReader)
