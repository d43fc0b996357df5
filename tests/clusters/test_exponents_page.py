"""Exponents across studies: the published facts, people's own entries, and what was measured here."""

from __future__ import annotations

import json
import math
import re
from html import unescape

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied, ValidationError

from clusters.charts.exponents import exponents_chart
from clusters.models import AuditEvent, Experiment, Study
from clusters.queries import exponents as reads
from clusters.services import exponents as services
from clusters.values.exponents import PUBLISHED, Measurement, sorted_by
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
NOBODY = AnonymousUser()
# α_N, α_D and the prediction α_N / (1 + α_N), by study and task
FACTS = {
    "PTB, AWD-LSTM": (0.81, 0.34, 0.4475), "WikiText-2, AWD-LSTM": (1.01, 0.22, 0.5025),
    "WikiText-103, Transformer-XL": (0.74, 0.56, 0.4253), "ImageNet, ResNet-50": (0.75, 0.61, 0.4286),
    "CIFAR10, WRN-44-16": (0.66, 0.53, 0.3976), "CIFAR100, WRN-44-16": (0.7, 0.51, 0.4118),
    "DTD, WRN-44-16": (0.4, 1.16, 0.2857), "Aircraft, WRN-44-16": (1.1, 0.83, 0.5238),
    "UCF101, WRN-44-16": (0.93, 0.54, 0.4819), "transformers on WebText2": (0.076, 0.095, 0.0706),
    "Chinchilla": (0.34, 0.28, 0.2537), "click-through rate, DLRM": (4.0, 0.1, 0.8),
    "Russian to English": (0.11, 0.38, 0.0991), "German to English": (0.13, 0.35, 0.115),
    "Chinese to English": (0.12, 0.43, 0.1071), "acoustic models": (0.016, 0.019, 0.0157),
}  # fmt: skip


@pytest.fixture
def ana():
    return User.objects.create_user("ana")


@pytest.fixture
def ben():
    return User.objects.create_user("ben")


