"""The table of docs/reliability.md is made from figures, and says where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults import table


def _lines(file: Path, *found: dict[str, object]) -> Path:
    whole = [{"runner": "", "database": "", "scale": "tenth", "figures": {}, **one} for one in found]
    file.write_text("".join(json.dumps(one) + "\n" for one in whole))
    return file


def test_equal_measurements_become_a_median_and_a_range(tmp_path: Path) -> None:
    here = {"row": 1, "what": "a child is killed", "runner": "local", "database": "sqlite"}
    file = _lines(tmp_path / "f", *({**here, "figures": {"seconds": n}} for n in (3.0, 1.0, 2.5)))
    assert "a child is killed (local, sqlite): seconds 2.5 (1 to 3)" in table.table(table.read(file))


def test_a_row_without_figures_says_so_and_the_command_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{table.BEGIN}\nwhat was there\n{table.END}\nafter\n")
    monkeypatch.setattr(table, "DOCUMENT", document)
    assert table.main(_lines(tmp_path / "f", {"row": 24, "what": "restored", "database": "postgres"})) == 1
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "what was there" not in text
    assert text.count("**not measured**") == 23
    assert "| 24 | Restored on an empty host" in text
    assert "1, 2, 3" in capsys.readouterr().err


def test_every_measurement_in_the_tests_names_a_row_of_the_table() -> None:
    import re

    folder = Path(table.__file__).parents[1]
    rows = {
        int(number)
        for file in folder.rglob("test_*.py")
        for number in re.findall(r"\bmeasured\(\s*(\d+)", file.read_text(encoding="utf-8"))
    }
    assert rows <= {0, *table.ROWS}
