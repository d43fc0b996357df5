"""The demo corpus: real text of the running installation, cleaned, balanced, split and ordered.

The same installation gives the same documents in the same order. Text is read at run time and never shipped.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from compute.demo import cleaning
from compute.demo.sources import HEADERS, KINDS, STDLIB, SourceFile, installed_files, stable_hash
from compute.errors import CorpusError

# Characters of each kind in each part; what is beyond is left out in canonical order.
TRAIN_CHARS = {
    "python": 9_000_000,
    "c": 4_500_000,
    "po": 900_000,
    "prose": 4_500_000,
    "web": 1_500_000,
    "data": 1_500_000,
    "licence": 250_000,
}
TEST_CHARS = {
    "python": 205_000,
    "c": 110_000,
    "po": 70_000,
    "prose": 140_000,
    "web": 80_000,
    "data": 60_000,
    "licence": 10_000,
}
MIN_TRAIN_CHARS = 2_000_000
MIN_TEST_CHARS = 100_000

# Characters read from one package for one kind; keeps the largest packages from being all there is.
PACKAGE_CHARS = {"python": 1_000_000, "c": 4_000_000, "prose": 1_000_000}
LARGE_PACKAGES = {STDLIB: 3_000_000, HEADERS: 2_000_000}
DEFAULT_PACKAGE_CHARS = 1_500_000
PIECES_PER_FILE = {"python": 12, "c": 14, "prose": 50, "web": 90, "data": 400, "licence": 4}
# Chosen so that every kind has text on both sides.
SPLIT_SALT = "demo-32"
TEST_SHARE = {"python": 0.1, "c": 0.12, "prose": 0.12, "web": 0.15, "data": 0.2, "licence": 0.2, "po": 0.35}
# Packages whose docstrings are written as reference prose: half of their files give docstrings, half code.
DOCSTRING_PACKAGES = frozenset({"numpy", "scipy", "scikit-learn", "networkx", "sympy", "torch", "transformers"})
# Translations in the Latin alphabet, so that a 4096-entry vocabulary and a reader can follow them.
_ROMANCE = {"fr", "es", "it", "pt", "pt_BR", "ca", "gl", "ro"}
_GERMANIC = {"de", "nl", "af", "sv", "da", "nb", "nn"}
_SLAVIC = {"pl", "cs", "sk", "sl", "hr"}
_OTHERS = {"fi", "et", "hu", "tr", "lv", "lt", "id", "eu", "sq", "cy"}
LANGUAGES = frozenset(_ROMANCE | _GERMANIC | _SLAVIC | _OTHERS)
LANGUAGES_PER_MESSAGE = 10
MESSAGE_TEST_SHARE = 0.25

SHINGLE_WORDS = 6
TABLE_BITS = 26
TRAIN_OVERLAP = 0.5
TEST_OVERLAP = 0.2
_WORD = re.compile(r"[A-Za-z_]+")


@dataclass(frozen=True)
class DemoDocument:
    """One document: its text, kind, package-relative source and place `n` in its part."""

    text: str
    kind: str
    source: str
    n: int = -1


@dataclass(frozen=True)
class DemoCorpus:
    """Both parts in canonical order, the hashes over both and each, and counts by kind."""

    train: tuple[DemoDocument, ...]
    test: tuple[DemoDocument, ...]
    sha256: str
    train_sha256: str
    test_sha256: str
    report: dict[str, dict[str, dict[str, int]]] = field(compare=False)


def build_corpus(files: Iterable[SourceFile] | None = None, *, min_chars: bool = True) -> DemoCorpus:
    """Read the installation (or the files given) and return the demo corpus.

    Raises CorpusError where too little text remains; `min_chars=False` allows any amount.
    """
    chosen = list(installed_files() if files is None else files)
    parts: dict[str, list[DemoDocument]] = {"train": [], "test": []}
    for document, part in _documents(chosen):
        parts[part].append(document)
    train, test = _distinct(_canonical(parts["train"]), _canonical(parts["test"]))
    train, test = _within(train, TRAIN_CHARS), _within(test, TEST_CHARS)
    if min_chars:
        _require(train, MIN_TRAIN_CHARS, "training")
        _require(test, MIN_TEST_CHARS, "test")
    report = {"train": _counts(train), "test": _counts(test)}
    parts_sha256 = part_sha256(train), part_sha256(test)
    whole = hashlib.sha256(" ".join(parts_sha256).encode()).hexdigest()
    return DemoCorpus(tuple(train), tuple(test), whole, *parts_sha256, report)


def part_of(directory: str, kind: str) -> str:
    """Return "train" or "test" for a package-relative directory, by its hash."""
    return "test" if _share(f"{SPLIT_SALT}:{directory}") < TEST_SHARE[kind] else "train"


def part_sha256(documents: Iterable[DemoDocument]) -> str:
    """Hash the texts of one part in canonical order."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(hashlib.sha256(document.text.encode()).digest())
    return digest.hexdigest()


def _share(text: str) -> float:
    return stable_hash(text) / 2**64