def words(response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


# ── the published facts ──


def test_the_published_exponents_are_the_studies_own():
    found = {row.task: (row.alpha_n, row.alpha_d, row.predicted) for row in reads.published()}
    assert found == {task: (n, d, pytest.approx(predicted, abs=6e-5)) for task, (n, d, predicted) in FACTS.items()}


def test_of_rosenfeld_s_nine_points_eight_lie_below_the_diagonal():
    rows = [row for row in reads.published() if row.source == "Rosenfeld et al."]
    assert (len(rows), sum(bool(row.is_below) for row in rows)) == (9, 8)


def test_ardalani_s_order_is_put_right_and_said_so(client):
    [row] = [row for row in reads.published() if row.source == "Ardalani et al."]
    assert (row.alpha_n, row.alpha_d) == (4.0, 0.1)
    assert "the wrong order and plots (0.1, 4.0)" in words(client.get("/exponents/"))


def test_the_page_says_what_the_theory_predicts(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(15):
        response = client.get("/exponents/")
    text = words(response)
    assert response.status_code == 200
    for said in ("8 of 9", "0.0706", "0.2537", "measured 0.095", "137 rows from 24 papers", "Sign in"):
        assert said in text, said
    assert "10 of 16 laws fall faster over parameters than over data" in text
    assert "style=" not in response.content.decode()


def test_rows_are_sorted_and_filtered_by_links(client):
    found = client.get("/exponents.json?sort=n&order=falling&domain=vision").json()["exponents"]
    assert [row["alpha_n"] for row in found] == [1.1, 0.93, 0.75, 0.7, 0.66, 0.4]
    html = client.get("/exponents/?domain=vision").content.decode()
    assert "?domain=vision&amp;sort=n#h-table" in html
    assert html.count("<tr") == 6 + 1 + html.count("<caption") + 6
    assert client.get("/exponents/?sort=x").status_code == 400
    assert client.get("/exponents/?domain=none").status_code == 400


def test_the_twins(client):
    lines = client.get("/exponents.csv").getvalue().decode().splitlines()
    assert len(lines) == 17
    assert lines[0].startswith("origin,source,task,year,domain,alpha_N")
    assert client.get("/exponents.svg?figure=exponents").status_code == 200
    assert client.get("/exponents/?embed=true&figure=exponents").status_code == 200


# ── ours ──


def test_a_run_stands_beside_them_with_its_intervals(client, tmp_path):
    run = make_run(tmp_path)
    [row] = reads.of_runs(NOBODY)
    assert (row.source, row.link) == (run.name, f"/runs/{run.slug}/scaling/")
    found = client.get(f"/api/v1/runs/{run.slug}/scaling/").json()
    fits = {law["name"]: law for law in found["over_parameters"]["laws"]}
    assert row.alpha_n == pytest.approx(fits["power"]["parameters"]["c0"], rel=1e-9)
    assert row.interval_n is not None
    low, high = row.interval_n
    assert low < row.alpha_n < high
    assert row.dimension is not None
    assert row.dimension.value == pytest.approx(4 / row.alpha_n)
    assert row.dimension.low == pytest.approx(4 / high)
    text = words(client.get("/exponents/"))
    assert "a run here" in text


def test_a_private_run_is_nobody_else_s(client, ana, tmp_path):
    make_run(tmp_path, owner=ana, private=True)
    assert reads.of_runs(NOBODY) == []
    assert len(reads.of_runs(ana)) == 1
    client.force_login(ana)
    assert "a run here" in words(client.get("/exponents/"))


def test_runs_cost_the_same_queries_however_many(client, tmp_path, django_assert_max_num_queries):
    for seed in (1, 2, 3):
        make_run(tmp_path / str(seed), seed=seed, name=f"run {seed}")
    with django_assert_max_num_queries(15):
        client.get("/exponents/")


def test_parity_experiments_stand_beside_them_a_row_an_alpha(client):
    networks = [{"alpha": alpha, "width": 16, "n_parameters": 900, "seed": 0, "n_learned": 2, "n_samples": None,
                 "test_loss_nats": 0.4, "best_test_loss_nats": 0.4, "best_step": 9, "diverged_at": None}
                for alpha in (0.4, 0.8)]  # fmt: skip
    fits = {"N": [{"alpha": 0.4, "exponent": 0.378, "low": 0.3, "high": 0.45}, {"alpha": 0.8, "exponent": 0.608}],
            "D": [{"alpha": 0.4, "exponent": 0.3076}], "S": [{"alpha": 0.8, "reason": "too few steps"}]}  # fmt: skip
    found = {"runs": networks, "fits": fits}
    made = {"kind": "parity", "config": {}, "found": found}
    Experiment.objects.create(slug="p", name="P-scaling", bundle_sha256="a" * 64, **made)
    Experiment.objects.create(slug="q", name="unfinished", **made)
    first, second = reads.of_experiments(NOBODY)
    assert (first.alpha_n, first.alpha_d, first.interval_n, first.task) == (0.378, 0.3076, (0.3, 0.45), "α = 0.4")
    assert (second.alpha_n, second.alpha_s, second.interval_n) == (0.608, None, None)
    assert first.link.endswith("/p/")
    text = words(client.get("/exponents/"))
    assert "P-scaling" in text
    assert "unfinished" not in text


def test_manifold_theory_s_reading_stands_beside_the_quanta_s():
    [kaplan] = [row for row in reads.published() if row.source == "Kaplan et al."]
    assert kaplan.dimension is not None
    assert kaplan.dimension.value == pytest.approx(52.6, abs=0.05)
    assert Measurement(PUBLISHED, "x", alpha_n=-0.1).dimension is None
    assert Measurement(PUBLISHED, "x", alpha_n=-0.1).predicted is None
    assert Measurement(PUBLISHED, "x", alpha_d=0.2).is_below is None
    wide = Measurement(PUBLISHED, "x", alpha_n=0.1, interval_n=(-0.1, 0.3)).dimension
    assert wide is not None
    assert math.isinf(wide.high)


# ── people's own ──


def sent(client, **fields):
    return client.post("/exponents/", {"name": "Mine 2026", "alpha_n": "0.2", "alpha_d": "0.15", **fields})


def test_an_entry_is_its_owner_s_alone(client, ana, ben):
    client.force_login(ana)
    assert sent(client).headers["Location"] == "/exponents/"
    assert "Mine 2026" in words(client.get("/exponents/"))
    client.force_login(ben)
    assert "Mine 2026" not in words(client.get("/exponents/"))
    study = Study.objects.get()
    assert client.get(f"/exponents/{study.pk}/").status_code == 404
    client.logout()
    assert "Mine 2026" not in words(client.get("/exponents/"))


def test_a_shared_entry_names_who_entered_it(client, ana, ben):
    client.force_login(ana)
    sent(client, is_shared="on", note="on toys")
    client.force_login(ben)
    text = words(client.get("/exponents/"))
    assert "Mine 2026" in text
    assert "on toys (entered by ana)" in text
    study = Study.objects.get()
    assert client.post(f"/exponents/{study.pk}/", {"action": "delete"}).status_code == 404
    assert Study.objects.exists()


def test_nobody_else_is_shown_the_form_of_a_shared_entry(client, ana, ben):
    client.force_login(ana)
    sent(client, is_shared="on")
    path = f"/exponents/{Study.objects.get().pk}/"
    assert client.get(path).status_code == 200
    for other in (ben, UserFactory(is_superuser=True)):
        client.force_login(other)
        response = client.get(path)
        assert response.status_code == 404
        assert "somebody else’s" in response.content.decode()
        assert client.post(path, {"name": "Theirs", "alpha_n": "1"}).status_code == 404
    assert Study.objects.get().name == "Mine 2026"


def test_an_entry_is_changed_and_deleted(client, ana):
    client.force_login(ana)
    sent(client)
    study = Study.objects.get()
    page = client.get(f"/exponents/{study.pk}/").content.decode()
    assert 'value="0.2"' in page
    client.post(f"/exponents/{study.pk}/", {"action": "save", "name": "Other", "alpha_d": "0.3"})
    study.refresh_from_db()
    assert (study.name, study.alpha_n, study.alpha_d) == ("Other", None, 0.3)
    client.post(f"/exponents/{study.pk}/", {"action": "delete"})
    assert not Study.objects.exists()
    deeds = AuditEvent.objects.filter(action__startswith="study.").order_by("pk")
    assert [event.action for event in deeds] == [
        "study.add",
        "study.change",
        "study.delete",
    ]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": ""}, "Say which study it is."),
        ({"name": "x" * 201}, "The name is 201 characters long; at most 200 fit."),
        ({"alpha_n": "", "alpha_d": ""}, "Give one exponent at least."),
        ({"alpha_n": "abc"}, "Write a number in digits, with a decimal point: 0.25."),
        ({"alpha_n": "٠.٢"}, "Write a number in digits"),
        ({"alpha_n": "0,2"}, "Write a number in digits"),
        ({"year": "2_026"}, "Write a whole number in digits, such as 1500."),
        ({"alpha_n": "1e9"}, "α_N is 1e+09; where loss falls its exponent lies from 0.0001 to 1000."),
        ({"alpha_n": "1e-300"}, "α_N is 1e-300; where loss falls its exponent lies from 0.0001 to 1000."),
        ({"alpha_n": "nan"}, "Write a number in digits"),
        ({"alpha_n": "0"}, "α_N is 0; where loss falls its exponent lies from 0.0001 to 1000."),
        ({"alpha_d": "-0.1"}, "α_D is -0.1; where loss falls its exponent lies from 0.0001"),
        ({"year": "99999"}, "The year is 99999; give one from 1900 to 2200."),
        ({"link": "javascript:alert(1)"}, "The link is no address; give one that begins with https://."),
    ],
)
def test_what_cannot_be_kept_is_said_and_nothing_is_lost(client, ana, fields, sentence):
    client.force_login(ana)
    response = sent(client, note="typed before", **fields)
    assert response.status_code == 422
    assert sentence in words(response)
    assert "typed before" in response.content.decode()
    assert not Study.objects.exists()


