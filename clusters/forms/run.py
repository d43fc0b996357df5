"""Settings of a run, whatever its suite: the text, the tokens, how they are compared and clustered."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.conf import settings

from clusters.forms.earlier import settings_of
from clusters.forms.texts import DEMO, corpus_choices, corpus_config, registered, require_text
from clusters.forms.values import NumberField, WholeField, between, whole_numbers
from clusters.models import RegisteredCorpus
from compute.config import (
    AFFINITIES,
    EFFORTS,
    GRADIENT_SCOPES,
    PRECISIONS,
    VECTORS,
    CheckpointRef,
    ClusteringConfig,
    MapConfig,
    RunConfig,
    SelectionConfig,
    SimilarityConfig,
    SuiteConfig,
)
from compute.errors import ComputeError
from compute.estimate import with_auto_mode
from compute.jobs.wake import device
from compute.suites import longer_than_read

MAX_TOKENS = 20_000
MAX_LENGTH = 32_768
MAX_KS = 60
MAX_MEMBERSHIPS = 600_000  # the paper's run; the rows are written in one transaction, which takes under a minute
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WORDS = {
    "signed": "signed: opposite gradients lie far apart",
    "absolute": "absolute: opposite counts as alike",
    "gradients": "gradients of the loss",
    "activations": "activations of the MLPs",
    "sparsified": "gradients, all but the largest entries zero",
    "default": "all but embeddings and normalisations",
    "as-published": "what the paper took",
    "all": "every parameter",
    "parity": "parity: labels as scikit-learn’s",
    "fast": "fast: as good a k-means, for less work",
    "auto": "bfloat16 for a billion parameters or more on a GPU",
    "float32": "float32 everywhere",
    "bfloat16": "bfloat16 for every network",
}
_MODES = (
    ("auto", "auto: exact if it fits the time and the disk"),
    ("exact", "exact: every number of every gradient"),
    ("sketch", "sketch: a random projection of each gradient"),
)


def _choices(values: Sequence[str]) -> list[tuple[str, str]]:
    return [(value, _WORDS[value]) for value in values]


class RunForm(forms.Form):
    """What every run has; a subclass adds the fields of its kind of suite, and says which suite they mean."""

    kind: ClassVar[str] = ""
    suite_fields: ClassVar[tuple[str, ...]] = ()

    name = forms.CharField(label="Name", max_length=80, help_text="Letters, digits, dots, dashes; it names the bundle.")
    is_private = forms.BooleanField(label="Only I may see this job and its run", required=False)

    corpus = forms.ChoiceField(label="Corpus", error_messages={"required": "Choose the text."})
    max_documents = WholeField(
        label="Documents", required=False, min_value=1, max_value=10**9,
        help_text="At most so many are read, from the start; empty reads all.",
    )  # fmt: skip
    max_length = WholeField(
        label="Tokens of a document", min_value=2, max_value=MAX_LENGTH, help_text="Longer documents are cut there."
    )

    n_tokens = WholeField(label="Tokens", help_text="Computing grows with it, comparing with its square.")
    threshold_nats = NumberField(label="Loss below, nats", help_text="Only tokens predicted this surely.")
    stride = WholeField(
        label="Stride", required=False, min_value=1, max_value=10**6,
        help_text="Every so many candidates one is taken; empty spreads evenly over the corpus.",
    )  # fmt: skip
    exclude_induced = forms.BooleanField(label="Leave out tokens copied from their context", required=False)

    vectors = forms.ChoiceField(label="What is compared", choices=_choices(VECTORS))
    gradient_scope = forms.ChoiceField(label="Parameters of a gradient", choices=_choices(GRADIENT_SCOPES))
    mode = forms.ChoiceField(label="How", choices=_MODES, widget=forms.RadioSelect)
    auto_hours = NumberField(
        label="Auto: hours allowed", min_value=0.01, max_value=10_000, help_text="For gradients and their comparison."
    )
    sketch_size = WholeField(
        label="Sketch: numbers", min_value=16, max_value=2**24, help_text="Of each gradient’s projection."
    )
    refine = WholeField(
        label="Sketch: exact neighbours", min_value=0, max_value=1000,
        help_text="Nearest of each token compared again exactly; 0 for none.",
    )  # fmt: skip
    block_tokens = WholeField(
        label="Exact: tokens in memory", required=False, min_value=1, max_value=MAX_TOKENS,
        help_text="The rest is computed again for each block; empty keeps all gradients on disk.",
    )  # fmt: skip

    ks = forms.CharField(label="Numbers of clusters k", help_text="Whole numbers, with commas between them.")
    affinities = forms.MultipleChoiceField(
        label="Affinity", choices=_choices(AFFINITIES), widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one affinity."},
    )  # fmt: skip
    effort = forms.ChoiceField(label="Effort of k-means", choices=_choices(EFFORTS), widget=forms.RadioSelect)
    seed = WholeField(label="Seed", help_text="The same seed gives the same clusters.")
    n_init = WholeField(label="Starts of k-means", help_text="The best of so many is kept.")

    n_curves = WholeField(
        label="Predictions on the map", required=False, min_value=0, max_value=10**6,
        help_text="Besides the clustered ones; empty for 100,000, 0 for no maps.",
    )  # fmt: skip

    precision = forms.ChoiceField(label="Arithmetic of losses", choices=_choices(PRECISIONS))
    documents_per_shard = WholeField(
        label="Documents of a shard", required=False, min_value=1, max_value=10**9,
        help_text="Losses of a checkpoint in pieces of so many, for several workers; empty for one piece.",
    )  # fmt: skip

    def __init__(self, *args: Any, corpora: Sequence[RegisteredCorpus] = (), **kwargs: Any) -> None:
        self.corpora = corpora
        super().__init__(*args, **kwargs)
        self.prepare()
        if not self.is_bound:
            self.initial = {**self.defaults(), **self.initial}
        self.fields["corpus"].choices = corpus_choices(corpora, self.initial.get("corpus"))  # type: ignore[attr-defined]
        for field in self.fields.values():
            if isinstance(field.widget, forms.NumberInput):
                field.widget.attrs["step"] = "any" if isinstance(field, forms.FloatField) else "1"

    # ── what a kind of suite says ──

    def prepare(self) -> None:
        """Fill in choices that depend on the suite."""

    def defaults(self) -> dict[str, Any]:
        """What stands in the fields at first."""
        raise NotImplementedError

    def suite_of(self, values: dict[str, Any]) -> tuple[SuiteConfig, CheckpointRef] | None:
        """The suite and the clustered checkpoint; None where the fields have errors."""
        raise NotImplementedError

    @classmethod
    def suite_initial(cls, config: RunConfig, *, sees_paths: bool) -> dict[str, Any]:
        """The fields of the suite as another job had them."""
        raise NotImplementedError

    @classmethod
    def initial_of(cls, config: RunConfig, corpora: Sequence[RegisteredCorpus], *, sees_paths: bool) -> dict[str, Any]:
        """What another job asked for, to be changed and asked for again."""
        return {
            **settings_of(config),
            **cls.suite_initial(config, sees_paths=sees_paths),
            "corpus": registered(config.corpus, corpora),
        }

    # ── what people may write ──

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not _NAME.fullmatch(name):
            raise forms.ValidationError(
                "Use letters, digits, dots, dashes and underscores; begin with a letter or digit."
            )
        return name

    def clean_corpus(self) -> str:
        choice: str = self.cleaned_data["corpus"]
        require_text(choice, self.corpora)
        return choice

    def clean_n_tokens(self) -> int:
        return between(self.cleaned_data["n_tokens"], 2, MAX_TOKENS, "tokens")

    def clean_seed(self) -> int:
        return between(self.cleaned_data["seed"], 0, 2**32 - 1)

    def clean_n_init(self) -> int:
        return between(self.cleaned_data["n_init"], 1, 1000, "starts")

    def clean_threshold_nats(self) -> float:
        value: float = self.cleaned_data["threshold_nats"]
        if not 0 < value < 100:
            raise forms.ValidationError("The loss must lie between 0 and 100 nats; the paper uses 0.1.")
        return value

    def clean_ks(self) -> tuple[int, ...]:
        ks = whole_numbers(self.cleaned_data["ks"])
        if not ks or ks[0] < 2:
            raise forms.ValidationError("Every k must be at least 2; write them like 10, 20, 50.")
        if len(ks) > MAX_KS:
            raise forms.ValidationError(f"These are {len(ks)} numbers; at most {MAX_KS} are clustered in one run.")
        return ks

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        self._check_sizes(values)
        if values.get("vectors") == "activations" and values.get("gradient_scope") != "default":
            self.add_error("gradient_scope", "Activations are no gradients: leave this at its first choice.")
        suite = self.suite_of(values)
        if not self.errors and suite:
            try:
                values["config"], values["mode_reason"] = self._config(values, *suite)
            except ComputeError as error:
                self.add_error(None, str(error))
        if "config" in values:
            config = values["config"]
            too_long = filter(None, (longer_than_read(config, ref) for ref in config.suite.checkpoints))
            if sentence := next(too_long, ""):
                self.add_error("max_length", sentence)
        return values

    def _check_sizes(self, values: dict[str, Any]) -> None:
        ks, n_tokens = values.get("ks"), values.get("n_tokens")
        if ks and n_tokens and ks[-1] > n_tokens:
            self.add_error("ks", f"The largest k is {ks[-1]}, but only {n_tokens} tokens are clustered. Lower it.")
        n_rows = (n_tokens or 0) * len(ks or ()) * len(values.get("affinities") or ())
        if n_rows > MAX_MEMBERSHIPS:
            text = f"{n_rows:,} rows would be written (tokens × ks × affinities); at most {MAX_MEMBERSHIPS:,} are."
            self.add_error("n_tokens", f"{text} Ask for fewer tokens or fewer ks.")

    def _config(self, values: dict[str, Any], suite: SuiteConfig, clustered: CheckpointRef) -> tuple[RunConfig, str]:
        """The run, and why it compares as it does where that was left to us."""
        corpus = corpus_config(values["corpus"], self.corpora)
        config = RunConfig(
            name=values["name"],
            suite=suite,
            clustered=clustered.key,
            corpus=dataclasses.replace(corpus, **_of(values, "max_documents", "max_length")),
            selection=SelectionConfig(**_of(values, "n_tokens", "threshold_nats", "exclude_induced", "stride")),
            similarity=_similarity(values),
            clustering=ClusteringConfig(
                affinities=tuple(a for a in AFFINITIES if a in values["affinities"]),
                **_of(values, "ks", "n_init", "seed", "effort"),
            ),
            map=_map(values.get("n_curves")),
            **_of(values, "vectors", "gradient_scope", "precision", "documents_per_shard"),
        )
        if values["mode"] != "auto":
            return config, ""
        free = shutil.disk_usage(settings.DATA_DIR).free
        return with_auto_mode(config, hours=values["auto_hours"], free_bytes=free, device=device())

    @property
    def chosen_corpus(self) -> RegisteredCorpus | None:
        """The registered corpus of a valid form; None for the demo's own text."""
        key = self.cleaned_data.get("corpus", DEMO)
        return next((corpus for corpus in self.corpora if str(corpus.pk) == key), None)


def _map(n_curves: int | None) -> MapConfig | None:
    if n_curves is None:
        return MapConfig()
    return MapConfig(n_curves=n_curves) if n_curves else None


def _of(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names}


def _similarity(values: dict[str, Any]) -> SimilarityConfig:
    if values["mode"] == "exact":
        return SimilarityConfig(mode="exact", block_tokens=values["block_tokens"])
    return SimilarityConfig(mode="sketch", sketch_size=values["sketch_size"], refine=values["refine"])
