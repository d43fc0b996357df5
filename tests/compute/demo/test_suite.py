"""The shipped weights: whole, of the stated shapes, and refused when damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from safetensors import safe_open

from compute.demo.recipe import CLUSTERED, LADDER, MAX_LENGTH, VOCABULARY
from compute.demo.suite import SUITE_FOLDER, demo_suite
from compute.errors import CheckpointError

MAX_BYTES = 90_000_000
ARRAYS = {".npy", ".npz", ".pt", ".bin", ".pkl", ".parquet", ".jsonl", ".sqlite3"}


@pytest.fixture
def copied(tmp_path):
    """The suite's list with one small network beside it."""
    folder = tmp_path / "suite"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SUITE_FOLDER / name, folder)
    listing = json.loads((SUITE_FOLDER / "suite.json").read_text())
    listing["models"] = [m for m in listing["models"] if m["name"] == LADDER[0].name]
    (folder / "suite.json").write_text(json.dumps(listing))
    shutil.copytree(SUITE_FOLDER / LADDER[0].name, folder / LADDER[0].name)
    return folder


def shapes(path) -> dict[str, list[int]]:
    with safe_open(path / "model.safetensors", framework="np") as tensors:
        names = list(tensors.keys())
        return {name: tensors.get_slice(name).get_shape() for name in names}


def size_of(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def test_the_whole_ladder_is_shipped():
    suite = demo_suite()
    assert [m.name for m in suite.models] == [n.name for n in LADDER]
    assert suite.clustered == CLUSTERED
    assert suite.max_length == MAX_LENGTH


def test_histories_are_long_enough():
    suite = demo_suite(is_checked=False)
    histories = [m for m in suite.models if len(m.steps) >= 12]
    assert suite.clustered_model in histories
    assert sum(m.n_non_embedding < suite.clustered_model.n_non_embedding for m in histories) >= 2
    assert all(m.steps[0] == 0 and m.steps[-1] == m.final_step for m in histories)


def test_weights_have_the_stated_numbers_of_parameters():
    for model, _, path in demo_suite(is_checked=False).checkpoints():
        found = shapes(path)
        embeddings = {n: s for n, s in found.items() if "embed" in n or n.startswith("lm_head")}
        assert set(map(tuple, embeddings.values())) == {(VOCABULARY, model.d_model)}
        assert len(embeddings) == 2
        rest = sum(size_of(s) for n, s in found.items() if n not in embeddings)
        assert rest == model.n_non_embedding


def test_weights_are_half_precision():
    for _, _, path in demo_suite(is_checked=False).checkpoints():
        with safe_open(path / "model.safetensors", framework="np") as tensors:
            names = list(tensors.keys())
            assert {str(tensors.get_slice(name).get_dtype()) for name in names} == {"F16"}


def test_nothing_that_the_demo_computes_is_shipped():
    root = SUITE_FOLDER.parents[2]
    folders = ("benchmarks", "clusters", "compute", "docs", "quantaweb", "static", "templates", "tests")
    files = [path for name in folders for path in (root / name).rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix in ARRAYS] == []
    assert {path.name for path in files if path.suffix == ".safetensors"} == {"model.safetensors"}
    assert {path.suffix for path in SUITE_FOLDER.rglob("*") if path.is_file()} == {".json", ".md", ".safetensors"}


def test_everything_shipped_is_small_enough():
    assert sum(p.stat().st_size for p in SUITE_FOLDER.rglob("*") if p.is_file()) <= MAX_BYTES


def test_a_missing_file_is_named(copied):
    (copied / LADDER[0].name).rename(copied / "gone")
    with pytest.raises(CheckpointError, match=r"config\.json of the demo suite is missing"):
        demo_suite(copied)


def test_one_altered_byte_is_noticed(copied):
    path = demo_suite(copied).models[0].final / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        demo_suite(copied)


def test_a_damaged_list_is_refused(copied):
    (copied / "suite.json").write_text('{"name": "demo"')
    with pytest.raises(CheckpointError, match=r"suite\.json is damaged"):
        demo_suite(copied)


def test_an_unknown_step_or_network_is_refused(copied):
    suite = demo_suite(copied)
    with pytest.raises(CheckpointError, match="no weights at step 7"):
        suite.models[0].path(7)
    with pytest.raises(CheckpointError, match="no network 'x'"):
        suite.model("x")


def test_listing_the_suite_imports_no_torch():
    code = "import sys, compute.demo.suite as s; s.demo_suite(is_checked=False); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
