"""The corpus builder on a small tree of files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from compute.demo import corpus, documents
from compute.demo.sources import SourceFile, installed_versions, kind_of
from compute.errors import CorpusError

WORDS = [a + b + c for a in "bdfgklmnprst" for b in "ao" for c in ("na", "re", "li", "so", "tu", "me", "ka")]


def text_of(seed: int, n_lines: int = 14) -> str:
    rng = random.Random(seed)
    return "".join(" ".join(rng.choice(WORDS) for _ in range(8)) + ".\n" for _ in range(n_lines))


def tree(folder: Path, texts: dict[str, str]) -> list[SourceFile]:
    files = []
    for source, text in texts.items():
        path = folder / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        kind = kind_of(source)
        if kind:
            files.append(SourceFile(source.split("/")[0], source, str(path), kind, len(text)))
    return files


def two_directories() -> tuple[str, str]:
    """One directory of each side."""
    names = [f"pkg/d{i}" for i in range(400)]
    by_part = {corpus.part_of(name, "python"): name for name in names}
    return by_part["train"], by_part["test"]


def small_corpus(tmp_path: Path) -> corpus.DemoCorpus:
    train, test = two_directories()
    texts = {f"{train}/a{i}.py": text_of(i) for i in range(8)} | {f"{test}/b{i}.py": text_of(50 + i) for i in range(4)}
    return corpus.build_corpus(tree(tmp_path, texts), min_chars=False)


def test_a_directory_is_on_one_side(tmp_path):
    built = small_corpus(tmp_path)
    sides = [{d.source.rpartition("/")[0] for d in part} for part in (built.train, built.test)]
    assert sides == [{two_directories()[0]}, {two_directories()[1]}]


def test_order_and_hash_do_not_depend_on_the_order_of_files(tmp_path):
    train, test = two_directories()
    texts = {f"{train}/a{i}.py": text_of(i) for i in range(8)} | {f"{test}/b{i}.py": text_of(50 + i) for i in range(4)}
    files = tree(tmp_path, texts)
    first = corpus.build_corpus(files, min_chars=False)
    second = corpus.build_corpus(files[::-1], min_chars=False)
    assert first == second
    assert [d.n for d in first.train] == list(range(len(first.train)))


def test_one_changed_letter_changes_the_hash(tmp_path):
    train, _ = two_directories()
    before = corpus.build_corpus(tree(tmp_path, {f"{train}/a.py": text_of(1)}), min_chars=False)
    changed = text_of(1).replace("na", "no", 1)
    after = corpus.build_corpus(tree(tmp_path, {f"{train}/a.py": changed}), min_chars=False)
    assert before.train_sha256 != after.train_sha256
    assert before.test_sha256 == after.test_sha256


def test_a_test_document_that_nearly_copies_a_training_one_is_dropped(tmp_path):
    train, test = two_directories()
    copy = text_of(1).replace(".\n", ";\n")
    texts = {f"{train}/a.py": text_of(1), f"{test}/copy.py": copy, f"{test}/own.py": text_of(2)}
    built = corpus.build_corpus(tree(tmp_path, texts), min_chars=False)
    assert {d.source for d in built.test} == {f"{test}/own.py"}


def test_a_near_copy_within_a_part_is_dropped(tmp_path):
    train, _ = two_directories()
    texts = {f"{train}/a.py": text_of(1), f"{train}/b.py": text_of(1) + "one more line.\n"}
    built = corpus.build_corpus(tree(tmp_path, texts), min_chars=False)
    whole = "".join(d.text for d in built.train)
    assert whole.count(text_of(1).splitlines()[0]) == 1


def test_addresses_are_masked_in_documents(tmp_path):
    train, _ = two_directories()
    text = text_of(3).replace("na", "jane@corp.com", 1)
    built = corpus.build_corpus(tree(tmp_path, {f"{train}/a.py": text}), min_chars=False)
    assert built.train
    assert not any("corp.com" in d.text for d in built.train)


@pytest.mark.parametrize(
    "source",
    [
        "pkg/tests/test_a.py",
        "pkg/testing/a.py",
        "pkg/static/a.min.js",
        "torch/include/ATen/ops/add.h",
        "pkg/a.so",
        "pkg/x_generated.py",
    ],
)
def test_files_left_out(source):
    assert kind_of(source) is None


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("pkg/a.py", "python"),
        ("pkg/a.hpp", "c"),
        ("pkg/locale/de/LC_MESSAGES/django.po", "po"),
        ("pkg/a.rst", "prose"),
        ("pkg-1.0.dist-info/METADATA", "prose"),
        ("pkg-1.0.dist-info/licenses/LICENSE", "licence"),
        ("pkg/a.css", "web"),
        ("pkg/a.yaml", "data"),
    ],
)
def test_kinds(source, kind):
    assert kind_of(source) == kind


def test_a_message_is_on_one_side_in_every_language(tmp_path):
    folders = {lang: f"pkg/locale/{lang}/LC_MESSAGES" for lang in sorted(corpus.LANGUAGES)}
    assert {corpus.part_of(f, "po") for f in folders.values()} == {"train", "test"}
    entries = [(f"Message {WORDS[i]} {WORDS[i + 1]} of the set {i}", text_of(i, 1)[:40]) for i in range(60)]
    texts = {}
    for lang, folder in folders.items():
        body = "\n\n".join(f'msgid "{m}"\nmsgstr "{lang} {s.strip()}"' for m, s in entries)
        texts[f"{folder}/django.po"] = body + "\n"
    built = corpus.build_corpus(tree(tmp_path, texts), min_chars=False)
    messages = [
        {line for d in part for line in d.text.splitlines() if line.startswith("msgid")}
        for part in (built.train, built.test)
    ]
    assert messages[0]
    assert messages[1]
    assert not messages[0] & messages[1]


def test_too_little_text_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(CorpusError, match="characters of training text"):
        corpus.build_corpus(tree(tmp_path, {"pkg/d/a.py": text_of(1)}))


def test_a_missing_distribution_is_passed_over(monkeypatch):
    monkeypatch.setattr("compute.demo.sources.DISTRIBUTIONS", ("no-such-distribution", "click"))
    assert set(installed_versions()) == {"python", "click"}


def test_documents_are_read_from_the_cache_the_second_time(tmp_path, monkeypatch):
    built = small_corpus(tmp_path)
    calls = []
    monkeypatch.setattr(documents, "build_corpus", lambda: calls.append(1) or built)
    first = documents.demo_documents("test", tmp_path / "cache")
    second = documents.demo_documents("test", tmp_path / "cache")
    assert len(calls) == 1
    assert first == second
    assert first[2] == built.sha256
    assert set(first[1][0]) == {"source", "kind"}


def test_a_cache_cut_short_is_made_again(tmp_path, monkeypatch):
    built = small_corpus(tmp_path)
    monkeypatch.setattr(documents, "build_corpus", lambda: built)
    first = documents.demo_documents("test", tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_text(path.read_text()[:100])
    assert documents.demo_documents("test", tmp_path / "cache") == first


def test_an_unknown_part_is_refused():
    with pytest.raises(CorpusError, match="not 'dev'"):
        documents.demo_documents("dev")
