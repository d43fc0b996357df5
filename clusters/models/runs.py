"""What people browse: rows made from a bundle, and the text that runs may read."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse

from clusters.fields import ManifestField


class Affinity(models.TextChoices):
    SIGNED = "signed"
    ABSOLUTE = "absolute"


class Corpus(models.Model):
    """The text that was predicted, named by the hash of its token ids."""

    sha256 = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    n_documents = models.BigIntegerField()
    n_tokens = models.BigIntegerField()
    n_predictions = models.BigIntegerField()
    max_length = models.IntegerField()
    tokenizer_sha256 = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.name


class Checkpoint(models.Model):
    """Weights of one network at one training step."""

    suite = models.CharField(max_length=80)
    lm = models.CharField(max_length=80)
    revision = models.CharField(max_length=80)
    step = models.BigIntegerField(null=True, blank=True)
    weights_sha256 = models.CharField(max_length=64)
    n_non_embedding = models.BigIntegerField()
    n_parameters = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("suite", "lm", "revision", "weights_sha256"), name="one_checkpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.lm}/{self.revision}"


class Run(models.Model):
    """One application of QDG; its identity is the bundle's hash."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    bundle_sha256 = models.CharField(max_length=64, unique=True)
    bundle_path = models.CharField(max_length=500)
    n_bytes = models.BigIntegerField(default=0)
    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="runs")
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="runs")
    job = models.ForeignKey("compute.Job", null=True, blank=True, on_delete=models.SET_NULL, related_name="runs")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    n_tokens = models.IntegerField()  # clustered tokens
    manifest = ManifestField()  # as in the bundle, without "arrays"
    provenance = models.JSONField(default=dict)  # run.json: times, host, versions
    score_density = models.JSONField(
        default=dict
    )  # {"counts": [[…]], "monogenicity": range, "n_eff": range, "classes"}
    is_private = models.BooleanField(default=False)
    readers = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="shared_runs"
    )  # of a private run
    archived_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)  # when every file's hash was last found right
    damage = models.TextField(blank=True)  # what was found wrong with the bundle instead, in a sentence
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("clusters:run", args=[self.slug])

    @property
    def is_verifying(self) -> bool:
        return self.verified_at is None and not self.damage


class RunCheckpoint(models.Model):
    """What a run measured of one checkpoint."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="run_checkpoints")
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT)
    ordinal = models.IntegerField()  # the manifest's order: by size, then step
    is_final = models.BooleanField()
    mean_loss_nats = models.FloatField()
    fraction_below = models.FloatField()  # share of predictions under the run's threshold
    column = models.CharField(max_length=200)

    class Meta:
        ordering = ("run", "ordinal")
        constraints = [models.UniqueConstraint(fields=("run", "ordinal"), name="one_run_checkpoint")]

    def __str__(self) -> str:
        return self.column


class Clustering(models.Model):
    """One run at one k and one affinity."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="clusterings")
    affinity = models.CharField(max_length=10, choices=Affinity)
    k = models.IntegerField()
    sizes = models.JSONField()  # by rank, largest first
    n_singletons = models.IntegerField()

    class Meta:
        ordering = ("run", "affinity", "k")
        constraints = [models.UniqueConstraint(fields=("run", "affinity", "k"), name="one_clustering")]

    def __str__(self) -> str:
        return f"{self.run} k={self.k} {self.affinity}"


