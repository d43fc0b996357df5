"""The finder: any prediction of the corpus, by the parameters that the finder's page has in its address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import numpy as np
from django.core.exceptions import BadRequest
from django.http import QueryDict
from django.urls import path, reverse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Number, Numbers, Whole
from clusters.api.resource import One, Page, Resource
from clusters.contexts import has_text
from clusters.forms.finder import BANDS, YES_NO, Asked, asked_of, cursor_text, parts
from clusters.models import Run
from clusters.queries.clusters import visible_run
from clusters.queries.finder import rows
from clusters.queries.finder.columns import Columns
from clusters.queries.finder.pages import page_of
from clusters.queries.finder.search import preset_counts, search
from clusters.queries.missing import Missing
from clusters.values.finding import MEASURES, ORDERS, SCORES, presets
from compute.numerics.curves import CLASS_NAMES

N_SIZES = 16  # sizes whose thresholds the schema names; a run with more has s17_min and so on, too
_THRESHOLD = re.compile(r"s[1-9][0-9]?_(min|max)")
N_FACTS = 9  # of a table's row, before the scores
NAMES = [score.name for score in SCORES.values()]


class FinderParameters(Page):
    """What the finder's page has in its address, and `limit`, `cursor`, `fields`."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return super().get_fields() | dict(_thresholds()) | _facets() | _view()

    def to_internal_value(self, data: Any) -> Any:
        data = data.copy()
        for name in list(data):
            is_of_larger_run = name not in self.fields and _THRESHOLD.fullmatch(name)  # `asked_of` says whether of this
            if is_of_larger_run or (name in self.fields and not any(data.getlist(name))):
                data.pop(name)  # forms send empty fields, too
        return super().to_internal_value(data)


def _thresholds() -> Iterator[tuple[str, serializers.Field]]:
    words = {key: f"{score.name}, {score.unit}".rstrip(", ") for key, score in MEASURES.items()}
    words |= {
        f"s{i}": f"loss at the run’s size {i}, counted from the smallest, in `unit`" for i in range(1, N_SIZES + 1)
    }
    for name, text in words.items():
        for end, word in (("min", "above"), ("max", "below")):
            yield f"{name}_{end}", Number(required=False, min_value=-1e9, max_value=1e9, help_text=f"{word}: {text}")


def _facets() -> dict[str, serializers.Field]:
    def several(child: serializers.Field, text: str) -> serializers.Field:
        return serializers.ListField(child=child, required=False, help_text=f"{text}; may be given several times")

    def choice(values: Any, text: str) -> serializers.Field:
        return serializers.ChoiceField(list(values), required=False, allow_blank=True, help_text=text)

    return {
        "class": several(serializers.ChoiceField(CLASS_NAMES, allow_blank=True), "class of the curve over sizes"),
        "kind": several(serializers.CharField(max_length=200, allow_blank=True), "kind of document"),
        "band": several(serializers.ChoiceField(BANDS, allow_blank=True), "lower edge of a band of loss, nats"),
        "induced": choice(YES_NO, "whether it could be copied from its context"),
        "clustered": choice(YES_NO, "whether its gradient was clustered"),
        "answer": serializers.CharField(
            required=False,
            allow_blank=True,
            trim_whitespace=False,
            max_length=200,
            help_text="text in the token itself",
        ),
        "whole": choice(["yes"], "“yes”: `answer` is the whole token, letter by letter"),
        "answer_id": Whole(required=False, min_value=0, max_value=10**18 - 1, help_text="token id"),
        "lasso": serializers.CharField(
            required=False, allow_blank=True, max_length=600, help_text="a polygon, as the page’s chart writes it"
        ),
    }


def _view() -> dict[str, serializers.Field]:
    return {
        "sort": serializers.ChoiceField(
            list(ORDERS), required=False, allow_blank=True, help_text="monogenic where the run has scores, else index"
        ),
        "unit": serializers.ChoiceField(
            ["nats", "bits"], required=False, allow_blank=True, help_text="of thresholds; answers are in nats"
        ),
        "plane": serializers.ChoiceField(
            ["mn", "lb"], required=False, allow_blank=True, help_text="of the page’s chart; changes nothing here"
        ),
        "token": serializers.CharField(
            required=False, allow_blank=True, max_length=30, help_text="selected on the page; changes nothing here"
        ),
        "after": serializers.CharField(
            required=False, allow_blank=True, max_length=200, help_text="the page’s own cursor"
        ),
    }  # fmt: skip


class NamedFields(serializers.Serializer):
    """Fields whose names are Python's words are written with `_` at the end and answered without."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return {name.rstrip("_"): field for name, field in super().get_fields().items()}


class ScoresSerializer(NamedFields):
    """How a token's loss falls over sizes; null where the run does not know it."""

    class_ = serializers.CharField(read_only=True, help_text=f"{', '.join(CLASS_NAMES)} or unknown")
    monogenicity = serializers.FloatField(read_only=True, allow_null=True, help_text="−1 a line … 1 one step")
    n_eff = serializers.FloatField(read_only=True, allow_null=True, help_text="effective number of steps")
    amplitude_bits = serializers.FloatField(read_only=True, allow_null=True)
    linearity = serializers.FloatField(read_only=True, allow_null=True)
    breakthroughness = serializers.FloatField(read_only=True, allow_null=True)
    slope = serializers.FloatField(read_only=True, allow_null=True, help_text="nats per unit of ln parameters")
    r_squared = serializers.FloatField(read_only=True, allow_null=True)


