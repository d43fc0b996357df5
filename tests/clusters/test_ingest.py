"""A bundle becomes rows: all of them or none, once, and with nothing hostile in them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from django.db import IntegrityError, connection

from clusters import ingest as package
from clusters.ingest import ingest, writing
from clusters.ingest.rows import storable
from clusters.ingest.summaries import Clustered, ClusteredText, Partition, summarise
from clusters.ingest.writing import free_slug
from clusters.models import Checkpoint, Cluster, Clustering, Corpus, Membership, Run, RunCheckpoint, Token
from clusters.values.facts import EMERGENCE_NATS
from compute.bundle import open_bundle
from compute.errors import BundleError, StorageError
from compute.numerics.emergence import crossings
from tests.databases import Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.factories import KS, N_SELECTED, NETWORKS, UserFactory, make_run, write_bundle
from tests.postgres import postgres  # noqa: F401  (a fixture)

TABLES = (Run, Corpus, Checkpoint, RunCheckpoint, Clustering, Cluster, Token, Membership)


def n_rows() -> dict[str, int]:
    return {table.__name__: table.objects.count() for table in TABLES}


@pytest.mark.django_db
def test_every_token_is_once_in_every_clustering(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.tokens.count() == N_SELECTED
    assert Membership.objects.count() == N_SELECTED * len(KS) * 2
    for clustering in run.clusterings.all():
        assert clustering.clusters.count() == clustering.k
        assert (
            Membership.objects.filter(cluster__clustering=clustering).values("token").distinct().count() == N_SELECTED
        )


@pytest.mark.django_db
def test_members_are_those_of_the_labels(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    labels = open_bundle(run.bundle_path).array("clustering/signed/k6")
    for cluster in Cluster.objects.filter(clustering__affinity="signed", clustering__k=6):
        rows = sorted(cluster.memberships.values_list("token__row", flat=True))
        assert rows == np.flatnonzero(labels == cluster.label).tolist()
        assert cluster.size == len(rows)


@pytest.mark.django_db
def test_ranks_fall_with_size_and_the_clustering_lists_the_sizes(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for clustering in run.clusterings.all():
        sizes = list(clustering.clusters.order_by("rank").values_list("size", flat=True))
        assert sizes == sorted(sizes, reverse=True) == clustering.sizes
        assert clustering.n_singletons == sizes.count(1)


@pytest.mark.django_db
def test_a_tokens_facts_are_those_of_the_arrays(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    bundle, token = open_bundle(run.bundle_path), run.tokens.get(row=5)
    flat = int(bundle.array("selection/flat_index")[5])
    document, position = divmod(flat, 29)
    assert (token.flat_index, token.document, token.position) == (flat, document, position + 1)
    assert token.answer_id == bundle.array("corpus/token_ids")[document * 30 + position + 1]
    assert token.loss_nats == pytest.approx(float(bundle.array("losses/syn-800k/step1000")[flat]))
    assert run.checkpoint.lm == "syn-800k"


@pytest.mark.django_db
def test_the_same_bundle_twice_is_one_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = n_rows()
    again = ingest(run.bundle_path, name="another name", owner=UserFactory(), private=True)
    assert (again.pk, again.name, again.is_private, again.owner) == (run.pk, run.name, False, None)
    assert n_rows() == before


@pytest.mark.django_db
def test_a_bundle_that_was_moved_is_found_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "old")
    moved = tmp_path / "new"
    shutil.move(run.bundle_path, moved)
    assert ingest(moved).bundle_path == str(moved)
    assert Run.objects.get().bundle_path == str(moved)


@pytest.mark.django_db
def test_a_copy_does_not_take_the_place_of_a_bundle_that_is_still_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "old")
    copy = shutil.copytree(run.bundle_path, tmp_path / "copy")
    assert ingest(copy).bundle_path == run.bundle_path


@pytest.mark.django_db
def test_two_runs_of_one_name_get_addresses_of_their_own(tmp_path: Path) -> None:
    slugs = [make_run(tmp_path, seed=seed, name="Demo").slug for seed in range(3)]
    assert slugs == ["demo", "demo-2", "demo-3"]


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "slug"), [("日本語", "run"), ("new", "new-2"), ("--", "run")])
def test_every_name_gives_an_address(name: str, slug: str) -> None:
    assert free_slug(name) == slug


@pytest.mark.django_db
def test_one_altered_byte_is_refused_with_the_files_name(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    file = path / "clustering/signed/k3.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"k3\.npy was altered or cut short"):
        ingest(path)
    assert not any(n_rows().values())


@pytest.mark.django_db
def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    file = path / "similarity/signed.npy"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BundleError, match="cut short"):
        ingest(path)


WRONG = {
    "labels beyond k": {"arrays": {"clustering/signed/k3": np.full(N_SELECTED, 7, np.int32)}},
    "too few labels": {"arrays": {"clustering/signed/k3": np.zeros(3, np.int32)}},
    "a selection out of order": {"arrays": {"selection/flat_index": np.arange(N_SELECTED)[::-1].copy()}},
    "a selection beyond the corpus": {"arrays": {"selection/flat_index": np.arange(N_SELECTED) + 340}},
    "a similarity of another size": {"arrays": {"similarity/signed": np.eye(3, dtype=np.float32)}},
    "offsets that fall": {"arrays": {"corpus/offsets": np.array([0, 90, 30, 360], np.int64)}},
    "a column too short": {"arrays": {"losses/syn-10k/step1000": np.zeros(3, np.float32)}},
    "curves of fewer sizes": {"arrays": {"curves/losses": np.zeros((348, 2), np.float32)}},
    "an unknown affinity": {
        "manifest": {"clusterings": [{"affinity": "odd", "k": 3, "array": "clustering/signed/k3"}]}
    },
    "no clusterings": {"manifest": {"clusterings": []}},
    "an unknown checkpoint": {"manifest": {"clustered": {"lm": "nobody", "revision": "step1"}}},
    "a map of other tokens": {"arrays": {"map/gradients": np.zeros((3, 2), np.float32)}},
    "a map of predictions out of order": {"arrays": {"map/curves_index": np.arange(174)[::-1].copy()}},
    "a map without places": {"arrays": {"map/curves": np.zeros((3, 2), np.float32)}},
    "sketches of other tokens": {"arrays": {"sketches/signed": np.zeros((3, 64), np.float16)}},
    "curves over other steps": {"arrays": {"curves/steps/syn-800k": np.zeros((348, 2), np.float16)}},
    "slopes of other predictions": {"arrays": {"curves/slope": np.zeros(3, np.float32)}},
    "fine bins of fewer checkpoints": {"arrays": {"losses/fine_histogram": np.zeros((3, 15_001), np.int32)}},
    "fine bins without what lies above": {"arrays": {"losses/fine_histogram": np.zeros((6, 15_000), np.int32)}},
    "fine bins of another width": {"arrays": {"losses/fine_histogram_edges": np.linspace(0, 30, 15_001)}},
    "no corpus": {"manifest": {"corpus": {"name": "half"}}},
}


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_bundle_that_contradicts_itself_is_refused_and_leaves_nothing(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="contradicts itself"):
        ingest(write_bundle(tmp_path, **wrong))
    assert not any(n_rows().values())


@pytest.mark.django_db
def test_a_failure_half_way_leaves_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IntegrityError("made up")

    monkeypatch.setattr(writing, "write_memberships", fail)
    with pytest.raises(IntegrityError):
        ingest(write_bundle(tmp_path))
    assert not any(n_rows().values())


@pytest.mark.django_db
def test_who_comes_second_gets_the_run_of_who_came_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, lost = write_bundle(tmp_path), package._known, []

    def blind_once(bundle: object) -> Run | None:
        if not lost:
            lost.append(ingest_first(path))
            return None
        return real(bundle)

    def ingest_first(path: Path) -> Run:
        monkeypatch.setattr(package, "_known", real)
        run = ingest(path)
        monkeypatch.setattr(package, "_known", blind_once)
        return run

    monkeypatch.setattr(package, "_known", blind_once)
    assert ingest(path) == lost[0]
    assert Run.objects.count() == 1


@pytest.mark.django_db
def test_too_few_sizes_for_scores_leave_them_empty(tmp_path: Path) -> None:
    run = make_run(tmp_path, networks=NETWORKS[-2:], curves=False)
    token, cluster = run.tokens.first(), Cluster.objects.first()
    assert (token.monogenicity, token.n_eff, token.curve_class) == (None, None, "")
    assert cluster.mean_monogenicity is None
    assert len(cluster.mean_curve) == 2
    assert run.score_density == {}


@pytest.mark.django_db
def test_hostile_text_is_kept_as_pictures(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    shown = "".join(run.tokens.values_list("context", flat=True)) + "".join(run.tokens.values_list("answer", flat=True))
    assert {"␀", "⟨RLO⟩", "⟨ZWSP⟩", "⏎"} <= {part for part in ("␀", "⟨RLO⟩", "⟨ZWSP⟩", "⏎") if part in shown}
    assert not set(shown) & {"\0", "\n", "\x85", "\u202e", "\u200b"}


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_full_disk_under_the_database_is_said_and_leaves_nothing(site: Site, tmp_path: Path) -> None:  # noqa: F811
    path = write_bundle(tmp_path)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 4}")
    with pytest.raises(StorageError, match="database is full.*Free some space"):
        ingest(path)
    assert not any(n_rows().values())


def test_json_that_databases_refuse_is_mended() -> None:
    value = {"a\0": ["\ud800", float("nan"), 1.5, None, True], "b": {"c": "x\0y"}}
    assert storable(value) == {"a␀": ["\ufffd", None, 1.5, None, True], "b": {"c": "x␀y"}}


def test_hostile_names_and_text_go_into_either_database(site: Site, tmp_path: Path) -> None:  # noqa: F811
    run = make_run(tmp_path, name="nul \0 and \ud800 half", run={"host": "a\0b", "n": 1})
    assert Run.objects.get(pk=run.pk).name == "nul ␀ and \ufffd half"
    assert run.provenance["host"] == "a␀b"
    assert Membership.objects.count() == N_SELECTED * len(KS) * 2
    assert ingest(run.bundle_path).pk == run.pk


@pytest.mark.django_db
def test_a_real_bundle_is_read_in(small_bundle: Path) -> None:
    run = ingest(small_bundle)
    assert run.tokens.count() == run.n_tokens
    assert run.clusterings.count() == len(run.manifest["clusterings"])


def _clustered(answers: list[int], documents: list[int] | None = None) -> Clustered:
    n = len(answers)
    return Clustered(
        text=ClusteredText(
            document=np.array(documents or [0] * n),
            position=np.ones(n, np.int64),
            answer_id=np.array(answers),
            last_id=np.zeros(n, np.int64),
            labels={i: f"t{i}" for i in range(10)},
            contexts=[""] * n,
        ),
        curves=np.arange(2.0 * n).reshape(n, 2),
        monogenicity=np.array([0.5] * (n - 1) + [np.nan], np.float32),
        sizes=np.array([100.0, 10_000.0]),
        step_curves=np.array([[4.0, 0.4, 0.1 * row] for row in range(n)], np.float32),
        steps=np.array([0.0, 10.0, 100.0]),
    )


# three tokens of label 4, two of label 1, one of label 9
LABELS = np.array([1, 4, 4, 9, 4, 1])
SIMILARITY = np.array(
    [
        [1.0, 0.1, 0.2, 0.0, 0.1, 0.8],
        [0.1, 1.0, 0.6, 0.3, 0.4, 0.1],
        [0.2, 0.6, 1.0, 0.3, 0.5, 0.0],
        [0.0, 0.3, 0.3, 1.0, 0.3, 0.1],
        [0.1, 0.4, 0.5, 0.3, 1.0, 0.2],
        [0.8, 0.1, 0.0, 0.1, 0.2, 1.0],
    ],
    np.float32,
)


def test_similarity_within_is_the_mean_over_pairs() -> None:
    largest, second, single = summarise(Partition(LABELS), _clustered([1, 2, 2, 3, 5, 1]), SIMILARITY)
    assert [c["label"] for c in (largest, second, single)] == [4, 1, 9]
    assert largest["similarity_within"] == pytest.approx((0.6 + 0.4 + 0.5) / 3)
    assert second["similarity_within"] == pytest.approx(0.8)
    assert single["similarity_within"] is None


def test_similarity_across_is_the_mean_to_all_other_tokens() -> None:
    second = summarise(Partition(LABELS), _clustered([1, 2, 2, 3, 5, 1]), SIMILARITY)[1]
    assert second["similarity_across"] == pytest.approx((0.1 + 0.2 + 0.0 + 0.1 + 0.1 + 0.0 + 0.1 + 0.2) / 8)


def test_the_nearest_clusters_are_those_whose_centroids_point_the_same_way() -> None:
    largest = summarise(Partition(LABELS), _clustered([1, 2, 2, 3, 5, 1]), SIMILARITY)[0]
    own = 3 + 2 * (0.6 + 0.4 + 0.5)
    to_single, to_second = 0.9 / np.sqrt(own), 0.7 / np.sqrt(own * 3.6)
    assert [label for label, _ in largest["nearest"]] == [9, 1]
    assert [cosine for _, cosine in largest["nearest"]] == pytest.approx([to_single, to_second], abs=1e-5)


def test_answers_are_counted_commonest_first() -> None:
    largest = summarise(Partition(LABELS), _clustered([1, 5, 2, 3, 2, 1], [0, 1, 2, 3, 1, 0]), SIMILARITY)[0]
    assert largest["top_answers"] == [["t2", 2], ["t5", 1]]
    assert (largest["n_answers"], largest["n_documents"]) == (2, 2)
    assert largest["dominant_share"] == pytest.approx(2 / 3)


def test_means_are_over_members_and_leave_out_what_is_no_number() -> None:
    largest, second, _ = summarise(Partition(LABELS), _clustered([1, 2, 2, 3, 5, 1]), SIMILARITY)
    assert largest["mean_curve"] == pytest.approx([(2 + 4 + 8) / 3, (3 + 5 + 9) / 3])
    assert second["mean_monogenicity"] == pytest.approx(0.5)


def test_a_cluster_emerges_where_its_mean_curve_falls_below_half_a_nat() -> None:
    falling = dataclasses.replace(_clustered([1, 2, 2, 3, 5, 1]), curves=np.array([[1.5, 0.0]] * 6))
    largest = summarise(Partition(LABELS), falling, SIMILARITY)[0]
    assert largest["emergence_parameters"] == pytest.approx(100 * 100 ** (1.0 / 1.5))
    assert largest["emergence_step"] == pytest.approx(11 ** (3.5 / 3.6) - 1)


def test_a_cluster_that_never_gets_there_or_always_was_has_no_emergence() -> None:
    high = dataclasses.replace(_clustered([1] * 6), curves=np.full((6, 2), 3.0), step_curves=np.full((6, 3), 0.2))
    largest = summarise(Partition(LABELS), high, SIMILARITY)[0]
    assert (largest["emergence_parameters"], largest["emergence_step"]) == (None, None)


def test_a_network_with_one_checkpoint_has_no_emergence_over_steps() -> None:
    alone = dataclasses.replace(_clustered([1] * 6), step_curves=np.empty((6, 0)), steps=np.empty(0))
    assert summarise(Partition(LABELS), alone, SIMILARITY)[0]["emergence_step"] is None


@pytest.mark.django_db
def test_emergence_over_steps_is_that_of_the_clustered_networks_losses(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    bundle = open_bundle(run.bundle_path)
    flat, labels = bundle.array("selection/flat_index"), bundle.array("clustering/signed/k3")
    table = bundle.array("curves/steps/syn-800k")[flat].astype(np.float64)
    for cluster in Cluster.objects.filter(clustering__affinity="signed", clustering__k=3):
        expected = crossings([table[labels == cluster.label].mean(axis=0)], [0, 32, 1000], EMERGENCE_NATS).scale[0]
        assert cluster.emergence_step == pytest.approx(expected, nan_ok=True) or np.isnan(expected)
    assert Cluster.objects.filter(emergence_step__gt=0).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("edges", [[0.0, 0.1, 1.0, 99.0], [0.0, 0.2, 1.0, 99.0]], ids=["an edge", "no edge"])
def test_the_share_below_the_threshold_is_counted_wherever_the_histograms_edges_lie(
    edges: list[float], tmp_path: Path
) -> None:
    plain = open_bundle(write_bundle(tmp_path / "plain"))
    columns = [np.asarray(plain.array(entry["column"])) for entry in plain.manifest["checkpoints"]]
    counts = np.array([np.histogram(column, edges)[0] for column in columns], np.int64)
    arrays = {"losses/histogram": counts, "losses/histogram_edges": np.array(edges)}
    run = make_run(tmp_path / "counted", arrays=arrays)
    shares = list(run.run_checkpoints.order_by("ordinal").values_list("fraction_below", flat=True))
    assert shares == pytest.approx([float((column < 0.1).mean()) for column in columns])
    assert any(shares)


def test_one_cluster_of_everything_has_no_neighbours() -> None:
    (only,) = summarise(Partition(np.zeros(6, np.int64)), _clustered([1, 2, 2, 3, 5, 1]), SIMILARITY)
    assert only["similarity_across"] is None
    assert only["nearest"] == []
