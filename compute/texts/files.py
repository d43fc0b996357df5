"""A file or folder of this machine as a corpus."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from compute.config import CorpusConfig
from compute.errors import CorpusError
from compute.texts.documents import Texts
from compute.texts.folders import folder_files, text_records
from compute.texts.shards import DATA_SUFFIXES, file_shard, is_data, records
from compute.workspace import digest


def path_texts(config: CorpusConfig) -> Texts:
    """The documents of a path that the settings name."""
    path = _existing(config.source)
    if path.is_file():
        suffix = next(suffix for suffix in DATA_SUFFIXES if path.name.endswith(suffix))
        files, name = [path], path.name.removesuffix(suffix)
        read = partial(records, [file_shard(path, path.name)], config.text_field)
    else:
        (files, has_shards), name = folder_files(path), path.name
        shards = [file_shard(file, file.relative_to(path).as_posix()) for file in files]
        read = partial(records, shards, config.text_field) if has_shards else partial(text_records, path, files)
    return Texts(name, read, sum(file.stat().st_size for file in files), config.max_documents)


def path_signature(source: str) -> str:
    """Changes when the files do; reads none of them."""
    path = _existing(source)
    files = folder_files(path)[0] if path.is_dir() else [path]
    facts = [(str(file.relative_to(path.parent)), file.stat()) for file in files]
    return digest([(name, stat.st_size, stat.st_mtime_ns) for name, stat in facts])


def _existing(source: str) -> Path:
    path = Path(source).expanduser().absolute()
    if path.is_dir() or (path.is_file() and is_data(path.name)):
        return path
    if not path.exists():
        raise CorpusError(f"There is no corpus {source}. Check the path, or copy the text there.")
    raise CorpusError(
        f"{source} is neither JSON lines or Parquet ({', '.join(DATA_SUFFIXES)}) nor a folder of such files or of "
        ".txt and .md files; give one of these."
    )
