"""What leaves the site as a file, and requests that must not be done twice."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse

from clusters.models.runs import Run


class Export(models.Model):
    """A file that a worker writes; whoever has the signed link gets it until it expires."""

    class Kind(models.TextChoices):
        CLUSTERS = "clusters"
        MEMBERSHIPS = "memberships"
        CLUSTERED = "clustered", "clustered tokens"
        TOKENS = "tokens"
        LABELS = "labels"
        ARCHIVE = "archive", "the whole run"

    class Format(models.TextChoices):
        CSV = "csv"
        JSONL = "jsonl"
        PARQUET = "parquet"
        TAR = "tar"

    job = models.OneToOneField("compute.Job", on_delete=models.CASCADE, related_name="export")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="exports")
    kind = models.CharField(max_length=11, choices=Kind)
    format = models.CharField(max_length=8, choices=Format)
    query = models.CharField(max_length=2000, blank=True)  # the page's, where only a part is wanted
    path = models.CharField(max_length=500, blank=True)  # under the data folder, once it is whole
    sha256 = models.CharField(max_length=64, blank=True)
    n_rows = models.BigIntegerField(null=True, blank=True)
    n_bytes = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.kind}.{self.format} of {self.run}"


class Import(models.Model):
    """Something brought from elsewhere: a bundle, published clusters, or labels."""

    class Kind(models.TextChoices):
        BUNDLE = "bundle", "a bundle"
        PUBLISHED = "published", "published clusters"
        LABELS = "labels", "labels"

    kind = models.CharField(max_length=11, choices=Kind)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="imports")
    file_name = models.CharField(max_length=255)  # as its owner called it, or its path on the server
    key = models.CharField(max_length=32, unique=True)  # names the folder that holds what was sent
    asked = models.JSONField(default=dict)  # what stood in the form beside the file
    job = models.OneToOneField("compute.Job", null=True, on_delete=models.SET_NULL, related_name="import_of")
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="imports")
    result = models.JSONField(default=dict)  # what came of it: counts
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True)  # when labels were written, or the run was there

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} from {self.file_name}"

    def get_absolute_url(self) -> str:
        return reverse("clusters:import", args=[self.pk])


class IdempotentRequest(models.Model):
    """The answer to a request that named a key, so that asking again changes nothing."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)  # of method, path and body
    status = models.PositiveSmallIntegerField(null=True)  # null while it is being done
    body = models.JSONField(null=True)
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("user", "key"), name="one_idempotent_request")]

    def __str__(self) -> str:
        return f"{self.key} of {self.user}"
