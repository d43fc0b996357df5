"""Bringing bundles, published clusters and labels."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.urls import path, reverse
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.errors import PreconditionFailed, Unprocessable
from clusters.api.idempotency import idempotent
from clusters.api.permissions import LABEL, RUN, Scoped
from clusters.api.resource import Page, Resource, read_cursor, write_cursor
from clusters.forms.imports import MAX_NAME
from clusters.forms.paths import allowed_path
from clusters.models import ApiKey, Import, Run
from clusters.queries.access import visible_runs
from clusters.queries.imports import problem_of, state_of, visible_imports
from clusters.services import imports as services
from clusters.services.import_labels import ACTIONS, Plan, PlanChangedError, Step, Wanted, apply_plan, plan_of
from clusters.uploads import may_bring, refusal_of
from compute.errors import ComputeError

FILES = {Import.Kind.BUNDLE: ("file",), Import.Kind.PUBLISHED: ("labels", "contexts"), Import.Kind.LABELS: ("file",)}
SWITCHES = ("as_agreed", "make_tags", "only_new")


class NewImportSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=Import.Kind.values)
    file = serializers.FileField(
        required=False, help_text="Of a bundle, .tar, .tar.zst or .zip; of labels, CSV or JSONL."
    )
    path = serializers.CharField(required=False, max_length=1000, help_text="Instead: a bundle on the server.")
    labels = serializers.FileField(required=False, help_text='Published: {"400": [labels, labels_abs], …}.')
    contexts = serializers.FileField(
        required=False, help_text='Published: {"12345": {"context": [tokens], "answer": token}, …}.'
    )
    name = serializers.CharField(required=False, max_length=MAX_NAME, help_text="Of the run.")
    is_private = serializers.BooleanField(required=False, default=False)
    run = serializers.CharField(required=False, max_length=100, help_text="Of labels whose rows name no run.")
    author = serializers.CharField(required=False, max_length=200, help_text="Of labels: only this one's rows.")
    as_agreed = serializers.BooleanField(required=False, default=False)
    make_tags = serializers.BooleanField(required=False, default=False)
    only_new = serializers.BooleanField(required=False, default=False)
    dry_run = serializers.BooleanField(required=False, default=True, help_text="Of labels: false writes them at once.")

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({name: data[name] for name in data})  # what is absent is no "no"

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind = attrs["kind"]
        allowed = {"kind", *FILES[kind], *_FIELDS[kind]}
        if strange := sorted(set(self.initial_data) - allowed):
            raise serializers.ValidationError({strange[0]: f"An import of kind {kind} has no such field."})
        if kind == Import.Kind.BUNDLE and ("file" in attrs) == ("path" in attrs):
            raise serializers.ValidationError({"file": "Send a file or name a path: one of the two."})
        if kind != Import.Kind.BUNDLE and FILES[kind][0] not in attrs:
            raise serializers.ValidationError({FILES[kind][0]: "Send a file."})
        return attrs


_FIELDS = {
    Import.Kind.BUNDLE: ("path", "name", "is_private"),
    Import.Kind.PUBLISHED: ("name", "is_private"),
    Import.Kind.LABELS: ("run", "author", *SWITCHES, "dry_run"),
}


class CountsSerializer(serializers.Serializer):
    new = serializers.IntegerField()
    changed = serializers.IntegerField()
    same = serializers.IntegerField()
    refused = serializers.IntegerField()


class PlanSerializer(serializers.Serializer):
    counts = CountsSerializer()
    fingerprint = serializers.CharField(help_text="Names all that would be written; send it to apply the plan.")
    unknown_tags = serializers.ListField(child=serializers.CharField())
    authors = serializers.ListField(child=serializers.CharField(), help_text="Whose rows the file holds.")


class ImportSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk", read_only=True)
    kind = serializers.ChoiceField(choices=Import.Kind.values, read_only=True)
    file_name = serializers.CharField(read_only=True)
    state = serializers.SerializerMethodField()
    problem = serializers.SerializerMethodField(help_text="Why it was refused; else empty.")
    run = serializers.SerializerMethodField(help_text="What it became, where you may see that.")
    job = serializers.IntegerField(source="job_id", read_only=True, allow_null=True)
    counts = serializers.SerializerMethodField(help_text="Of labels that are written.")
    created_at = serializers.DateTimeField(read_only=True)
    done_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def get_state(self, one: Import) -> str:
        return state_of(one)

    def get_problem(self, one: Import) -> str:
        return problem_of(one)

    def get_run(self, one: Import) -> str | None:
        return one.run.slug if one.run and _is_visible(self.context["request"], one.run) else None

    def get_counts(self, one: Import) -> dict[str, int] | None:
        is_written = one.kind == Import.Kind.LABELS and one.done_at
        return {action: one.result[action] for action in ACTIONS} if is_written else None


class ImportDetailSerializer(ImportSerializer):
    plan = serializers.SerializerMethodField(help_text="Of labels that wait: what they would change.")

    def get_plan(self, one: Import) -> dict[str, Any] | None:
        if one.kind != Import.Kind.LABELS or one.done_at:
            return None
        try:
            return dict(PlanSerializer(plan_of(self.context["request"].user, one, Wanted.of(one))).data)
        except ValidationError:
            return None  # the file was removed, a week after it came


class StepSerializer(serializers.Serializer):
    line = serializers.IntegerField()
    action = serializers.ChoiceField(choices=ACTIONS)
    reason = serializers.CharField(help_text="Why it is refused; else empty.")
    run = serializers.CharField(source="cluster.clustering.run.slug", allow_null=True, default=None)
    affinity = serializers.CharField(source="cluster.clustering.affinity", allow_null=True, default=None)
    k = serializers.IntegerField(source="cluster.clustering.k", allow_null=True, default=None)
    cluster = serializers.IntegerField(source="cluster.label", allow_null=True, default=None)
    version = serializers.IntegerField(help_text="That it would replace; 0 where there is none.")
    differences = serializers.SerializerMethodField(help_text="By field: what it says, and what it would say.")

    def get_differences(self, step: Step) -> dict[str, list[str]]:
        return {one.name: [one.was, one.becomes] for one in step.differences}


class ApplySerializer(serializers.Serializer):
    fingerprint = serializers.CharField(max_length=64)


class MayBring(Scoped):
    """Labels need a key's scope “label”, the others “run”; which, the body says."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Asked before a byte of the body is read."""
        if request.method == "POST" and request.user.is_authenticated and not may_bring(request):
            self.message = "Sending files needs the runner role; labels, the labeler role."
            return False
        if request.method == "POST" and isinstance(request.auth, ApiKey):
            self.message = "This key has neither the “run” nor the “label” scope."
            return bool({RUN, LABEL} & set(request.auth.scopes))
        return super().has_permission(request, view)


