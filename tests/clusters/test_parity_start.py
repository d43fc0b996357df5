"""The lab of sparse parity: presets, settings of one's own, and what is wrong with them."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Permission, User

from clusters.forms.parity_start import ParityForm
from clusters.models import Experiment
from compute.labs.parity import LAB, ParityConfig
from compute.models import Job
from tests.parity import World, make_parity

pytestmark = pytest.mark.django_db
PATH = "/labs/parity/"
FIELDS = ParityForm.initial_of(LAB.presets[0].config) | {"name": "mine"}


@pytest.fixture
def runner(client) -> User:
    user = User.objects.create_user("ana")
    user.user_permissions.add(Permission.objects.get(codename="add_job", content_type__app_label="compute"))
    client.force_login(user)
    return user


def posted(**changes):
    """The fields as a browser sends them: what is not ticked or empty is not there."""
    return {name: value for name, value in (FIELDS | changes).items() if value is not None and value is not False}


def test_presets_can_be_seen_by_everybody_and_started_by_runners(client):
    html = client.get(PATH).content.decode()
    for preset in LAB.presets:
        assert preset.title in html
    assert "Settings of your own" not in html
    assert "Sign in" in html


def test_one_click_starts_the_two_core_preset(client, runner):
    response = client.post(PATH, {"preset": "two-core"})
    made = Experiment.objects.get()
    assert response.url == made.get_absolute_url()
    assert (made.preset, made.owner, made.kind) == ("two-core", runner, "parity")
    assert made.job.state == Job.State.QUEUED
    assert ParityConfig.from_json(made.config).widths == LAB.presets[0].config.widths


def test_a_preset_can_be_started_private(client, runner):
    html = client.get(PATH).content.decode()
    assert html.count('<label class="private"><input type="checkbox" name="is_private">') == len(LAB.presets)
    client.post(PATH, {"preset": "two-core"})
    client.post(PATH, {"preset": "two-core", "is_private": "on"})
    assert [one.is_private for one in Experiment.objects.order_by("pk")] == [False, True]


def test_an_unknown_preset_is_refused(client, runner):
    assert client.post(PATH, {"preset": "nothing"}).status_code == 400
    assert not Experiment.objects.exists()


def test_fields_begin_with_a_preset_or_an_earlier_experiment(client, runner, tmp_path):
    html = client.get(PATH, {"like": "p-scaling-17"}).content.decode()
    assert 'value="0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8"' in html
    make_parity(tmp_path, World(widths=(3, 17)))
    assert client.get(PATH, {"like": "made-up"}).status_code == 200
    assert client.get(PATH, {"like": "nothing-of-the-kind"}).status_code == 404
    assert 'value="77"' in client.get(PATH, {"n_tasks": "77"}).content.decode()


def test_what_a_form_is_filled_with_is_what_it_gives_back():
    for preset in LAB.presets:
        form = ParityForm(posted(**ParityForm.initial_of(preset.config)))
        assert form.is_valid(), form.errors
        assert form.config == preset.config


def test_settings_of_ones_own_are_started(client, runner):
    data = posted(alphas="0.3; 0.6", widths="8 16", sizes="20000", batch_size="500", is_private="on")
    response = client.post(PATH, data)
    made = Experiment.objects.get()
    assert response.status_code == 302
    assert made.is_private
    assert (made.config["alphas"], made.config["widths"], made.config["samples"]) == (
        [0.3, 0.6],
        [8, 16],
        [None, 20000],
    )


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"alphas": "0"}, "alphas", "α is 0; it must be above 0"),
        ({"alphas": "-0.4"}, "alphas", "it must be above 0"),
        ({"alphas": "some"}, "alphas", "“some” is no number"),
        ({"alphas": "nan"}, "alphas", "“nan” is no number"),
        ({"alphas": ""}, "alphas", "This field is required"),
        ({"widths": "10, 10"}, "widths", "names 10 twice"),
        ({"widths": "1.5"}, "widths", "“1.5” is no whole number"),
        ({"seeds": "1" + "0" * 400}, "seeds", "is no whole number"),
        ({"n_tasks": "0"}, "n_tasks", "it must be at least 1"),
        ({"k": "33"}, "k", "a string has only 32 bits"),
        ({"n_tasks": "9000", "n_bits": "20"}, None, "9,000 different tasks are asked for"),
        ({"is_batch_capped": None, "sizes": "100"}, "sizes", "smaller than a batch of 2,000"),
        ({"is_online": None, "sizes": ""}, "sizes", "Nothing to train on"),
        ({"log_every": "0"}, "log_every", "it must be at least 1"),
        ({"learning_rate": "0"}, "learning_rate", "it must be above 0"),
        ({"fit_from": "900", "fit_to": "100"}, "fit_from", "Fit α_S from step is 900, which does not lie before 100"),
        ({"seeds": ", ".join(map(str, range(300)))}, "seeds", "These are 300 numbers; at most 200 are taken"),
        ({"name": "no spaces here"}, "name", "may hold letters, digits"),
    ],
)
def test_wrong_settings_are_named_beside_their_field(client, runner, changes, field, words):
    form = ParityForm(posted(**changes))
    assert not form.is_valid()
    assert words in " ".join(form.errors[field or "__all__"])
    response = client.post(PATH, posted(**changes))
    assert response.status_code == 422
    assert words in response.content.decode().replace("&quot;", '"').replace("&#x27;", "'")
    assert not Experiment.objects.exists()


def test_nobody_starts_what_they_may_not(client):
    assert "/sign-in/" in client.post(PATH, posted()).url
    client.force_login(User.objects.create_user("ben"))
    assert client.post(PATH, posted()).status_code == 403
    assert not Experiment.objects.exists()


def test_the_list_has_twins(client, tmp_path):
    make_parity(tmp_path, World(widths=(8, 16)))
    make_parity(tmp_path, World(widths=(8, 32)), name="hidden", is_private=True)
    told = json.loads(client.get("/labs/parity.json").content)
    assert [one["experiment"] for one in told["experiments"]] == ["made-up"]
    assert {one["preset"] for one in told["presets"]} == {one.key for one in LAB.presets}
    assert "made-up" in client.get("/labs/parity.csv").getvalue().decode()
