"""Inputs that once broke something, tried ever after: each is refused with a sentence now."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute.errors import CorpusError
from compute.texts.apart import check_upload_apart
from tests.fuzz.run import CASES, feed
from tests.fuzz.targets import Target, targets

NAMES = sorted(path.name for path in CASES.iterdir())


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", NAMES)
def test_what_broke_once_is_refused(name: str, known: dict[str, Target]) -> None:
    target, _, _ = name.rpartition("-")
    assert not feed(known[target], (CASES / name).read_bytes())


def test_a_reader_that_breaks_is_noticed(tmp_path: Path) -> None:
    """The net itself: an exception that is no refusal, and a refusal without a sentence, are told."""

    def breaks(raw: bytes) -> None:
        raise IndexError(len(raw))

    def says_nothing(raw: bytes) -> None:
        from compute.errors import BundleError

        raise BundleError

    assert "IndexError: 3" in feed(Target(breaks, lambda rng: b""), b"abc")
    assert "without a sentence" in feed(Target(says_nothing, lambda rng: b""), b"abc")


def test_a_file_that_ends_whoever_reads_it_ends_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes((CASES / "texts.parquet-aborts0000").read_bytes())
    with pytest.raises(CorpusError, match="ended the program that read it"):
        check_upload_apart(file)
