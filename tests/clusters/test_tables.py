"""Tables as text: every value comes back, no cell is a formula, and a cut download is noticed."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from clusters.values.tables import Column, Table, csv_chunks, jsonl_chunks

NUMBERS = np.array([0.1, 1e-9, np.nan, 123456.79, np.inf], np.float32)
TEXTS = ["=1+1", 'say "hi", you', "two\nlines", "# no comment", None]


def table() -> Table:
    columns = (
        Column("index", "integer"), Column("loss", "number", "nats"), Column("text", "text"), Column("is", "flag"),
        Column("tags", "list"), Column("curve", "json"),
    )  # fmt: skip
    tags = [["a", "b"], [], ["c"], ["d"], ["e"]]
    curves = [[1.5, float("nan")], [], [2], None, {"a": 1}]

    def blocks():
        for rows in (slice(0, 2), slice(2, 5)):
            yield [np.arange(5)[rows], NUMBERS[rows], TEXTS[rows], [True, False, None, True, True][rows],
                   tags[rows], curves[rows]]  # fmt: skip

    return Table("made-up", columns, blocks, 5)


def text(chunks) -> str:
    return b"".join(chunks).decode()


def test_csv_comes_back_as_it_was_and_its_end_is_a_comment():
    found = pd.read_csv(io.StringIO(text(csv_chunks(table()))), comment="#")
    assert found["index"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found["loss"].astype(np.float32)[[0, 1, 3]], NUMBERS[[0, 1, 3]])
    assert found["loss"].isna().tolist() == [False, False, True, False, True]
    assert found["text"].tolist()[1:4] == TEXTS[1:4]
    assert found["tags"].tolist()[0] == "a b"


def test_no_cell_of_csv_is_a_formula():
    assert '"\'=1+1"' in text(csv_chunks(table()))


@pytest.mark.parametrize("chunks", [csv_chunks, jsonl_chunks])
def test_the_last_line_counts_the_rows(chunks):
    last = text(chunks(table())).splitlines()[-1]
    assert last in ("# end, 5 rows", '{"end": true, "rows": 5}')


def test_json_lines_hold_texts_as_they_are_and_null_for_no_number():
    rows = [json.loads(line) for line in text(jsonl_chunks(table())).splitlines()[:-1]]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["loss"] for row in rows] == [0.1, 1e-09, None, 123456.79, None]
    assert rows[0]["curve"] == [1.5, None]
    assert rows[2]["is"] is None


def test_a_name_with_a_percent_sign_is_only_a_name():
    one = Table("x", (Column("100% sure", "integer"),), lambda: iter([[np.array([7])]]))
    assert json.loads(text(jsonl_chunks(one)).splitlines()[0]) == {"100% sure": 7}


def test_a_table_of_no_rows_has_a_head_and_an_end():
    none = Table("x", (Column("a", "text"),), lambda: iter(()))
    assert text(csv_chunks(none)) == '"a"\r\n# end, 0 rows\r\n'
