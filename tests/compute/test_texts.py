"""Reading a person's own text: what is wrong with it is said, with file and line."""

import json
from pathlib import Path

import pytest

from compute.config import CorpusConfig
from compute.errors import CorpusError
from compute.texts import Texts, read_texts, signature


def read(path: Path, **settings: int) -> Texts:
    return read_texts(CorpusConfig(source=str(path), **settings), path.parent / "cache")


@pytest.fixture
def jsonl(tmp_path: Path):
    def write(*lines: str | bytes) -> Path:
        path = tmp_path / "corpus.jsonl"
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
        return path

    return write


def test_each_line_is_a_document(jsonl):
    texts = read(jsonl('{"text": "one"}', '{"text": "two"}', ""))
    assert [document.text for document in texts.documents] == ["one", "two"]
    assert texts.name == "corpus"


def test_source_and_kind_are_taken_from_the_line(jsonl):
    (document,) = read(jsonl('{"text": "one", "source": "a.py", "kind": "python"}')).documents
    assert (document.source, document.kind) == ("a.py", "python")


def test_a_document_without_source_is_known_by_its_line(jsonl):
    assert read(jsonl('{"text": "one"}')).documents[0].source == "corpus.jsonl:1"


def test_only_the_first_documents_are_read_if_asked(jsonl):
    path = jsonl('{"text": "one"}', '{"text": "two"}', "not read")
    assert len(read(path, max_documents=2).documents) == 2


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "not JSON"),
        ('["text"]', "no text"),
        ('{"text": 3}', "no text"),
        ('{"content": "one"}', "no text"),
        (b'{"text": "\xff"}', "not UTF-8"),
        ('{"text": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_is_named(jsonl, line, fault):
    with pytest.raises(CorpusError, match=f"Line 2 of .*corpus.jsonl.*{fault}"):
        read(jsonl('{"text": "one"}', line))


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(CorpusError, match="There is no corpus"):
        read(tmp_path / "absent.jsonl")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "text.zip").write_bytes(b"")
    with pytest.raises(CorpusError, match="neither"):
        read(tmp_path / "text.zip")


@pytest.mark.parametrize("lines", [[], ["", " "], ['{"text": ""}']])
def test_text_that_is_empty_is_refused(jsonl, lines):
    with pytest.raises(CorpusError, match="holds no text"):
        read(jsonl(*lines))


def test_a_folder_gives_its_text_files_in_order(tmp_path):
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "one.md").write_text("first of b")
    (folder / "a.txt").write_text("a")
    (folder / "image.png").write_bytes(b"\x89")
    texts = read(folder)
    assert [(d.source, d.kind, d.text) for d in texts.documents] == [
        ("a.txt", "txt", "a"),
        ("b/one.md", "md", "first of b"),
    ]


def test_a_folder_without_text_files_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no \.txt or \.md"):
        read(tmp_path)


def test_a_file_that_is_not_utf8_is_named_with_its_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\nfine\n\xff\n")
    with pytest.raises(CorpusError, match=r"Line 3 of .*a\.txt is not UTF-8"):
        read(tmp_path)


def test_the_hash_depends_on_where_documents_end(jsonl):
    one = read(jsonl('{"text": "ab"}', '{"text": "c"}')).sha256
    other = read(jsonl('{"text": "a"}', '{"text": "bc"}')).sha256
    assert one != other


def test_the_hash_depends_on_the_text_alone(jsonl):
    one = read(jsonl('{"text": "é"}')).sha256
    other = read(jsonl(json.dumps({"text": "é", "extra": 1}))).sha256
    assert one == other


def test_the_signature_changes_with_the_file(jsonl):
    config = CorpusConfig(source=str(jsonl('{"text": "one"}')))
    before = signature(config)
    jsonl('{"text": "longer"}')
    assert signature(config) != before
