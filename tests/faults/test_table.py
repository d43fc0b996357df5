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
    assert "| a child is killed | local, sqlite | seconds 2.5 (1 to 3) |" in table.table(table.read(file))


def test_a_fault_s_line_tells_the_sum_or_the_worst_over_its_trials(tmp_path: Path) -> None:
    found = (
        {"row": 2, "what": "one", "database": "sqlite", "figures": {"kills": 700, "seconds_until_queued": 3.5}},
        {"row": 2, "what": "two", "figures": {"kills": 500, "labels_lost": 0, "phases": {"losses": 2, "map": 1}}},
        {"row": 15, "what": "pages", "figures": {"dialogs": 0}},
    )
    text = table.table(table.read(_lines(tmp_path / "f", *found)))
    assert "| kills 1,200; labels lost 0; seconds until queued at most 3.5 ([2 trials](#row-2)) |" in text
    assert "| dialogs 0 ([1 trial](#row-15)) |" in text
    assert "| two |  | kills 500; labels lost 0; phases losses 2, map 1 |" in text


def test_what_tells_most_of_a_fault_is_measured_somewhere() -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in Path(table.__file__).parents[1].rglob("*.py"))
    names = {name for figures in table.TELLING.values() for name in figures}
    assert sorted(name for name in names if tests.count(name) <= 1) == []
    assert list(table.TELLING) == list(table.ROWS)


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
