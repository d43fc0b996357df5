"""What the job page shows of its settings, and to whom it shows where files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from clusters.models import Run
from clusters.views.shown_settings import asked
from compute.config import CorpusConfig, RunConfig, SelectionConfig, SimilarityConfig
from compute.jobs import log
from compute.models import Job, Shard
from compute.registry import suite_config
from compute.suites import changed, demo_config, folder_suite
from tests.factories import make_run
from tests.jobs.states import job_in

pytestmark = pytest.mark.django_db
SECRET = "/srv/secret"


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def job(ana: User) -> Job:
    """A failed job on folders of ana's own."""
    suite = folder_suite([f"mine/step1={SECRET}/models/one"], tokenizer=f"{SECRET}/tok/tokenizer.json")
    corpus = CorpusConfig(source=f"{SECRET}/texts/pile.jsonl.zst")
    config = RunConfig(name="own", suite=suite, clustered="mine/step1", corpus=corpus)
    job = job_in("failed", ana)
    Job.objects.filter(pk=job.pk).update(
        config=config.to_json(), error=f"{SECRET}/models/one/model.safetensors is damaged. Copy it again."
    )
    log.warn(job.pk, f"Line 3 of {SECRET}/texts/pile.jsonl.zst is not JSON")
    return job


def pages(user: User | None, job: Job) -> str:
    client = Client()
    if user is not None:
        client.force_login(user)
    paths = (f"/jobs/{job.pk}/", f"/jobs/{job.pk}/?log=all", f"/jobs/{job.pk}.json", "/jobs/", "/jobs.json")
    return "".join(client.get(path).getvalue().decode() for path in paths)


def test_others_see_no_folder_of_an_own_model_s_run(job: Job) -> None:
    for user in (None, User.objects.create_user("ben")):
        shown = pages(user, job)
        assert SECRET not in shown
        assert "…/one/model.safetensors is damaged" in shown
        assert "Line 3 of …/pile.jsonl.zst" in shown
        assert '"path":"…/one"' in shown


def test_owner_and_staff_see_them(job: Job, ana: User) -> None:
    for user in (ana, User.objects.create_user("eve", is_staff=True)):
        shown = pages(user, job)
        assert f'"path":"{SECRET}/models/one"' in shown
        assert f"{SECRET}/models/one/model.safetensors is damaged" in shown


def test_others_see_no_folder_of_the_site_s_own_data(ana: User, settings: Any) -> None:
    job = job_in("failed", ana)
    Job.objects.filter(pk=job.pk).update(error=f"{settings.DATA_DIR}/bundles is full.")
    assert str(settings.DATA_DIR) not in pages(None, job)


def test_addresses_on_the_hub_are_no_secret(ana: User) -> None:
    config = RunConfig(
        name="hub", suite=suite_config("pythia", sizes=["70m"]), clustered="pythia-70m/step143000",
        corpus=CorpusConfig(source="hub:a/pile@main"),
    )  # fmt: skip
    job = job_in("queued", ana)
    Job.objects.filter(pk=job.pk).update(config=config.to_json())
    shown = pages(None, job)
    assert "hub:EleutherAI/pythia-70m@step143000" in shown
    assert "a/pile@main" in shown


@pytest.fixture
def run(tmp_path: Path, ana: User) -> Run:
    refs = [{"lm": "syn-800k", "revision": "step1000", "path": f"{SECRET}/one"}]
    suite = {"name": "own", "checkpoints": refs, "tokenizer": f"{SECRET}/t.json"}
    config = {"suite": suite, "corpus": {"source": f"{SECRET}/x.jsonl"}, "selection": {}, "clustering": {}}
    return make_run(tmp_path, owner=ana, name="own", manifest={"config": config})


def test_the_manifest_of_a_run_hides_them_too(run: Run, ana: User) -> None:
    def shown(user: User | None) -> str:
        client = Client()
        if user:
            client.force_login(user)
        return client.get("/runs/own.json").content.decode()

    eve = User.objects.create_user("eve", is_staff=True)
    assert [SECRET in shown(user) for user in (None, ana, eve)] == [False, True, True]


def test_a_card_names_text_comparison_and_effort() -> None:
    config = changed(
        demo_config(n_tokens=400, stride=50, effort="fast"),
        corpus=CorpusConfig(source="hub:a/pile@v1", max_documents=20_000, max_length=1024),
        similarity=SimilarityConfig(mode="sketch", sketch_size=4096, refine=8),
        gradient_scope="as-published",
    )
    rows = dict(asked(config.to_json()))
    assert rows["text"] == "a/pile@v1, at most 20,000 documents, cut at 1,024 tokens"
    assert rows["tokens"] == "400, loss < 0.1 nats, every 50th"
    assert rows["compared"] == "gradients of the paper’s parameters, by sketches of 4,096 numbers, 8 neighbours exactly"
    assert rows["seed"] == "0, fast k-means"


def test_a_card_of_settings_from_before_there_were_choices_is_whole() -> None:
    config = RunConfig(
        name="old", suite=demo_config().suite, clustered=demo_config().clustered, selection=SelectionConfig()
    ).to_json()
    for name in ("similarity", "vectors", "gradient_scope", "precision"):
        del config[name]
    rows = dict(asked(config))
    assert (rows["compared"], rows["text"]) == ("gradients, exactly", "the demo’s own, cut at 256 tokens")


def test_weights_are_fetched_by_the_megabyte(ana: User) -> None:
    job = job_in("running", ana)
    job.shards.all().delete()
    Shard.objects.create(
        job=job, ordinal=0, phase="weights", phase_number=0, phase_ordinal=0, name="pythia-70m", unit="MB",
        n_done=120, n_total=166, state="running",
    )  # fmt: skip
    assert "Fetching weights, 120 of 166 MB" in pages(None, job)
