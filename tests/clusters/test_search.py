"""What a search finds is what plain Python finds, document by document."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusters.queries.search import text as text_module
from clusters.queries.search.corpus import look, parse_sequence, search
from clusters.queries.search.examples import examples_of
from clusters.queries.search.hits import hits_of, labels_at
from clusters.queries.search.text import text_of
from clusters.stored.arrays import corpus_of, vocabulary_of
from clusters.values.searching import NotSearchableError, Question
from tests.factories import LENGTH, N_DOCUMENTS, VOCABULARY, make_run

pytestmark = pytest.mark.django_db
many = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = ["the", "cat", "the cat", "日", "t", ")(", "aaa", "x", "script>alert", "dog dog", "e c", "\n", "  ", "\u200b"]


@pytest.fixture(autouse=True)
def derived_beside_the_bundle(settings, tmp_path, monkeypatch):
    settings.DERIVED_DIR = tmp_path / "derived"
    monkeypatch.setattr(text_module, "BYTES_PER_CHUNK", 300)
    monkeypatch.setattr(text_module, "TOKENS_PER_BLOCK", 64)
    monkeypatch.setattr("clusters.queries.search.corpus.DOCUMENTS_AT_ONCE", 3)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def documents(run) -> list[list[bytes]]:
    corpus, vocabulary = corpus_of(run), vocabulary_of(run)
    return [[vocabulary.token_bytes(int(i)) for i in corpus.document_tokens(d)] for d in range(corpus.n_documents)]


def token_span(tokens: list[bytes], begin: int, end: int) -> tuple[int, int]:
    """The tokens that hold these bytes, one by one."""
    touched, at = [], 0
    for place, raw in enumerate(tokens):
        if at < end and at + len(raw) > begin:
            touched.append(place)
        at += len(raw)
    return touched[0], touched[-1]


def naive(run, matches) -> list[tuple[int, int, int]]:
    """Document, first and last token of every match that `matches` gives of a document's bytes."""
    found = []
    for number, tokens in enumerate(documents(run)):
        for begin, end in matches(b"".join(tokens)):
            hit = (number, *token_span(tokens, begin, end))
            if not found or found[-1] != hit:
                found.append(hit)
    return found


def by_find(wanted: bytes):
    def matches(raw: bytes):
        at = raw.find(wanted)
        while at >= 0:
            yield at, at + len(wanted)
            at = raw.find(wanted, at + len(wanted))

    return matches


def hits(run, question: Question) -> list[tuple[int, int, int]]:
    found = look(run, question, seconds=60)
    assert found.is_complete
    return [(hit.document, hit.first, hit.last) for hit in hits_of(run, found, affinity="signed", k=6)]


def test_the_text_is_that_of_the_tokens(run):
    text = text_of(run)
    assert text.bytes.tobytes() == b"".join(b"".join(tokens) for tokens in documents(run))
    assert text.starts.dtype == np.uint32
    assert np.diff(text.starts.astype(int)).tolist() == [len(t) for tokens in documents(run) for t in tokens]


