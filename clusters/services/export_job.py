"""Writing an export: what a worker does. The web process loads this file but never Parquet's library."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from clusters.models import Export, Run
from clusters.queries.access import User, visible_runs
from clusters.queries.exports import labels_table
from clusters.services.exports import Format, Kind, folder_of, table_of
from clusters.stored.arrays import bundle_of
from clusters.values.tables import Block, Column, Table, chunks, finite
from compute.bundle import file_sha256, storage_errors
from compute.errors import ComputeError, StorageError
from compute.jobs import kinds
from compute.models import Job

if TYPE_CHECKING:
    import pyarrow as pa

Report = Callable[[int, int], None]
ROW_GROUP = 128_000
REPORT_SECONDS = 1.0
MARGIN_BYTES = 100_000_000  # of the disk that an archive leaves free

README = """{name}: a whole run of QuantaWeb, as it was on {made}.

bundle/        the run's arrays and manifest, as they were computed. Its hash, over everything in it:
               {sha256}
               manifest.json holds the hash of every file. Read it in elsewhere with: manage.py ingest bundle
labels.jsonl   {n_labels} labels that whoever asked for this archive could see, one a line; the last line is
               {{"end": true, "rows": n}}. sha256: {labels_sha256}

Losses are in nats. Corpus: {corpus}, sha256 {corpus_sha256}. Clustered: {lm}/{revision}.
"""


def work(job: Job, report: Report) -> None:
    """Write the job's file beside its place, then rename it; whoever asked finds it whole or not at all."""
    export = Export.objects.select_related("run", "job__requested_by").filter(job=job).first()
    if export is None:
        raise ComputeError("This export was deleted before it was written; ask for it again.")
    if export.path:
        return
    user: User = export.job.requested_by or AnonymousUser()
    if not visible_runs(user).filter(pk=export.run_id).exists():
        raise ComputeError("Whoever asked for this export may not see the run any more.")
    folder = folder_of(export)
    place = folder / f"{export.run.slug}-{export.kind}.{export.format}"
    partial = folder / f".partial-{uuid.uuid4().hex[:12]}"
    try:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            n_rows = _written(export, user, partial, report)
            sha256 = file_sha256(partial)
            partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
    _note(export, place, n_rows, sha256)


def _note(export: Export, place: Path, n_rows: int | None, sha256: str) -> None:
    facts: dict[str, Any] = {"n_rows": n_rows, "n_bytes": place.stat().st_size, "sha256": sha256}
    expires_at = timezone.now() + timedelta(days=settings.EXPORT_DAYS)
    path = str(place.relative_to(settings.DATA_DIR))
    if not Export.objects.filter(pk=export.pk).update(path=path, expires_at=expires_at, **facts):
        shutil.rmtree(place.parent, ignore_errors=True)
        raise ComputeError("This export was deleted while it was written; ask for it again.")
    Job.objects.filter(pk=export.job_id).update(result=facts | {"expires_at": expires_at.isoformat()})


def _written(export: Export, user: User, path: Path, report: Report) -> int | None:
    """Write the file; its number of rows, where it is a table."""
    if export.kind == Kind.ARCHIVE:
        write_archive(export.run, user, path, report)
        return None
    counted = _Counted(table_of(user, export.run, export.kind, export.query), report)
    if export.format == Format.PARQUET:
        write_parquet(counted.table, export.run, path)
    else:
        with path.open("wb") as file:
            for chunk in chunks(counted.table, export.format):
                file.write(chunk)
    return counted.n


class _Counted:
    """A table that tells how far it has been read."""

    def __init__(self, table: Table, report: Report) -> None:
        self.n, self._source, self._report = 0, table, report
        self.table = Table(table.name, table.columns, self._blocks, table.n_rows)

    def _blocks(self) -> Iterator[Block]:
        said = 0.0
        for block in self._source.blocks():
            yield block
            self.n += len(block[0])
            if time.monotonic() - said > REPORT_SECONDS:
                said = time.monotonic()
                self._report(self.n, max(self._source.n_rows or self.n, 1))
        self._report(self.n, max(self.n, 1))


