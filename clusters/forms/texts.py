"""The text of a run: the demo's own, or one of the corpora that the person may see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django import forms

from clusters.forms.paths import allowed_path
from clusters.models import RegisteredCorpus
from compute.config import CorpusConfig

DEMO = "demo"
_DEMO_TEXT = "the demo’s own: held-out documents of installed packages"


def corpus_choices(corpora: Sequence[RegisteredCorpus], initial: object) -> list[tuple[str, str]]:
    """Every text that can be chosen; an empty first choice where what was chosen before is not among them."""
    choices = [(DEMO, _DEMO_TEXT), *((str(corpus.pk), _label(corpus)) for corpus in corpora)]
    return choices if initial in dict(choices) else [("", "choose a text"), *choices]


def corpus_config(choice: str, corpora: Sequence[RegisteredCorpus]) -> CorpusConfig:
    chosen = next((corpus for corpus in corpora if str(corpus.pk) == choice), None)
    return CorpusConfig(**_facts(chosen)) if chosen else CorpusConfig(source=DEMO)


def require_text(choice: str, corpora: Sequence[RegisteredCorpus]) -> None:
    """Refuse a corpus of this server that has gone since, or that lies where nobody may read any more.

    What is wrong is not said closer: the person may not know where the text of others lies.
    """
    chosen = next((corpus for corpus in corpora if str(corpus.pk) == choice), None)
    if chosen is None or chosen.kind == RegisteredCorpus.Kind.HUB:
        return
    try:
        is_there = Path(chosen.source).exists()
        if chosen.kind == RegisteredCorpus.Kind.PATH:
            allowed_path(chosen.source)
    except (forms.ValidationError, OSError):
        is_there = False
    if not is_there:
        raise forms.ValidationError(f"The text of “{chosen.name}” is not there any more, or no longer allowed.")


def registered(config: CorpusConfig, corpora: Sequence[RegisteredCorpus]) -> str:
    """The choice that these settings came from; empty where it is not among them."""
    if config.source == DEMO:
        return DEMO
    for corpus in corpora:
        if all(getattr(config, name) == value for name, value in _facts(corpus).items()):
            return str(corpus.pk)
    return ""


def _facts(corpus: RegisteredCorpus) -> dict[str, Any]:
    return {
        "source": corpus.source,
        "text_field": corpus.text_field,
        "split": corpus.split,
        "subset": corpus.subset or None,
    }


def _label(corpus: RegisteredCorpus) -> str:
    counted = "" if corpus.n_documents is None else f", {corpus.n_documents:,} documents"
    return f"{corpus.name}{counted}{' (private)' if corpus.is_private else ''}"
