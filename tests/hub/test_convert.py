"""Pickled weights: read without running anything, and written once as safetensors."""

import io
import json
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load, load_file

from compute.config import HubRef
from compute.errors import CheckpointError
from compute.hub import convert, fetch
from compute.hub.cache import converted, converted_cache, folder_of, hub_cache
from compute.hub.fetch import fetch_checkpoint
from compute.numerics.checkpoints import load_checkpoint
from tests.hub.checkpoints import gpt_neox, pickle_of, pickled

NET = HubRef("me/net")


def fetch_pickle(hub, content: bytes) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint whose pytorch_model.bin is this."""
    hub.add("me/net", {"config.json": b"{}", "pytorch_model.bin": content})
    return load_file(fetch_checkpoint(NET).folder / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name]) for name in first
    )


def test_pickled_weights_become_safetensors_of_the_same_values(fake_hub):
    commit = fake_hub.add("me/net", pickled(gpt_neox()))
    fetched = fetch_checkpoint(NET)
    assert fetched.folder == folder_of(NET) == converted(NET, commit)
    assert fetched.files == ("config.json", "model.safetensors", "tokenizer.json")
    assert same(load_file(fetched.folder / "model.safetensors"), load(gpt_neox()["model.safetensors"]))


def test_converted_weights_load(fake_hub):
    fake_hub.add("me/net", pickled(gpt_neox(shard_size="20KB")))
    network = load_checkpoint(fetch_checkpoint(NET).folder)
    assert torch.equal(
        network.gpt_neox.embed_in.weight, load(gpt_neox()["model.safetensors"])["gpt_neox.embed_in.weight"]
    )


def test_shards_become_shards_with_an_index_of_their_own(fake_hub):
    fake_hub.add("me/net", pickled(gpt_neox(shard_size="20KB")))
    folder = fetch_checkpoint(NET).folder
    shards = {path.name: load_file(path) for path in sorted(folder.glob("*.safetensors"))}
    assert list(shards) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = json.loads((folder / "model.safetensors.index.json").read_bytes())
    assert index["weight_map"] == {key: name for name, tensors in shards.items() for key in tensors}
    assert same({k: v for t in shards.values() for k, v in t.items()}, load(gpt_neox()["model.safetensors"]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.bool])
def test_the_number_format_is_kept(fake_hub, dtype):
    state = {"a": torch.arange(6).reshape(2, 3).to(dtype)}
    assert same(fetch_pickle(fake_hub, pickle_of(state)), state)


def test_tensors_that_share_memory_are_written_one_by_one(fake_hub):
    tied = torch.arange(6.0).reshape(2, 3)
    state = {"embedding": tied, "unembedding": tied, "row": tied[1], "turned": tied.T, "none": torch.zeros(0)}
    assert same(fetch_pickle(fake_hub, pickle_of(state)), state)


def test_the_format_before_torch_1_6_is_read(fake_hub):
    state, out = {"a": torch.arange(3.0)}, io.BytesIO()
    torch.save(state, out, _use_new_zipfile_serialization=False)
    assert same(fetch_pickle(fake_hub, out.getvalue()), state)


def test_parameters_are_read_as_their_values(fake_hub):
    state = {"a": torch.nn.Parameter(torch.arange(3.0))}
    assert same(fetch_pickle(fake_hub, pickle_of(state)), {"a": torch.arange(3.0)})


class Runs:
    """Something that would write a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(fake_hub, tmp_path):
    for content in (pickle_of({"a": Runs(tmp_path / "ran")}), pickle.dumps({"a": Runs(tmp_path / "ran")}, 2)):
        with pytest.raises(CheckpointError, match=r"me/net@main: pytorch_model.bin is (not weights alone|damaged)"):
            fetch_pickle(fake_hub, content)
    assert not (tmp_path / "ran").exists()
    assert list(converted_cache().rglob("*.safetensors")) == []


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"a": torch.zeros(2), "step": 3}, "holds 'step', which is no plain tensor"),
        ({"model": {"a": torch.zeros(2)}}, "holds 'model', which is no plain tensor"),
        ({1: torch.zeros(2)}, "holds 1, which is no plain tensor"),
        ({"a": torch.eye(2).to_sparse()}, "holds 'a', which is no plain tensor"),
        ([torch.zeros(2)], "holds a list, not weights by name"),
    ],
)
def test_what_is_not_weights_by_name_is_refused(fake_hub, state, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        fetch_pickle(fake_hub, pickle_of(state))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle_of({"a": torch.zeros(99)})[:-200]])
def test_a_damaged_pickle_is_told(fake_hub, content):
    with pytest.raises(CheckpointError, match="pytorch_model.bin is damaged"):
        fetch_pickle(fake_hub, content)


