"""A pasted text from its row to its answer: the whole way, on three very small networks."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from compute.bundle import Bundle, open_bundle
from compute.config import RunConfig
from compute.errors import CheckpointError
from compute.jobs import probes, run
from compute.jobs.run import Outcome
from compute.models import Job, LogLine, Probe
from compute.pipeline import run_qdg
from compute.steps.probe import MAX_CHOSEN
from quantaweb.logs import Discreet
from tests.tiny import tiny_config

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def config(tiny_suite: Path) -> RunConfig:
    return dataclasses.replace(tiny_config(tiny_suite), map=None)


@pytest.fixture(scope="module")
def bundle(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("probed")
    return open_bundle(run_qdg(config, folder / "work", folder / "bundles"))


@pytest.fixture(scope="module")
def texts(tiny_suite: Path) -> list[str]:
    lines = (tiny_suite / "text.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def ask(bundle: Bundle, config: RunConfig, text: str, chosen: list[int] | None = None) -> Job:
    return probes.enqueue(
        config,
        bundle=bundle.path,
        bundle_sha256=bundle.sha256,
        text=text,
        chosen=chosen or [],
        requested_by=None,
        is_private=True,
    )


def answered(job: Job) -> tuple[dict, np.ndarray]:
    assert run.run_job(job.pk) is Outcome.DONE
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED, job.error
    probe = Probe.objects.get(job=job)
    cosines = np.frombuffer(probe.cosines, np.float16).reshape(len(probe.facts["chosen"]), -1)
    return probe.facts, cosines.astype(np.float32)


def places(bundle: Bundle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat index, document and position of every clustered token."""
    from compute.numerics.corpus import TokenizedCorpus

    flat = np.array(bundle.array("selection/flat_index"))
    corpus = TokenizedCorpus(bundle.array("corpus/token_ids"), bundle.array("corpus/offsets"))
    return flat, *corpus.locate(flat)


def test_a_clustered_tokens_own_text_finds_that_token_and_its_cluster(bundle, config, texts):
    _, documents, positions = places(bundle)
    labels = np.array(bundle.array("clustering/signed/k5"))
    row = int(np.flatnonzero(np.bincount(labels)[labels] >= 4)[0])  # one whose cluster is no lonely token
    facts, cosines = answered(ask(bundle, config, texts[documents[row]], [int(positions[row])]))
    assert facts["chosen"] == [positions[row]]
    assert int(cosines[0].argmax()) == row
    assert cosines[0, row] == pytest.approx(1, abs=2e-3)
    means = np.bincount(labels, weights=cosines[0]) / np.bincount(labels)
    assert int(means.argmax()) == labels[row]


def test_cosines_are_those_of_the_run_up_to_the_sketch(bundle, config, texts):
    _, documents, positions = places(bundle)
    _, cosines = answered(ask(bundle, config, texts[documents[3]], [int(positions[3])]))
    error = cosines[0] - bundle.array("similarity/signed")[3]
    assert np.sqrt((error**2).mean()) < 2 / np.sqrt(8192)


def test_losses_are_those_of_the_run(bundle, config, texts):
    """Document 4 as a text of its own: the same losses under every size."""
    starts = np.concatenate([[0], np.cumsum(np.diff(bundle.array("corpus/offsets")) - 1)])
    facts, _ = answered(ask(bundle, config, texts[4]))
    found = np.array(facts["losses_nats"]).T
    assert [network["lm"] for network in facts["networks"]] == ["tiny-s", "tiny-m", "tiny-l"]
    assert found == pytest.approx(np.array(bundle.array("curves/losses")[starts[4] : starts[5]]), abs=2e-4)
    assert facts["scores"]["monogenicity"] == pytest.approx(
        np.array(bundle.array("curves/monogenicity")[starts[4] : starts[5]]), abs=1e-2
    )


def test_without_a_choice_the_best_predicted_tokens_are_compared(bundle, config, texts):
    facts, cosines = answered(ask(bundle, config, texts[0]))
    losses = np.array(facts["clustered_losses_nats"])
    assert 0 < len(facts["chosen"]) <= MAX_CHOSEN
    assert cosines.shape == (len(facts["chosen"]), len(bundle.array("selection/flat_index")))
    assert (losses[np.array(facts["chosen"]) - 1] < config.selection.threshold_nats).all()


