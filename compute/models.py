"""Work that was asked for: the database is the only truth about it."""

from django.conf import settings
from django.db import models


class Job(models.Model):
    """One piece of computing that a person asked for; its shards do the work."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        STALLED = "stalled"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Queue(models.TextChoices):
        GPU = "gpu"
        CPU = "cpu"
        SITE = "site"  # what needs the web host's own files

    class Priority(models.IntegerChoices):
        LOW = 10, "low"
        NORMAL = 20, "normal"
        HIGH = 30, "high"
        INTERACTIVE = 40, "interactive"  # somebody sits and waits

    OPEN_STATES = (State.QUEUED, State.RUNNING, State.STALLED)

    queue = models.CharField(max_length=10, choices=Queue, default=Queue.CPU, db_default="cpu")
    priority = models.SmallIntegerField(choices=Priority, default=Priority.NORMAL, db_default=20)
    kind = models.CharField(max_length=20, default="qdg")
    name = models.CharField(max_length=80)
    config = models.JSONField()
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED, db_index=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    woken_at = models.DateTimeField(null=True, blank=True)  # when a wake-up was last sent
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    attempt = models.PositiveIntegerField(default=0)  # of the shard that was claimed last
    max_attempts = models.PositiveIntegerField(default=3)
    error = models.TextField(blank=True)
    workspace = models.CharField(max_length=500, blank=True)  # empty once its files were removed
    bundle_path = models.CharField(max_length=500, blank=True)
    bundle_sha256 = models.CharField(max_length=64, blank=True)
    is_private = models.BooleanField(default=False)
    result = models.JSONField(default=dict, blank=True)  # what a job of a registered kind found

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"job {self.pk}: {self.name} ({self.state})"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN_STATES


class Shard(models.Model):
    """A few minutes of a job; lease, heartbeat and fencing token live here, so workers can share a job."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="shards")
    ordinal = models.PositiveIntegerField()
    phase = models.CharField(max_length=20)
    phase_number = models.PositiveIntegerField()  # a shard may start when all of lower numbers have succeeded
    phase_ordinal = models.PositiveIntegerField()  # its place among the shards of its phase
    name = models.CharField(max_length=200)
    unit = models.CharField(max_length=20, default="items")
    n_done = models.BigIntegerField(default=0)
    n_total = models.BigIntegerField(default=0)  # a guess until the shard has reported
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    lease_token = models.CharField(max_length=36, blank=True)  # fencing: every write names it
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=120, blank=True)  # the process that holds it, or held it last
    service = models.CharField(max_length=120, blank=True, default="", db_default="")  # whose process that is
    attempt = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    samples = models.JSONField(default=list, blank=True)  # [[seconds since started_at, n_done], …], for the rate

    class Meta:
        ordering = ("job", "ordinal")
        constraints = [models.UniqueConstraint(fields=("job", "ordinal"), name="one_shard_per_ordinal")]
        indexes = [
            models.Index(fields=("state", "lease_expires_at"), name="shard_by_lease"),
            models.Index(fields=("job", "state", "phase_number", "ordinal"), name="shard_to_claim"),
        ]

    def __str__(self) -> str:
        return f"{self.phase} {self.name} of job {self.job_id} ({self.state})"


class LogLine(models.Model):
    """One line of a job's log; never corpus text."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log_lines")
    at = models.DateTimeField(auto_now_add=True)
    level = models.CharField(max_length=8, default="info")
    message = models.CharField(max_length=500)

    class Meta:
        ordering = ("job", "id")

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.message}"


class Worker(models.Model):
    """Something that claims shards, as it last reported: a runner, or a Celery worker with its children."""

    name = models.CharField(max_length=120, unique=True)  # `compute.jobs.identity` makes it
    kind = models.CharField(max_length=20)  # "local", "celery", or "sweeper", which only looks after others
    started_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField()
    host = models.CharField(max_length=80, blank=True, default="", db_default="")
    queues = models.CharField(max_length=60, blank=True, default="", db_default="")  # "cpu,site"
    version = models.CharField(max_length=40, blank=True, default="", db_default="")  # of this software
    device = models.CharField(max_length=20, blank=True, default="", db_default="")  # "cuda:1"
    device_name = models.CharField(max_length=120, blank=True, default="", db_default="")
    n_cores = models.PositiveIntegerField(default=0, db_default=0)
    memory_bytes = models.BigIntegerField(default=0, db_default=0)
    vram_bytes = models.BigIntegerField(null=True, blank=True)  # None without a GPU, or before it was first used
    vram_used_bytes = models.BigIntegerField(null=True, blank=True)
    n_claimed = models.PositiveIntegerField(default=0, db_default=0)  # shards, each time anew
    n_done = models.PositiveIntegerField(default=0, db_default=0)
    n_failed = models.PositiveIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return self.name


class Probe(models.Model):
    """A text that somebody asked about, and what was found; it goes with its job."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="probe")
    bundle_path = models.CharField(max_length=500)  # of the run that the text is compared with
    bundle_sha256 = models.CharField(max_length=64, db_index=True)
    text = models.TextField()
    chosen = models.JSONField(default=list)  # positions asked for, from 1; empty leaves the choice to the worker
    facts = models.JSONField(null=True)  # None until it is answered
    cosines = models.BinaryField(null=True)  # float16 (chosen tokens, clustered tokens)

    def __str__(self) -> str:
        return f"probe of job {self.job_id}"
