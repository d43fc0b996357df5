"""Experiments of the laboratory: start one, read what it found, delete it."""

from __future__ import annotations

from django.urls import path
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.idempotency import idempotent
from clusters.api.permissions import RUN
from clusters.api.resource import Page, Resource
from clusters.api.throttling import JobsPerPerson, PerKey
from clusters.models import Experiment
from clusters.queries.experiments import get_experiment, visible_experiments
from clusters.services import experiments as services
from clusters.views.labs import state_of
from compute.errors import ConfigError
from compute.labs import LABS

KINDS = Experiment.Kind.values


class ExperimentSerializer(serializers.Serializer):
    experiment = serializers.CharField(source="slug", read_only=True, help_text="Names it in every address.")
    name = serializers.CharField(read_only=True)
    kind = serializers.ChoiceField(KINDS, read_only=True)
    preset = serializers.CharField(read_only=True, help_text="Empty where the settings were given one by one.")
    state = serializers.SerializerMethodField(help_text="Of its job; empty where that was deleted before its end.")
    owner = serializers.CharField(source="owner.username", read_only=True, default=None)
    is_private = serializers.BooleanField(read_only=True)
    job = serializers.IntegerField(source="job_id", read_only=True, allow_null=True)
    bundle_sha256 = serializers.CharField(read_only=True, help_text="Empty until it is finished.")
    n_bytes = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    finished_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def get_state(self, one: Experiment) -> str:
        return state_of(one)


class ExperimentDetailSerializer(ExperimentSerializer):
    config = serializers.DictField(read_only=True, help_text="What was asked.")
    found = serializers.DictField(read_only=True, help_text="What was measured; arrays stand at the page's twins.")
    provenance = serializers.DictField(read_only=True)


class NewExperimentSerializer(serializers.Serializer):
    """A preset, or settings of one's own."""

    kind = serializers.ChoiceField(KINDS)
    preset = serializers.CharField(max_length=40, required=False)
    config = serializers.DictField(required=False, help_text="The lab's settings; `name` is taken from `name`.")
    name = serializers.CharField(max_length=services.MAX_NAME, required=False)
    is_private = serializers.BooleanField(required=False, default=False)


class ExperimentParameters(Page):
    kind = serializers.ChoiceField(KINDS, required=False)


class Experiments(Resource):
    """Experiments that you may see, newest first; POST starts one."""

    parameters = ExperimentParameters
    answers = ExperimentSerializer
    accepts = NewExperimentSerializer
    answers_to = {"POST": ExperimentDetailSerializer}
    is_list = True
    scope = RUN
    throttle_classes = [PerKey, JobsPerPerson]

    def get(self, request: Request) -> Response:
        kinds = [self.asked["kind"]] if "kind" in self.asked else []
        return self.paged(visible_experiments(request.user, kinds))

    @idempotent
    def post(self, request: Request) -> Response:
        """Start an experiment by a preset's name, or by settings; wrong ones are named in a sentence."""
        sent = self.sent()
        lab = LABS.get(sent["kind"])
        if lab is None:
            raise ValidationError({"kind": [f"choose among {', '.join(LABS)}"]})
        preset = lab.preset(sent["preset"]) if "preset" in sent else None
        if ("config" in sent) == ("preset" in sent) or ("preset" in sent and preset is None):
            keys = ", ".join(one.key for one in lab.presets)
            raise ValidationError({"preset": [f"give a preset ({keys}), or config, not both"]})
        try:
            config = preset.config if preset else lab.read({"name": "experiment", **sent["config"]})
        except ConfigError as error:
            raise ValidationError({"config": [str(error)]}) from error
        name = sent.get("name") or (preset.title if preset else lab.title)
        made = services.start_experiment(
            request.user, lab.kind, config, name=name, preset=sent.get("preset", ""), is_private=sent["is_private"]
        )
        headers = {"Location": request.build_absolute_uri(f"{request.path}{made.slug}/")}
        return self.one(get_experiment(request.user, made.slug), status=201, headers=headers)


class ExperimentDetail(Resource):
    """One experiment, with what it found."""

    answers = ExperimentDetailSerializer
    scope = RUN

    def get(self, request: Request, slug: str) -> Response:
        return self.one(get_experiment(request.user, slug))

    def delete(self, request: Request, slug: str) -> Response:
        """Delete it with its results; a job that is still at it is cancelled."""
        services.delete_experiment(request.user, get_experiment(request.user, slug))
        return Response(status=204)


urls = [
    path("experiments/", Experiments.as_view(), name="experiments"),
    path("experiments/<slug:slug>/", ExperimentDetail.as_view(), name="experiment"),
]
