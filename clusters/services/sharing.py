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
from clusters.queries.bundles import HOLDERS, Holder, named_bundles
from clusters.services.preparation import prepare
from clusters.stored.arrays import is_on_its_way
from compute.bundle import folder_here
from compute.errors import BundleError, StorageError
from compute.jobs import places
from compute.models import Job
from compute.store.folders import BUNDLES, CORPORA, fetch_bundle, push_bundle, push_folder, record_key
from compute.store.objects import Store, StoreAwayError
from compute.store.removal import removing
from compute.store.unused import Unused, notes_of_jobs, unused

Report = Callable[[str], None]
DAY = 86400.0
KEEP_DAYS = 7  # what no record names
OWNER = "owner"  # the record that says whose store it is
FAILED = "failed"  # markers of what could be neither sent nor fetched
FIRST_REST, LONGEST_REST = 150.0, DAY  # seconds between tries: twice the first after one failure, then doubled


def has_work() -> bool:
    """Whether the site's own host is to send, fetch or tidy something; asks the database and its folders only."""
    if settings.STORE is None or Job.Queue.SITE not in settings.QUEUES:  # workers elsewhere fetch what they need
        return False
    due = (one for one in missing() if _is_due(BUNDLES, one.bundle_sha256))
    unsent = (name for kind, name, _ in _unsent() if _is_due(kind, name))
    return any(True for _ in due) or any(True for _ in unsent) or _is_untidy()


def missing() -> Iterator[Holder]:
    """Runs and experiments whose bundles are not on this host, newest first."""
    for model in HOLDERS:
        named = model._default_manager.exclude(bundle_sha256="").order_by("-pk")
        yield from (one for one in named if is_on_its_way(one))


def exchange(report: Report = lambda text: None, *, again: bool = False) -> None:
    """One round: texts first, because jobs wait for them. What fails is told, and the rest goes on.

    What failed lately is left alone for a while, unless it is tried `again`.

    Raises
    ------
    StorageError
        If no store is named, or it does not answer.
    """
    store = required_store()
    for kind, name, folder in _unsent():
        if not (again or _is_due(kind, name)):
            continue
        report(f"sending {kind}/{name}")
        try:
            _send(store, kind, name, folder)
        except StoreAwayError:
            raise
        except (BundleError, StorageError, FileNotFoundError) as error:  # `manage.py verify` finds out more
            report(f"{folder.name} is not whole here and is not sent: {error}")
            _put_off(kind, name)
        else:
            _mark(kind, name)
    for one in missing():
        if again or _is_due(BUNDLES, one.bundle_sha256):
            _bring(store, one, report)
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
    with removing(store) as removal:
        notes = notes_of_jobs(store)
        kept = set(Job.objects.filter(pk__in=notes).exclude(workspace="").values_list("pk", flat=True))
        forgotten = [key for job, keys in notes.items() if job not in kept for key in keys]
        removal.remove(forgotten)
        found = find_unused(store, days=days, tell=removal.go_on)
        removal.remove([*found.records, *found.objects])
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


def find_unused(store: Store, *, days: float, tell: Callable[[], None] = lambda: None) -> Unused:
    """What could be removed: nothing names it, and it is older than so many days."""
    kept = {sha256 for _, sha256 in named_bundles()}
    kept |= set(Job.objects.exclude(bundle_sha256="").values_list("bundle_sha256", flat=True))
    texts = {Path(source).parent.name for source in _texts().values_list("source", flat=True)}
    return unused(store, seconds=days * DAY, keep={BUNDLES: kept, CORPORA: texts}, tell=tell)


def _texts() -> QuerySet[RegisteredCorpus]:
    return RegisteredCorpus.objects.filter(kind=RegisteredCorpus.Kind.UPLOAD)


def _unsent() -> Iterator[tuple[str, str, Path]]:
    """Kind, name and folder of what lies here, and was not noted as sent to this very store."""
    for source in _texts().order_by("pk").values_list("source", flat=True):
        folder = Path(settings.CORPUS_DIR) / Path(source).parent.name
        if folder.is_dir() and not _marker(CORPORA, folder.name).exists():
            yield CORPORA, folder.name, folder
    for path, sha256 in named_bundles():
        folder = folder_here(path, Path(settings.BUNDLE_DIR))
        if folder.is_dir() and not _marker(BUNDLES, sha256).exists():
            yield BUNDLES, sha256, folder


def _send(store: Store, kind: str, name: str, folder: Path) -> None:
    if kind == CORPORA:
        push_folder(store, record_key(CORPORA, name), folder)
    else:  # the worker that made it may have sent it: what is there is not sent again
        push_bundle(store, folder)


def _bring(store: Store, one: Holder, report: Report) -> None:
    report(f"fetching the bundle of {one.slug}")
    try:
        found = fetch_bundle(store, one.bundle_sha256, Path(settings.BUNDLE_DIR))
    except StoreAwayError:
        raise
    except (BundleError, StorageError) as error:
        report(f"{one.slug}: {error}")
        _put_off(BUNDLES, one.bundle_sha256)
        return
    if found is None:
        report(f"{one.slug}: its bundle is not whole in the store; resume the job that made it, or copy it here.")
        _put_off(BUNDLES, one.bundle_sha256)
        return
    one.bundle_path = str(found)
    one.save(update_fields=["bundle_path"])
    _mark(BUNDLES, one.bundle_sha256)
    if isinstance(one, Run):
        prepare(one)


def _is_untidy() -> bool:
    try:
        return time.time() - _marker("tidy", "daily").stat().st_mtime > DAY
    except OSError:
        return True


def _mark(kind: str, name: str) -> None:
    marker = _marker(kind, name)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    _marker(FAILED, f"{kind}-{name}").unlink(missing_ok=True)


def _put_off(kind: str, name: str) -> None:
    """Sending or fetching failed, and a sweep mends nothing: try again after some minutes, then ever more rarely."""
    marker = _marker(FAILED, f"{kind}-{name}")
    marker.parent.mkdir(parents=True, exist_ok=True)
    with marker.open("ab") as file:
        file.write(b".")


def _is_due(kind: str, name: str) -> bool:
    """Whether it never failed, or long enough ago: a failure is a byte of the marker."""
    try:
        facts = _marker(FAILED, f"{kind}-{name}").stat()
    except OSError:
        return True
    return time.time() - facts.st_mtime > min(FIRST_REST * 2 ** min(facts.st_size, 20), LONGEST_REST)


def _marker(kind: str, name: str) -> Path:
    """A file that says that this was sent; another store starts without any."""
    place = hashlib.sha256(str(settings.STORE).encode()).hexdigest()[:12]
    return Path(settings.DATA_DIR) / "sent" / place / f"{kind}-{name}"
