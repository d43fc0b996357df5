"""Files and folders of the data folder that no row names: found by their place and age, removed once asked again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet

from clusters.models import Export, Import, RegisteredCorpus, Run
from clusters.queries.bundles import is_named
from clusters.queries.imports import imports_folder
from clusters.services.bundles import PARTIAL, TRASH, age_of, restore_kept
from clusters.services.corpora import PARTIAL as PARTIAL_UPLOAD
from clusters.services.exports import folder_of
from clusters.services.imports import KEPT_SECONDS as IMPORT_SECONDS
from clusters.stored.derived import forget_derived
from compute.bundle import DAMAGED
from compute.jobs.sweep import forget_files
from compute.models import Job
from compute.steps.run import COLUMNS
from compute.store.unused import KEEP_COLUMNS
from compute.workspace import Workspace

HOUR, DAY = 3600.0, 86_400.0
_SHA256, _KEY = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")
_JOB = re.compile(r"job-(\d{1,18})(\.log)?")


@dataclass(frozen=True)
class Left:
    """Something that nobody needs; `remove` gives how much of it went, which is none where somebody needs it again."""

    what: str
    remove: Callable[[], int]
    n: int = 1
    n_bytes: int = 0


def of_export(export: Export, row: QuerySet[Export]) -> Left:
    """An export and its file; `row` is the export as long as it may go."""
    folder = folder_of(export)

    def remove() -> int:
        n = row.delete()[1].get("clusters.Export", 0)
        return _gone(folder) or 1 if n else 0

    return Left(f"{export.kind}.{export.format} of {export.run.slug}", remove, n_bytes=bytes_in(folder))


def of_job(job: Job) -> Left:
    folder = Path(job.workspace)

    def remove() -> int:
        forget_files(job)
        return int(not folder.exists())

    return Left(f"working files of job {job.pk}", remove, n_bytes=bytes_in(folder))


def export_folders() -> Iterator[Left]:
    for folder in _old(Path(settings.EXPORT_DIR), "*", HOUR):
        if folder.name.isdecimal():
            yield from _unnamed(folder, lambda name: Export.objects.filter(pk=int(name)).exists())


def workspaces() -> Iterator[Left]:
    """Folders of jobs that are no more; what runs share lies beside them and stays."""

    def is_named(name: str) -> bool:
        return Job.objects.filter(workspace__endswith=f"/{name}").exists() or _open_job(name)

    for folder in _old(Path(settings.WORKSPACE_DIR), "job-*", DAY):
        if _JOB.fullmatch(folder.name) and folder.is_dir():
            yield from _unnamed(folder, is_named)


def shared_losses() -> Iterator[Left]:
    """Losses that runs share, and that none has used for a month."""
    folder = Path(settings.WORKSPACE_DIR) / COLUMNS
    if not folder.is_dir():
        return
    files = Workspace(folder)

    def remove(name: str) -> int:
        if name not in files.unused(KEEP_COLUMNS):
            return 0
        files.remove(name)
        return 1

    for name in files.unused(KEEP_COLUMNS):
        n_bytes = sum(bytes_in(file) for file in folder.glob(f"{name}.*"))
        yield Left(f"losses of {name}", partial(remove, name), n_bytes=n_bytes)


def job_logs(days: int) -> Iterator[Left]:
    for file in _old(Path(settings.DATA_DIR) / "logs", "job-*.log", days * DAY):
        if _JOB.fullmatch(file.name):
            yield from _unnamed(file, lambda name: bool(_open_job(name)))


def _open_job(name: str) -> bool:
    found = _JOB.fullmatch(name)
    return found is not None and Job.objects.filter(pk=int(found[1]), state__in=Job.OPEN_STATES).exists()


def derived_files() -> Iterator[Left]:
    """What pages worked out of bundles whose runs were deleted."""
    for folder in _old(Path(settings.DERIVED_DIR), "*", DAY):
        if not _SHA256.fullmatch(folder.name) or Run.objects.filter(bundle_sha256=folder.name).exists():
            continue

        def remove(folder: Path = folder) -> int:
            if Run.objects.filter(bundle_sha256=folder.name).exists():
                return 0
            forget_derived(folder.name)
            return int(not folder.exists())

        yield Left(_shown(folder), remove, n_bytes=bytes_in(folder))


def uploads() -> Iterator[Left]:
    """Texts that were sent and are no corpus: cut short, or removed while their folder could not be."""
    root = Path(settings.CORPUS_DIR)
    for folder in _old(root, f"{PARTIAL_UPLOAD}*", HOUR):
        yield from _unnamed(folder, lambda name: False)
    for folder in _old(root, "*", DAY):
        if _KEY.fullmatch(folder.name):
            yield from _unnamed(folder, _is_corpus)


def _is_corpus(name: str) -> bool:
    """Rows hold the web host's paths; on another host the same folder lies elsewhere."""
    return RegisteredCorpus.objects.filter(source__contains=f"/{name}/").exists()


def imports() -> Iterator[Left]:
    """What was sent and will not be read any more: refused, cancelled, or looked at and left for a week."""

    def is_waiting(name: str) -> bool:
        one = Import.objects.select_related("job").filter(key=name).first()
        if one is None:
            return False
        return (one.job is not None and one.job.is_open) or age_of(imports_folder() / name) <= IMPORT_SECONDS

    for folder in _old(imports_folder(), "*", HOUR):
        if _KEY.fullmatch(folder.name):
            yield from _unnamed(folder, is_waiting)


def trash(root: Path, days: int) -> Iterator[Left]:
    """What people deleted, kept for a while: a backup that began before may still have to copy it."""
    restore_kept()
    for folder in _old(root, f"{TRASH}*", days * DAY):
        yield from _unnamed(folder, lambda name: False)


def damaged(days: int) -> Iterator[Left]:
    """Bundles and uploads that were put aside, because files in them were not as they had been."""
    for root in (Path(settings.BUNDLE_DIR), Path(settings.CORPUS_DIR)):
        for folder in _old(root, f"{DAMAGED}*", days * DAY):
            yield from _unnamed(folder, lambda name: is_named(bundle_path__endswith=f"/{name}"))


def partial_bundles() -> Iterator[Left]:
    """Bundles whose writer was killed. What no run names and is whole stays: somebody may have put it there."""
    for folder in _old(Path(settings.BUNDLE_DIR), PARTIAL, DAY):
        yield from _unnamed(folder, lambda name: is_named(bundle_path__endswith=f"/{name}"))


def bytes_in(path: Path) -> int:
    """What a file or folder takes; 0 where it has gone."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(_size(file) for file in files)


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size if file.is_symlink() or file.is_file() else 0
    except OSError:
        return 0


def _unnamed(path: Path, is_named: Callable[[str], bool]) -> Iterator[Left]:
    """The path, unless a row names it now or when it is to go."""
    if not is_named(path.name):
        yield Left(_shown(path), lambda: 0 if is_named(path.name) else _gone(path), n_bytes=bytes_in(path))


def _gone(path: Path) -> int:
    """Remove a file or folder; 1 where it is no more."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return int(not path.exists())


def _old(root: Path, pattern: str, seconds: float) -> list[Path]:
    """What lies in a folder and was not changed for so long."""
    return [path for path in sorted(root.glob(pattern)) if age_of(path) > seconds] if root.is_dir() else []


def _shown(path: Path) -> str:
    root = Path(settings.DATA_DIR)
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
