"""The intruder test: can people tell a cluster from others?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from clusters.contexts import Context, Reader
from clusters.forms.quiz import ORDERS, QuizQuery, chosen_place, quiz_query
from clusters.models import Cluster, Clustering, QuizQuestion
from clusters.parameters import changed, context_view, reach_choices
from clusters.queries import clusters as clusters_reads
from clusters.queries import quiz as reads
from clusters.queries.access import User, may_adjudicate
from clusters.queries.labels import names_of
from clusters.queries.runs import default_affinity, default_k
from clusters.services import quiz as services
from clusters.values.quiz import BY_GUESSING, N_MEMBERS, Scored
from clusters.views.addresses import cluster_address, clusters_address
from clusters.views.twins import answer, links_context, page

HEAD = (
    "cluster", "rank", "size", "dominant_share", "n_right", "n_asked", "n_open", "n_people", "share", "low", "high",
)  # fmt: skip
BAR = 120  # units wide: the interval's drawing


@never_cache
def start(request: HttpRequest) -> HttpResponse:
    """What the test is, and the way to its next question; without a run, the runs to choose from."""
    asked = quiz_query(request.GET)
    if not asked.run:
        return render(request, "labeling/quiz_runs.html", {"runs": reads.runs_to_ask(request.user), "here": "labeling"})
    clustering, cluster, ks = _asked_about(request.user, asked)
    is_known = request.user.is_authenticated
    ctx = _about(clustering, cluster) | {
        "ks": ks.get(clustering.affinity, []), "affinities": list(ks),
        "why_not": services.why_not(clustering.run, clustering, cluster),
        "waiting": reads.open_question(request.user, clustering, cluster) if is_known else None,
        "own": reads.overall_score(clustering, request.user) if is_known else None,
        "n_askable": sum(N_MEMBERS <= size < clustering.run.n_tokens for size in clustering.sizes),
    }  # fmt: skip
    return render(request, "labeling/quiz.html", ctx)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Go to the question that waits, or to a new one."""
    asked = quiz_query(request.POST)
    if not request.user.is_authenticated:
        return redirect_to_login(_start_href(request.POST))
    clustering, cluster, _ = _asked_about(request.user, asked)
    try:
        question = services.ask(request.user, clustering, cluster)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect(_start_href(request.POST))
    only = QueryDict(mutable=True)
    if cluster is not None:
        only["cluster"] = str(cluster.label)
    return redirect(changed(reverse("clusters:quiz-question", args=[question.pk]), only))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest, number: int) -> HttpResponse:
    """One question: five contexts to choose from, or what the choice was worth."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    question = reads.own_question(request.user, number)
    if request.method == "POST":
        if not services.answer(request.user, question, chosen_place(request.POST)):
            messages.warning(request, "This question was answered before; that answer stays.")
        return redirect(request.get_full_path())
    clustering = question.cluster.clustering
    is_answered = question.chosen is not None
    only = request.GET.get("cluster") == str(question.cluster.label)
    ctx = _about(clustering, question.cluster if only else None) | {
        "question": question, "is_answered": is_answered, "view": context_view(request.GET),
        "reaches": reach_choices(context_view(request.GET).reach), "shown": _shown(request, question),
        "own": reads.overall_score(clustering, request.user),
    }  # fmt: skip
    if is_answered:
        ctx |= _feedback(request.user, question)
    return render(request, "labeling/quiz_question.html", ctx)


def results(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """How often the intruder was found: in every cluster, by every person, in all."""
    asked = quiz_query(request.GET)
    if not asked.run:
        return redirect("clusters:quiz")
    clustering, _, ks = _asked_about(request.user, asked)
    scores = reads.cluster_scores(clustering)
    if asked.sort == "found":
        scores.sort(key=lambda scored: (scored.score.share, -scored.score.n_asked, scored.thing.rank))
    overall = reads.overall_score(clustering)
    if twin:
        payload = {
            "run": clustering.run.slug, "k": clustering.k, "affinity": clustering.affinity, "guessing": BY_GUESSING,
            "overall": _numbers(overall) if overall else None,
            "people": [{"person": one.thing} | _numbers(one.score) for one in _people(request.user, clustering)],
            "clusters": [dict(zip(HEAD, _row(one), strict=True)) for one in scores],
        }  # fmt: skip
        name = f"{clustering.run.slug}-k{clustering.k}-{clustering.affinity}-intruders"
        return answer(twin, name=name, payload=payload, head=HEAD, rows=map(_row, scores))
    names = names_of(request.user, [one.thing.pk for one in scores])
    ctx = _about(clustering, None) | {
        "ks": ks.get(clustering.affinity, []), "affinities": list(ks), "asked": asked, "orders": ORDERS,
        "overall": overall, "title": _title(overall), "n_told": sum(one.score.is_told for one in scores),
        "rows": [_drawn(one) | {"name": names.get(one.thing.pk), "href": _address(one.thing, clustering)}
                 for one in scores],
        "people": [_drawn(one) for one in _people(request.user, clustering)],
        "sees_all": may_adjudicate(request.user),
    }  # fmt: skip
    return render(request, "labeling/quiz_results.html", ctx | links_context(request, "json", "csv"))


def _asked_about(user: User, asked: QuizQuery) -> tuple[Clustering, Cluster | None, dict[str, list[int]]]:
    run = clusters_reads.visible_run(user, asked.run)
    ks = clusters_reads.ladder(run)
    affinity = asked.affinity if asked.affinity in ks else default_affinity(run)
    clustering = clusters_reads.clustering_at(run, asked.k or str(default_k(run, affinity)), affinity, ks)
    clustering.run = run
    cluster = clusters_reads.cluster_at(clustering, asked.cluster) if asked.cluster else None
    return clustering, cluster, ks


def _about(clustering: Clustering, cluster: Cluster | None) -> dict[str, Any]:
    """What every page of the test names: where it is taken, and where its results are."""
    query = QueryDict(mutable=True)
    query.update({"run": clustering.run.slug, "k": str(clustering.k), "affinity": clustering.affinity})
    here = query.copy()
    if cluster is not None:
        here["cluster"] = str(cluster.label)
    return {
        "run": clustering.run, "clustering": clustering, "k": clustering.k, "only": cluster, "here": "quiz",
        "start_href": changed(reverse("clusters:quiz"), here),
        "results_href": changed(reverse("clusters:quiz-results"), query),
        "list_href": clusters_address(clustering.run.slug, clustering.k, clustering.affinity),
    }  # fmt: skip


def _shown(request: HttpRequest, question: QuizQuestion) -> list[dict[str, Any]]:
    """The five contexts; while the question is open their boxes lead nowhere, for those pages name the clusters."""
    run = question.cluster.clustering.run
    reader, view = Reader(run), context_view(request.GET)
    is_answered = question.chosen is not None
    contexts = [reader.context(place, view.n_tokens) for place in reader.places(question.tokens)]
    return [
        {
            "number": i + 1, "place": context.place, "context": context if is_answered else _without_links(context),
            "is_intruder": is_answered and i == question.intruder, "is_chosen": is_answered and i == question.chosen,
        }
        for i, context in enumerate(contexts)
    ]  # fmt: skip


def _without_links(context: Context) -> Context:
    return replace(context, boxes=[replace(box, index=None) for box in context.boxes])


def _feedback(user: User, question: QuizQuestion) -> dict[str, Any]:
    """Both clusters, with their names and addresses, and how the cluster stands."""
    clustering = question.cluster.clustering
    names = names_of(user, [question.cluster_id, question.other_id])
    return {
        "score": reads.intruder_score(question.cluster),
        "both": [
            {"role": role, "cluster": cluster, "name": names.get(cluster.pk), "href": _address(cluster, clustering)}
            for role, cluster in (("four are of", question.cluster), ("the intruder is of", question.other))
        ],
    }  # fmt: skip


def _title(overall: Any) -> str:
    if overall is None:
        return "Nobody has looked for intruders here yet"
    questions = "question" if overall.n_asked == 1 else "questions"
    return f"The intruder was found in {overall.n_right:,} of {overall.n_asked:,} {questions}: {overall.verdict}"


def _people(user: User, clustering: Clustering) -> list[Scored]:
    return reads.people_scores(user, clustering) if user.is_authenticated else []


def _drawn(one: Scored) -> dict[str, Any]:
    """A row of a table; lengths for its drawing."""
    low, high, share = (round(value * BAR, 1) for value in (one.score.low, one.score.high, one.score.share))
    return {"thing": one.thing, "score": one.score, "low_at": low, "high_at": high, "share_at": share}


def _numbers(score: Any) -> dict[str, Any]:
    return {
        "n_right": score.n_right, "n_asked": score.n_asked, "n_open": score.n_open, "n_people": score.n_people,
        "share": score.share, "low": score.low, "high": score.high,
    }  # fmt: skip


def _row(one: Scored) -> list[Any]:
    cluster = one.thing
    return [cluster.label, cluster.rank, cluster.size, cluster.dominant_share, *_numbers(one.score).values()]


def _address(cluster: Cluster, clustering: Clustering) -> str:
    return cluster_address(clustering.run.slug, clustering.k, cluster.label, clustering.affinity)


def _start_href(query: QueryDict) -> str:
    kept = QueryDict(mutable=True)
    kept.update({name: query.get(name, "") for name in ("run", "k", "affinity", "cluster") if query.get(name)})
    return changed(reverse("clusters:quiz"), kept)


quiz_urls: list[URLPattern] = [
    path("labeling/quiz/", start, name="quiz"),
    path("labeling/quiz/ask/", ask, name="quiz-ask"),
    *page("labeling/quiz/results", results, "quiz-results"),
    path("labeling/quiz/<int:number>/", show, name="quiz-question"),
]
