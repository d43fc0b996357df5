"""Jobs: start a run, watch it, cancel it, go on with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.urls import path, reverse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.idempotency import idempotent
from clusters.api.job_settings import JobSettingsSerializer, run_form
from clusters.api.permissions import RUN
from clusters.api.resource import Page, Resource
from clusters.api.throttling import JobsPerPerson, PerKey
from clusters.queries.access import may_start_jobs, run_of, visible_jobs
from clusters.queries.jobs import crew
from clusters.queries.missing import Missing
from clusters.services import jobs as services
from clusters.views.job_story import waits_for_broker
from clusters.views.jobs import may_steer
from clusters.views.jobs_workers import payload
from clusters.views.shown_settings import shown_config, text_filter
from compute.jobs import queue
from compute.jobs.progress import progress_of
from compute.models import Job, Shard

LOG_LINES = 100
WAITS_FOR = ("worker", "broker")


class JobSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk", read_only=True)
    name = serializers.CharField(read_only=True)
    kind = serializers.CharField(read_only=True, help_text="“qdg” makes a run.")
    state = serializers.ChoiceField(Job.State.values, read_only=True)
    queue = serializers.ChoiceField(Job.Queue.values, read_only=True)
    priority = serializers.CharField(
        read_only=True, source="get_priority_display", help_text="low, normal or high; work that is short: interactive."
    )
    n_shards = serializers.IntegerField(read_only=True)
    n_shards_done = serializers.IntegerField(read_only=True)
    asked_by = serializers.SerializerMethodField()
    asked_at = serializers.DateTimeField(source="created_at", read_only=True)
    started_at = serializers.DateTimeField(read_only=True, allow_null=True)
    finished_at = serializers.DateTimeField(read_only=True, allow_null=True)
    is_private = serializers.BooleanField(read_only=True)
    error = serializers.SerializerMethodField(help_text="Why it failed; empty where it did not.")

    def get_asked_by(self, job: Job) -> str | None:
        return job.requested_by.get_username() if job.requested_by else None

    def get_error(self, job: Job) -> str:
        return text_filter(self.context["request"].user, job)(job.error)


class PhaseSerializer(serializers.Serializer):
    name = serializers.CharField(read_only=True)
    unit = serializers.CharField(read_only=True)
    n_done = serializers.IntegerField(read_only=True)
    n_total = serializers.IntegerField(read_only=True)
    is_guess = serializers.BooleanField(read_only=True, help_text="Whether the total is not known yet.")
    is_done = serializers.BooleanField(read_only=True)
    seconds = serializers.FloatField(read_only=True, help_text="In which at least one worker was at it.")


class LogLineSerializer(serializers.Serializer):
    at = serializers.DateTimeField(read_only=True)
    level = serializers.CharField(read_only=True)
    message = serializers.CharField(read_only=True)


class JobDetailSerializer(JobSerializer):
    run = serializers.CharField(read_only=True, allow_null=True, help_text="The run that it made, once it is there.")
    waits_for = serializers.ChoiceField(
        WAITS_FOR,
        read_only=True,
        allow_null=True,
        help_text="While it is queued: a worker, or the broker, where no worker could be told of it yet.",
    )
    attempt = serializers.IntegerField(read_only=True)
    max_attempts = serializers.IntegerField(read_only=True)
    phase = serializers.CharField(read_only=True, allow_null=True, help_text="The current one.")
    phases = PhaseSerializer(many=True, read_only=True)
    rate_per_second = serializers.FloatField(read_only=True, allow_null=True, help_text="Of the current phase.")
    recent_rate_per_second = serializers.FloatField(read_only=True, allow_null=True, help_text="Its last minute.")
    seconds_left = serializers.ListField(
        child=serializers.FloatField(), read_only=True, allow_null=True, help_text="Of the current phase: low, high."
    )
    heartbeat_age_seconds = serializers.FloatField(read_only=True, allow_null=True)
    bundle_sha256 = serializers.CharField(read_only=True)
    config = serializers.DictField(source="shown_config", read_only=True)
    log = LogLineSerializer(many=True, read_only=True, help_text="The last hundred lines, newest first.")


class JobParameters(Page):
    state = serializers.ChoiceField(Job.State.values, required=False)
    kind = serializers.CharField(required=False, max_length=20)


class Jobs(Resource):
    """Jobs that you may see, newest first; POST starts a run."""

    operation = "jobs"
    parameters = JobParameters
    answers = JobSerializer
    accepts = JobSettingsSerializer
    answers_to = {"POST": JobDetailSerializer}
    is_list = True
    scope = RUN
    statuses = {"POST": (201, 202)}
    throttle_classes = [PerKey, JobsPerPerson]

    def get(self, request: Request) -> Response:
        named = {name: self.asked[name] for name in ("state", "kind") if name in self.asked}
        jobs = visible_jobs(request.user).filter(**named).select_related("requested_by")
        counted = jobs.annotate(
            n_shards=Count("shards"), n_shards_done=Count("shards", filter=Q(shards__state=Shard.State.SUCCEEDED))
        )
        return self.paged(counted)

    @idempotent
    def post(self, request: Request) -> Response:
        """Start a run with the settings of the page “New run”; what is left out is as the page fills it in.

        202 instead of 201 where the job is written, but the broker cannot tell workers of it yet: they hear later.
        """
        if not may_start_jobs(request.user):
            raise PermissionDenied(services.NOT_RUNNER)
        sent = self.sent()
        priority = Job.Priority[sent.pop("priority", "normal").upper()]
        form = run_form(request.user, sent)
        values, corpus = form.cleaned_data, form.chosen_corpus
        is_private = values["is_private"] or (corpus is not None and corpus.is_private)
        job = services.start_run(request.user, values["config"], is_private=is_private, priority=priority)
        job.refresh_from_db()
        address = request.build_absolute_uri(reverse("api:job", args=[job.pk]))
        answered = JobDetailSerializer(_told(request, job), context=self.context())
        status = 202 if answered.data["waits_for"] == "broker" else 201
        return Response(answered.data, status=status, headers={"Location": address})


class JobDetail(Resource):
    """One job: its state, phases, rate, and how long the current phase will take."""

    answers = JobDetailSerializer

    def get(self, request: Request, pk: int) -> Response:
        return self.one(_told(request, _job(request, pk)))


class Steer(Resource):
    """What its owner and staff may ask of a job."""

    answers = JobDetailSerializer
    scope = RUN
    statuses = {"POST": (200,)}

    def steered(self, request: Request, pk: int, act: Callable[..., Job], what: str) -> Response:
        job = _job(request, pk)
        if not may_steer(request, job):
            who = job.requested_by.get_username() if job.requested_by else "an administrator"
            raise PermissionDenied(f"Only {who} or staff may {what} job {job.pk}.")
        return self.one(_told(request, act(job, request.user)))


class JobCancel(Steer):
    """Cancel a job: work under way ends at its next report, and what is done is kept."""

    operation = "job_cancel"

    def post(self, request: Request, pk: int) -> Response:
        return self.steered(request, pk, queue.cancel, "cancel")


class JobResume(Steer):
    """Queue a failed or cancelled job again; shards that are done stay done."""

    operation = "job_resume"

    def post(self, request: Request, pk: int) -> Response:
        return self.steered(request, pk, services.resume, "resume")


class PrioritySerializer(serializers.Serializer):
    priority = serializers.ChoiceField(["low", "normal", "high"])


class JobPrioritise(Steer):
    """Let an open job come sooner or later: who asked for it may lower it, administrators choose."""

    operation = "job_prioritise"
    accepts = PrioritySerializer

    def post(self, request: Request, pk: int) -> Response:
        asked = Job.Priority[self.sent()["priority"].upper()]
        return self.one(_told(request, services.prioritise(request.user, _job(request, pk), asked)))


class DoingSerializer(serializers.Serializer):
    job = serializers.IntegerField(read_only=True, allow_null=True, help_text="Null where it is somebody’s own.")
    phase = serializers.CharField(read_only=True, allow_null=True)
    shard = serializers.CharField(read_only=True, allow_null=True)
    attempt = serializers.IntegerField(read_only=True)
    n_done = serializers.IntegerField(read_only=True)
    n_total = serializers.IntegerField(read_only=True)
    unit = serializers.CharField(read_only=True)
    rate_per_second = serializers.FloatField(read_only=True, allow_null=True, help_text="Its last minute.")
    seconds = serializers.FloatField(read_only=True, help_text="Since it was claimed.")


class WorkerSerializer(serializers.Serializer):
    worker = serializers.CharField(read_only=True, help_text="Host and process.")
    kind = serializers.CharField(read_only=True, help_text="“sweeper” looks after lost work, and computes nothing.")
    host = serializers.CharField(read_only=True)
    queues = serializers.ListField(child=serializers.CharField(), read_only=True)
    state = serializers.ChoiceField(["busy", "idle", "silent"], read_only=True)
    device = serializers.CharField(read_only=True)
    device_name = serializers.CharField(read_only=True)
    cores = serializers.IntegerField(read_only=True)
    memory_bytes = serializers.IntegerField(read_only=True)
    vram_bytes = serializers.IntegerField(read_only=True, allow_null=True)
    vram_used_bytes = serializers.IntegerField(read_only=True, allow_null=True)
    version = serializers.CharField(read_only=True)
    is_old = serializers.BooleanField(read_only=True, help_text="Whether it runs other software than the site.")
    seconds_since_heard = serializers.FloatField(read_only=True)
    since = serializers.CharField(read_only=True)
    jobs = DoingSerializer(many=True, read_only=True, help_text="What it works on now.")
    claimed = serializers.IntegerField(read_only=True, help_text="Shards, each time anew.")
    done = serializers.IntegerField(read_only=True)
    failed = serializers.IntegerField(read_only=True, help_text="Or lost.")


class Workers(Resource):
    """Every worker that was heard of within a day, on one page."""

    operation = "workers"
    answers = WorkerSerializer
    is_list = True

    def get(self, request: Request) -> Response:
        return self.many([payload(one) for one in crew(request.user).workers], next_cursor=None)


def _job(request: Request, pk: int) -> Job:
    job = visible_jobs(request.user).select_related("requested_by").filter(pk=pk).first() if pk < 2**63 else None
    if job is None:
        raise Missing(f"There is no job {str(pk)[:20]}", "The list of jobs shows those that you can see.")
    return job


def _told(request: Request, job: Any) -> Job:
    """The job with everything that is told of it."""
    progress, clean, run = progress_of(job), text_filter(request.user, job), run_of(request.user, job)
    job.state = progress.state
    job.waits_for = ("broker" if waits_for_broker(job) else "worker") if job.state == Job.State.QUEUED else None
    job.n_shards, job.n_shards_done = len(progress.shards), progress.n_shards_done
    job.run, job.shown_config = run.slug if run else None, shown_config(request.user, job)
    job.attempt = progress.attempt
    job.phase = progress.current.name if progress.current else None
    job.phases, job.seconds_left = progress.phases, progress.seconds_left
    job.rate_per_second, job.recent_rate_per_second = progress.rate, progress.recent_rate
    job.heartbeat_age_seconds = progress.heartbeat_age
    job.log = [
        {"at": line.at, "level": line.level, "message": clean(line.message)}
        for line in job.log_lines.order_by("-pk")[:LOG_LINES]
    ]
    told: Job = job
    return told


urls = [
    path("jobs/", Jobs.as_view(), name="jobs"),
    path("jobs/<int:pk>/", JobDetail.as_view(), name="job"),
    path("jobs/<int:pk>/cancel/", JobCancel.as_view(), name="job-cancel"),
    path("jobs/<int:pk>/resume/", JobResume.as_view(), name="job-resume"),
    path("jobs/<int:pk>/prioritise/", JobPrioritise.as_view(), name="job-prioritise"),
    path("workers/", Workers.as_view(), name="workers"),
]