def write_parquet(table: Table, run: Run, path: Path) -> None:
    """Row groups of 128,000, zstd; the file's metadata name the run, every column's its unit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    blocks = table.blocks()
    first = next(blocks, None)
    schema = _schema(table, first, run)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        for block in _chained(first, blocks):
            waiting.append(_batch(table, schema, block))
            if sum(batch.num_rows for batch in waiting) >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)


def _chained(first: Block | None, rest: Iterator[Block]) -> Iterator[Block]:
    if first is not None:
        yield first
        yield from rest


def _schema(table: Table, first: Block | None, run: Run) -> pa.Schema:
    import pyarrow as pa

    kinds_of = {"integer": pa.int64(), "text": pa.string(), "flag": pa.bool_(), "list": pa.list_(pa.string()),
                "json": pa.string(), "number": pa.float64()}  # fmt: skip
    fields = []
    for place, column in enumerate(table.columns):
        kept = pa.float32() if column.kind == "number" and _is_single(first, place) else kinds_of[column.kind]
        facts = {name: text for name, text in (("unit", column.unit), ("meaning", column.meaning)) if text}
        fields.append(pa.field(column.name, kept, metadata=facts or None))
    about = {"run": run.slug, "name": run.name, "bundle_sha256": run.bundle_sha256, "table": table.name,
             "made_at": timezone.now().isoformat(timespec="seconds")}  # fmt: skip
    return pa.schema(fields, metadata=about)


def _is_single(block: Block | None, place: int) -> bool:
    return block is not None and getattr(block[place], "dtype", None) is not None and block[place].dtype.itemsize <= 4  # type: ignore[union-attr]


def _batch(table: Table, schema: pa.Schema, block: Block) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [
        pa.array(_plain(column, values), type=field.type)
        for column, values, field in zip(table.columns, block, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(column: Column, values: Any) -> Any:
    import json

    if column.kind == "json":
        return [json.dumps(finite(value), ensure_ascii=False) for value in values]
    if column.kind == "flag":
        return [None if value is None else bool(value) for value in values]
    return values.astype("float32") if str(getattr(values, "dtype", "")) == "float16" else values


def write_archive(run: Run, user: User, path: Path, report: Report) -> None:
    """The bundle, labels and a README, as one .tar."""
    bundle = bundle_of(run)
    labels = path.with_name(f"{path.name}-labels")
    try:
        with labels.open("wb") as file:
            counted = _Counted(labels_table(user, run), lambda *_: None)
            file.writelines(chunks(counted.table, "jsonl"))
        files = sorted(file for file in bundle.path.rglob("*") if file.is_file())
        total = sum(file.stat().st_size for file in files) + labels.stat().st_size
        free = shutil.disk_usage(path.parent).free
        if free < total + MARGIN_BYTES:
            raise StorageError(
                f"The archive takes {total:,} bytes, and the disk has {free:,} free. Free some space and start again."
            )
        with tarfile.open(path, "w") as tar:
            counter = _Counter(total, report)
            _add(tar, f"{run.slug}/README.txt", io.BytesIO(_readme(run, labels, counted.n)), counter)
            for one in files:
                with one.open("rb") as handle:
                    _add(tar, f"{run.slug}/bundle/{one.relative_to(bundle.path)}", handle, counter)
            with labels.open("rb") as handle:
                _add(tar, f"{run.slug}/labels.jsonl", handle, counter)
    finally:
        labels.unlink(missing_ok=True)


class _Counter:
    """Counts what was read of all bytes, and says so about once a second."""

    def __init__(self, total: int, report: Report) -> None:
        self._n, self._total, self._report, self._said = 0, max(total, 1), report, 0.0

    def add(self, n: int) -> None:
        self._n += n
        if time.monotonic() - self._said > REPORT_SECONDS:
            self._said = time.monotonic()
            self._report(min(self._n, self._total), self._total)


class _Read:
    """A file whose reading is counted."""

    def __init__(self, handle: IO[bytes], counter: _Counter) -> None:
        self._handle, self._counter = handle, counter

    def read(self, n: int = -1) -> bytes:
        data = self._handle.read(n)
        self._counter.add(len(data))
        return data


def _add(tar: tarfile.TarFile, name: str, handle: IO[bytes], counter: _Counter) -> None:
    info = tarfile.TarInfo(name)
    info.size = handle.seek(0, io.SEEK_END)
    info.mtime = int(time.time())
    handle.seek(0)
    tar.addfile(info, _Read(handle, counter))


def _readme(run: Run, labels: Path, n_labels: int) -> bytes:
    return README.format(
        name=run.name, made=f"{timezone.now():%-d %B %Y, %H:%M} UTC", sha256=run.bundle_sha256, n_labels=n_labels,
        labels_sha256=file_sha256(labels), corpus=run.corpus.name, corpus_sha256=run.corpus.sha256,
        lm=run.checkpoint.lm, revision=run.checkpoint.revision,
    ).encode()  # fmt: skip


kinds.register("export", work)
