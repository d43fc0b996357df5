"""The tables of docs/demo.md."""

from __future__ import annotations

import numpy as np

from compute.demo.report import kinds_of_predictions, table
from compute.numerics.corpus import TokenizedCorpus


def test_a_table_is_markdown():
    assert list(table(["a", "b"], [[1, "x"]])) == ["| a | b |", "|---|---|", "| 1 | x |"]


def test_kinds_follow_predictions_and_pass_over_short_documents():
    corpus = TokenizedCorpus(np.arange(6, dtype=np.uint16), np.array([0, 3, 4, 6]))
    meta = [{"kind": "python"}, {"kind": "c"}, {"kind": "po"}]
    assert kinds_of_predictions(corpus, meta).tolist() == ["python", "python", "po"]
