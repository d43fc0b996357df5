"""What people bring, as they fill it in: a bundle, published clusters, labels; and how labels are to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.display import clean_text
from clusters.forms.label_file import MAX_BYTES
from clusters.forms.paths import allowed_path
from clusters.models import Import, Run

MEGABYTES = 1_000_000
MAX_NAME = 80


class ImportForm(forms.Form):
    """What every import has; `refusal` is why a file of the request was not taken."""

    kind: ClassVar[str] = ""
    file_field: ClassVar[str] = "file"

    def __init__(self, *args: Any, refusal: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if refusal:
            self.fields[self.file_field].error_messages["required"] = refusal
        self.refusal = refusal

    def clean_name(self) -> str:
        return " ".join(clean_text(self.cleaned_data["name"].replace("\n", " ")).split())


class BundleForm(ImportForm):
    kind = Import.Kind.BUNDLE
    file = forms.FileField(
        label="Archive", max_length=255, required=False, widget=forms.FileInput(attrs={"accept": ".tar,.zst,.zip"})
    )
    path = forms.CharField(label="Or a path on the server", max_length=1000, required=False)
    name = forms.CharField(label="Name", max_length=MAX_NAME, required=False, help_text="Empty: the bundle’s own.")
    is_private = forms.BooleanField(label="Only I and administrators may see the run", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit = settings.UPLOAD_BYTES // MEGABYTES
        self.fields["file"].help_text = f".tar, .tar.zst or .zip of a bundle’s folder; at most {limit} MB."
        roots = ", ".join(map(str, settings.ALLOWED_ROOTS))
        self.fields["path"].help_text = (
            f"A bundle’s folder, which stays where it is, or an archive, in {roots}."
            if roots
            else "The operator of this site has allowed no folder yet: QW_ALLOWED_ROOTS names them."
        )

    def clean_path(self) -> Path | None:
        if not self.cleaned_data["path"].strip():
            return None
        path = allowed_path(self.cleaned_data["path"])
        if path.is_dir() and not (path / "manifest.json").is_file():
            raise forms.ValidationError("This folder is no bundle: it holds no manifest.json.")
        return path

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if not self.errors and bool(values.get("file")) == bool(values.get("path")):
            said = self.refusal or "Send an archive or name a path: one of the two."
            self.add_error("file", said)
        return values


class PublishedForm(ImportForm):
    kind = Import.Kind.PUBLISHED
    file_field = "labels"
    labels = forms.FileField(
        label="File of labels", max_length=255, widget=forms.FileInput(attrs={"accept": ".json"}),
        help_text="JSON, such as {\"400\": [labels, labels_abs], …}.",
    )  # fmt: skip
    contexts = forms.FileField(
        label="File of contexts, where you have one", max_length=255, required=False,
        widget=forms.FileInput(attrs={"accept": ".json"}),
        help_text="JSON, such as {\"12345\": {\"context\": [tokens], \"answer\": token}, …}.",
    )  # fmt: skip
    name = forms.CharField(label="Name", max_length=MAX_NAME, initial="published", help_text="As it stands in lists.")
    is_private = forms.BooleanField(label="Only I and administrators may see the run", required=False)


class LabelsForm(ImportForm):
    kind = Import.Kind.LABELS
    file = forms.FileField(
        label="File of labels", max_length=255, widget=forms.FileInput(attrs={"accept": ".csv,.jsonl"}),
        help_text=f"CSV with a first line of names, or JSON lines; at most {MAX_BYTES // MEGABYTES} MB.",
    )  # fmt: skip
    run = forms.ChoiceField(
        label="Run", required=False, help_text="Of rows that name no run themselves, neither by name nor by hash."
    )
    as_agreed = forms.BooleanField(label="Write them as agreed labels, not as mine", required=False)

    def __init__(self, *args: Any, runs: Sequence[Run] = (), may_adjudicate: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "each row names its own"), *((run.slug, run.name) for run in runs)]
        self.fields["run"].choices = choices  # type: ignore[attr-defined]
        if not may_adjudicate:
            del self.fields["as_agreed"]


IMPORT_FORMS: dict[str, type[ImportForm]] = {form.kind: form for form in (BundleForm, PublishedForm, LabelsForm)}
SWITCHES = ("as_agreed", "make_tags", "only_new")


def wanted_from(query: QueryDict, asked: dict[str, Any]) -> dict[str, Any]:
    """How a file of labels is to be read: as the address says, else as it was asked for when the file came."""
    if query.get("set") != "1":
        return {name: asked[name] for name in ("run", "author", *SWITCHES) if name in asked}
    texts = {name: query.get(name, "").replace("\0", "")[:200] for name in ("run", "author")}
    for name in SWITCHES:
        if query.get(name, "") not in ("", "on"):
            raise BadRequest(f"{name} is {query[name][:20]!r}; it is on or left out.")
    return texts | {name: query.get(name) == "on" for name in SWITCHES}
