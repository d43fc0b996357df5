"""The laboratory's rows: experiments, and exponents that people enter beside those of published studies."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse

PAGES = {"parity": "parity", "toy-qdg": "qdg-bias", "parity-qdg": "qdg-bias", "addition": "grokking"}  # by kind


class Experiment(models.Model):
    """One experiment of a lab, from its start on; what it found comes with its bundle."""

    class Kind(models.TextChoices):
        PARITY = "parity", "multitask sparse parity"
        TOY_QDG = "toy-qdg", "QDG on made-up gradients"
        PARITY_QDG = "parity-qdg", "QDG on sparse parity"
        ADDITION = "addition", "modular addition"

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=Kind)
    preset = models.CharField(max_length=40, blank=True)
    config = models.JSONField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="experiments"
    )
    is_private = models.BooleanField(default=False)
    job = models.OneToOneField(
        "compute.Job", null=True, blank=True, on_delete=models.SET_NULL, related_name="experiment"
    )
    found = models.JSONField(default=dict, blank=True)
    provenance = models.JSONField(default=dict, blank=True)  # run.json: times, host, versions
    bundle_path = models.CharField(max_length=500, blank=True)  # empty until it is finished
    bundle_sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    n_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse(f"clusters:{PAGES[self.kind]}-experiment", args=[self.slug])

    @property
    def is_finished(self) -> bool:
        return bool(self.bundle_sha256)


class Study(models.Model):
    """Exponents that a person entered, to see them beside others'."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="studies")
    name = models.CharField(max_length=200)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    domain = models.CharField(max_length=100, blank=True)
    alpha_n = models.FloatField(null=True, blank=True)  # of loss in parameters
    alpha_d = models.FloatField(null=True, blank=True)  # in data
    alpha_s = models.FloatField(null=True, blank=True)  # in training steps
    note = models.CharField(max_length=500, blank=True)
    link = models.URLField(max_length=300, blank=True)
    is_shared = models.BooleanField(default=False)  # whether everybody sees it
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "id")
        verbose_name_plural = "studies"

    def __str__(self) -> str:
        return self.name
