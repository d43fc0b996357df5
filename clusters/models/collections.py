"""What people gather: clusters, tokens and filters worth coming back to, and what is said of them."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.db import models
from django.urls import reverse

from clusters.models.labels import MAX_TEXT
from clusters.models.runs import Cluster, Run


class Collection(models.Model):
    """A list of clusters, tokens and filters; its address can be given to others."""

    class Access(models.TextChoices):
        PRIVATE = "private", "only me"
        LINK = "link", "whoever has the link"
        PUBLIC = "public", "everyone"

    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, validators=[MaxLengthValidator(MAX_TEXT)])
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="collections")
    access = models.CharField(max_length=8, choices=Access, default=Access.PRIVATE)
    secret = models.CharField(max_length=43, unique=True)  # names it in its address
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-updated_at", "-id")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("clusters:collection", args=[self.secret])


class CollectionItem(models.Model):
    """A cluster, a token of a run, or the address of a filter."""

    class Kind(models.TextChoices):
        CLUSTER = "cluster"
        TOKEN = "token"  # noqa: S105 (a word of a text)
        FILTER = "filter"

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="items")
    kind = models.CharField(max_length=7, choices=Kind)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    cluster = models.ForeignKey(Cluster, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    flat_index = models.BigIntegerField(null=True, blank=True)
    path = models.CharField(max_length=2000, blank=True)  # of a filter: a path of this site with its query
    note = models.CharField(max_length=500, blank=True)
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=("collection", "cluster"), name="one_item_per_cluster"),
            models.UniqueConstraint(fields=("collection", "run", "flat_index"), name="one_item_per_token"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.collection}"


class Comment(models.Model):
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    author_name = models.CharField(max_length=150)
    text = models.TextField(validators=[MaxLengthValidator(MAX_TEXT)])
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.author_name} on {self.collection}"
