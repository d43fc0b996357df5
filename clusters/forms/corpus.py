"""A corpus to be registered: a file sent here, a data set of the Hub, a path on the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from django import forms
from django.conf import settings

from clusters.display import clean_text
from clusters.forms.paths import allowed_path
from clusters.models import RegisteredCorpus
from compute.config import HUB, CorpusConfig, HubRef
from compute.errors import ConfigError
from compute.texts import DATA_SUFFIXES

SUFFIXES = ".jsonl, .jsonl.gz, .jsonl.zst or .parquet"  # the usual ones of DATA_SUFFIXES


def suffix_of(name: str) -> str:
    """Which of the accepted endings a file's name has; empty for none."""
    return next((suffix for suffix in DATA_SUFFIXES if name.lower().endswith(suffix)), "")


class CorpusForm(forms.Form):
    """What every corpus has."""

    kind: ClassVar[str] = ""
    name = forms.CharField(label="Name", max_length=80, help_text="As it will stand in lists.")
    text_field = forms.CharField(
        label="Field of the text",
        max_length=80,
        initial="text",
        help_text="Of JSONL lines, Parquet rows, or the data set.",
    )
    is_private = forms.BooleanField(label="Only I may see and use it", required=False)

    def __init__(self, *args: Any, owner: Any = None, **kwargs: Any) -> None:
        self.owner = owner
        super().__init__(*args, **kwargs)

    def clean_name(self) -> str:
        name = " ".join(clean_text(self.cleaned_data["name"].replace("\n", " ")).split())
        if not name:
            raise forms.ValidationError("Give the corpus a name; this one is empty.")
        if RegisteredCorpus.objects.filter(owner=self.owner, name=name).exists():
            raise forms.ValidationError(f"You have a corpus called “{name[:80]}” already; choose another name.")
        return name

    def clean_text_field(self) -> str:
        return _field_name(self.cleaned_data["text_field"])


class UploadForm(CorpusForm):
    kind = RegisteredCorpus.Kind.UPLOAD
    file = forms.FileField(
        label="File", max_length=255, allow_empty_file=False,
        widget=forms.FileInput(attrs={"accept": ".jsonl,.gz,.zst,.parquet"}),
    )  # fmt: skip

    def __init__(self, *args: Any, refusal: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit = settings.UPLOAD_BYTES // 10**6
        self.fields["file"].widget.attrs["data-most"] = settings.UPLOAD_BYTES
        self.fields["file"].help_text = f"{SUFFIXES}; at most {limit} MB. One document a line or row."
        if refusal:
            self.fields["file"].error_messages["required"] = refusal

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if not suffix_of(file.name):
            raise forms.ValidationError(f"The file’s name must end in {SUFFIXES}.")
        return file


class HubCorpusForm(CorpusForm):
    kind = RegisteredCorpus.Kind.HUB
    repository = forms.CharField(label="Data set", max_length=200, help_text="OWNER/NAME on the Hugging Face Hub.")
    revision = forms.CharField(
        label="Revision", max_length=100, initial="main", help_text="A branch, tag or commit; a commit never changes."
    )
    subset = forms.CharField(label="Subset", max_length=80, required=False, help_text="Empty if it has only one.")
    split = forms.CharField(label="Split", max_length=80, initial="train")

    def clean_subset(self) -> str:
        text: str = self.cleaned_data["subset"].strip()
        return _field_name(text) if text else ""

    def clean_split(self) -> str:
        return _field_name(self.cleaned_data["split"])

    def clean_repository(self) -> str:
        return _hub(lambda: HubRef(self.cleaned_data["repository"].strip().removeprefix(HUB)).repo_id)

    def clean_revision(self) -> str:
        return _hub(lambda: HubRef("any/any", self.cleaned_data["revision"].strip()).revision)

    @property
    def source(self) -> str:
        return f"{HUB}{HubRef(self.cleaned_data['repository'], self.cleaned_data['revision'])}"


class PathCorpusForm(CorpusForm):
    kind = RegisteredCorpus.Kind.PATH
    path = forms.CharField(label="Path", max_length=1000)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        roots = ", ".join(map(str, settings.ALLOWED_ROOTS))
        self.fields["path"].help_text = (
            f"A {SUFFIXES} file, or a folder of such or of .txt and .md files, in {roots}."
            if roots
            else "The operator of this site has allowed no folder yet: QW_ALLOWED_ROOTS names them."
        )

    def clean_path(self) -> Path:
        path = allowed_path(self.cleaned_data["path"])
        if not (path.is_dir() or (path.is_file() and path.name.endswith(DATA_SUFFIXES))):
            raise forms.ValidationError(f"This is neither a folder nor a file that ends in {SUFFIXES}.")
        return path


CORPUS_FORMS: dict[str, type[CorpusForm]] = {form.kind: form for form in (UploadForm, HubCorpusForm, PathCorpusForm)}


def _field_name(text: str) -> str:
    text = text.strip()
    try:
        return CorpusConfig(text_field=text).text_field
    except ConfigError:
        raise forms.ValidationError("Use letters, digits, dots, dashes and underscores only.") from None


def _hub(read: Any) -> str:
    try:
        return str(read())
    except ConfigError as error:
        raise forms.ValidationError(str(error)) from error
