"""Where the files that rows name lie on this host, and how they come here where hosts share no disk.

Rows hold the paths of the host that wrote them. Another host looks for the same name in its own data folder, and asks
the store for what it does not have.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from compute.bundle import folder_here
from compute.config import RunConfig
from compute.errors import BundleError, CorpusError
from compute.models import Job
from compute.steps.run import COLUMNS
from compute.store.address import StoreAddress
from compute.store.folders import CORPORA, Entry, fetch_bundle, fetch_folder, record_key
from compute.store.objects import Store, open_store
from compute.store.unused import KEEP_COLUMNS
from compute.workspace import Workspace

Tell = Callable[[], None]
StatedText = Callable[[str], tuple[str, str] | None]
_WORKSPACE = re.compile(r"job-\d+")
_UPLOAD = re.compile(r"[0-9a-f]{32}")  # the folder of a text that somebody sent
_LOOK_EVERY = 1.0  # seconds
SWEEPS_WAITED = 5  # for a text that the web host has still to send


_stated: list[StatedText] = []


def register_texts(stated: StatedText) -> None:
    """Say who knows, by its folder's name, the hash over the texts that somebody sent and the field they lie in."""
    _stated[:] = [stated]


def store() -> Store | None:
    """The store that this site's hosts share; None where they share a folder, or are one."""
    return None if settings.STORE is None else _opened(settings.STORE)


@lru_cache(maxsize=1)
def _opened(address: StoreAddress) -> Store:
    return open_store(address)


def workspace_of(job: Job) -> Path:
    """The job's working folder on this host."""
    stored, root = Path(job.workspace), Path(settings.WORKSPACE_DIR)
    is_elsewhere = root not in stored.parents and _WORKSPACE.fullmatch(stored.name)
    return root / stored.name if is_elsewhere else stored


def bundle_here(stored: Path | str, sha256: str, tell: Tell = lambda: None) -> Path:
    """A published bundle's folder on this host; brought from the store where it is not here."""
    path = folder_here(stored, Path(settings.BUNDLE_DIR))
    shared = store()
    if shared is None or path.is_dir():
        return path
    found = fetch_bundle(shared, sha256, Path(settings.BUNDLE_DIR), tell)
    if found is None:
        raise BundleError(
            f"The bundle {path.name} is neither on this host nor whole in the store; resume the job that made it, or "
            "copy it into this host's data folder."
        )
    return found


def with_text_here(config: RunConfig, tell: Tell = lambda: None) -> RunConfig:
    """The settings, with the text that somebody sent to the site named as it lies on this host.

    Raises
    ------
    CorpusError
        If the web host has not sent it to the store after a few sweeps.
    """
    source = Path(config.corpus.source)
    shared = store()
    if shared is None or source.is_file() or not _UPLOAD.fullmatch(source.parent.name):
        return config
    folder = Path(settings.CORPUS_DIR) / source.parent.name
    if not (folder / source.name).is_file():
        _bring_text(shared, source.parent.name, tell)
    corpus = dataclasses.replace(config.corpus, source=str(folder / source.name))
    return dataclasses.replace(config, corpus=corpus)


def _bring_text(shared: Store, name: str, tell: Tell) -> None:
    """The web host sends a text soon after it came; until then this waits."""

    def check(path: Path, place: Path, entries: Mapping[str, Entry]) -> None:
        stated = _stated[0](name) if _stated else None
        if place.name != name or (stated and not _is_stated(path, entries, *stated)):
            raise BundleError(f"The store gives another text than {name}, which nobody sent here; look into it.")

    until = time.monotonic() + SWEEPS_WAITED * settings.SWEEP_SECONDS
    root = Path(settings.CORPUS_DIR)
    while fetch_folder(shared, record_key(CORPORA, name), root, check=check, tell=tell) is None:
        if time.monotonic() > until:
            raise CorpusError(
                "The text of this run lies on the web host alone. Look whether its runner is at work (manage.py "
                "runner), which sends texts to the store, then resume."
            )
        time.sleep(_LOOK_EVERY)
        tell()


def _is_stated(folder: Path, entries: Mapping[str, Entry], sha256: str, text_field: str) -> bool:
    """Whether the texts of a folder's one file are those that were counted when they came."""
    from compute.texts.uploads import check_upload

    if len(entries) != 1:
        return False
    try:
        return check_upload(folder / next(iter(entries)), text_field=text_field).sha256 == sha256
    except CorpusError:
        return False


def forget_work_elsewhere() -> int:
    """Remove working folders on this host whose jobs were forgotten on another; give how many.

    Losses that no run used for a month go, too.
    """
    root = Path(settings.WORKSPACE_DIR)
    if settings.STORE is None or not root.is_dir():
        return 0
    here = {int(path.name.removeprefix("job-")): path for path in root.iterdir() if _WORKSPACE.fullmatch(path.name)}
    kept = set(Job.objects.filter(pk__in=here).exclude(workspace="").values_list("pk", flat=True))
    gone = [path for pk, path in here.items() if pk not in kept]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    if (root / COLUMNS).is_dir():
        Workspace(root / COLUMNS).remove_unused(KEEP_COLUMNS)
    return len(gone)