def test_a_tensor_in_two_shards_is_refused(fake_hub):
    state = pickle_of({"a": torch.zeros(2)})
    index = json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}).encode()
    shards = {f"pytorch_model-0000{n}-of-00002.bin": state for n in (1, 2)}
    fake_hub.add("me/net", {"config.json": b"{}", "pytorch_model.bin.index.json": index, **shards})
    with pytest.raises(CheckpointError, match="holds a, which another of its files holds too"):
        fetch_checkpoint(NET)


def test_weights_are_converted_once(fake_hub, monkeypatch):
    commit = fake_hub.add("me/net", pickled(gpt_neox()))
    fetch_checkpoint(NET)
    monkeypatch.setattr(convert, "_write", None)
    fetch_checkpoint(NET)
    fake_hub.requests.clear()
    fetch_checkpoint(HubRef("me/net", commit))
    assert fake_hub.requests == []


def test_two_at_once_convert_once(fake_hub, monkeypatch):
    fake_hub.add("me/net", pickled(gpt_neox()))
    written, write = [], convert._write
    monkeypatch.setattr(convert, "_write", lambda *given: (written.append(1), time.sleep(0.2), write(*given)))
    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(lambda _: fetch_checkpoint(NET).folder, range(2)))
    assert folders == [folder_of(NET)] * 2
    assert len(written) == 1


def test_a_conversion_that_breaks_off_leaves_nothing_and_the_next_one_is_whole(fake_hub, monkeypatch):
    commit = fake_hub.add("me/net", pickled(gpt_neox(shard_size="20KB")))
    left = converted(NET, commit).with_name(f"{commit}.partial-1")
    left.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(convert, "_sha256", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fetch_checkpoint(NET)
    assert [path.name for path in left.parent.iterdir()] == [f"{commit}.lock"]
    assert fetch_checkpoint(NET).folder == folder_of(NET)


def test_a_note_says_what_the_weights_were_made_from(fake_hub):
    commit = fake_hub.add("me/net", pickled(gpt_neox()))
    note = json.loads((fetch_checkpoint(NET).folder / "source.json").read_bytes())
    stated = fake_hub.asked("/cdn/")[0].path.split("/")[2]
    assert note == {"hub": "me/net", "commit": commit, "sha256": {"pytorch_model.bin": stated}}


def test_progress_counts_the_conversion_too(fake_hub, monkeypatch):
    monkeypatch.setattr(fetch, "SECONDS_PER_REPORT", 0)
    files = pickled(gpt_neox(shard_size="20KB"))
    fake_hub.add("me/net", files)
    told = []
    fetch_checkpoint(NET, report=lambda *counts: told.append(counts))
    n_bins = sum(len(content) for name, content in files.items() if name.endswith(".bin"))
    assert (
        told[-1][0]
        == told[-1][1]
        == sum(len(files[name]) for name in files if name != "generation_config.json") + n_bins
    )
    assert told == sorted(told)


def test_pickles_that_another_program_fetched_are_converted_without_a_network(fake_hub, monkeypatch):
    fake_hub.add("me/net", pickled(gpt_neox()))
    snapshot_download("me/net", endpoint=fake_hub.url, cache_dir=hub_cache(), token=False)
    with pytest.raises(CheckpointError, match="is not here yet"):
        folder_of(NET)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_checkpoint(NET).folder == folder_of(NET)


def test_safetensors_are_fetched_though_another_program_left_pickles(fake_hub):
    fake_hub.add("me/net", gpt_neox() | pickled(gpt_neox()))
    snapshot_download(
        "me/net", endpoint=fake_hub.url, cache_dir=hub_cache(), token=False, ignore_patterns="*.safetensors"
    )
    assert (fetch_checkpoint(NET).folder / "model.safetensors").read_bytes() == gpt_neox()["model.safetensors"]


def test_converted_weights_may_lie_on_a_disk_of_their_own(fake_hub, monkeypatch, tmp_path):
    monkeypatch.setenv("QW_HUB_CACHE", str(tmp_path / "own"))
    fake_hub.add("me/net", pickled(gpt_neox()))
    assert fetch_checkpoint(NET).folder.is_relative_to(tmp_path / "own")
