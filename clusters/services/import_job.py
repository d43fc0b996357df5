"""What a worker does with a bundle or with published labels: look at every byte, then read it in like any other run."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from django.utils import timezone
from django.utils.text import slugify

from clusters.ingest import ingest
from clusters.models import Import
from clusters.queries.imports import folder_of
from clusters.services.imports import ARCHIVE, CONTEXTS, KIND, LABELS, SENT, bundle_folder, finished, forget_files
from clusters.services.verification import finish
from compute.archives import require_modest, unpack
from compute.bundle import Bundle, open_bundle, put_aside, storage_errors
from compute.errors import BundleError, Cancelled, ComputeError
from compute.jobs import kinds, log
from compute.models import Job
from compute.published import Told, build_bundle

Report = Callable[[int, int], None]
UNPACKED = "unpacked"
READ, CHECKED, WRITTEN, WHOLE = 30, 50, 70, 100  # percent that are done by then
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def work(job: Job, report: Report) -> None:
    """Read the import in; what is refused leaves nothing behind, and doing it twice does no harm."""
    one = Import.objects.select_related("owner").filter(job=job).first()
    if one is None:
        raise ComputeError("This import was removed before a worker came to it; send it again.")
    percent = _percent(report)
    try:
        path = _bundle_from_path(one) if one.asked.get("path") else _bundle_from_files(one, percent)
        run = ingest(path, job=job, owner=one.owner, name=one.asked["name"] or None, private=one.asked["is_private"])
        log.write(job.pk, f"{run.n_tokens:,} tokens, {run.clusterings.count()} clusterings can be read")
        percent(WRITTEN, WHOLE, 0, 1)
        finish(run, lambda what, done, total: percent(WRITTEN, WHOLE, done, total))
        if run.damage:
            raise BundleError(run.damage)
    except Cancelled:
        raise  # the files stay for whoever goes on
    except ComputeError:
        forget_files(one)
        raise
    has_labels = _keep_labels_only(one)
    Job.objects.filter(pk=job.pk).update(bundle_sha256=run.bundle_sha256, result={"run": run.slug})
    finished(one, run, {"has_labels": has_labels, "n_tokens": run.n_tokens, "at": timezone.now().isoformat()})
    percent(WHOLE, WHOLE, 1, 1)


def _percent(report: Report) -> Callable[[int, int, int, int], None]:
    """Say how far it is between two marks."""
    return lambda first, last, done, total: report(first + int((last - first) * done / max(total, 1)), WHOLE)


def _bundle_from_path(one: Import) -> Path:
    """A folder stays where it is; an archive on the server is unpacked like one that was sent."""
    path = Path(one.asked["path"])
    if not path.is_dir():
        folder = folder_of(one)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _unpacked(one, path, lambda done, total: None)
    bundle = open_bundle(path)
    require_modest(bundle)
    return bundle.path


def _bundle_from_files(one: Import, percent: Callable[[int, int, int, int], None]) -> Path:
    folder = folder_of(one)
    if not folder.is_dir():
        raise ComputeError("The file was removed when it was refused or a week after it came; send it again.")
    if one.kind == Import.Kind.BUNDLE:
        return _unpacked(one, folder / ARCHIVE, lambda done, total: percent(0, READ, done, total))
    contexts = folder / CONTEXTS
    return build_bundle(
        folder / LABELS,
        contexts if contexts.exists() else None,
        bundle_folder(),
        told=Told(name=slugify(one.asked["name"])[:80] or Told.name),
        report=lambda what, done, total: percent(0, CHECKED, done, total),
    )


def _unpacked(one: Import, archive: Path, report: Report) -> Path:
    """Unpack, compare every file with its hash, and move the bundle to its place."""
    folder = folder_of(one)
    into = folder / UNPACKED
    shutil.rmtree(into, ignore_errors=True)  # what an earlier attempt left
    with storage_errors(folder):
        into.mkdir()
    found = unpack(archive, into, report)
    bundle = open_bundle(found.bundle)
    require_modest(bundle)
    bundle.verify()
    if found.labels:
        found.labels.replace(folder / SENT)
    return _moved(bundle)


def _moved(bundle: Bundle) -> Path:
    """The bundle in the data folder; one of the same hash that is there already stays, unless it is damaged."""
    name = str(bundle.manifest.get("name"))
    target = bundle_folder() / f"{name if _NAME.fullmatch(name) else 'bundle'}-{bundle.sha256[:12]}"
    with storage_errors(bundle_folder()):
        bundle_folder().mkdir(parents=True, exist_ok=True)
        try:
            bundle.path.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            _settle(bundle, target)
    return target


def _settle(bundle: Bundle, target: Path) -> None:
    """Put a damaged bundle aside and the new one in its place; a whole one stays, and nobody's is ever replaced."""
    try:
        there = open_bundle(target)
        there.verify()
    except BundleError:
        put_aside(target)
        bundle.path.rename(target)
        return
    if there.sha256 != bundle.sha256:
        raise ComputeError(f"Another bundle, whose hash begins alike, lies at {target.name}; it has to be moved first.")


def _keep_labels_only(one: Import) -> bool:
    """Remove all that was sent but the labels that came beside a bundle; whether there are any."""
    folder = folder_of(one)
    for place in [*folder.glob("*")] if folder.is_dir() else []:
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        elif place.name != SENT:
            place.unlink(missing_ok=True)
    if (folder / SENT).is_file():
        return True
    forget_files(one)
    return False


kinds.register(KIND, work)
