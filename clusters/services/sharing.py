"""What the web host and its workers leave for each other in the store, where they share no disk.

The web host sends texts that people gave and bundles that were read in there, and fetches the bundles of runs that
were computed elsewhere. It is done by `manage.py store sync`, which the runner starts when there is something to do:
the web process itself never speaks to the store.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.db.models import QuerySet

from clusters.models import RegisteredCorpus, Run
from clusters.services.preparation import prepare
from clusters.stored.arrays import is_on_its_way
from compute.bundle import folder_here
from compute.errors import BundleError, StorageError
from compute.jobs import places
from compute.models import Job
from compute.store.folders import BUNDLES, CORPORA, fetch_bundle, push_bundle, push_folder, record_key
from compute.store.objects import Store, StoreAwayError
from compute.store.unused import Unused, notes_of_jobs, unused

Report = Callable[[str], None]
DAY = 86400.0
KEEP_DAYS = 7  # what no record names
OWNER = "owner"  # the record that says whose store it is


def has_work() -> bool:
    """Whether the site's own host is to send, fetch or tidy something; asks the database and its folders only."""
    if settings.STORE is None or Job.Queue.SITE not in settings.QUEUES:  # workers elsewhere fetch what they need
        return False
    return any(True for _ in missing_runs()) or any(True for _ in _unsent()) or _is_untidy()


def missing_runs() -> Iterator[Run]:
    """Runs whose bundles are not on this host, newest first."""
    return (run for run in Run.objects.order_by("-pk") if is_on_its_way(run))


def exchange(report: Report = lambda text: None) -> None:
    """One round: texts first, because jobs wait for them. What fails is told, and the rest goes on.

    Raises
    ------
    StorageError
        If no store is named, or it does not answer.
    """
    store = required_store()
    for kind, name, folder in _unsent():
        report(f"sending {kind}/{name}")
        try:
            _send(store, kind, name, folder)
        except StoreAwayError:
            raise
        except (BundleError, StorageError, FileNotFoundError) as error:  # `manage.py verify` finds out more
            report(f"{folder.name} is not whole here and is not sent: {error}")
        _mark(kind, name)
    for run in missing_runs():
        _bring(store, run, report)
    if _is_untidy():
        _tidy_daily(store, report)


def required_store() -> Store:
    store = places.store()
    if store is None:
        raise StorageError("This site has no store; QW_STORE_URL names one (docs/workers.md).")
    return store


def tidy(store: Store, *, days: float = KEEP_DAYS) -> tuple[int, int]:
    """Remove the notes of jobs that were forgotten, bundles of runs that were deleted, and what nothing names.

    Raises
    ------
    StorageError
        If the store is another site's: this site's rows do not tell what that one needs.
    """
    _require_own(store)
    notes = notes_of_jobs(store)
    kept = set(Job.objects.filter(pk__in=notes).exclude(workspace="").values_list("pk", flat=True))
    forgotten = [key for job, keys in notes.items() if job not in kept for key in keys]
    store.remove(forgotten)
    found = find_unused(store, days=days)
    store.remove([*found.records, *found.objects])
    _mark("tidy", "daily")
    return len(forgotten), len(found.objects)


def _tidy_daily(store: Store, report: Report) -> None:
    try:
        n_notes, n_objects = tidy(store)
    except StoreAwayError:
        raise
    except StorageError as error:
        _mark("tidy", "daily")  # said once a day
        report(str(error))
        return
    report(f"removed {n_notes:,} notes of jobs that ended and {n_objects:,} objects that nothing names")


def _require_own(store: Store) -> None:
    """The first data folder that tidies a store is its own; a copy of the site, started elsewhere, is not."""
    name = _marker("tidy", OWNER)
    name.parent.mkdir(parents=True, exist_ok=True)
    if not name.exists():
        partial = name.with_name(f".{name.name}.{uuid4().hex}")
        partial.write_text(uuid4().hex)
        with suppress(FileExistsError):  # another process was faster
            os.link(partial, name)
        partial.unlink()
    own = name.read_bytes()
    if store.settle(OWNER, own) != own:
        raise StorageError(
            f"The store {store.name} is tidied from another data folder, so nothing is removed there from this one. "
            "Each site needs a store of its own, such as another prefix; if this site took that one's place, remove "
            f"the object “{OWNER}” from the store."
        )


def find_unused(store: Store, *, days: float) -> Unused:
    """What could be removed: nothing names it, and it is older than so many days."""
    kept = set(Run.objects.values_list("bundle_sha256", flat=True))
    kept |= set(Job.objects.exclude(bundle_sha256="").values_list("bundle_sha256", flat=True))
    texts = {Path(source).parent.name for source in _texts().values_list("source", flat=True)}
    return unused(store, seconds=days * DAY, keep={BUNDLES: kept, CORPORA: texts})


def _texts() -> QuerySet[RegisteredCorpus]:
    return RegisteredCorpus.objects.filter(kind=RegisteredCorpus.Kind.UPLOAD)


def _unsent() -> Iterator[tuple[str, str, Path]]:
    """Kind, name and folder of what lies here, and was not noted as sent to this very store."""
    for source in _texts().order_by("pk").values_list("source", flat=True):
        folder = Path(settings.CORPUS_DIR) / Path(source).parent.name
        if folder.is_dir() and not _marker(CORPORA, folder.name).exists():
            yield CORPORA, folder.name, folder
    for path, sha256 in Run.objects.order_by("-pk").values_list("bundle_path", "bundle_sha256"):
        folder = folder_here(path, Path(settings.BUNDLE_DIR))
        if folder.is_dir() and not _marker(BUNDLES, sha256).exists():
            yield BUNDLES, sha256, folder


def _send(store: Store, kind: str, name: str, folder: Path) -> None:
    if kind == CORPORA:
        push_folder(store, record_key(CORPORA, name), folder)
    elif store.read(record_key(BUNDLES, name)) is None:  # the worker that made it may have sent it
        push_bundle(store, folder)


def _bring(store: Store, run: Run, report: Report) -> None:
    report(f"fetching the bundle of {run.slug}")
    try:
        found = fetch_bundle(store, run.bundle_sha256, Path(settings.BUNDLE_DIR))
    except StoreAwayError:
        raise
    except (BundleError, StorageError) as error:
        report(f"{run.slug}: {error}")
        return
    if found is None:
        report(f"{run.slug}: its bundle is not whole in the store; resume the job that made it, or copy it here.")
        return
    Run.objects.filter(pk=run.pk).update(bundle_path=str(found))
    run.bundle_path = str(found)
    _mark(BUNDLES, run.bundle_sha256)
    prepare(run)


def _is_untidy() -> bool:
    try:
        return time.time() - _marker("tidy", "daily").stat().st_mtime > DAY
    except OSError:
        return True


def _mark(kind: str, name: str) -> None:
    marker = _marker(kind, name)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def _marker(kind: str, name: str) -> Path:
    """A file that says that this was sent; another store starts without any."""
    place = hashlib.sha256(str(settings.STORE).encode()).hexdigest()[:12]
    return Path(settings.DATA_DIR) / "sent" / place / f"{kind}-{name}"
