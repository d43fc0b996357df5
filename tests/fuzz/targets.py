"""Everything that reads what comes from elsewhere, each as a function of bytes; refusals are sentences.

A target returns where the input is taken and raises one of `REFUSALS` where it is not. Anything else is a bug.
"""

from __future__ import annotations

import gzip
import inspect
import io
import json
import os
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from django import forms
from django.core.exceptions import BadRequest, SuspiciousOperation, ValidationError
from django.http import QueryDict
from rest_framework.exceptions import APIException

from clusters import display, parameters
from clusters.api.parsers import StrictJSONParser
from clusters.api.resource import read_cursor
from clusters.forms import (
    agreement,
    clusters,
    collections,
    exponents,
    exports,
    imports,
    labels,
    maps,
    notes,
    people,
    probe,
    profile,
    queues,
    quiz,
    search,
    suggestions,
    tags,
    theory,
)
from clusters.forms.label_file import LabelFileError, read_label_file
from clusters.forms.paths import allowed_path
from clusters.forms.suites import DemoRunForm, FolderRunForm, HubRunForm
from compute.archives import require_modest, unpack
from compute.bundle import open_array, open_bundle
from compute.config import HubRef, RunConfig
from compute.errors import ComputeError, CorpusError
from compute.published import build_bundle, read_labels
from compute.suites import demo_config
from compute.texts.uploads import check_upload
from tests.factories import write_bundle
from tests.fuzz import mutate
from tests.published_files import CONTEXTS, LABELS