def test_a_long_text_is_cut_where_the_runs_documents_are(bundle, config, texts):
    facts, _ = answered(ask(bundle, config, "\n".join(texts[:3])))
    assert len(facts["token_ids"]) == config.corpus.max_length < facts["n_tokens_in_text"]


def test_a_text_of_one_token_is_refused_in_a_sentence(bundle, config):
    job = ask(bundle, config, "x")
    assert run.run_job(job.pk) is Outcome.ENDED
    job.refresh_from_db()
    assert (job.state, "too short" in job.error) == (Job.State.FAILED, True)


def test_a_network_that_is_gone_is_left_out_and_named(bundle, config, texts, tmp_path):
    refs = [
        dataclasses.replace(ref, path=str(tmp_path / "gone")) if ref.lm == "tiny-s" else ref
        for ref in config.suite.checkpoints
    ]
    partly = dataclasses.replace(config, suite=dataclasses.replace(config.suite, checkpoints=tuple(refs)))
    facts, _ = answered(ask(bundle, partly, texts[0]))
    assert [network["lm"] for network in facts["networks"]] == ["tiny-m", "tiny-l"]
    assert facts["skipped"][0]["name"] == "tiny-s/step120"
    assert facts["scores"] is None


def test_on_another_host_the_clustered_network_comes_from_the_hub_and_others_are_left_out(
    bundle, config, texts, tmp_path, monkeypatch
):
    """A worker that never did a shard of the run: its cache of the Hub is empty."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    fetched: list[str] = []
    here: dict[str, Path] = {}

    def fetch(source, *, report):
        report(1, 2)
        fetched.append(source.repo_id)
        here[str(source)] = Path(config.clustered_checkpoint.path)

    def folder_of(source):
        if str(source) not in here:
            raise CheckpointError(f"{source} is not here yet; run fetch")
        return here[str(source)]

    monkeypatch.setattr("compute.hub.fetch.fetch_checkpoint", fetch)
    monkeypatch.setattr("compute.hub.cache.folder_of", folder_of)
    of_the_hub = {config.clustered: "hub:me/large@main", "tiny-s/step120": "hub:me/small@main"}
    refs = [dataclasses.replace(ref, path=of_the_hub.get(ref.key, ref.path)) for ref in config.suite.checkpoints]
    elsewhere = dataclasses.replace(config, suite=dataclasses.replace(config.suite, checkpoints=tuple(refs)))
    facts, _ = answered(ask(bundle, elsewhere, texts[0]))
    assert fetched == ["me/large"]
    assert [one["name"] for one in facts["skipped"]] == ["tiny-s/step120"]


def test_other_weights_than_the_runs_are_refused(bundle, config, texts, tmp_path):
    ref = config.clustered_checkpoint
    other = shutil.copytree(Path(ref.path).with_name("step0"), tmp_path / "other")
    refs = [dataclasses.replace(one, path=str(other)) if one == ref else one for one in config.suite.checkpoints]
    changed = dataclasses.replace(config, suite=dataclasses.replace(config.suite, checkpoints=tuple(refs)))
    job = ask(bundle, changed, texts[0])
    run.run_job(job.pk)
    job.refresh_from_db()
    assert "not those that the run was made with" in job.error


def test_the_text_reaches_no_log(bundle, config, texts, caplog, monkeypatch):
    secret = "def hidden_of(secret_word):\n    return secret_word + 1\n"

    def fails(*_: object, **__: object) -> None:
        raise ValueError(secret)

    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(Discreet())  # as every handler of the site is
    answered(ask(bundle, config, secret))
    monkeypatch.setattr("compute.steps.probe._compared", fails)
    failed = ask(bundle, config, secret)
    run.run_job(failed.pk)
    failed.refresh_from_db()
    said = [*LogLine.objects.values_list("message", flat=True), caplog.text, failed.error, failed.name]
    assert not any("secret_word" in line for line in said)
    assert "secret_word" not in json.dumps(failed.config)


def test_deleting_the_job_deletes_the_text(bundle, config, texts):
    job = ask(bundle, config, texts[0])
    job.delete()
    assert not Probe.objects.exists()
