"""The kinds of suite that a run may look at, each with the fields that say which networks are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from django import forms

from clusters.forms.earlier import settings_of
from clusters.forms.paths import allowed_path
from clusters.forms.run import RunForm
from clusters.forms.texts import DEMO
from clusters.forms.values import lines
from compute.config import (
    HUB,
    PAPER_KS,
    CheckpointRef,
    ClusteringConfig,
    CorpusConfig,
    HubRef,
    RunConfig,
    SelectionConfig,
    SuiteConfig,
)
from compute.errors import ConfigError
from compute.registry import SUITES, KnownSuite, find_checkpoint, hub_suite, suite_config
from compute.suites import DEMO as DEMO_PATH
from compute.suites import demo_config, folder_suite

MAX_CHECKPOINTS = 2000
PAPER_CLUSTERED = "70m"
N_PAPER_SIZES = 7  # the paper's suite ends before the largest
_PAPER: dict[str, Any] = {
    "selection": SelectionConfig(n_tokens=10_000, threshold_nats=0.1, stride=50),
    "clustering": ClusteringConfig(ks=PAPER_KS),
    "corpus": CorpusConfig(max_length=1024, max_documents=20_000),
    "documents_per_shard": 5_000,  # so that several workers share one checkpoint
}
_NUMBER = re.compile(r"(?<!\w)(\d{1,7})(?!\w)")


def _area(example: str) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": 5, "spellcheck": "false", "placeholder": example})


def _usual(form: RunForm, **parts: Any) -> dict[str, Any]:
    """Settings to begin with: these parts, the usual ones elsewhere, and the text that was registered last."""
    ref = CheckpointRef(lm=form.kind, revision="main", path=form.kind)  # stands in until networks are chosen
    suite = SuiteConfig(name=form.kind, checkpoints=(ref,), tokenizer=form.kind)
    newest = next((str(corpus.pk) for corpus in form.corpora), DEMO)
    settings = settings_of(RunConfig(name=form.kind, suite=suite, clustered=ref.key, **parts))
    return {**settings, "corpus": newest, "mode": "auto"}


class DemoRunForm(RunForm):
    """The networks that come along."""

    kind = DEMO
    suite_fields = ("clustered",)
    clustered = forms.ChoiceField(label="Clustered network", help_text="Its gradients are compared.")

    def prepare(self) -> None:
        self.base = demo_config()
        self.fields["clustered"].choices = _by_network(self.base.suite.checkpoints)  # type: ignore[attr-defined]

    def defaults(self) -> dict[str, Any]:
        own = {"name": f"{self.base.name}-2", "clustered": self.base.clustered, "corpus": DEMO}
        return {**settings_of(self.base), **own}

    def suite_of(self, values: dict[str, Any]) -> tuple[SuiteConfig, CheckpointRef] | None:
        key = values.get("clustered")
        return next(((self.base.suite, ref) for ref in self.base.suite.checkpoints if ref.key == key), None)

    @classmethod
    def suite_initial(cls, config: RunConfig, *, sees_paths: bool) -> dict[str, Any]:
        return {"clustered": config.clustered}


class KnownRunForm(RunForm):
    """A suite of the registry: its sizes and steps are ticked, not written."""

    suite: ClassVar[KnownSuite]
    suite_fields = ("sizes", "steps", "some_steps", "clustered", "clustered_step")
    sizes = forms.MultipleChoiceField(
        label="Sizes", widget=forms.CheckboxSelectMultiple, error_messages={"required": "Tick at least one size."}
    )
    steps = forms.ChoiceField(
        label="Training steps", widget=forms.RadioSelect,
        choices=[("final", "final only"), ("all", "all"), ("some", "some")],
    )  # fmt: skip
    some_steps = forms.CharField(
        label="Some steps", required=False, max_length=4000,
        help_text="Where “some” is chosen: 512, 1000, or 1000..143000, or 1000..143000:10 for each tenth.",
    )  # fmt: skip
    clustered = forms.ChoiceField(label="Clustered network", help_text="Its gradients are compared.")
    clustered_step = forms.CharField(
        label="At step", max_length=20, help_text="A step, or “final”.", widget=forms.TextInput(attrs={"size": 8})
    )

    def prepare(self) -> None:
        shown = [(size.short, size.short) for size in self.suite.sizes]
        long = [(s.short, f"{s.lm}: {s.n_layers} layers of width {s.d_model:,}") for s in self.suite.sizes]
        self.fields["sizes"].choices = shown  # type: ignore[attr-defined]
        self.fields["clustered"].choices = long  # type: ignore[attr-defined]

    def defaults(self) -> dict[str, Any]:
        return {
            **_usual(self, **_PAPER),
            "sizes": [size.short for size in self.suite.sizes[:N_PAPER_SIZES]],
            "steps": "final",
            "clustered": PAPER_CLUSTERED,
            "clustered_step": "final",
        }

    def clean_clustered_step(self) -> str:
        return _as_step(self.cleaned_data["clustered_step"].strip())

    def suite_of(self, values: dict[str, Any]) -> tuple[SuiteConfig, CheckpointRef] | None:
        if not values.get("sizes") or not values.get("steps"):
            return None
        some = [_as_step(part.strip()) for part in values.get("some_steps", "").split(",") if part.strip()]
        if values["steps"] == "some" and not some:
            self.add_error("some_steps", "Write which steps, or choose final only or all.")
            return None
        try:
            suite = suite_config(
                self.kind, sizes=values["sizes"], revisions=some if values["steps"] == "some" else [values["steps"]]
            )
        except ConfigError as error:
            self.add_error("some_steps", str(error))
            return None
        return self._with_clustered(suite, values)

    def _with_clustered(self, suite: SuiteConfig, values: dict[str, Any]) -> tuple[SuiteConfig, CheckpointRef] | None:
        size = next((size for size in self.suite.sizes if size.short == values.get("clustered")), None)
        step = values.get("clustered_step")
        if size is None or not step:
            return None
        if size.short not in values["sizes"]:
            self.add_error("clustered", f"{size.short} is none of the sizes ticked; tick it, too.")
            return None
        try:
            revision = self.suite.final_revision if step == "final" else step
            return suite, find_checkpoint(suite, f"{size.lm}/{revision}")
        except ConfigError as error:
            self.add_error("clustered_step", str(error))
            return None

    @classmethod
    def suite_initial(cls, config: RunConfig, *, sees_paths: bool) -> dict[str, Any]:
        revisions = {ref.revision for ref in config.suite.checkpoints}
        lms = {ref.lm for ref in config.suite.checkpoints}
        steps = {frozenset({cls.suite.final_revision}): "final", frozenset(cls.suite.revisions): "all"}
        chosen = steps.get(frozenset(revisions), "some")
        clustered = config.clustered_checkpoint
        return {
            "sizes": [size.short for size in cls.suite.sizes if size.lm in lms],
            "steps": chosen,
            "some_steps": _ranges(cls.suite.revisions, revisions) if chosen == "some" else "",
            "clustered": next((size.short for size in cls.suite.sizes if size.lm == clustered.lm), ""),
            "clustered_step": clustered.revision.removeprefix("step"),
        }


class ListedRunForm(RunForm):
    """Checkpoints that a person lists, one a line."""

    clustered = forms.CharField(
        label="Clustered network", required=False, max_length=200, help_text="One of the lines; empty takes the last."
    )

    def defaults(self) -> dict[str, Any]:
        return _usual(self, corpus=CorpusConfig(max_length=1024))

    def _chosen(self, suite: SuiteConfig, values: dict[str, Any]) -> tuple[SuiteConfig, CheckpointRef] | None:
        named = values.get("clustered", "").strip()
        try:
            return suite, find_checkpoint(suite, named) if named else suite.checkpoints[-1]
        except ConfigError as error:
            self.add_error("clustered", str(error))
            return None


class HubRunForm(ListedRunForm):
    """Any causal language models of the Hugging Face Hub."""

    kind = "hub"
    suite_fields = ("repositories", "clustered", "tokenizer")
    repositories = forms.CharField(
        label="Repositories", max_length=200_000, widget=_area("EleutherAI/pythia-70m@step3000"),
        help_text="One a line: OWNER/NAME, or OWNER/NAME@REVISION for a branch, tag or commit.",
    )  # fmt: skip
    tokenizer = forms.CharField(
        label="Tokenizer", required=False, max_length=200,
        help_text="OWNER/NAME; empty takes the first repository’s.",
    )  # fmt: skip

    def clean_repositories(self) -> list[str]:
        found = lines(self.cleaned_data["repositories"], most=MAX_CHECKPOINTS)
        for number, line in enumerate(found, 1):
            try:
                HubRef.parse(line)
            except ConfigError as error:
                raise forms.ValidationError(f"Line {number}: {error}") from error
        return found

    def clean_tokenizer(self) -> str:
        text: str = self.cleaned_data["tokenizer"].strip()
        try:
            return f"{HUB}{HubRef.parse(text)}" if text else ""
        except ConfigError as error:
            raise forms.ValidationError(str(error)) from error

    def suite_of(self, values: dict[str, Any]) -> tuple[SuiteConfig, CheckpointRef] | None:
        if not values.get("repositories") or "tokenizer" not in values:
            return None
        try:
            suite = hub_suite(values["repositories"], tokenizer=values["tokenizer"] or None)
        except ConfigError as error:
            self.add_error("repositories", str(error))
            return None
        return self._chosen(suite, values)

    @classmethod
    def suite_initial(cls, config: RunConfig, *, sees_paths: bool) -> dict[str, Any]:
        refs = [ref.hub for ref in config.suite.checkpoints if ref.hub]
        tokenizer = config.suite.tokenizer.removeprefix(HUB)
        return {
            "repositories": "\n".join(map(str, refs)),
            "clustered": str(config.clustered_checkpoint.hub or ""),
            "tokenizer": "" if refs and tokenizer == str(refs[0]) else tokenizer,
        }


class FolderRunForm(ListedRunForm):
    """Networks of one's own, in folders on the server."""

    kind = "folders"
    suite_fields = ("folders", "tokenizer", "clustered")
    folders = forms.CharField(
        label="Folders", max_length=200_000, widget=_area("mine/step1000=/data/mine/step1000"),
        help_text="One a line: NAME=PATH or NAME/REVISION=PATH, each a folder in Hugging Face’s layout. "
        "A revision called step1000 is that training step.",
    )  # fmt: skip
    tokenizer = forms.CharField(
        label="Tokenizer", max_length=1000, help_text="Path of the tokenizer.json that they share, or of its folder."
    )

    def clean_folders(self) -> list[str]:
        return [
            _checked_folder(number, line)
            for number, line in enumerate(lines(self.cleaned_data["folders"], most=MAX_CHECKPOINTS), 1)
        ]

    def clean_tokenizer(self) -> str:
        return str(allowed_path(self.cleaned_data["tokenizer"]))

    def suite_of(self, values: dict[str, Any]) -> tuple[SuiteConfig, CheckpointRef] | None:
        if not values.get("folders") or not values.get("tokenizer"):
            return None
        try:
            suite = folder_suite(values["folders"], tokenizer=values["tokenizer"])
        except ConfigError as error:
            self.add_error("folders", str(error))
            return None
        return self._chosen(suite, values)

    @classmethod
    def suite_initial(cls, config: RunConfig, *, sees_paths: bool) -> dict[str, Any]:
        """Without the paths for a person who may not see them."""
        if not sees_paths:
            return {"folders": "", "tokenizer": "", "clustered": ""}
        return {
            "folders": "\n".join(f"{ref.key}={ref.path}" for ref in config.suite.checkpoints),
            "tokenizer": config.suite.tokenizer,
            "clustered": config.clustered,
        }


