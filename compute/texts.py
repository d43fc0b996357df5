"""The text of a run: the demo's own, a .jsonl file, or a folder of text files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from compute.bundle import storage_errors
from compute.config import CorpusConfig
from compute.errors import CorpusError
from compute.workspace import digest

DEMO = "demo"
SUFFIXES = (".txt", ".md")


@dataclass(frozen=True)
class Document:
    """One document as it was found."""

    text: str
    source: str
    kind: str


@dataclass(frozen=True)
class Texts:
    """All documents of a corpus in canonical order, and the hash over them."""

    name: str
    documents: tuple[Document, ...]
    sha256: str


def read_texts(config: CorpusConfig, cache: Path) -> Texts:
    """Read the corpus that the settings name.

    Raises
    ------
    CorpusError
        If it is missing, unreadable, empty, or a line of it is no document.
    """
    if config.source == DEMO:
        return _demo_texts(config, cache)
    path = _existing(config.source)
    found = _jsonl_documents(path) if path.is_file() else _folder_documents(path)
    documents = tuple(islice(found, config.max_documents))
    if not any(document.text for document in documents):
        raise CorpusError(f"{path} holds no text. Give a .jsonl file or a folder whose documents have some.")
    return Texts(path.stem if path.is_file() else path.name, documents, _sha256(documents))


def signature(config: CorpusConfig) -> str:
    """Changes when the corpus's files change; reads no text."""
    if config.source == DEMO:
        return DEMO
    path = _existing(config.source)
    files = [path] if path.is_file() else _text_files(path)
    return digest([(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files])


def _existing(source: str) -> Path:
    path = Path(source).expanduser().resolve()
    if path.is_dir() or (path.is_file() and path.suffix == ".jsonl"):
        return path
    if not path.exists():
        raise CorpusError(f"There is no corpus {source}. Check the path, or copy the text there.")
    raise CorpusError(f"{source} is neither a .jsonl file nor a folder of .txt and .md files; give one of these.")


def _demo_texts(config: CorpusConfig, cache: Path) -> Texts:
    from compute.demo.documents import demo_documents

    with storage_errors(cache):
        texts, facts, sha256 = demo_documents("test", cache)
    pairs = zip(texts, facts, strict=True)
    documents = [Document(text, fact["source"], fact["kind"]) for text, fact in pairs]
    return Texts("installed packages", tuple(documents[: config.max_documents]), sha256)


def _jsonl_documents(path: Path) -> Iterator[Document]:
    """One document a line: {"text": ..., "source": ..., "kind": ...}, the last two if a person gives them."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _document_of(line, path, number)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}). Mend its permissions.") from error


def _document_of(line: bytes, path: Path, number: int) -> Document:
    where = f"Line {number} of {path}"
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{where} is not UTF-8. Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise CorpusError(f'{where} is not JSON ({error}). Write one object a line: {{"text": "..."}}.') from error
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise CorpusError(f'{where} has no text. Write one object a line: {{"text": "..."}}.')
    if not _is_unicode(text):
        raise CorpusError(f"{where} holds half of a surrogate pair, which is no character. Remove it.")
    source, kind = record.get("source"), record.get("kind")
    return Document(
        text,
        source if isinstance(source, str) and _is_unicode(source) else f"{path.name}:{number}",
        kind if isinstance(kind, str) and _is_unicode(kind) else "text",
    )


def _folder_documents(folder: Path) -> Iterator[Document]:
    files = _text_files(folder)
    if not files:
        raise CorpusError(f"{folder} holds no .txt or .md file. Put the text there, one document a file.")
    for file in files:
        try:
            text = file.read_bytes().decode("utf-8")
        except OSError as error:
            raise CorpusError(f"{file} cannot be read ({error.strerror}). Mend its permissions.") from error
        except UnicodeDecodeError as error:
            number = error.object.count(b"\n", 0, error.start) + 1
            raise CorpusError(f"Line {number} of {file} is not UTF-8. Save the file as UTF-8.") from error
        yield Document(text, file.relative_to(folder).as_posix(), file.suffix.removeprefix("."))


def _text_files(folder: Path) -> list[Path]:
    files = [file for file in folder.rglob("*") if file.suffix in SUFFIXES and file.is_file()]
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sha256(documents: tuple[Document, ...]) -> str:
    """Hash of the texts in order; each is hashed first, so that where one ends matters."""
    whole = hashlib.sha256()
    for document in documents:
        whole.update(hashlib.sha256(document.text.encode()).digest())
    return whole.hexdigest()
