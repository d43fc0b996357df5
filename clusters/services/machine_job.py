"""Labels that a language model suggests: people ask, a worker writes them, and they are nobody's but the machine's."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from django.conf import settings
from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone

from clusters.contexts import Reader, has_text
from clusters.display import display_text, token_label
from clusters.models import Cluster, Clustering, Label, LabelRevision, MachineAnswer, Run, Tag
from clusters.queries.access import User, may_adjudicate, may_label
from clusters.queries.clusters import flat_indices, labels_of
from clusters.services.audit import record
from clusters.services.locks import lock_person
from clusters.services.machine_prompt import AnswerError, Messages, Named, fitting, naming, read_fits, read_name
from clusters.stored.arrays import corpus_of, vocabulary_of
from compute.errors import ComputeError
from compute.jobs import kinds, log, quotas
from compute.models import Job
from compute.numerics.proportions import wilson

KIND = "suggest"
MOST_SHOWN, MOST_HELD_OUT = 20, 8  # contexts of a cluster: that the rule is made of, and that test it
N_BEFORE = 60  # tokens before each answer
MOST_CLUSTERS, MOST_OPEN = 200, 3  # of one job; jobs of one person at a time
Ask = Callable[[Messages], str]
OFF = "No language model is set up here: an administrator can set QW_SUGGEST_URL and QW_SUGGEST_MODEL."


class NotAllowedError(ComputeError):
    """The text of the run may not be sent any more."""


def endpoint() -> str:
    """The host that corpus text would be sent to; empty where suggestions are off."""
    return urlsplit(settings.SUGGEST_URL).netloc.rpartition("@")[2] if settings.SUGGEST_URL else ""


def why_not(user: User, run: Run) -> str:
    """Why this person cannot ask about the run; empty where they can."""
    if not endpoint():
        return OFF
    if not may_label(user):
        return "Only labelers may ask the language model; ask an administrator for the role."
    if run.is_private and run.owner_id != user.pk:
        return f"This run is private: only its owner can send its text to {endpoint()}."
    return "" if has_text(run) else "This run came without its corpus: there is no text to ask about."


def start(user: User, clustering: Clustering, clusters: Sequence[Cluster]) -> Job:
    """Queue a question about one cluster; about several of a clustering, for adjudicators."""
    if reason := why_not(user, clustering.run):
        raise ValidationError(reason) if reason == OFF else PermissionDenied(reason)
    if len(clusters) > 1 and not may_adjudicate(user):
        raise PermissionDenied("Only adjudicators may ask about several clusters at once.")
    if not 1 <= len(clusters) <= MOST_CLUSTERS:
        raise ValidationError(f"Ask about 1 to {MOST_CLUSTERS} clusters at a time; these are {len(clusters)}.")
    if not isinstance(user, Person):
        raise PermissionDenied("Sign in to ask the language model.")
    run = clustering.run
    labels = [cluster.label for cluster in clusters]
    config = {
        "run": run.slug, "affinity": clustering.affinity, "k": clustering.k, "clusters": labels,
        "model": settings.SUGGEST_MODEL, "endpoint": endpoint(),
    }  # fmt: skip
    with transaction.atomic():
        quotas.check_hour(lock_person(user))
        if Job.objects.filter(kind=KIND, requested_by=user, state__in=Job.OPEN_STATES).count() >= MOST_OPEN:
            raise ValidationError(f"{MOST_OPEN} questions of yours wait for an answer. Ask again when one has it.")
        job = kinds.enqueue(
            KIND, name=f"labels for {run.slug}, k = {clustering.k}", config=config, requested_by=user,
            is_private=run.is_private, unit="clusters",
            prepare=lambda job: Job.objects.filter(pk=job.pk).update(bundle_sha256=run.bundle_sha256),  # as private
            asked=f"{len(labels)} label{'' if len(labels) == 1 else 's'} of {settings.SUGGEST_MODEL} at {endpoint()}",
        )  # fmt: skip
        record(user, "suggestion.ask", f"{run.slug} {clustering.affinity} k={clustering.k}", job=job.pk,
               endpoint=endpoint(), n_clusters=len(labels))  # fmt: skip
    return job


def work(job: Job, report: Callable[[int, int], None]) -> None:
    """Ask about each cluster that has no answer of this job yet; doing it twice asks nothing twice."""
    from clusters.services.machine_chat import chat  # its client is installed where workers are

    clustering = _clustering(job)
    labels, failed = job.config["clusters"], {}
    for i, label in enumerate(labels):
        tick = partial(report, i, len(labels))
        tick()
        _may_be_sent(job, Run.objects.get(pk=clustering.run_id))
        if MachineAnswer.objects.filter(job=job, label__cluster__label=label).exists():
            continue
        ask: Ask = partial(chat, url=settings.SUGGEST_URL, lm=settings.SUGGEST_MODEL, key=settings.SUGGEST_KEY,
                           tick=tick, sleep=time.sleep)  # fmt: skip
        try:
            _name(job, clustering, clustering.clusters.get(label=label), ask)
        except AnswerError as error:
            failed[str(label)] = str(error)
            log.warn(job.pk, f"cluster {label}: {error}")
    Job.objects.filter(pk=job.pk).update(result={"n_labels": len(labels) - len(failed), "failed": failed})
    if len(failed) == len(labels):
        raise AnswerError(f"No usable answer came: {next(iter(failed.values()))}")
    report(len(labels), len(labels))


@dataclass(frozen=True)
class Contexts:
    """Flat indices of tokens: those that the rule is made of, and those that test it, with which of them belong."""

    shown: list[int]
    asked: list[int]
    belongs: list[bool]
    seed: int


def chosen_contexts(clustering: Clustering, cluster: Cluster) -> Contexts:
    """Members of unlike contexts; a third of them, at most eight, held out and mixed with as many other tokens."""
    run = clustering.run
    flat, labels = flat_indices(run), np.asarray(labels_of(run, clustering.affinity, clustering.k))
    said = repr((run.bundle_sha256, clustering.affinity, clustering.k, cluster.label))
    seed = int.from_bytes(hashlib.sha256(said.encode()).digest()[:4], "big")
    rng = np.random.default_rng(seed)
    members = rng.permutation(flat[labels == cluster.label])[: 40 * MOST_SHOWN]
    unlike = [group[0] for group in Reader(run).fold(members.tolist())]
    others = flat[labels != cluster.label]
    n = min(MOST_HELD_OUT, len(unlike) // 3, len(others))
    strangers = rng.choice(others, n, replace=False).tolist() if n else []
    mixed = [(token, True) for token in unlike[:n]] + [(token, False) for token in strangers]
    order = rng.permutation(len(mixed)).tolist()
    asked, belongs = [int(mixed[i][0]) for i in order], [mixed[i][1] for i in order]
    return Contexts(unlike[n : n + MOST_SHOWN], asked, belongs, seed)


def _name(job: Job, clustering: Clustering, cluster: Cluster, ask: Ask) -> None:
    """Ask for a rule, then how well it foretells; keep both with the label."""
    tags = list(Tag.objects.filter(retired_at=None).values_list("slug", flat=True))
    contexts, fence = chosen_contexts(clustering, cluster), secrets.token_hex(8)
    prompt = naming(_texts(clustering.run, contexts.shown), tags, fence)
    answer = ask(prompt)
    named = read_name(answer, tags)
    score = _scored(clustering.run, contexts, named, fence, ask) if contexts.asked else {}
    with transaction.atomic():
        _write(job, cluster, named, prompt, answer, score)


def _scored(run: Run, contexts: Contexts, named: Named, fence: str, ask: Ask) -> dict[str, Any]:
    prompt = fitting(named, _texts(run, contexts.asked), fence)
    answer = ask(prompt)
    kept = {"prompt": prompt, "answer": answer, "tokens": contexts.asked, "belongs": contexts.belongs,
            "seed": contexts.seed}  # fmt: skip
    try:
        fits = read_fits(answer, len(contexts.asked))
    except AnswerError as error:
        return kept | {"error": str(error)}
    n_right = sum((i in fits) == belongs for i, belongs in enumerate(contexts.belongs))
    low, high = wilson(n_right, len(contexts.belongs))
    return kept | {"n_right": n_right, "n_asked": len(contexts.belongs), "low": low, "high": high}


def _write(
    job: Job, cluster: Cluster, named: Named, prompt: Messages, answer: str, score: dict[str, Any]
) -> None:  # fmt: skip
    now, lm = timezone.now(), str(job.config["model"])
    label = Label.objects.create(
        cluster=cluster, origin=Label.Origin.MACHINE, author_name=lm[:150], state=Label.State.SUBMITTED,
        name=named.name, description=named.description, updated_at=now, submitted_at=now,
    )  # fmt: skip
    label.tags.set(Tag.objects.filter(slug__in=named.tags))
    source = {"job": job.pk, "endpoint": job.config["endpoint"]}
    LabelRevision.objects.create(
        label=label, version=1, author_name=lm[:150], action="suggest", content=label.content, source=source
    )
    MachineAnswer.objects.create(label=label, job=job, lm=lm[:200], prompt=prompt, answer=answer, score=score)
    where = cluster.clustering
    record(job.requested_by, "label.suggest", f"{where.run.slug} {where.affinity} k={where.k} cluster {cluster.label}",
           label=label.pk, job=job.pk)  # fmt: skip


def _texts(run: Run, tokens: Sequence[int]) -> list[tuple[str, str]]:
    """The text before each token, and the token, as they are displayed."""
    corpus, vocabulary = corpus_of(run), vocabulary_of(run)
    documents, positions = corpus.locate(np.asarray(tokens, np.int64))
    found = []
    for document, position in zip(documents.tolist(), positions.tolist(), strict=True):
        start = int(corpus.offsets[document])
        before = corpus.token_ids[start + max(position - N_BEFORE, 0) : start + position]
        text = display_text(vocabulary, before.tolist(), limit=4000)
        found.append((text, token_label(vocabulary, int(corpus.token_ids[start + position]))))
    return found


def _clustering(job: Job) -> Clustering:
    found = Clustering.objects.select_related("run").filter(
        run__slug=job.config["run"], affinity=job.config["affinity"], k=job.config["k"]
    )
    clustering = found.first()
    if clustering is None:
        raise NotAllowedError("The run that was asked about is not there any more.")
    return clustering


def _may_be_sent(job: Job, run: Run) -> None:
    """What was allowed when the question was asked has to be so when the text is sent."""
    if not settings.SUGGEST_URL:
        raise NotAllowedError(f"{OFF} On this worker it is not set.")
    if endpoint() != job.config["endpoint"] or job.config["model"] != settings.SUGGEST_MODEL:
        raise NotAllowedError(
            f"The question was asked of {job.config['model']} at {job.config['endpoint']}, which is not what this "
            "worker is set up for any more. Ask again."
        )
    if run.is_private and (job.requested_by_id is None or run.owner_id != job.requested_by_id):
        raise NotAllowedError("The run was made private meanwhile: only its owner can send its text elsewhere.")


kinds.register(KIND, work)
