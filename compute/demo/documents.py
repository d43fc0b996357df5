"""One part of the demo corpus as plain lists, kept on disk so that the installation is read once."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

from compute.demo.corpus import DemoCorpus, build_corpus
from compute.demo.sources import installed_versions
from compute.errors import CorpusError

PARTS = ("train", "test")
_MADE_BY = ("sources.py", "cleaning.py", "corpus.py")


def demo_documents(
    split: str = "test", cache_dir: Path | str | None = None
) -> tuple[list[str], list[dict[str, str]], str]:
    """Return (texts, metadata, sha256) of the "train" or "test" part, in canonical order.

    Metadata are {"source", "kind"} of each document; the hash covers both parts. With `cache_dir`, a second
    call reads the documents from there as long as Python, the packages and this code are the same.
    """
    if split not in PARTS:
        raise CorpusError(f"The demo corpus has the parts {list(PARTS)}, not '{split}'.")
    if cache_dir is None:
        return _as_lists(build_corpus(), split)
    path = Path(cache_dir) / f"demo-corpus-{cache_key()[:16]}-{split}.json"
    cached = _read(path)
    if cached is None:
        corpus = build_corpus()
        for part in PARTS:
            _write(path.with_name(path.name.replace(f"-{split}.", f"-{part}.")), _as_lists(corpus, part))
        return _as_lists(corpus, split)
    return cached


def cache_key() -> str:
    """Hash what decides the corpus: Python's and the packages' versions and the code that reads them."""
    digest = hashlib.sha256(json.dumps([platform.python_version(), installed_versions()]).encode())
    for name in _MADE_BY:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()


def _as_lists(corpus: DemoCorpus, split: str) -> tuple[list[str], list[dict[str, str]], str]:
    documents = corpus.train if split == "train" else corpus.test
    return [d.text for d in documents], [{"source": d.source, "kind": d.kind} for d in documents], corpus.sha256


def _read(path: Path) -> tuple[list[str], list[dict[str, str]], str] | None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        texts, meta, sha256 = raw["texts"], raw["meta"], raw["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or cut short: it is made again
    return (texts, meta, sha256) if len(texts) == len(meta) else None


def _write(path: Path, part: tuple[list[str], list[dict[str, str]], str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    texts, meta, sha256 = part
    partial.write_text(json.dumps({"sha256": sha256, "texts": texts, "meta": meta}), encoding="utf-8")
    partial.replace(path)
