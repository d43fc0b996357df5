"""Contexts are read by slices, shaded on one scale, folded where they repeat, and never trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.template import Context as TemplateContext
from django.template import Template

from clusters.contexts import Reader, loss_shade
from clusters.display import clean_text, display_tokens, token_label
from clusters.models import Run
from compute.bundle import BundleWriter, open_bundle
from compute.numerics.vocabulary import Vocabulary

WORDS = [b"a", b" b", b"\n", b"<script>", b"\xe2\x82", b"\xac", b"\xe2\x80\xae", b"x"]
DOCUMENTS = [[0, 1, 2, 3, 1], [7], [4, 5, 6, 0], [*range(8), *range(8)], [7, *range(8), *range(8)]]


@pytest.fixture
def run(tmp_path: Path, settings) -> Run:
    settings.ROOT_URLCONF = "quantaweb.urls"
    with BundleWriter(tmp_path, "tiny") as writer:
        path = writer.publish(_add_arrays(writer), {})
    bundle = open_bundle(path)
    return Run(slug="tiny", bundle_path=str(path), bundle_sha256=bundle.sha256, manifest=bundle.manifest)


def _add_arrays(writer: BundleWriter) -> dict:
    ids = np.array([token for document in DOCUMENTS for token in document], np.uint16)
    offsets = np.cumsum([0, *map(len, DOCUMENTS)]).astype(np.int64)
    n_predictions = sum(max(len(document) - 1, 0) for document in DOCUMENTS)
    writer.add_array("corpus/token_ids", ids)
    writer.add_array("corpus/offsets", offsets)
    writer.add_array("vocabulary/bytes", np.frombuffer(b"".join(WORDS), np.uint8))
    writer.add_array("vocabulary/offsets", np.cumsum([0, *map(len, WORDS)]).astype(np.int64))
    for name in ("big", "small"):
        losses = np.arange(n_predictions, dtype=np.float32) * (0.05 if name == "big" else 1)
        losses[-1] = np.nan
        writer.add_array(f"losses/{name}/step9", losses)
    return {
        "clustered": {"lm": "big", "revision": "step9"},
        "checkpoints": [
            {"lm": name, "revision": "step9", "column": f"losses/{name}/step9"} for name in ("small", "big")
        ],
    }


def text_of(boxes) -> list[str]:
    return ["".join(box.lines) for box in boxes]


def drawn(run: Run, boxes, **options) -> str:
    template = Template("{% load tokens %}{% token_boxes run boxes breaks shaded %}")
    return template.render(TemplateContext({"run": run, "boxes": boxes, "breaks": True, "shaded": True} | options))


@pytest.mark.parametrize(
    ("loss", "shade"),
    [
        *[(0.0, "l0"), (0.099, "l0"), (0.1, "l1"), (0.2, "l2"), (0.4, "l3"), (0.8, "l4"), (1.5, "l5"), (3.0, "l6")],
        *[(5.99, "l6"), (6.0, "l7"), (12.0, "l7"), (99.0, "l7"), (None, "l0")],
    ],
)
def test_the_shade_follows_the_printed_edges(loss, shade):
    assert loss_shade(loss) == shade


def test_the_answer_stands_last_and_is_the_only_one_marked(run):
    reader = Reader(run)
    [place] = reader.places([3])
    boxes = reader.context(place, 40).boxes
    assert text_of(boxes) == ["a", " b", "⏎", "<script>", " b"]
    assert [box.is_answer for box in boxes] == [False] * 4 + [True]


def test_the_first_token_of_a_document_links_nowhere_and_the_others_to_themselves(run):
    reader = Reader(run)
    boxes = reader.context(reader.places([3])[0], 40).boxes
    assert [box.index for box in boxes] == [None, 0, 1, 2, 3]


def test_a_cut_context_says_so_and_holds_no_more_than_asked(run):
    reader = Reader(run)
    context = reader.context(reader.places([3])[0], 2)
    assert context.is_cut
    assert text_of(context.boxes) == ["⏎", "<script>", " b"]


def test_a_whole_context_is_not_called_cut(run):
    reader = Reader(run)
    assert not reader.context(reader.places([3])[0], 4).is_cut


def test_places_pass_over_documents_without_predictions(run):
    place = Reader(run).places([4])[0]
    assert (place.document, place.position) == (2, 1)
    assert place.loss_nats == pytest.approx(0.2)


def test_losses_come_from_the_chosen_checkpoint(run):
    assert Reader(run, "losses/small/step9").places([4])[0].loss_nats == pytest.approx(4.0)


def test_a_loss_that_is_no_number_is_unknown_not_zero(run):
    reader = Reader(run)
    last = reader.corpus.n_predictions - 1
    place = reader.places([last])[0]
    assert place.loss_nats is None
    assert "loss unknown" in reader.context(place, 3).boxes[-1].tip


def test_a_tip_names_token_id_position_and_loss(run):
    reader = Reader(run)
    boxes = reader.context(reader.places([3])[0], 40).boxes
    assert boxes[1].tip == "␣b   id 1   position 1\n0.000 nats"
    assert boxes[-1].tip == "␣b   id 1   position 4\n0.150 nats   ground truth"
    assert boxes[0].tip.endswith("not predicted")


def test_contexts_with_the_same_last_tokens_and_answer_fold(run):
    reader = Reader(run)
    ends = [reader.corpus.flat_index(3, 15), reader.corpus.flat_index(4, 16), 0]
    assert reader.fold(ends) == [ends[:2], [0]]


def test_contexts_that_differ_within_eight_tokens_do_not_fold(run):
    reader = Reader(run)
    early = [reader.corpus.flat_index(3, 1), reader.corpus.flat_index(4, 2)]
    assert reader.fold(early) == [[early[0]], [early[1]]]


def test_folding_nothing_gives_nothing(run):
    assert Reader(run).fold([]) == []


def test_a_character_split_over_tokens_is_shown_once_and_whole(run):
    reader = Reader(run)
    place = reader.places([reader.corpus.flat_index(2, 3)])[0]
    assert text_of(reader.context(place, 40).boxes) == ["", "€", "⟨RLO⟩", "a"]


def test_markup_in_the_corpus_is_drawn_as_text(run):
    reader = Reader(run)
    html = drawn(run, reader.context(reader.places([2])[0], 40).boxes)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_every_predicted_box_links_to_its_token_outside_the_tab_order(run):
    reader = Reader(run)
    html = drawn(run, reader.context(reader.places([1])[0], 40).boxes)
    assert '<a href="/runs/tiny/tokens/0/" class="t" tabindex="-1"' in html
    assert html.count("<a ") == 2


def test_a_newline_breaks_the_line_only_where_breaks_are_on(run):
    reader = Reader(run)
    boxes = reader.context(reader.places([2])[0], 40).boxes
    assert "</a>\n" in drawn(run, boxes)
    assert "</a>\n" not in drawn(run, boxes, breaks=False)


def test_shading_can_be_left_out(run):
    reader = Reader(run, "losses/small/step9")
    boxes = reader.context(reader.places([3])[0], 40).boxes
    assert "t l5" not in drawn(run, boxes, shaded=False)
    assert 'class="t l4"' in drawn(run, boxes)


def test_a_document_marks_its_clustered_tokens(run):
    reader = Reader(run)
    boxes = reader.document(0, 0, 5, frozenset({1}))
    assert [box.is_clustered for box in boxes] == [False, False, True, False, False]


def test_of_a_token_without_end_the_beginning_is_shown_and_the_rest_counted():
    text = "\u0301" * 500_000 + "x"
    encoded = np.frombuffer(text.encode(), np.uint8)
    vocabulary = Vocabulary(encoded, np.array([0, len(encoded)], np.int64))
    [shown] = display_tokens(vocabulary, [0])
    assert shown.text.endswith("⟨+499,761 characters⟩")
    assert len(shown.text) < 300
    assert len(token_label(vocabulary, 0, limit=40)) <= 40


def test_characters_split_over_tokens_stand_where_they_end_whatever_is_around_them():
    pieces = [b"a", b" bc", b"\xe2", b"\x82", b"\xac", b"\xe2\x82\xac", b"", b"\xf0\x9f", b"\x98\x80", b"\xc3\xa9 "]
    vocabulary = Vocabulary(
        np.frombuffer(b"".join(pieces), np.uint8), np.cumsum([0, *map(len, pieces)]).astype(np.int64)
    )
    draw = np.random.default_rng(3)
    for _ in range(300):
        ids = draw.integers(0, len(pieces), 12).tolist()
        shown = display_tokens(vocabulary, ids)
        whole = b"".join(pieces[i] for i in ids)
        assert "".join(one.text for one in shown) == clean_text(whole.decode("utf-8", "replace"))
        assert [one.raw_bytes for one in shown] == [pieces[i] for i in ids]
        assert all(one.text == pieces[i].decode() for one, i in zip(shown, ids, strict=True) if i in (0, 1, 5, 9))
