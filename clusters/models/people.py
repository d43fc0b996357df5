"""Who comes here, what they are told, and what they did."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from knox.models import AbstractAuthToken


class SignInLink(models.Model):
    """Lets one person in once, without a password; only the hash of the secret in the address is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_in_links")
    token_sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"sign-in link of {self.user} until {self.expires_at:%Y-%m-%d %H:%M}"


class Profile(models.Model):
    """How one person likes the site; made when first changed."""

    class Unit(models.TextChoices):
        NATS = "nats"
        BITS = "bits"

    class Theme(models.TextChoices):
        AUTO = "auto"
        LIGHT = "light"
        DARK = "dark"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile")
    unit = models.CharField(max_length=4, choices=Unit, default=Unit.NATS)
    theme = models.CharField(max_length=5, choices=Theme, default=Theme.AUTO)
    keys = models.JSONField(default=dict, blank=True)  # {action: key}, where it is not the usual one
    is_mailed = models.BooleanField(default=False)  # notices come by e-mail too

    def __str__(self) -> str:
        return f"profile of {self.user}"


class Invitation(models.Model):
    """Lets one person make an account; only the hash of the secret in the address is kept."""

    token_sha256 = models.CharField(max_length=64, unique=True)
    email = models.EmailField(blank=True)
    roles = models.JSONField(default=list, blank=True)  # names of groups that the account gets
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    used_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return f"invitation of {self.created_at:%Y-%m-%d}"


class AuditEvent(models.Model):
    """What somebody did, written in the transaction that did it; never changed."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150, blank=True)  # stays when the account goes
    action = models.CharField(max_length=60, db_index=True)  # "label.submit", "run.delete", "role.grant"
    target = models.CharField(max_length=300, blank=True)  # in words and numbers: "demo signed k=400 cluster 94"
    detail = models.JSONField(default=dict, blank=True)  # never corpus text, passwords or keys

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.target}"


class Notice(models.Model):
    """What one person is told: that a job of theirs has ended, say."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notices")
    at = models.DateTimeField(auto_now_add=True)
    text = models.CharField(max_length=500)
    href = models.CharField(max_length=300, blank=True)  # a path of this site
    key = models.CharField(max_length=100, blank=True)  # what happened, so that it is told once
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=("user", "key"), condition=~models.Q(key=""), name="one_notice_per_key")
        ]

    def __str__(self) -> str:
        return self.text


class ApiKey(AbstractAuthToken):
    """A personal token `qw_…` for scripts; only its digest is kept. `token_key`, its beginning, names it to people."""

    class Scope(models.TextChoices):
        READ = "read"
        LABEL = "label"
        RUN = "run"
        ADMIN = "admin"

    name = models.CharField(max_length=80)
    scopes = models.JSONField(default=list)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created",)

    def __str__(self) -> str:
        return f"{self.token_key}… of {self.user}"
