"""Starting a run: every kind of suite, what it costs, and what is refused before a file or the network is touched."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from clusters.forms.suites import RUN_FORMS, kind_of
from clusters.models import RegisteredCorpus
from compute.config import PAPER_KS, CorpusConfig, RunConfig, SelectionConfig
from compute.errors import ConfigError
from compute.jobs import queue
from compute.models import Job
from compute.registry import SUITES, hub_suite, suite_config
from compute.suites import demo_config, folder_suite
from tests.jobs import fake

pytestmark = pytest.mark.django_db
HOSTILE_IDS = ("../../etc", "..%2f..%2fetc", "..%252f..%252fetc", "..\\..\\etc", "a/b/c", "/etc/passwd", "a/b@../x",
               "a/b@refs/../x", "https://example.org/x", "a//b", "a/b\u202e")  # fmt: skip


@pytest.fixture(autouse=True)
def _plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)


@pytest.fixture
def ana() -> User:
    """A runner."""
    user = User.objects.create_user("ana")
    user.user_permissions.add(Permission.objects.get(codename="add_job", content_type__app_label="compute"))
    return user


@pytest.fixture
def client(ana: User) -> Client:
    client = Client()
    client.force_login(ana)
    return client


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    """A folder that the operator allowed, with two checkpoints and their tokenizer."""
    root = tmp_path / "models"
    for step in ("step1", "step2"):
        (root / "mine" / step).mkdir(parents=True)
    (root / "tokenizer.json").write_text("{}")
    settings.ALLOWED_ROOTS = [root]
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    return root


def filled(kind: str, **changes: Any) -> dict[str, Any]:
    """What a browser sends of the form as it opens, with some fields changed."""
    form = RUN_FORMS[kind](corpora=list(RegisteredCorpus.objects.all()))
    values = {name: form[name].value() for name in form.fields} | {"suite": kind} | changes
    return _sendable(values)


def _sendable(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value is not False}


def text(response: Any) -> str:
    return response.content.decode()


def only_job() -> RunConfig:
    return RunConfig.from_json(Job.objects.get().config)


def own_folders(root: Path) -> dict[str, Any]:
    lines = "\n".join(f"mine/{step}={root}/mine/{step}" for step in ("step1", "step2"))
    return {"folders": lines, "tokenizer": f"{root}/tokenizer.json"}


@pytest.mark.parametrize("kind", RUN_FORMS)
def test_every_kind_of_suite_has_its_form(client: Client, kind: str) -> None:
    shown = text(client.get(f"/runs/new/?suite={kind}"))
    assert f'id="suite-{kind}"' in shown
    assert f'name="suite" value="{kind}"' in shown
    assert all(f'name="{name}"' in shown for name in RUN_FORMS[kind].suite_fields)


def test_a_pythia_suite_opens_with_the_settings_of_the_paper(client: Client) -> None:
    client.post("/runs/new/", filled("pythia-v0"))
    config = only_job()
    assert [ref.key for ref in config.suite.checkpoints] == [
        f"pythia-{size}-v0/step143000" for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b")
    ]
    assert config.clustered == "pythia-70m-v0/step143000"
    assert config.selection == SelectionConfig(n_tokens=10_000, threshold_nats=0.1, stride=50)
    assert (config.clustering.ks, config.clustering.affinities) == (PAPER_KS, ("signed", "absolute"))
    assert (config.corpus.max_length, config.corpus.max_documents) == (1024, 20_000)


@pytest.mark.parametrize(
    ("steps", "some", "n"),
    [("final", "", 1), ("all", "", 154), ("some", "512, 1000..5000", 6), ("some", "0, 1000..143000:10, final", 17)],
)
def test_steps_are_chosen_by_name_number_and_range(client: Client, steps: str, some: str, n: int) -> None:
    client.post(
        "/runs/new/", filled("pythia", sizes=["70m", "1b"], steps=steps, some_steps=some, clustered_step=_last(some))
    )
    assert len(only_job().suite.checkpoints) == 2 * n


def _last(some: str) -> str:
    return "5000" if some.endswith("5000") else "final"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": "some", "some_steps": ""}, "Write which steps"),
        ({"steps": "some", "some_steps": "1001"}, "has no revision"),
        ({"steps": "some", "some_steps": "5000..1000"}, "runs backwards"),
        ({"steps": "some", "some_steps": "../x"}, "has no revision"),
        ({"clustered": "12b"}, "none of the sizes ticked"),
        ({"clustered_step": "1000"}, "is no checkpoint of the suite"),
        ({"sizes": []}, "Tick at least one size"),
        ({"sizes": ["71m"]}, "Select a valid choice"),
        ({"stride": "0"}, "Write a number from 1 on"),
        ({"max_length": "1"}, "Write a number from 2 on"),
        ({"corpus": "99"}, "Select a valid choice"),
        ({"vectors": "activations", "gradient_scope": "all"}, "Activations are no gradients"),
        ({"ks": "10, 2000", "n_tokens": "1000"}, "only 1000 tokens"),
        ({"n_tokens": "10001"}, "600,060 rows would be written"),
    ],
)
def test_what_contradicts_itself_is_said_beside_its_field(client: Client, changes: dict[str, Any], said: str) -> None:
    response = client.post("/runs/new/", filled("pythia", **changes))
    assert response.status_code == 422
    assert said in text(response)
    assert not Job.objects.exists()


def test_repositories_of_the_hub_are_listed_one_a_line(client: Client) -> None:
    listed = "EleutherAI/pythia-70m@step1000\r\n\r\n openai-community/gpt2 \r\n"
    client.post("/runs/new/", filled("hub", repositories=listed, clustered="openai-community/gpt2"))
    config = only_job()
    assert [ref.path for ref in config.suite.checkpoints] == [
        "hub:EleutherAI/pythia-70m@step1000", "hub:openai-community/gpt2@main"
    ]  # fmt: skip
    assert (config.clustered, config.suite.tokenizer) == ("gpt2/main", "hub:EleutherAI/pythia-70m@step1000")


@pytest.mark.parametrize("field", ["repositories", "tokenizer"])
@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_a_hostile_id_is_refused_by_its_text(field: str, name: str) -> None:
    form = RUN_FORMS["hub"](filled("hub", **{"repositories": "a/b", field: name}))
    said = str(form.errors[field])
    assert "is no Hub id" in said or "is no revision" in said


def test_folders_of_one_s_own_are_taken_from_the_allowed_places(client: Client, root: Path) -> None:
    client.post("/runs/new/", filled("folders", **own_folders(root)))
    config = only_job()
    assert [ref.path for ref in config.suite.checkpoints] == [f"{root}/mine/step1", f"{root}/mine/step2"]
    assert (config.clustered, config.suite.tokenizer) == ("mine/step2", f"{root}/tokenizer.json")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc", "none of the allowed folders"),
        ("{root}/../secret", "without “..”"),
        ("{root}/mine/../../secret", "without “..”"),
        ("mine/step1", "Write the whole path"),
        ("~/mine", "Write the whole path"),
        ("{root}-other/x", "none of the allowed folders"),
        ("{root}/a\x1bb", "control characters"),
        ("{root}/" + "a" * 1000, "too long"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_before_any_file_is_looked_at(
    root: Path, path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a file was looked at")

    values = filled("folders", folders=f"mine={path.format(root=root)}", tokenizer="/etc/passwd")
    for owner, name in ((os.path, "realpath"), (os, "stat"), (os, "lstat"), (os, "open"), (Path, "exists")):
        monkeypatch.setattr(owner, name, looked)
    errors = RUN_FORMS["folders"](values).errors
    assert said in errors["folders"][0]
    assert "none of the allowed folders" in errors["tokenizer"][0]


def test_nul_in_a_path_is_refused(client: Client, root: Path) -> None:
    response = client.post("/runs/new/", filled("folders", folders=f"mine={root}/a\0b", tokenizer=f"{root}/t"))
    assert response.status_code == 422
    assert "Null characters are not allowed" in text(response)


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere", "There is no"), ("link", "through a link"), ("tokenizer.json", "is no folder")],
)
def test_a_path_that_is_no_folder_inside_is_refused(client: Client, root: Path, name: str, said: str) -> None:
    (root / "link").symlink_to("/etc")
    response = client.post("/runs/new/", filled("folders", folders=f"mine={root}/{name}", tokenizer=f"{root}/t"))
    assert response.status_code == 422
    assert "Line 1: " in text(response)
    assert said in text(response)


def test_the_site_s_own_data_cannot_be_named(client: Client, root: Path, settings: Any) -> None:
    settings.ALLOWED_ROOTS = [settings.DATA_DIR.parent]
    response = client.post("/runs/new/", filled("folders", folders=f"mine={settings.DATA_DIR}", tokenizer=f"{root}/t"))
    assert "own data folder" in text(response)


def test_where_no_folder_is_allowed_the_page_says_so(client: Client, settings: Any) -> None:
    settings.ALLOWED_ROOTS = []
    assert "QW_ALLOWED_ROOTS" in text(client.get("/runs/new/?suite=folders"))
    response = client.post("/runs/new/", filled("folders", folders="mine=/tmp", tokenizer="/tmp/t"))
    assert "has allowed no folder" in text(response)


# ── what it costs ──


def test_the_page_opens_with_the_cost_of_what_stands_in_it(client: Client) -> None:
    shown = text(client.get("/runs/new/?suite=pythia"))
    assert "on a CPU" in shown
    assert "on a GPU" in shown
    assert all(f'<th scope="row">{phase}' in shown for phase in ("weights", "losses", "gradients", "clustering"))


def test_an_estimate_starts_nothing_and_keeps_what_was_filled_in(client: Client) -> None:
    response = client.post("/runs/new/", filled("pythia", n_tokens="4321", estimate="1"))
    assert response.status_code == 200
    assert 'value="4321"' in text(response)
    assert "on a GPU" in text(response)
    assert not Job.objects.exists()


def test_htmx_gets_the_estimate_alone(client: Client) -> None:
    response = client.post("/runs/new/", filled("pythia", estimate="1"), headers={"HX-Request": "true"})
    assert text(response).strip().startswith('<div id="preflight">')
    assert "<form" not in text(response)


def test_an_estimate_of_a_bad_form_leads_to_what_is_to_be_mended(client: Client) -> None:
    sent = filled("pythia", n_tokens="many", ks="x", estimate="1")
    shown = text(client.post("/runs/new/", sent, headers={"HX-Request": "true"}))
    assert "2 things to mend" in shown
    assert 'href="#id_n_tokens"' in shown
    assert "“x” is no whole number" in shown


def test_the_estimate_follows_the_settings(client: Client) -> None:
    few, many = (
        RUN_FORMS["pythia"](filled("pythia", mode="exact", n_tokens=n, ks="10")) for n in ("1000", "16000")
    )  # fmt: skip
    from clusters.views.preflight import preflight

    assert preflight(few)["totals"] != preflight(many)["totals"]


def test_too_little_disk_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(2, 1, 10**9))
    assert "1 GB are free here. Make room" in text(client.get("/runs/new/?suite=pythia"))


def test_many_unknown_sizes_do_not_fill_the_page(client: Client) -> None:
    repositories = "\n".join(f"a/network-{number}" for number in range(40))
    shown = text(client.post("/runs/new/", filled("hub", repositories=repositories, estimate="1")))
    assert "a/network-0@main" in shown
    assert "And 35 more of the kind" in shown
    assert len(shown) < 60_000


def test_networks_that_nobody_named_yet_cost_nothing_yet(client: Client) -> None:
    assert "once the networks are named" in text(client.get("/runs/new/?suite=hub"))


def test_the_choice_that_was_left_to_the_site_is_explained(client: Client) -> None:
    values = filled("pythia", mode="auto", auto_hours="0.01")
    shown = text(client.post("/runs/new/", values, follow=True))
    assert only_job().similarity.mode == "sketch"
    assert "Sketches instead of the exact comparison" in shown


def test_exact_and_sketched_comparing_take_their_own_fields(client: Client) -> None:
    client.post("/runs/new/", filled("pythia", mode="sketch", sketch_size="4096", refine="8", block_tokens="50"))
    similarity = only_job().similarity
    assert (similarity.mode, similarity.sketch_size, similarity.refine, similarity.block_tokens) == (
        "sketch", 4096, 8, None
    )  # fmt: skip


# ── the text ──


def corpus(owner: User | None, **values: Any) -> RegisteredCorpus:
    facts = {"name": "pile", "kind": "hub", "source": "hub:a/pile@main", "split": "test", "subset": "all"} | values
    return RegisteredCorpus.objects.create(owner=owner, **facts)


def test_a_registered_corpus_is_read(client: Client, ana: User) -> None:
    pile = corpus(ana)
    client.post("/runs/new/", filled("demo", corpus=str(pile.pk), max_documents="7"))
    expected = CorpusConfig(source="hub:a/pile@main", split="test", subset="all", max_length=256, max_documents=7)
    assert only_job().corpus == expected


def test_a_run_on_a_private_corpus_is_private(client: Client, ana: User) -> None:
    client.post("/runs/new/", filled("demo", corpus=str(corpus(ana, is_private=True).pk)))
    assert Job.objects.get().is_private


def test_someone_else_s_private_corpus_cannot_be_chosen(client: Client) -> None:
    hidden = corpus(User.objects.create_user("ben"), is_private=True, name="hush")
    assert "hush" not in text(client.get("/runs/new/"))
    response = client.post("/runs/new/", filled("demo", corpus=str(hidden.pk)))
    assert response.status_code == 422


def test_a_path_that_is_no_longer_allowed_is_not_read(client: Client, root: Path, settings: Any) -> None:
    kept = corpus(User.objects.create_user("ben"), kind="path", source=str(root / "mine"))
    assert client.post("/runs/new/", filled("demo", corpus=str(kept.pk))).status_code == 302
    settings.ALLOWED_ROOTS = [root / "other"]
    response = client.post("/runs/new/", filled("demo", corpus=str(kept.pk)))
    assert response.status_code == 422
    assert "is not there any more, or no longer allowed" in text(response)
    assert str(root / "mine") not in text(response)


def test_a_file_that_has_gone_is_not_read(client: Client, ana: User, tmp_path: Path) -> None:
    gone = corpus(ana, kind="upload", source=str(tmp_path / "gone.jsonl"))
    assert "is not there any more" in text(client.get(f"/runs/new/?corpus={gone.pk}"))
    assert "is not there any more" in text(client.post("/runs/new/", filled("demo", corpus=str(gone.pk))))


def test_the_address_may_fill_in_fields(client: Client, ana: User) -> None:
    pile = corpus(ana)
    shown = text(client.get(f"/runs/new/?suite=pythia&corpus={pile.pk}&n_tokens=777&sizes=70m&sizes=1b"))
    assert f'<option value="{pile.pk}" selected>' in shown
    assert 'value="777"' in shown
    assert shown.count("checked") >= 3


@pytest.mark.parametrize("query", ["suite=other", "suite=../x", "suite=%00"])
def test_an_unknown_suite_is_a_bad_request(client: Client, query: str) -> None:
    assert client.get(f"/runs/new/?{query}").status_code == 400


@pytest.mark.parametrize("query", ["from=9999", f"from={'9' * 40}", "from=x", "corpus=%00&n_tokens=%00", "ks=1e99"])
def test_an_odd_address_still_opens_the_form(client: Client, query: str) -> None:
    assert client.get(f"/runs/new/?{query}").status_code == 200


# ── once more, with changes ──


def _configs(root: Path) -> dict[str, RunConfig]:
    text = CorpusConfig(source="hub:a/pile@main", split="test", subset="all", max_documents=9)
    steps = suite_config("pythia-v0", sizes=["70m", "1b"], revisions=["step1000..step3000", "final"])
    hub = hub_suite(["a/one@x", "b/two"], tokenizer="hub:c/three@main")
    own = folder_suite(own_folders(root)["folders"].split("\n"), tokenizer=str(root / "tokenizer.json"))
    small = {"selection": SelectionConfig(n_tokens=400, stride=3, exclude_induced=False), "corpus": text}
    return {
        "demo": demo_config(n_tokens=500, stride=2, name="again"),
        "pythia-v0": RunConfig(name="again", suite=steps, clustered="pythia-1b-v0/step2000", **small),
        "hub": RunConfig(name="again", suite=hub, clustered="two/main", vectors="activations", **small),
        "folders": RunConfig(name="again", suite=own, clustered="mine/step1", gradient_scope="all", **small),
    }


@pytest.mark.parametrize("kind", ["demo", "pythia-v0", "hub", "folders"])
def test_a_job_asked_for_again_unchanged_asks_for_the_same(client: Client, ana: User, root: Path, kind: str) -> None:
    corpus(ana)
    config = _configs(root)[kind]
    assert kind_of(config) == kind
    form = RUN_FORMS[kind](
        initial=RUN_FORMS[kind].initial_of(config, list(RegisteredCorpus.objects.all()), sees_paths=True),
        corpora=list(RegisteredCorpus.objects.all()),
    )
    sent = {name: form[name].value() for name in form.fields} | {"suite": kind}
    client.post("/runs/new/", _sendable(sent))
    assert only_job() == config


@pytest.mark.parametrize("kind", ["demo", "pythia-v0", "hub", "folders"])
def test_changing_and_starting_anew_opens_the_job_s_own_kind_of_form(
    client: Client, ana: User, root: Path, kind: str
) -> None:
    job = queue.enqueue(_configs(root)[kind], ana)
    shown = text(client.get(f"/runs/new/?from={job.pk}"))
    assert f'name="suite" value="{kind}"' in shown
    assert 'value="again"' in shown


def test_someone_else_s_folders_are_not_shown(client: Client, root: Path) -> None:
    job = queue.enqueue(_configs(root)["folders"], User.objects.create_user("ben"))
    shown = text(client.get(f"/runs/new/?from={job.pk}"))
    assert 'name="suite" value="folders"' in shown
    assert f"{root}/mine" not in shown


def test_a_text_that_is_registered_no_more_has_to_be_chosen_again(client: Client, ana: User, root: Path) -> None:
    job = queue.enqueue(_configs(root)["hub"], ana)
    assert '<option value="" selected>choose a text' in text(client.get(f"/runs/new/?from={job.pk}"))
    assert "Choose the text" in text(client.post("/runs/new/", filled("hub", repositories="a/b", corpus="")))


def test_without_the_demo_suite_the_other_kinds_still_open(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ConfigError("The demo suite's list of networks is missing.")

    monkeypatch.setattr("clusters.forms.suites.demo_config", missing)
    found = {kind: client.get(f"/runs/new/?suite={kind}").status_code for kind in ("demo", "pythia", "hub", "folders")}
    assert found == {"demo": 503, "pythia": 200, "hub": 200, "folders": 200}


def test_every_suite_of_the_registry_can_be_chosen() -> None:
    assert set(SUITES) < set(RUN_FORMS)


def test_documents_longer_than_a_folder_s_network_reads_are_refused_before_the_start(root: Path) -> None:
    for step in ("step1", "step2"):
        (root / "mine" / step / "config.json").write_text('{"model_type": "gpt_neox", "max_position_embeddings": 256}')
    errors = RUN_FORMS["folders"](filled("folders", **own_folders(root), max_length="1024")).errors
    assert "mine/step1 reads at most 256 tokens, but documents are cut at 1,024" in errors["max_length"][0]
    assert "max_length" not in RUN_FORMS["folders"](filled("folders", **own_folders(root), max_length="256")).errors


@pytest.mark.parametrize(("given", "n_curves"), [("", 100_000), ("500", 500), ("0", None)])
def test_maps_can_be_made_smaller_or_left_out(client: Client, ana: User, root: Path, given: str, n_curves: int) -> None:
    corpus(ana)
    config = _configs(root)["demo"]
    initial = RUN_FORMS["demo"].initial_of(config, list(RegisteredCorpus.objects.all()), sees_paths=True)
    form = RUN_FORMS["demo"](initial=initial, corpora=list(RegisteredCorpus.objects.all()))
    sent = {name: form[name].value() for name in form.fields} | {"suite": "demo", "n_curves": given}
    client.post("/runs/new/", _sendable(sent))
    chosen = only_job().map
    assert (chosen.n_curves if chosen else None) == n_curves