class Cluster(models.Model):
    """A candidate quantum. Identity: (run, affinity, k, label); rank is only its place by size."""

    clustering = models.ForeignKey(Clustering, on_delete=models.CASCADE, related_name="clusters")
    label = models.IntegerField()
    rank = models.IntegerField()  # from 1; ties by first appearance
    size = models.IntegerField()
    n_documents = models.IntegerField(null=True)  # this and the shares are null where the run came without its text
    top_answers = models.JSONField()  # [[text, count], …] at most 10
    n_answers = models.IntegerField()
    top_last = models.JSONField()  # the last context token, likewise
    dominant_share = models.FloatField(null=True)  # share of the commonest answer
    similarity_within = models.FloatField(null=True)  # mean cosine over pairs; null for one token
    similarity_across = models.FloatField(null=True)  # mean cosine to all other clustered tokens
    mean_curve = models.JSONField()  # mean loss in nats over the run's sizes, ascending
    mean_monogenicity = models.FloatField(null=True)
    # where the mean loss falls below EMERGENCE_NATS for good: the size of network, and the training step of the
    # clustered one; null where it never does, lies below from the start, or was not measured at two scales
    emergence_parameters = models.FloatField(null=True)
    emergence_step = models.FloatField(null=True)
    nearest = models.JSONField(default=list)  # [[label, cosine of the two centroids], …] at most 5

    class Meta:
        ordering = ("clustering", "rank")
        constraints = [
            models.UniqueConstraint(fields=("clustering", "label"), name="one_cluster_per_label"),
            models.UniqueConstraint(fields=("clustering", "rank"), name="one_cluster_per_rank"),
        ]

    def __str__(self) -> str:
        return f"cluster {self.label}"


class Token(models.Model):
    """A clustered token. All others are read from the bundle's arrays by flat index."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tokens")
    row = models.IntegerField()  # row of the similarity matrix
    flat_index = models.BigIntegerField()
    document = models.IntegerField()  # this, position and answer_id are -1 where the run came without its text
    position = models.IntegerField()  # of the predicted token in its document
    answer_id = models.IntegerField()
    answer = models.CharField(max_length=200)  # display text of the token standing alone, as in `top_answers`
    context = models.TextField()  # display text of up to 200 tokens before it, for search; newlines are ⏎
    loss_nats = models.FloatField(null=True)  # where nobody has measured it
    monogenicity = models.FloatField(null=True)
    n_eff = models.FloatField(null=True)
    curve_class = models.CharField(max_length=10, blank=True)  # empty where the run has too few sizes for a score

    class Meta:
        ordering = ("run", "row")
        constraints = [
            models.UniqueConstraint(fields=("run", "row"), name="one_token_per_row"),
            models.UniqueConstraint(fields=("run", "flat_index"), name="one_token_per_flat_index"),
        ]

    def __str__(self) -> str:
        return self.answer


class Membership(models.Model):
    """A token in a cluster: one row for every token, k and affinity."""

    cluster = models.ForeignKey(
        Cluster, on_delete=models.CASCADE, related_name="memberships", db_index=False
    )  # the constraint's index begins with it
    token = models.ForeignKey(Token, on_delete=models.CASCADE, related_name="memberships")

    class Meta:
        constraints = [models.UniqueConstraint(fields=("cluster", "token"), name="one_membership")]

    def __str__(self) -> str:
        return f"token {self.token_id} in cluster {self.cluster_id}"


class RegisteredCorpus(models.Model):
    """Text that runs may read, as somebody entered it: a file sent here, a data set of the Hub, a path on the server.

    What a finished run read is a `Corpus`; this is where its text came from.
    """

    class Kind(models.TextChoices):
        UPLOAD = "upload", "uploaded file"
        HUB = "hub", "data set of the Hub"
        PATH = "path", "path on the server"

    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind)
    source = models.CharField(max_length=1000)  # as `compute.config.CorpusConfig` has it
    file_name = models.CharField(max_length=255, blank=True)  # of an upload, as its owner called it
    text_field = models.CharField(max_length=80, default="text")
    split = models.CharField(max_length=80, default="train")
    subset = models.CharField(max_length=80, blank=True)
    n_documents = models.BigIntegerField(null=True, blank=True)
    n_bytes = models.BigIntegerField(null=True, blank=True)  # decoded; null where nobody has counted them
    sha256 = models.CharField(max_length=64, blank=True)  # over the texts of an upload, as runs state it
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="corpora"
    )
    is_private = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("clusters:corpus", args=[self.pk])