class FoundTokenSerializer(ScoresSerializer):
    index = serializers.IntegerField(read_only=True, help_text="Flat index: counts predictions over the corpus.")
    document = serializers.IntegerField(read_only=True)
    position = serializers.IntegerField(read_only=True, help_text="In the document, from 0; 0 is never predicted.")
    token_id = serializers.IntegerField(read_only=True)
    answer = serializers.CharField(read_only=True, help_text="The token’s own text, invisible characters drawn.")
    kind = serializers.CharField(read_only=True, help_text="Of the document.")
    is_induced = serializers.BooleanField(read_only=True)
    is_clustered = serializers.BooleanField(read_only=True)
    loss_nats = serializers.FloatField(read_only=True, allow_null=True, help_text="Under the clustered checkpoint.")
    losses_nats = Numbers(help_text="By size, smallest network first.")


class FoundTokensSerializer(serializers.Serializer):
    count = serializers.IntegerField(read_only=True, help_text="Of all predictions that satisfy the filter; exact.")
    results = FoundTokenSerializer(many=True, read_only=True)
    next = serializers.URLField(read_only=True, allow_null=True)


class Tokens(Resource):
    """Predictions that satisfy a filter, how many there are, and the first of them.

    The parameters are those of the finder's page: the query string of any of its addresses may be pasted here.
    """

    parameters = FinderParameters
    answers = FoundTokensSerializer
    tag = "tokens"

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        columns = columns_of(run)
        question = asked_of(self._query(), columns.offer)
        found = search(columns, question.criteria)
        order = ORDERS[question.sort]
        indices, after = page_of(columns, found, order, self.asked["limit"], question.after)
        following = self.address_with(cursor_text(after, question.sort)) if after else None
        results = FoundTokenSerializer(tokens_at(columns, np.array(indices, np.int64)), many=True).data
        body = {"count": found.count, "results": [self._sparse(one) for one in results], "next": following}
        return Response(body, headers={"Link": f'<{following}>; rel="next"'} if following else None)

    def _query(self) -> QueryDict:
        """The address as the page would have it: with its cursor under the page's name."""
        query = self.request.query_params.copy()
        if cursor := query.pop("cursor", [""])[0]:
            if query.get("after"):
                raise BadRequest("Both cursor and after are given; they mean the same: leave one out.")
            query["after"] = cursor
        return query


class TokenRuleSerializer(serializers.Serializer):
    rule = serializers.CharField(read_only=True)
    group = serializers.CharField(read_only=True, help_text="Whose rule it is.")
    text = serializers.CharField(read_only=True)
    meaning = serializers.CharField(read_only=True)
    count = serializers.IntegerField(read_only=True, help_text="Predictions of the run that satisfy it.")
    query = serializers.CharField(read_only=True, help_text="The rule as parameters of `tokens`.")
    tokens = serializers.URLField(read_only=True, help_text="Address of the predictions.")


class TokenRulesSerializer(serializers.Serializer):
    results = TokenRuleSerializer(many=True, read_only=True)


class TokenRules(Resource):
    """Rules with a name: our classes, the paper's monogenic and polygenic tokens, and what is never learned."""

    parameters = One
    answers = TokenRulesSerializer
    tag = "tokens"

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        columns = columns_of(run)
        rules = list(presets(columns.offer))
        where = request.build_absolute_uri(reverse("api:tokens", args=[slug]))
        results = []
        for rule, count in zip(rules, preset_counts(columns, rules), strict=True):
            asked = Asked(
                rule.criteria, rule.sort or columns.offer.orders[0], next(iter(columns.offer.planes), ""), "nats"
            )
            query = urlencode([(name, value) for name, value in parts(asked, columns.offer) if value])
            facts = {"rule": rule.key, "group": rule.group, "text": rule.text, "meaning": rule.meaning}
            results.append(facts | {"count": count, "query": query, "tokens": f"{where}?{query}"})
        return Response({"results": [self._sparse(dict(one)) for one in TokenRuleSerializer(results, many=True).data]})


def columns_of(run: Run) -> Columns:
    """What the finder tests; 404 where the run came without its text."""
    if not has_text(run):
        raise Missing(
            f"“{run.name}” came without its corpus",
            "Compute the run here, or import a bundle that holds the text, to look through its tokens.",
        )
    return Columns(run)


def tokens_at(columns: Columns, indices: np.ndarray) -> list[dict[str, Any]]:
    """What is known of some predictions, in the order of their indices given."""
    if not len(indices):
        return []
    table = rows.TableRows(columns)
    head = table.head
    known = [name for name in head[N_FACTS:] if name in NAMES]
    losses = rows.scores_of(columns, indices).get("loss")
    found = []
    for i, row in enumerate(table.of(indices)):
        facts: dict[str, Any] = dict.fromkeys(NAMES) | dict(zip(head[:N_FACTS], row[:N_FACTS], strict=True))
        facts |= dict(zip(known, row[N_FACTS : N_FACTS + len(known)], strict=True))
        facts["loss_nats"] = None if losses is None else float(losses[i])
        found.append(facts | {"losses_nats": row[N_FACTS + len(known) :]})
    return found


finder_urls = [
    path("runs/<slug:slug>/tokens/", Tokens.as_view(), name="tokens"),
    path("runs/<slug:slug>/tokens/rules/", TokenRules.as_view(), name="token-rules"),
]