REFUSALS = (ComputeError, LabelFileError, BadRequest, SuspiciousOperation, ValidationError, APIException)
NAMES = (
    "k", "affinity", "sort", "page", "cursor", "after", "before", "q", "text", "run", "tag", "kind", "state", "author",
    "size", "min", "max", "label", "token", "with", "area", "view", "x", "y", "unit", "reach", "shade", "colour",
    "range", "of", "from", "to", "who", "action", "since", "until", "version", "name", "description", "confidence",
    "tags", "misfits", "mine", "answer", "cluster", "decision", "source", "place", "order", "per", "offset", "limit",
    "fields", "least", "most", "days", "roles", "email", "title", "path", "file", "labels_each", "people", "text_field",
    "ks", "n_tokens", "max_length", "seed", "stride", "repositories", "folders", "clustered", "mode", "sketch_size",
    "chosen", "alpha", "n_quanta", "window_last", "domain",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What is fed, and what makes its inputs."""

    read: Callable[[bytes], object]
    make: Callable[[random.Random], bytes]
    share: int = 1  # of all inputs


def targets(folder: Path) -> dict[str, Target]:
    """All of them; files are written under the folder."""
    return _archives(folder) | _files(folder) | _texts(folder) | _requests()


# ── bundles ──


def _archives(folder: Path) -> dict[str, Target]:
    bundle = write_bundle(folder / "made")
    members = {f"b/{file.relative_to(bundle)}": file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    small = {name: content for name, content in members.items() if len(content) < 3000}
    manifest = members["b/manifest.json"]
    packed = [mutate.tar_file(random.Random(n), small) for n in range(4)]

    def read(raw: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            file = Path(place) / "archive"
            file.write_bytes(raw)
            (Path(place) / "in").mkdir()
            found = open_bundle(unpack(file, Path(place) / "in").bundle)
            require_modest(found)
            found.verify()

    def read_manifest(raw: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            (Path(place) / "manifest.json").write_bytes(raw)
            found = open_bundle(Path(place))
            require_modest(found)
            found.verify()

    return {
        "archive": Target(read, lambda rng: mutate.tar_file(rng, small), 2),
        "archive.bytes": Target(read, lambda rng: mutate.changed(rng, packed), 2),
        "archive.zst": Target(read, lambda rng: _zst(rng, mutate.tar_file(rng, small))),
        "archive.zip": Target(read, lambda rng: _zip(rng, small)),
        "manifest": Target(read_manifest, lambda rng: mutate.changed(rng, [manifest]), 2),
        "array": Target(partial(_array, folder / "array.npy"), mutate.array_file, 4),
    }


def _zst(rng: random.Random, raw: bytes) -> bytes:
    packed = zstandard.compress(raw)
    return packed if rng.random() < 0.3 else mutate.changed(rng, [packed])


def _zip(rng: random.Random, members: dict[str, bytes]) -> bytes:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in list(members.items())[:6]:
            archive.writestr(name if rng.random() < 0.9 else "../" + name, content)
    return out.getvalue() if rng.random() < 0.3 else mutate.changed(rng, [out.getvalue()])


def _array(file: Path, raw: bytes) -> None:
    """As a bundle's arrays are opened, whose errors become a sentence in `Bundle.array`."""
    file.write_bytes(raw)
    try:
        array = open_array(file)
    except (OSError, ValueError, EOFError) as error:
        raise ComputeError(str(error)) from error
    if array.dtype.kind in "biuf":
        np.asarray(array).ravel()[:3].tolist()


# ── published clusters, labels, texts ──


def _files(folder: Path) -> dict[str, Target]:
    labels, contexts = (json.dumps(one).encode() for one in (LABELS, CONTEXTS))
    listed = json.dumps(list(CONTEXTS.values())).encode()
    rows = [
        b"affinity,k,cluster,name,tags,confidence,kind\nsigned,6,0,a name,lexical;unclear,2,skill\n"
        b"absolute,3,1,=cmd,,,\n",
        b'{"affinity": "signed", "k": 6, "cluster": 0, "name": "n", "tags": ["lexical"], "confidence": 2}\n'
        b'{"end": true, "rows": 1}\n',
    ]
    right = folder / "right.json"
    right.write_bytes(labels)

    def of_published(raw: bytes) -> None:
        (folder / "labels.json").write_bytes(raw)
        read_labels(folder / "labels.json")

    def of_contexts(raw: bytes) -> None:
        (folder / "contexts.json").write_bytes(raw)
        shutil.rmtree(build_bundle(right, folder / "contexts.json", folder / "built"))

    config = json.dumps(demo_config().to_json()).encode()
    return {
        "published.labels": Target(of_published, lambda rng: mutate.changed(rng, [labels]), 4),
        "published.contexts": Target(of_contexts, lambda rng: mutate.changed(rng, [contexts, listed])),
        "labels": Target(read_label_file, lambda rng: mutate.changed(rng, rows), 6),
        "config": Target(_config, lambda rng: mutate.changed(rng, [config]), 2),
    }


def _config(raw: bytes) -> None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return
    RunConfig.from_json(value)


def _texts(folder: Path) -> dict[str, Target]:
    lines = b'{"text": "the cat"}\n{"text": "\\u00e9t\\u00e9", "more": [1, {"a": null}]}\n{"text": ""}\n'
    table = _parquet()

    def reader(suffix: str) -> Callable[[bytes], object]:
        file = folder / f"upload{suffix}"

        def read(raw: bytes) -> None:
            file.write_bytes(raw)
            (_in_a_fork if suffix == ".parquet" else check_upload)(file)

        return read

    packers: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}
    found = {
        "texts.jsonl": Target(reader(".jsonl"), lambda rng: mutate.changed(rng, [lines]), 4),
        "texts.parquet": Target(reader(".parquet"), lambda rng: mutate.changed(rng, [table]), 2),
    }
    for suffix, pack in packers.items():

        def make(rng: random.Random, pack: Callable[[bytes], bytes] = pack) -> bytes:
            raw = mutate.changed(rng, [lines])
            return pack(raw) if rng.random() < 0.4 else mutate.changed(rng, [pack(raw)])

        found[f"texts.jsonl{suffix}"] = Target(reader(f".jsonl{suffix}"), make, 2)
    return found


def _in_a_fork(file: Path) -> None:
    """As the site does, which reads Parquet in a process of its own: that one may end, and the site goes on."""
    child = os.fork()
    if not child:
        try:
            check_upload(file)
        except CorpusError:
            os._exit(3)
        except BaseException:
            traceback.print_exc()
            os._exit(4)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 3:
        raise CorpusError("The file is damaged.")
    if status:
        raise RuntimeError("reading Parquet broke, as the log says")


def _parquet() -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["the cat", "été", ""], "n": [1, 2, 3]}), out)
    return out.getvalue()


# ── what stands in requests ──