class Imports(Resource):
    """What you brought, the latest first. A POST sends multipart/form-data; labels need the scope “label” instead.

    A bundle and published clusters are read in by a job. Labels are looked at: the answer's plan says what they would
    change, and they are written when its fingerprint is sent to apply/, or at once with dry_run=false.
    """

    parameters = Page
    answers = ImportSerializer
    answers_to = {"POST": ImportDetailSerializer}
    accepts = NewImportSerializer
    parser_classes = [MultiPartParser]
    permission_classes = [MayBring]
    is_list = True
    is_personal = True
    scope = RUN

    def get(self, request: Request) -> Response:
        return self.paged(visible_imports(request.user))

    @idempotent
    def post(self, request: Request) -> Response:
        sent = self.sent_here(request)
        try:
            one = _started(request, sent)
        except ComputeError as error:
            raise Unprocessable(str(error)) from None
        place = request.build_absolute_uri(reverse("api:import", args=[one.pk]))
        answer = ImportDetailSerializer(one, context=self.context()).data
        return Response(answer, status=201, headers={"Location": place})

    def sent_here(self, request: Request) -> dict[str, Any]:
        data = request.data
        if refusal := refusal_of(request._request):
            raise serializers.ValidationError({"file": refusal})
        sent = self.sent()
        needed = LABEL if data["kind"] == Import.Kind.LABELS else RUN
        if isinstance(request.auth, ApiKey) and needed not in request.auth.scopes:
            raise PermissionDenied(f"This key has no “{needed}” scope; it has {', '.join(request.auth.scopes)}.")
        return sent


