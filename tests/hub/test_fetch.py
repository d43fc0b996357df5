"""What is fetched, where it lies, and when nothing is asked."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download

from compute.config import HubRef
from compute.errors import Cancelled, CheckpointError
from compute.hub import fetch
from compute.hub.cache import folder_of, hub_cache, tokenizer_of
from compute.hub.fetch import fetch_checkpoint, fetch_tokenizer
from tests.hub.checkpoints import gpt_neox, llama, pickled

NET = HubRef("me/net")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_fetched_checkpoint_has_the_hubs_bytes(fake_hub):
    commit = fake_hub.add("me/net", gpt_neox())
    fetched = fetch_checkpoint(NET)
    assert fetched.commit == commit
    assert fetched.files == ("config.json", "model.safetensors", "tokenizer.json")
    assert {name: (fetched.folder / name).read_bytes() for name in fetched.files}.items() <= gpt_neox().items()
    assert fetched.n_bytes == sum(len(gpt_neox()[name]) for name in fetched.files)
    assert fetched.note == ""


def test_a_branch_is_resolved_to_its_commit_and_only_the_commit_is_downloaded(fake_hub):
    fake_hub.add("me/net", gpt_neox(), revision="step1")
    commit = fake_hub.add("me/net", gpt_neox(seed=1), revision="step2")
    assert fetch_checkpoint(HubRef("me/net", "step2")).commit == commit
    assert {request.path.split("/")[4] for request in fake_hub.asked("/resolve/")} == {commit}


def test_only_what_a_checkpoint_needs_is_downloaded(fake_hub):
    more = {
        "modeling_net.py": b"import os",
        "README.md": b"#",
        "model.fp16.safetensors": b"x",
        "flax_model.msgpack": b"",
    }
    fake_hub.add("me/net", gpt_neox() | pickled(gpt_neox()) | more)
    assert names(fetch_checkpoint(NET).folder) == {"config.json", "model.safetensors", "tokenizer.json"}


def test_shards_and_their_index_are_downloaded(fake_hub):
    files = gpt_neox(shard_size="20KB")
    fake_hub.add("me/net", files)
    folder = fetch_checkpoint(NET).folder
    assert names(folder) == set(files) - {"generation_config.json"}
    assert (folder / "model-00002-of-00002.safetensors").read_bytes() == files["model-00002-of-00002.safetensors"]


def test_a_network_of_another_family_without_a_tokenizer_is_fetched(fake_hub):
    fake_hub.add("me/net", llama())
    assert fetch_checkpoint(NET).files == ("config.json", "model.safetensors")


def test_the_tokenizer_alone_is_fetched_without_weights(fake_hub):
    commit = fake_hub.add("me/net", gpt_neox() | {"tokenizer_config.json": b"{}"})
    fetched = fetch_tokenizer(NET)
    assert (fetched.commit, names(fetched.folder)) == (commit, {"tokenizer.json", "tokenizer_config.json"})
    assert tokenizer_of(NET) == fetched.folder / "tokenizer.json"
    with pytest.raises(CheckpointError, match="is not here yet"):
        folder_of(NET)


def test_weights_come_after_a_tokenizer_that_is_here(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    fetch_tokenizer(NET)
    fetch_checkpoint(NET)
    assert len(fake_hub.asked("/tokenizer.json")) == 1
    assert folder_of(NET)


def test_a_commit_that_is_here_is_taken_without_a_request(fake_hub):
    commit = fake_hub.add("me/net", gpt_neox())
    fetch_checkpoint(NET)
    fake_hub.requests.clear()
    assert fetch_checkpoint(HubRef("me/net", commit)).folder == folder_of(NET)
    assert fetch_tokenizer(HubRef("me/net", commit)).commit == commit
    assert fake_hub.requests == []


def test_a_branch_that_has_not_moved_costs_one_request(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    fetch_checkpoint(NET)
    fake_hub.requests.clear()
    fetch_checkpoint(NET)
    assert [request.path for request in fake_hub.requests] == ["/api/models/me/net/revision/main"]


def test_a_branch_that_has_moved_is_fetched_anew_and_shares_what_is_the_same(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    before = fetch_checkpoint(NET)
    commit = fake_hub.add("me/net", gpt_neox(seed=1))
    fake_hub.requests.clear()
    after = fetch_checkpoint(NET)
    assert (after.commit, folder_of(NET)) == (commit, after.folder)
    assert before.folder.is_dir()
    assert {Path(request.path).name for request in fake_hub.asked("/resolve/")} == {"model.safetensors"}


def test_progress_runs_from_nothing_to_all_bytes(fake_hub, monkeypatch):
    monkeypatch.setattr(fetch, "SECONDS_PER_REPORT", 0)
    fake_hub.add("me/net", gpt_neox(shard_size="20KB"))
    told = []
    fetched = fetch_checkpoint(NET, report=lambda *counts: told.append(counts))
    assert told[0] == (0, fetched.n_bytes)
    assert told[-1] == (fetched.n_bytes, fetched.n_bytes)
    assert len(told) > 5
    assert told == sorted(told)


def test_a_report_that_raises_stops_and_the_next_fetch_goes_on_from_there(fake_hub, monkeypatch):
    monkeypatch.setattr(fetch, "SECONDS_PER_REPORT", 0)
    files = {"config.json": b"{}", "model.safetensors": bytes(3_000_000)}
    fake_hub.add("me/net", files)

    def stop(n_done, n_total):
        if n_done > 1_000_000:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        fetch_checkpoint(NET, report=stop)
    fake_hub.requests.clear()
    folder = fetch_checkpoint(NET).folder
    (request,) = fake_hub.asked("/cdn/")
    assert int(request.headers["range"].removeprefix("bytes=").removesuffix("-")) > 900_000
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_two_processes_fetch_the_same_revision_at_once(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    fake_hub.fail("/cdn/", seconds=0.5)
    code = "from compute.hub.fetch import *; print(fetch_checkpoint(HubRef('me/net')).folder)"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert folders == {str(folder_of(NET))}
    assert len(fake_hub.asked("/cdn/")) == 1


def test_a_killed_process_leaves_nothing_that_stops_the_next_one(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    fake_hub.fail("/cdn/", seconds=30)
    code = "from compute.hub.fetch import *; fetch_checkpoint(HubRef('me/net'))"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not fake_hub.asked("/cdn/"):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert fetch_checkpoint(NET).folder == folder_of(NET)


def test_hugging_faces_own_library_finds_what_was_fetched(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    folder = fetch_checkpoint(NET).folder
    assert snapshot_download("me/net", local_files_only=True, cache_dir=hub_cache()) == str(folder)
    assert scan_cache_dir(hub_cache()).warnings == []


def test_what_hugging_faces_own_library_fetched_is_found(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    folder = snapshot_download("me/net", endpoint=fake_hub.url, cache_dir=hub_cache(), token=False)
    assert folder_of(NET) == Path(folder)


def test_a_snapshot_that_lacks_a_shard_is_not_taken(fake_hub):
    fake_hub.add("me/net", gpt_neox(shard_size="20KB"))
    folder = fetch_checkpoint(NET).folder
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="me/net@main is not here yet; run `python -m compute fetch me/net@main`"):
        folder_of(NET)
    assert fetch_checkpoint(NET).folder == folder_of(NET)


def test_a_file_that_was_shortened_on_disk_is_fetched_again(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    weights = fetch_checkpoint(NET).folder / "model.safetensors"
    weights.resolve().write_bytes(b"short")
    fetch_checkpoint(NET)
    assert weights.read_bytes() == gpt_neox()["model.safetensors"]


def test_looking_for_a_folder_loads_neither_torch_nor_the_hubs_library():
    code = "import sys, compute.hub.cache; print(sorted({'torch', 'huggingface_hub', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_fetching_loads_no_torch_unless_something_is_to_be_converted(fake_hub):
    fake_hub.add("me/net", gpt_neox())
    code = (
        "import sys; from compute.hub.fetch import *; fetch_checkpoint(HubRef('me/net')); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_the_caches_place_follows_the_environment(monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub_cache() == Path("~/.cache/huggingface/hub").expanduser()
    monkeypatch.setenv("HF_HOME", "/models")
    assert hub_cache() == Path("/models/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/large/hub")
    assert hub_cache() == Path("/large/hub")