def test_ids_beyond_the_vocabulary_have_no_text(tmp_path):
    ids = np.full(N_DOCUMENTS * LENGTH, 900, np.uint16)
    ids[::2] = 2
    run = make_run(tmp_path, arrays={"corpus/token_ids": ids})
    assert text_of(run).bytes.tobytes() == b" cat" * (N_DOCUMENTS * LENGTH // 2)
    assert len(hits(run, Question("cat", "exact"))) == N_DOCUMENTS * LENGTH // 2


@many
@given(text=st.one_of(st.sampled_from(TEXTS), st.text("the catdog()\n日x", min_size=1, max_size=5)))
def test_exact_text_is_found_as_python_finds_it(run, text):
    assert hits(run, Question(text, "exact")) == naive(run, by_find(text.encode()))


@many
@given(text=st.text("tTHE cAx", min_size=1, max_size=4))
def test_either_case_is_found_as_python_finds_it(run, text):
    expected = naive(run, lambda raw: by_find(text.lower().encode())(raw.lower()))
    assert hits(run, Question(text, "exact", ignores_case=True)) == expected


@pytest.mark.parametrize("pattern", [
    r"the|cat", r"^the", r"\)$", r"\b[a-z]+\b", r"(cat|dog)( x)+", r"d.g",
    r"(?:e c|e d)", r"t[ -~]*\)", r"t[\x00-\x7f]*x", r"\(+", "日",
])  # fmt: skip
def test_expressions_are_found_as_python_finds_them(run, pattern):
    """Python's own engine, a document at a time; the patterns mean the same in both."""

    def matches(raw: bytes):
        for match in re.finditer(pattern.encode(), raw):
            yield match.span()

    assert hits(run, Question(pattern, "regex")) == naive(run, matches)


@many
@given(data=st.data())
def test_sequences_are_found_as_a_plain_loop_finds_them(run, data):
    items = st.one_of(st.none(), st.integers(0, len(VOCABULARY) - 1))
    wanted = data.draw(st.lists(items, min_size=1, max_size=3).filter(lambda own: any(i is not None for i in own)))
    text = " ".join("*" if i is None else str(i) for i in wanted)
    corpus, expected = corpus_of(run), []
    for number in range(corpus.n_documents):
        ids = corpus.document_tokens(number).tolist()
        for at in range(len(ids) - len(wanted) + 1):
            if all(w in (None, i) for w, i in zip(wanted, ids[at:], strict=False)):
                expected.append((number, at, at + len(wanted) - 1))
    assert hits(run, Question(text, "sequence")) == expected


def test_bytes_that_are_no_character_are_matched_by_a_byte_alone(tmp_path):
    ids = np.full((N_DOCUMENTS, LENGTH), 1, np.uint16)
    ids[2, 5] = 16  # the byte FF
    run = make_run(tmp_path, arrays={"corpus/token_ids": ids.ravel()})
    assert hits(run, Question("e.t", "regex")) == []
    assert hits(run, Question(r"e\Ct", "regex")) == [(2, 4, 6)]


def test_overlapping_sequences_count_and_overlapping_text_does_not(tmp_path):
    ids = np.full(N_DOCUMENTS * LENGTH, 7, np.uint16)  # "(" throughout
    run = make_run(tmp_path, arrays={"corpus/token_ids": ids})
    assert len(hits(run, Question("7 7", "sequence"))) == N_DOCUMENTS * (LENGTH - 1)
    assert len(hits(run, Question("((", "exact"))) == N_DOCUMENTS * LENGTH // 2
    assert len(hits(run, Question(r"\(\(", "regex"))) == N_DOCUMENTS * LENGTH // 2


def test_nothing_is_found_across_documents(tmp_path):
    ids = np.full((N_DOCUMENTS, LENGTH), 4, np.uint16)
    ids[:, -1], ids[:, 0] = 2, 3  # " cat" ends every document, " dog" begins the next
    run = make_run(tmp_path, arrays={"corpus/token_ids": ids.ravel()})
    for question in (Question("cat dog", "exact"), Question("cat dog", "exact", ignores_case=True),
                     Question("cat.dog", "regex"), Question("2 3", "sequence")):  # fmt: skip
        assert hits(run, question) == []
    assert hits(run, Question(r"cat(.dog)?", "regex")) == [(d, LENGTH - 1, LENGTH - 1) for d in range(N_DOCUMENTS)]


def test_a_character_in_three_tokens_is_a_hit_of_three_tokens(tmp_path):
    ids = np.full((N_DOCUMENTS, LENGTH), 1, np.uint16)
    ids[5, 10:13] = 9, 10, 11
    run = make_run(tmp_path, arrays={"corpus/token_ids": ids.ravel()})
    for mode in ("exact", "regex"):
        assert hits(run, Question("日", mode)) == [(5, 10, 12)]
    assert hits(run, Question("e日t", "exact")) == [(5, 9, 13)]


def test_answers_are_predicted_tokens(run):
    corpus, expected = corpus_of(run), []
    for number in range(corpus.n_documents):
        ids = corpus.document_tokens(number).tolist()
        expected += [(number, at, at) for at in range(1, len(ids)) if ids[at] in (2, 3)]
    both = hits(run, Question(" cat", "answer", is_whole=True)) + hits(run, Question(" dog", "answer", is_whole=True))
    assert sorted(both) == expected


def test_a_hit_knows_its_token_loss_and_cluster(run):
    found = look(run, Question("the", "exact"), seconds=60)
    corpus = corpus_of(run)
    for hit in hits_of(run, found, affinity="signed", k=6):
        if hit.last == 0:
            assert hit.index is None
            assert hit.loss_nats is None
            continue
        assert hit.index == corpus.flat_index(hit.document, hit.last)
        token = run.tokens.filter(flat_index=hit.index).first()
        assert (hit.label is None) == (token is None)
        if token:
            assert hit.loss_nats == pytest.approx(token.loss_nats)
            assert hit.label == labels_at(run, np.array([hit.index]), affinity="signed", k=6)[0]


def test_more_than_the_most_is_said_and_not_counted(tmp_path):
    ids = np.full(N_DOCUMENTS * LENGTH, 7, np.uint16)
    run = make_run(tmp_path, arrays={"corpus/token_ids": ids})
    found = look(run, Question("(", "exact"), seconds=60, most=100)
    assert (len(found.first), found.is_over, found.is_complete) == (100, True, True)
    exact = look(run, Question("(", "exact"), seconds=60, most=N_DOCUMENTS * LENGTH)
    assert (len(exact.first), exact.is_over) == (N_DOCUMENTS * LENGTH, False)


def test_what_time_did_not_allow_is_said(run):
    for question in (Question("the", "exact"), Question("the", "regex"), Question("1 *", "sequence")):
        found = look(run, question, seconds=-1)
        assert not found.is_complete
        assert 0 < found.n_searched < N_DOCUMENTS
        rest = look(run, question, seconds=60, from_document=found.n_searched)
        both = np.concatenate([found.first, rest.first])
        assert both.tolist() == look(run, question, seconds=60).first.tolist()
    assert not search(run, Question("cat", "exact"), seconds=-1).is_complete
    assert search(run, Question("cat", "exact"), seconds=60).is_complete  # what was cut short is not remembered


@pytest.mark.parametrize(("question", "words"), [
    (Question("(", "regex"), "missing \\)"), (Question("a{1001}", "regex"), "invalid repetition"),
    (Question("x*", "regex"), "empty text"), (Question(r"\b", "regex"), "empty text"),
    (Question(r"(?:\pL{500}){2}", "regex"), "too large"), (Question("(?=a)", "regex"), "RE2"),
    (Question("zebra", "answer"), "No token of the vocabulary"), (Question("* *", "sequence"), "everywhere"),
    (Question("19", "sequence"), "count from 0 to 18"), (Question('"zebra"', "sequence"), "exactly"),
    (Question("the", "sequence"), "is no token"), (Question('"the', "sequence"), "is no token"),
    (Question('""', "sequence"), "exactly"), (Question("1 " * 65, "sequence"), "at most 64"),
])  # fmt: skip
def test_what_cannot_be_looked_for_is_refused_with_a_sentence(run, question, words):
    with pytest.raises(NotSearchableError, match=words):
        look(run, question, seconds=60)


def test_a_sequence_may_quote_and_escape(run):
    parsed = parse_sequence(vocabulary_of(run), r'"the" " cat" * "\n" 7')
    assert [None if ids is None else ids.tolist() for ids in parsed] == [[1], [2], None, [4], [7]]


def test_every_example_finds_something(run):
    examples = examples_of(run)
    assert {example.mode for example in examples} == {"exact", "regex", "answer", "sequence", "words"}
    for example in examples:
        if example.place == "corpus":
            assert hits(run, example)
