"""What people say of clusters and tokens, and every word of it that ever was."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.db import models
from django.urls import reverse

from clusters.models.runs import Cluster, Run

MAX_NAME = 200
MAX_TEXT = 10_000


class Tag(models.Model):
    """One word of the vocabulary that labels are tagged with."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=40)
    meaning = models.CharField(max_length=300, blank=True)
    ordinal = models.PositiveIntegerField(default=0)  # the first nine answer to the keys 1 to 9
    retired_at = models.DateTimeField(null=True, blank=True)  # kept on old labels, not offered any more

    class Meta:
        ordering = ("ordinal", "slug")

    def __str__(self) -> str:
        return self.name


class Label(models.Model):
    """What one person says of one cluster, what a language model suggests of it, or what has been agreed on.

    Writes go through `clusters.services.labels`: each names the version that it replaces, and adds a revision.
    """

    class Origin(models.TextChoices):
        PERSON = "person"  # at most one of each person for a cluster
        AGREED = "agreed"  # at most one for a cluster; adjudicators share it
        MACHINE = "machine"  # a language model's, until somebody takes it as theirs

    class State(models.TextChoices):
        DRAFT = "draft"  # its author's alone
        SUBMITTED = "submitted"

    class Kind(models.TextChoices):
        SKILL = "skill", "skill"
        WORD = "word", "one word"
        MIXTURE = "mixture", "not a coherent cluster"

    class Confidence(models.IntegerChoices):
        GUESS = 1, "a guess"
        LIKELY = 2, "likely"
        SURE = 3, "sure"

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="labels")
    origin = models.CharField(max_length=8, choices=Origin, default=Origin.PERSON)
    author = models.ForeignKey(  # of an agreed label: who wrote it last
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="labels"
    )
    author_name = models.CharField(max_length=150)  # stays when the account goes; a machine's: the model's name
    state = models.CharField(max_length=9, choices=State, default=State.DRAFT)
    name = models.CharField(max_length=MAX_NAME, blank=True)
    description = models.TextField(blank=True, validators=[MaxLengthValidator(MAX_TEXT)])  # the rule, in words
    kind = models.CharField(max_length=8, choices=Kind, blank=True)
    confidence = models.PositiveSmallIntegerField(choices=Confidence, null=True, blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="labels")
    misfits = models.JSONField(default=list, blank=True)  # flat indices of members that do not fit, ascending
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("cluster", "id")
        constraints = [
            models.UniqueConstraint(
                fields=("cluster", "author"), condition=models.Q(origin="person"), name="one_label_per_person"
            ),
            models.UniqueConstraint(fields=("cluster",), condition=models.Q(origin="agreed"), name="one_agreed_label"),
        ]
        permissions = [("adjudicate_label", "Can decide which label is agreed on")]

    def __str__(self) -> str:
        return self.name or f"label {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("clusters:label", args=[self.pk])

    @property
    def content(self) -> dict[str, Any]:
        """What is written in it, as revisions keep it."""
        return {
            "name": self.name,
            "description": self.description,
            "kind": self.kind,
            "confidence": self.confidence,
            "tags": sorted(tag.slug for tag in self.tags.all()),
            "misfits": self.misfits,
        }


class Revision(models.Model):
    """A text as it once was."""

    version = models.PositiveIntegerField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    author_name = models.CharField(max_length=150)
    at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=20)  # "draft", "submit", "revise", "withdraw", "restore", "accept", "import"
    content = models.JSONField()
    source = models.JSONField(default=dict, blank=True)  # of "restore", "accept", "import": where it came from

    class Meta:
        abstract = True
        ordering = ("-version",)

    def __str__(self) -> str:
        return f"version {self.version}, {self.action} by {self.author_name}"


class LabelRevision(Revision):
    label = models.ForeignKey(Label, on_delete=models.CASCADE, related_name="revisions")

    class Meta(Revision.Meta):
        abstract = False
        constraints = [models.UniqueConstraint(fields=("label", "version"), name="one_label_revision")]


class LabelSuggestion(models.Model):
    """That somebody took, or dismissed, another label as a suggestion for a cluster."""

    class Decision(models.TextChoices):
        ACCEPTED = "accepted"
        DISMISSED = "dismissed"

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="suggestions")
    source = models.ForeignKey(Label, on_delete=models.CASCADE, related_name="suggested")
    source_version = models.PositiveIntegerField()
    jaccard = models.FloatField(null=True)  # of the two clusters' tokens; null for a machine's label of this cluster
    n_shared = models.PositiveIntegerField(null=True)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    decision = models.CharField(max_length=9, choices=Decision)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("cluster", "source", "person"), name="one_decision_per_suggestion")
        ]

    def __str__(self) -> str:
        return f"{self.source} for {self.cluster}: {self.decision}"


class MachineAnswer(models.Model):
    """What a language model was asked about a cluster, its answer, and how well its rule foretold other members."""

    label = models.OneToOneField(Label, on_delete=models.CASCADE, related_name="machine_answer")
    job = models.ForeignKey("compute.Job", null=True, on_delete=models.SET_NULL, related_name="+")
    lm = models.CharField(max_length=200)  # the endpoint's own name for its model
    prompt = models.JSONField()  # messages
    answer = models.TextField()
    score = models.JSONField(default=dict, blank=True)  # {"n_right", "n_asked", "low", "high", "prompt", "answer", …}
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.lm} on {self.label.cluster}"


class TokenNote(models.Model):
    """What one person notes at a token. A bookmark is theirs alone; the text is seen by all who see the run."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="notes")
    flat_index = models.BigIntegerField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="notes")
    author_name = models.CharField(max_length=150)
    text = models.TextField(blank=True, validators=[MaxLengthValidator(MAX_TEXT)])
    is_bookmarked = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("run", "flat_index", "id")
        constraints = [
            models.UniqueConstraint(fields=("run", "flat_index", "author"), name="one_note_per_person_and_token")
        ]

    def __str__(self) -> str:
        return f"note on token {self.flat_index}"


class TokenNoteRevision(Revision):
    note = models.ForeignKey(TokenNote, on_delete=models.CASCADE, related_name="revisions")

    class Meta(Revision.Meta):
        abstract = False
        constraints = [models.UniqueConstraint(fields=("note", "version"), name="one_note_revision")]
