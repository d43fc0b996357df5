"""The settings of a run, as scripts send them: the fields of the page “New run”, lists as lists."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from clusters.api.fields import Number, Whole
from clusters.forms.run import MAX_KS, MAX_LENGTH, MAX_TOKENS, RunForm
from clusters.forms.suites import RUN_FORMS
from clusters.queries.access import User
from clusters.queries.corpora import visible_corpora
from compute.config import AFFINITIES, EFFORTS, GRADIENT_SCOPES, PRECISIONS, VECTORS

LINES = ("repositories", "folders")  # texts of one entry a line


class JobSettingsSerializer(serializers.Serializer):
    """Only `name` must be given; everything else is at first as the page “New run” fills it in for that suite."""

    suite = serializers.ChoiceField(list(RUN_FORMS), required=False, help_text="Which kind of suite; else the demo’s.")
    name = serializers.CharField(max_length=80, help_text="Letters, digits, dots, dashes; it names the bundle.")
    is_private = serializers.BooleanField(required=False, help_text="Only you see the job and its run.")
    priority = serializers.ChoiceField(
        ["low", "normal", "high"], required=False, help_text="Of open runs, which go first; high is administrators’."
    )
    corpus = serializers.CharField(
        required=False, max_length=20, help_text="“demo”, or the number of a registered corpus, as in its address."
    )
    max_documents = Whole(required=False, allow_null=True, min_value=1, max_value=10**9)
    max_length = Whole(required=False, min_value=2, max_value=MAX_LENGTH)
    n_tokens = Whole(required=False, min_value=2, max_value=MAX_TOKENS)
    threshold_nats = Number(required=False, help_text="Only tokens with a loss below it.")
    stride = Whole(required=False, allow_null=True, min_value=1, max_value=10**6)
    exclude_induced = serializers.BooleanField(required=False)
    vectors = serializers.ChoiceField(VECTORS, required=False)
    gradient_scope = serializers.ChoiceField(GRADIENT_SCOPES, required=False)
    mode = serializers.ChoiceField(["auto", "exact", "sketch"], required=False)
    auto_hours = Number(required=False, min_value=0.01, max_value=10_000)
    sketch_size = Whole(required=False, min_value=16, max_value=2**24)
    refine = Whole(required=False, min_value=0, max_value=1000)
    block_tokens = Whole(required=False, allow_null=True, min_value=1, max_value=MAX_TOKENS)
    ks = serializers.ListField(
        child=Whole(min_value=2, max_value=MAX_TOKENS), required=False, min_length=1,
        max_length=MAX_KS, help_text="Numbers of clusters.",
    )  # fmt: skip
    affinities = serializers.ListField(
        child=serializers.ChoiceField(AFFINITIES), required=False, min_length=1, max_length=2
    )
    effort = serializers.ChoiceField(EFFORTS, required=False)
    seed = Whole(required=False, min_value=0, max_value=2**32 - 1)
    n_init = Whole(required=False, min_value=1, max_value=1000)
    n_curves = Whole(required=False, allow_null=True, min_value=0, max_value=10**6)
    precision = serializers.ChoiceField(PRECISIONS, required=False)
    documents_per_shard = Whole(required=False, allow_null=True, min_value=1, max_value=10**9)
    clustered = serializers.CharField(
        required=False, max_length=400, help_text="The clustered network: a size of a known suite, or lm/revision."
    )
    clustered_step = serializers.CharField(
        required=False, max_length=20, help_text="Of a known suite: a step, or “final”."
    )
    sizes = serializers.ListField(
        child=serializers.CharField(max_length=20), required=False, max_length=50, help_text="Of a known suite."
    )
    steps = serializers.ChoiceField(["final", "all", "some"], required=False, help_text="Of a known suite.")
    some_steps = serializers.CharField(
        required=False, max_length=4000, help_text="Where steps is “some”: 512, 1000, or 1000..143000:10."
    )
    repositories = serializers.ListField(
        child=serializers.CharField(max_length=400), required=False, max_length=2000,
        help_text="Of the Hub: id or id@revision.",
    )  # fmt: skip
    folders = serializers.ListField(
        child=serializers.CharField(max_length=2000), required=False, max_length=2000,
        help_text="On the server: NAME=PATH or NAME/REVISION=PATH.",
    )  # fmt: skip
    tokenizer = serializers.CharField(required=False, max_length=2000)

    def get_fields(self) -> dict[str, serializers.Field]:
        """What says nothing of its own meaning says what the page does."""
        fields = super().get_fields()
        for name in set(fields) & set(RunForm.base_fields):
            shown = RunForm.base_fields[name]
            fields[name].help_text = fields[name].help_text or ". ".join(
                filter(None, (str(shown.label), str(shown.help_text)))
            )
        return fields


def run_form(user: User, sent: dict[str, Any]) -> RunForm:
    """The page's form, filled in and found right; 400 by field where it is not."""
    cls = RUN_FORMS[sent.pop("suite", "demo")]
    corpora = list(visible_corpora(user))
    usual = cls(corpora=corpora).initial
    if strange := sorted(set(sent) - set(cls.base_fields)):
        allowed = ", ".join(cls.suite_fields)
        raise serializers.ValidationError(dict.fromkeys(strange, f"Not of this suite, whose own are {allowed}."))
    form = cls({**usual, **{name: _as_typed(name, value) for name, value in sent.items()}}, corpora=corpora)
    if not form.is_valid():
        problems = {("non_field_errors" if name == "__all__" else name): list(e) for name, e in form.errors.items()}
        raise serializers.ValidationError(problems)
    return form


def _as_typed(name: str, value: Any) -> Any:
    """The value as the form's field reads it."""
    if name == "ks":
        return ", ".join(map(str, value))
    return "\n".join(value) if name in LINES else value