def test_whoever_is_signed_out_is_sent_to_sign_in(client):
    assert sent(client).status_code == 302
    assert client.get("/exponents/1/").status_code == 302
    assert not Study.objects.exists()
    with pytest.raises(PermissionDenied):
        services.add_study(NOBODY, name="x", alpha_n=1.0)


def test_one_person_keeps_so_many(ana, monkeypatch):
    monkeypatch.setattr(services, "MOST_STUDIES", 1)
    services.add_study(ana, name="a", alpha_n=0.1)
    with pytest.raises(ValidationError, match="as many as one person may"):
        services.add_study(ana, name="b", alpha_n=0.1)


def test_hostile_words_stay_words(client, ana):
    client.force_login(ana)
    sent(client, name="<script>alert(1)</script>", note='"><img src=x>')
    html = client.get("/exponents/").content.decode()
    assert "<script>alert" not in html
    assert "<img" not in html
    json.dumps(client.get("/exponents.json").json())


# ── values and figures ──


def test_rows_without_a_value_come_last_either_way():
    rows = [
        Measurement(PUBLISHED, "a"),
        Measurement(PUBLISHED, "b", alpha_n=1.0),
        Measurement(PUBLISHED, "c", alpha_n=0.5),
    ]
    assert [row.source for row in sorted_by(rows, "n", is_falling=False)] == ["c", "b", "a"]
    assert [row.source for row in sorted_by(rows, "n", is_falling=True)] == ["b", "c", "a"]