def _requests() -> dict[str, Target]:
    body = json.dumps({"name": "a", "ks": [3, 6], "suite": "demo", "run": "synthetic", "k": 6}).encode()
    hub = b"EleutherAI/pythia-70m@step1000"
    texts = [text.encode("utf-8", "surrogatepass") for text in mutate.TEXTS] + [hub, b"/srv/texts/a.jsonl"]
    return {
        "query": Target(_queries, lambda rng: mutate.query(rng, NAMES).encode("utf-8", "surrogatepass"), 8),
        "forms": Target(_forms, lambda rng: mutate.query(rng, NAMES).encode("utf-8", "surrogatepass"), 2),
        "api.body": Target(
            lambda raw: StrictJSONParser().parse(io.BytesIO(raw)), lambda rng: mutate.changed(rng, [body]), 4
        ),
        "cursor": Target(_cursors, lambda rng: mutate.changed(rng, [b"WyJ1cGRhdGVkIiwxXQ", b"WzFd", b"WyJhIl0"]), 4),
        "hub.name": Target(_hub, lambda rng: mutate.changed(rng, [hub]), 4),
        "path": Target(_path, lambda rng: mutate.changed(rng, texts), 2),
        "text": Target(_text, lambda rng: mutate.changed(rng, texts), 4),
    }


def _text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


KS = {"signed": [3, 6], "absolute": [3, 6]}
READERS: tuple[Callable[[QueryDict], object], ...] = (
    agreement.agreement_query, clusters.cluster_list_query, clusters.cluster_query, labels.label_list_query,
    labels.label_entry, notes.note_entry, notes.note_list_query, people.audit_asked, queues.place_of, queues.filter_of,
    quiz.quiz_query, quiz.chosen_place, suggestions.suggestions_query, suggestions.decision, tags.tag_entry,
    parameters.page_number, parameters.selected_token, parameters.affinity_of, parameters.context_view,
    parameters.unit_of, maps.area_of_sides,
    lambda query: parameters.search_text(query, "q"),
    lambda query: parameters.changed("/a/", query, page=None, k=3),
    lambda query: exports.chosen_clusterings(query, [("signed", 3), ("absolute", 6)]),
    lambda query: search.asked_of(query, ks=KS, usual_k=6),
    lambda query: probe.probe_query(query, KS, ["syn-10k"]),
    lambda query: suggestions.how_many(query, 20),
    lambda query: imports.wanted_from(query, {"run": "a"}),
    theory.theory_query,
    lambda query: exponents.exponent_query(query, ["language"]),
)  # fmt: skip
FORMS: tuple[type[forms.Form], ...] = (
    agreement.AgreedForm, collections.CollectionForm, exponents.StudyForm, exports.ExportForm,
    imports.PublishedForm, people.InvitationForm, probe.ProbeForm, profile.PreferencesForm, profile.ApiKeyForm,
    queues.DescriptionForm, DemoRunForm, HubRunForm, FolderRunForm,
)  # fmt: skip


CHOICES: dict[str, Any] = {"corpora": [], "owner": None, "tags": [], "roles": ["labeler"], "scopes": ["read"]}


def _queries(raw: bytes) -> None:
    """Every reader of query strings; one refusing does not keep the others from it."""
    query = QueryDict(raw, mutable=False)
    for read in READERS:
        try:
            read(query)
        except REFUSALS:
            continue


def _forms(raw: bytes) -> None:
    query = QueryDict(raw, mutable=False)
    for form in FORMS:
        wanted = inspect.signature(form.__init__).parameters
        more = {name: value for name, value in CHOICES.items() if name in wanted}
        try:
            made = form(query, **more)
            if made.is_valid() and hasattr(made, "config"):
                made.config()
        except REFUSALS:
            continue


def _cursors(raw: bytes) -> None:
    text = _text_of(raw)
    for read in (partial(read_cursor, text, int), partial(read_cursor, text, str, int),
                 partial(labels.place_of, text, "latest"), partial(clusters.rank_of, text, "rank")):  # fmt: skip
        try:
            read()
        except REFUSALS:
            continue


def _hub(raw: bytes) -> None:
    HubRef.parse(_text_of(raw))


def _path(raw: bytes) -> None:
    allowed_path(_text_of(raw))


def _text(raw: bytes) -> Any:
    """What is shown holds nothing that a database or a page cannot bear."""
    text = raw.decode("utf-8", "surrogatepass" if b"\xed" in raw else "replace") if _is_text(raw) else _text_of(raw)
    for show in (display.clean_text, display.one_line, display.clean_lines, display.visible):
        shown = show(text)
        assert "\0" not in shown
        shown.encode()
    display.lines_of(text)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True