def known_form(suite: KnownSuite) -> type[KnownRunForm]:
    """The form of one suite of the registry."""
    return type("KnownRunForm", (KnownRunForm,), {"kind": suite.name, "suite": suite})


RUN_FORMS: dict[str, type[RunForm]] = {
    DEMO: DemoRunForm,
    **{name: known_form(suite) for name, suite in SUITES.items()},
    HubRunForm.kind: HubRunForm,
    FolderRunForm.kind: FolderRunForm,
}


def kind_of(config: RunConfig) -> str:
    """The kind of suite that these settings are of."""
    refs = config.suite.checkpoints
    if all(ref.path.startswith(DEMO_PATH) for ref in refs):
        return DEMO
    if config.suite.name in SUITES and all(ref.hub for ref in refs):
        return config.suite.name
    return HubRunForm.kind if all(ref.hub for ref in refs) else FolderRunForm.kind


def _by_network(checkpoints: Iterable[CheckpointRef]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Checkpoints by network, the last training step first."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for checkpoint in checkpoints:
        step = "" if checkpoint.step is None else f", step {checkpoint.step:,}"
        groups.setdefault(checkpoint.lm, []).insert(0, (checkpoint.key, f"{checkpoint.lm}{step}"))
    return list(groups.items())


def _as_step(text: str) -> str:
    """The registry's name of a step that is written as a bare number."""
    head, colon, every = text.partition(":")
    return _NUMBER.sub(r"step\1", head) + colon + every


def _ranges(revisions: Sequence[str], chosen: Iterable[str]) -> str:
    """Steps as people write them: neighbours as a range."""
    places = sorted(revisions.index(revision) for revision in chosen if revision in revisions)
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    names = [revision.removeprefix("step") for revision in revisions]
    return ", ".join(
        f"{names[run[0]]}..{names[run[-1]]}" if len(run) > 2 else ", ".join(names[place] for place in run)
        for run in runs
    )


def _checked_folder(number: int, line: str) -> str:
    """NAME/REVISION=PATH with the real path, if that is a folder that may be named."""
    key, equals, path = line.partition("=")
    if not (equals and key.strip() and path.strip()):
        raise forms.ValidationError(f"Line {number}: write NAME=PATH or NAME/REVISION=PATH.")
    try:
        real: Path = allowed_path(path)
    except forms.ValidationError as error:
        raise forms.ValidationError(f"Line {number}: {error.messages[0]}") from error
    if not real.is_dir():
        raise forms.ValidationError(f"Line {number}: {path.strip()} is no folder.")
    return f"{key.strip()}={real}"