def test_the_figure_draws_both_lines_and_every_law():
    chart = exponents_chart(reads.published(), number=1)
    lines = {one["name"]: one["points"] for one in chart["series"] if one["kind"] == "line"}
    x, y = lines["theory"][30]
    assert y == pytest.approx(x / (1 + x))
    assert sum(len(one["points"]) for one in chart["series"] if one["kind"] == "points") == 16
    labels = [one["label"] for one in chart["series"] if one["kind"] == "points" and one["label"]]
    assert sorted(labels) == [
        "Ardalani 2022",
        "Droppo 2021",
        "Gordon 2021",
        "Hoffmann 2022",
        "Kaplan 2020",
        "Rosenfeld 2019",
    ]


def test_a_figure_of_nothing_published_says_so():
    own = Measurement("own", "mine", alpha_n=0.2, alpha_d=0.1)
    assert exponents_chart([own], number=1)["title"] == "No published law of this kind has both exponents"
    assert exponents_chart([], number=1)["reading"] == ""


@pytest.mark.parametrize("stray", [{"alpha_n": 1e-300, "alpha_d": 0.2}, {"alpha_n": 0.2, "alpha_d": 900}])
def test_a_stray_exponent_is_left_out_of_the_figure_and_said_to_be(stray):
    usual = exponents_chart(reads.published(), number=1)
    chart = exponents_chart([*reads.published(), Measurement("own", "stray", **stray)], number=1)
    assert (chart["x"], chart["y"]) == (usual["x"], usual["y"])
    assert chart["reading"].endswith("Not drawn: 1 with an exponent outside 0.001 to 100; the table has it.")


def test_the_figure_tells_what_was_measured_here_from_what_people_added():
    origins = ["run", "parity", "own", "own", "own", "shared"]
    rows = [Measurement(origin, "mine", alpha_n=0.2, alpha_d=0.1) for origin in origins]
    said = "Marked too: 2 measured here, 3 added by you, 1 shared by others."
    assert exponents_chart(rows, number=1)["reading"] == said
    assert exponents_chart(rows[2:5], number=1)["reading"] == "Marked too: 3 added by you."
