"""Data sets of the Hugging Face Hub: one split's files, as the `datasets` library finds them, streamed at one commit.

The files are read by the readers of this package, so that a data set obeys the same limits as a file of one's own,
and fields that nobody asked for cannot stop it. No code of a repository is ever run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, cast

from compute.config import HUB, CorpusConfig, HubRef
from compute.errors import ComputeError, CorpusError
from compute.texts.documents import Record, Texts
from compute.texts.limits import Meter
from compute.texts.shards import DATA_SUFFIXES, Shard, is_data, records

BLOCK_BYTES = 4 << 20  # asked of the Hub at a time
TIMEOUT_SECONDS = 30.0
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_pinned(config: CorpusConfig) -> bool:
    """Whether the settings say which text is meant for all time, as far as names go."""
    return not config.source.startswith(HUB) or bool(_COMMIT.fullmatch(HubRef.parse(config.source).revision))


def pinned(config: CorpusConfig) -> CorpusConfig:
    """The settings with the commit that a data set's branch or tag stands for now; asks the Hub if it must."""
    if is_pinned(config):
        return config
    from huggingface_hub import HfApi

    from compute.hub.failures import endpoint
    from compute.hub.patience import patiently

    ref = HubRef.parse(config.source)
    with _sentences(ref):
        hub = HfApi(endpoint=endpoint())
        ask = partial(hub.dataset_info, ref.repo_id, revision=ref.revision, timeout=TIMEOUT_SECONDS)
        commit = patiently(ask, tell=lambda: None).sha
    return dataclasses.replace(config, source=f"{HUB}{HubRef(ref.repo_id, str(commit))}")


def hub_texts(config: CorpusConfig) -> Texts:
    """The documents of one split; files are opened when they are reached."""
    ref = HubRef.parse(pinned(config).source)
    with _sentences(ref, is_listing=True):
        urls = _urls(ref, config)
    shards = [Shard(f"{ref.repo_id}/{path}", path, 0, partial(_open, url)) for path, url in urls.items()]
    read = partial(_records, ref, shards, config.text_field)
    return Texts(ref.name, read, max_documents=config.max_documents, revision=ref.revision)


def _records(ref: HubRef, shards: list[Shard], field: str, meter: Meter) -> Iterator[Record]:
    with _sentences(ref):
        yield from records(shards, field, meter)


def _open(url: str) -> BinaryIO:
    """A remote file, read in ranges that are asked for again where the network fails."""
    from fsspec.core import url_to_fs

    files, path = url_to_fs(url)
    return cast(BinaryIO, files.open(path, "rb", block_size=BLOCK_BYTES))


def _urls(ref: HubRef, config: CorpusConfig) -> dict[str, str]:
    """Addresses of the split's files by their paths, in the order of the `datasets` library."""
    splits: dict[str, list[str]] = _builder(ref, config.subset).config.data_files or {}
    if config.split not in splits:
        raise CorpusError(
            f"The data set {ref.repo_id} has no split {config.split!r}; choose among {sorted(map(str, splits))}."
        )
    urls = {url.partition(f"@{ref.revision}/")[2]: url for url in splits[config.split]}
    unknown = [path for path in urls if not is_data(path)]
    if unknown:
        raise CorpusError(
            f"The data set {ref.repo_id} has files that cannot be read, {unknown[0]} among them; these can: "
            f"{', '.join(DATA_SUFFIXES)}. Download it, write it as JSON lines, and give that file."
        )
    return urls


def _builder(ref: HubRef, subset: str | None) -> Any:
    """What the library knows of the data set; it has read its card and listed its files."""
    from datasets import get_dataset_config_names, load_dataset_builder

    address = f"hf://datasets/{ref.repo_id}"  # never a folder of this machine
    try:
        return load_dataset_builder(address, subset, revision=ref.revision)
    except ValueError as error:
        names = get_dataset_config_names(address, revision=ref.revision)
        if subset in names or (subset is None and len(names) < 2):
            raise CorpusError(f"The data set {ref.repo_id} cannot be read: {error}.") from error
        what = f"no subset {subset!r}" if subset else f"{len(names)} subsets"
        raise CorpusError(f"The data set {ref.repo_id} has {what}; choose among {names[:30]}.") from error


@contextmanager
def _sentences(ref: HubRef, *, is_listing: bool = False) -> Iterator[None]:
    """Turns what the Hub and the network answer into what a person can do; a card may make the library fail anyhow."""
    from huggingface_hub import errors

    try:
        yield
    except ComputeError:
        raise
    except Exception as error:
        cause = _cause(error)
        if isinstance(cause, errors.GatedRepoError) or "is a gated dataset" in str(cause):
            what = "is gated. Ask for access on its page of the Hub, then set HF_TOKEN to a token that has it"
        elif isinstance(cause, errors.RevisionNotFoundError):
            what = f"has no revision {ref.revision!r}. Give one of its branches, tags or commits"
        elif isinstance(cause, errors.RepositoryNotFoundError):
            what = "is not on the Hub, or is private. Check the name; for a private one set HF_TOKEN"
        elif isinstance(cause, (OSError, errors.HTTPError)) and not isinstance(cause, FileNotFoundError):
            what = f"cannot be had from the Hub ({_first_line(cause)}). Check the network and start again"
        elif is_listing:
            what = f"cannot be read: {_first_line(cause)}"
        else:
            raise
        raise CorpusError(f"The data set {ref.repo_id} {what}.") from error


def _cause(error: BaseException) -> BaseException:
    """The Hub's own answer, where a library has put an error of its own around it."""
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, HfHubHTTPError) and not isinstance(inner, EntryNotFoundError):
            return inner
        inner = inner.__cause__ or inner.__context__
    return error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
