"""What people fill in to start a run: each bad value gets its sentence beside its field."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from compute.config import AFFINITIES, ClusteringConfig, RunConfig, SelectionConfig
from compute.errors import ConfigError
from compute.suites import changed, demo_config

MAX_TOKENS = 20_000
MAX_KS = 60
MAX_MEMBERSHIPS = 600_000  # the paper's run; the rows are written in one transaction, which takes under a minute
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_AFFINITY_TEXTS = {
    "signed": "signed: opposite gradients lie far apart",
    "absolute": "absolute: opposite counts as alike",
}


class RunForm(forms.Form):
    """Settings of a run on the demo suite; the defaults are the demo run's own."""

    name = forms.CharField(label="Name", max_length=80, help_text="Letters, digits, dots, dashes; it names the bundle.")
    clustered = forms.ChoiceField(label="Clustered network", help_text="Its gradients are compared.")
    n_tokens = forms.IntegerField(label="Tokens", help_text="Computing grows with it, comparing with its square.")
    threshold_nats = forms.FloatField(label="Loss below, nats", help_text="Only tokens predicted this surely.")
    ks = forms.CharField(label="Numbers of clusters k", help_text="Whole numbers, with commas between them.")
    affinities = forms.MultipleChoiceField(
        label="Affinity", choices=[(name, _AFFINITY_TEXTS[name]) for name in AFFINITIES],
        widget=forms.CheckboxSelectMultiple, error_messages={"required": "Choose at least one affinity."},
    )  # fmt: skip
    seed = forms.IntegerField(label="Seed", help_text="The same seed gives the same clusters.")
    n_init = forms.IntegerField(label="Starts of k-means", help_text="The best of so many is kept.")
    is_private = forms.BooleanField(label="Only I may see this job and its run", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.base = demo_config()
        super().__init__(*args, **kwargs)
        self.fields["clustered"].choices = _choices(self.base)  # type: ignore[attr-defined]
        if not self.is_bound:
            self.initial = {**_defaults(self.base), **self.initial}
        for name, field in self.fields.items():
            if isinstance(field.widget, forms.NumberInput):
                field.widget.attrs["step"] = "any" if name == "threshold_nats" else "1"
            field.widget.attrs["aria-describedby"] = f"{name}-help"

    @staticmethod
    def initial_of(config: dict[str, Any]) -> dict[str, Any]:
        """What another job asked for, to be changed and asked for again."""
        selection, clustering = config.get("selection", {}), config.get("clustering", {})
        values = {
            "name": config.get("name"),
            "clustered": config.get("clustered"),
            "n_tokens": selection.get("n_tokens"),
            "threshold_nats": selection.get("threshold_nats"),
            "ks": ", ".join(map(str, clustering.get("ks", ()))),
            "affinities": clustering.get("affinities"),
            "seed": clustering.get("seed"),
            "n_init": clustering.get("n_init"),
        }
        return {name: value for name, value in values.items() if value is not None}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not _NAME.fullmatch(name):
            raise forms.ValidationError(
                "Use letters, digits, dots, dashes and underscores; begin with a letter or digit."
            )
        return name

    def clean_n_tokens(self) -> int:
        return _between(self.cleaned_data["n_tokens"], 2, MAX_TOKENS, "tokens")

    def clean_seed(self) -> int:
        return _between(self.cleaned_data["seed"], 0, 2**32 - 1, "")

    def clean_n_init(self) -> int:
        return _between(self.cleaned_data["n_init"], 1, 1000, "starts")

    def clean_threshold_nats(self) -> float:
        value: float = self.cleaned_data["threshold_nats"]
        if not 0 < value < 100:
            raise forms.ValidationError("The loss must lie between 0 and 100 nats; the paper uses 0.1.")
        return value

    def clean_ks(self) -> tuple[int, ...]:
        parts = [part.strip() for part in self.cleaned_data["ks"].split(",") if part.strip()]
        bad = next((part for part in parts if not (part.isascii() and part.isdecimal() and len(part) < 7)), None)
        if bad is not None:
            raise forms.ValidationError(f"“{bad[:20]}” is no whole number. Write them like 10, 20, 50.")
        ks = tuple(sorted({int(part) for part in parts}))
        if not ks or ks[0] < 2:
            raise forms.ValidationError("Every k must be at least 2; write them like 10, 20, 50.")
        if len(ks) > MAX_KS:
            raise forms.ValidationError(f"These are {len(ks)} numbers; at most {MAX_KS} are clustered in one run.")
        return ks

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        ks, n_tokens = values.get("ks"), values.get("n_tokens")
        if ks and n_tokens and ks[-1] > n_tokens:
            self.add_error("ks", f"The largest k is {ks[-1]}, but only {n_tokens} tokens are clustered. Lower it.")
        n_rows = (n_tokens or 0) * len(ks or ()) * len(values.get("affinities") or ())
        if n_rows > MAX_MEMBERSHIPS:
            text = f"{n_rows:,} rows would be written (tokens × ks × affinities); at most {MAX_MEMBERSHIPS:,} are."
            self.add_error("n_tokens", f"{text} Ask for fewer tokens or fewer ks.")
        if not self.errors:
            try:
                values["config"] = self._config(values)
            except ConfigError as error:
                self.add_error(None, str(error))
        return values

    def _config(self, values: dict[str, Any]) -> RunConfig:
        names = ("name", "clustered", "n_tokens", "threshold_nats", "ks", "seed", "n_init")
        changes = {name: values[name] for name in names}
        return changed(self.base, **changes, affinities=tuple(a for a in AFFINITIES if a in values["affinities"]))


def _between(value: int, least: int, most: int, unit: str) -> int:
    if not least <= value <= most:
        raise forms.ValidationError(f"This must lie between {least:,} and {most:,}{' ' + unit if unit else ''}.")
    return value


def _choices(base: RunConfig) -> list[tuple[str, list[tuple[str, str]]]]:
    """Checkpoints by network, the last training step first."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for checkpoint in base.suite.checkpoints:
        step = "" if checkpoint.step is None else f", step {checkpoint.step:,}"
        groups.setdefault(checkpoint.lm, []).insert(0, (checkpoint.key, f"{checkpoint.lm}{step}"))
    return list(groups.items())


def _defaults(base: RunConfig) -> dict[str, Any]:
    selection: SelectionConfig = base.selection
    clustering: ClusteringConfig = base.clustering
    return {
        "name": f"{base.name}-2",
        "clustered": base.clustered,
        "n_tokens": selection.n_tokens,
        "threshold_nats": selection.threshold_nats,
        "ks": ", ".join(map(str, clustering.ks)),
        "affinities": list(clustering.affinities),
        "seed": clustering.seed,
        "n_init": clustering.n_init,
    }