def _documents(files: list[SourceFile]) -> Iterator[tuple[DemoDocument, str]]:
    groups: dict[tuple[str, str, str], list[SourceFile]] = defaultdict(list)
    for file in files:
        part = part_of(file.directory, file.kind)
        groups[file.package, file.kind, part].append(file)
    messages: list[tuple[SourceFile, str]] = []
    for (package, kind, part), members in sorted(groups.items(), key=lambda g: g[0]):
        if kind == "po":
            messages += [(f, part) for f in members]
            continue
        quota = PACKAGE_CHARS.get(kind, DEFAULT_PACKAGE_CHARS)
        quota = LARGE_PACKAGES.get(package, quota)
        if part == "test":
            quota = max(40_000, quota // 10)
        taken = 0
        for file in _round_robin(members):
            for document in _pieces(file):
                taken += len(document.text)
                yield document, part
            if taken >= quota:
                break
    yield from _translations(messages)


def _round_robin(files: list[SourceFile]) -> Iterator[SourceFile]:
    """Yield one file of each directory in turn, so that no directory is all that is read."""
    by_directory: dict[str, list[SourceFile]] = defaultdict(list)
    for file in sorted(files, key=lambda f: stable_hash(f.source)):
        by_directory[file.directory].append(file)
    turns = sorted(by_directory.values(), key=lambda fs: stable_hash(fs[0].directory))
    for turn in range(max(map(len, turns), default=0)):
        for members in turns:
            if turn < len(members):
                yield members[turn]


def _read(file: SourceFile) -> str | None:
    try:
        text = Path(file.path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return None if "\x00" in text else text


def _pieces(file: SourceFile) -> Iterator[DemoDocument]:
    text = _read(file)
    if text is None:
        return
    kind, n = file.kind, PIECES_PER_FILE[file.kind]
    if file.source.endswith("pydoc_data/topics.py"):
        texts, kind = ["\n".join(cleaning.reference_topics(text))], "prose"
        n = 600
    elif file.source.endswith("/dist-info/METADATA"):
        texts = [cleaning.readme_of(text)]
    elif kind == "python" and file.package in DOCSTRING_PACKAGES and stable_hash(file.source) % 2:
        texts, kind = ["\n\n\n".join(cleaning.docstrings(text))], "prose"
    else:
        texts = [text]
    for whole in texts:
        for piece in cleaning.clean_pieces(whole, kind, n):
            yield DemoDocument(piece, kind, file.source)


def _translations(files: list[tuple[SourceFile, str]]) -> Iterator[tuple[DemoDocument, str]]:
    """Give each message to one part only and to a few languages, so that its text isn't everywhere."""
    seen: Counter[str] = Counter()
    for file, part in sorted(files, key=lambda f: stable_hash(f[0].source)):
        language = file.source.split("/locale/")[-1].split("/")[0]
        if "/locale/" not in file.source or language not in LANGUAGES:
            continue
        entries = []
        for msgid, entry in cleaning.po_entries(_read(file) or ""):
            side = "test" if _share(msgid) < MESSAGE_TEST_SHARE else "train"
            if side == part and seen[msgid] < LANGUAGES_PER_MESSAGE:
                seen[msgid] += 1
                entries.append(cleaning.mask_emails(entry))
        for piece in cleaning.join_entries(entries):
            if len(piece) >= cleaning.MIN_CHARS:
                yield DemoDocument(piece, "po", file.source), part


def _canonical(documents: list[DemoDocument]) -> list[DemoDocument]:
    """Drop exact copies and order by content hash."""
    keyed = {hashlib.sha256(d.text.encode()).digest(): d for d in reversed(documents)}
    return [keyed[key] for key in sorted(keyed)]


def _distinct(train: list[DemoDocument], test: list[DemoDocument]) -> tuple[list[DemoDocument], list[DemoDocument]]:
    """Drop documents whose word shingles mostly occur in documents already kept, training ones first."""
    seen = np.zeros(2**TABLE_BITS, dtype=bool)
    kept_train = [d for d in train if _is_new(d, seen, TRAIN_OVERLAP)]
    kept_test = [d for d in test if _is_new(d, seen, TEST_OVERLAP)]
    return kept_train, kept_test


def _is_new(document: DemoDocument, seen: np.ndarray, limit: float) -> bool:
    slots = shingles(document.text)
    # Translations repeat their message in every language by design; only their copies are dropped.
    if slots.size and seen[slots].mean() > (0.9 if document.kind == "po" else limit):
        return False
    seen[slots] = True
    return True


def shingles(text: str) -> np.ndarray:
    """Hash every run of six words into a slot of the table; digits and punctuation don't count."""
    words = np.array([zlib.crc32(w.encode()) for w in _WORD.findall(text)], dtype=np.uint64)
    if words.size < SHINGLE_WORDS:
        return np.zeros(0, dtype=np.int64)
    n = words.size - SHINGLE_WORDS + 1
    mixed = np.zeros(n, dtype=np.uint64)
    for i in range(SHINGLE_WORDS):
        mixed = (mixed ^ words[i : i + n]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(64 - TABLE_BITS)).astype(np.int64)


def _within(documents: list[DemoDocument], chars: dict[str, int]) -> list[DemoDocument]:
    """Keep the first documents of each kind, in canonical order, up to its number of characters."""
    used: Counter[str] = Counter()
    kept: list[DemoDocument] = []
    for document in documents:
        if used[document.kind] < chars[document.kind]:
            used[document.kind] += len(document.text)
            kept.append(DemoDocument(document.text, document.kind, document.source, len(kept)))
    return kept


def _require(documents: list[DemoDocument], least: int, part: str) -> None:
    total = sum(len(d.text) for d in documents)
    if total < least:
        raise CorpusError(
            f"The demo corpus has only {total:,} characters of {part} text; it needs {least:,}. "
            "Install the pinned requirements (make setup) so that their text can be read."
        )


def _counts(documents: list[DemoDocument]) -> dict[str, dict[str, int]]:
    counts = {kind: {"documents": 0, "characters": 0} for kind in KINDS}
    for document in documents:
        counts[document.kind]["documents"] += 1
        counts[document.kind]["characters"] += len(document.text)
    return counts