class ImportDetail(Resource):
    """One import: how far it is, what it became, or why it was refused."""

    answers = ImportDetailSerializer
    is_personal = True
    scope = LABEL

    def get(self, request: Request, pk: int) -> Response:
        return self.one(_own(request, pk))

    def delete(self, request: Request, pk: int) -> Response:
        """Forget a file of labels that waits: none of them is written."""
        services.delete_dry_run(request.user, _own(request, pk))
        return Response(status=204)


class StepParameters(Page):
    action = serializers.ChoiceField(choices=ACTIONS, required=False)


class ImportSteps(Resource):
    """What every row of labels that wait would change, in the file's order."""

    parameters = StepParameters
    answers = StepSerializer
    is_list = True
    is_personal = True

    def get(self, request: Request, pk: int) -> Response:
        one = _own(request, pk)
        if one.kind != Import.Kind.LABELS or one.done_at:
            raise NotFound("This import has no dry run: it is no file of labels, or they are written.")
        plan = plan_of(request.user, one, Wanted.of(one))
        steps = plan.of(self.asked["action"]) if "action" in self.asked else plan.steps
        after = read_cursor(self.asked.get("cursor"), int)
        first, limit = max(after[0], 0) if after else 0, self.asked["limit"]
        following = write_cursor([first + limit]) if len(steps) > first + limit else None
        return self.many(steps[first : first + limit], next_cursor=following)


class ImportApply(Resource):
    """Write the labels as the plan with this fingerprint says; 412 with the plan of now where it has changed."""

    answers = ImportDetailSerializer
    accepts = ApplySerializer
    is_personal = True
    scope = LABEL
    operation = "import_apply"
    statuses = {"POST": (200,)}

    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        one = _own(request, pk)
        if one.kind != Import.Kind.LABELS:
            raise NotFound("This import is no file of labels.")
        wanted = Wanted.of(one)
        try:
            apply_plan(request.user, one, wanted, self.sent()["fingerprint"])
        except PlanChangedError as error:
            raise PreconditionFailed(str(error), _said(plan_of(request.user, one, wanted))) from None
        return self.one(one)


def _started(request: Request, sent: dict[str, Any]) -> Import:
    kind = sent["kind"]
    common = {"name": sent.get("name", ""), "is_private": sent["is_private"]}
    if kind == Import.Kind.BUNDLE:
        place = allowed_path(sent["path"]) if "path" in sent else None
        return services.start_bundle(request.user, file=sent.get("file"), path=place, **common)
    if kind == Import.Kind.PUBLISHED:
        common["name"] = common["name"] or "published"
        return services.start_published(
            request.user, labels=sent["labels"], contexts=sent.get("contexts"), **common
        )  # fmt: skip
    asked = {"run": sent.get("run", ""), "author": sent.get("author", "")} | {name: sent[name] for name in SWITCHES}
    one, _ = services.start_labels(request.user, file=sent["file"], asked=asked)
    if not sent["dry_run"]:
        wanted = Wanted.of(one)
        apply_plan(request.user, one, wanted, plan_of(request.user, one, wanted).fingerprint)
    return one


def _said(plan: Plan) -> dict[str, Any]:
    return dict(PlanSerializer(plan).data)


def _is_visible(request: Request, run: Run) -> bool:
    return not run.is_private or visible_runs(request.user).filter(pk=run.pk).exists()


def _own(request: Request, pk: int) -> Import:
    one = visible_imports(request.user).filter(pk=pk).first() if pk < 2**63 else None
    if one is None:
        raise NotFound(f"There is no import {str(pk)[:20]}, or it is someone else’s.")
    return one


urls = [
    path("imports/", Imports.as_view(), name="imports"),
    path("imports/<int:pk>/", ImportDetail.as_view(), name="import"),
    path("imports/<int:pk>/steps/", ImportSteps.as_view(), name="import-steps"),
    path("imports/<int:pk>/apply/", ImportApply.as_view(), name="import-apply"),
]
