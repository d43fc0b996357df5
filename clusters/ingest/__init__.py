"""Bundle → rows: checked first, then written in one transaction; the same bundle twice is one run.

Only the files that rows are made of are compared with their hashes before; losses and curves, which are nearly all of
a large bundle, afterwards (`clusters.services.verification`), when the run can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, connection, transaction

from clusters.ingest.checks import check_bundle, check_clustered_files
from clusters.ingest.rows import read_rows
from clusters.ingest.writing import write_run
from clusters.models import Run
from clusters.stored.arrays import forget_bundles
from compute.bundle import Bundle, open_bundle
from compute.errors import BundleError, StorageError
from compute.models import Job

_FULL = ("is full", "No space left")  # as SQLite and PostgreSQL say it
ATTEMPTS = 3  # two people may want the same slug at the same moment


def ingest(
    path: Path | str,
    *,
    job: Job | None = None,
    owner: User | None = None,
    name: str | None = None,
    private: bool = False,
    hold: Callable[[], None] = lambda: None,
) -> Run:
    """Read a bundle into the database and give its run; BundleError where it is damaged or contradicts itself.

    A bundle that is already there gives the run as it is; only a path that no longer leads to it is mended, and files
    that were found damaged, or lie elsewhere now, wait to be checked again.
    All reading and arithmetic comes before the transaction, so that the database is locked for the writes alone.
    `hold` is called at its end and may raise, which undoes it: a worker's right to write is asked for there.
    """
    bundle = open_bundle(Path(path).resolve())
    if kind := bundle.manifest.get("lab"):
        raise BundleError(
            f"{bundle.path.name} holds an experiment of the laboratory ({kind}), no run; `manage.py ingest` on the "
            "server reads it in."
        )
    known = _known(bundle)
    if known:
        return known
    check_clustered_files(bundle)
    check_bundle(bundle)
    rows = read_rows(bundle)
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                _end_if_frozen()
                run = write_run(bundle, rows, job=job, owner=owner, name=name, private=private)
                hold()
                return run
        except IntegrityError:
            known = _known(bundle)  # another process read it in meanwhile
            if known:
                return known
            if attempt == ATTEMPTS - 1:
                raise
        except OperationalError as error:
            if not any(said in str(error) for said in _FULL):
                raise
            raise StorageError(
                "The disk that holds the database is full, so nothing was read in. Free some space and try again."
            ) from error
    raise AssertionError("unreachable")


def _end_if_frozen() -> None:
    """A process that is stopped within the transaction keeps its locks no longer than a lease: others go on then."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
                           [f"{settings.LEASE_SECONDS}s"])  # fmt: skip


def _known(bundle: Bundle) -> Run | None:
    run = Run.objects.filter(bundle_sha256=bundle.sha256).first()
    if run is None:
        return None
    has_moved = run.bundle_path != str(bundle.path) and not _leads_to(run.bundle_path, bundle.sha256)
    if has_moved:
        run.bundle_path = str(bundle.path)
        forget_bundles()
    if has_moved or run.damage:
        run.verified_at, run.damage = None, ""
        run.save(update_fields=["bundle_path", "verified_at", "damage"])
    return run


def _leads_to(path: str, sha256: str) -> bool:
    try:
        return open_bundle(path).sha256 == sha256
    except BundleError:
        return False
