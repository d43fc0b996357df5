"""Everything that goes wrong with a Hub: it passes, or it ends with a sentence that says what to do."""

import errno
import json
import os
import shutil
from types import SimpleNamespace

import pytest
from huggingface_hub.hf_api import RepoSibling

from compute.config import HubRef
from compute.errors import CheckpointError, ConfigError, StorageError
from compute.hub import listing, transfer
from compute.hub.cache import folder_of, repository
from compute.hub.fetch import fetch_checkpoint, fetch_tokenizer
from compute.registry import hub_suite

NET = HubRef("me/net")
WEIGHTS = bytes(range(256)) * 150  # nothing here looks into them
FILES = {"config.json": b'{"model_type": "gpt_neox"}', "model.safetensors": WEIGHTS, "tokenizer.json": b"{}"}
HALF = len(WEIGHTS) // 2


@pytest.fixture
def net(fake_hub):
    fake_hub.add("me/net", FILES)
    return fake_hub


def weights():
    return (folder_of(NET) / "model.safetensors").read_bytes()


def ranges(hub):
    return [request.headers.get("range") for request in hub.asked("/cdn/")]


def nothing_half(ref=NET):
    return list(repository(ref).rglob("*.incomplete")) == []


# Failures that pass


@pytest.mark.parametrize("where", ["/api/models/", "config.json", "/cdn/"])
def test_a_hub_that_fails_is_asked_again_after_growing_pauses(net, pauses, where):
    net.fail(where, status=503, times=3)
    fetch_checkpoint(NET)
    assert pauses == [1, 2, 4]
    assert weights() == WEIGHTS


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "7"}, 7), ({"RateLimit": '"resolvers";r=0;t=33'}, 33), ({"Retry-After": "0"}, 1), ({}, 1)],
)
@pytest.mark.parametrize("where", ["/api/models/", "/cdn/"])
def test_too_many_requests_wait_as_long_as_the_hub_says(net, pauses, headers, seconds, where):
    net.fail(where, status=429, headers=headers)
    fetch_checkpoint(NET)
    assert pauses == [seconds]


def test_a_date_to_wait_for_is_understood(net, pauses):
    net.fail("/cdn/", status=429, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"})
    fetch_checkpoint(NET)
    assert pauses == [1]


def test_a_download_cut_half_way_goes_on_from_there(net):
    net.fail("/cdn/", cut_at=HALF)
    fetch_checkpoint(NET)
    assert ranges(net) == [None, f"bytes={HALF}-"]
    assert weights() == WEIGHTS


def test_many_cuts_do_not_matter_as_long_as_something_arrives(net, pauses):
    net.fail("/cdn/", cut_at=len(WEIGHTS) // 10, times=9)
    fetch_checkpoint(NET)
    assert weights() == WEIGHTS
    assert pauses == [1] * 9


def test_a_server_that_ignores_ranges_sends_the_whole_file_anew(net):
    net.fail("/cdn/", cut_at=HALF)
    net.fail("/cdn/", is_range_ignored=True)
    fetch_checkpoint(NET)
    assert weights() == WEIGHTS


def test_a_wrong_hash_is_thrown_away_and_fetched_again(net):
    net.fail("/cdn/", flipped=HALF)
    fetch_checkpoint(NET)
    assert ranges(net) == [None, None]
    assert weights() == WEIGHTS


def test_a_small_file_is_checked_by_its_git_hash(net):
    net.fail("config.json", flipped=5)
    fetch_checkpoint(NET)
    assert (folder_of(NET) / "config.json").read_bytes() == FILES["config.json"]


def test_a_hub_that_does_not_answer_is_asked_again(net, monkeypatch, pauses):
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 0.2)
    net.fail("/cdn/", seconds=1.0)
    fetch_checkpoint(NET)
    assert pauses == [1]
    assert weights() == WEIGHTS


def test_what_another_attempt_left_is_used_only_if_it_is_right(net):
    lfs = listing.listed(NET).files["model.safetensors"].etag
    left = repository(NET) / "blobs" / f"{lfs}.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"\0" * HALF)
    fetch_checkpoint(NET)
    assert ranges(net) == [f"bytes={HALF}-", None]
    assert weights() == WEIGHTS


# Failures that last


def test_a_hub_that_keeps_failing_ends_with_a_sentence(net, pauses):
    net.fail("/cdn/", status=500, times=99)
    with pytest.raises(CheckpointError, match=r"failed over me/net@main \(status 500\). Start again later"):
        fetch_checkpoint(NET)
    assert pauses == [1, 2, 4, 8, 16]


def test_a_cut_that_never_brings_more_ends_with_a_sentence(net, pauses):
    net.fail("/cdn/", cut_at=HALF)
    net.fail("/cdn/", cut_at=0, times=99)
    with pytest.raises(CheckpointError, match="start again: what has arrived is kept"):
        fetch_checkpoint(NET)
    assert pauses == [1, 2, 4, 8, 16]
    net._faults.clear()
    net.requests.clear()
    fetch_checkpoint(NET)
    assert ranges(net) == [f"bytes={HALF}-"]


def test_a_wait_that_is_too_long_is_left_to_a_person(net, pauses):
    net.fail("/cdn/", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(CheckpointError, match=r"asks to wait 3,600 s \(status 429\)"):
        fetch_checkpoint(NET)
    assert pauses == []


def test_a_hash_that_stays_wrong_is_refused_and_nothing_is_kept(net):
    net.fail("/cdn/", flipped=HALF, times=2)
    with pytest.raises(CheckpointError, match="model.safetensors arrived damaged 2 times: the Hub states the hash"):
        fetch_checkpoint(NET)
    assert nothing_half()
    with pytest.raises(CheckpointError, match="is not here yet"):
        folder_of(NET)


def test_a_missing_repository_is_told_from_a_missing_revision(net):
    with pytest.raises(CheckpointError, match="no repository me/nte on the Hub, or it is private"):
        fetch_checkpoint(HubRef("me/nte"))
    with pytest.raises(CheckpointError, match="no revision 'step3'; check the spelling"):
        fetch_checkpoint(HubRef("me/net", "step3"))


def test_a_missing_revision_is_answered_with_near_ones(net):
    net.add("me/net", FILES, revision="step3000")
    with pytest.raises(CheckpointError, match="no revision 'step300'; near to it are step3000"):
        fetch_checkpoint(HubRef("me/net", "step300"))


def test_a_private_repository_needs_the_right_token(net, monkeypatch):
    net.repositories["models", "me/net"].is_private = True
    with pytest.raises(CheckpointError, match="or it is private.*HF_TOKEN"):
        fetch_checkpoint(NET)
    monkeypatch.setenv("HF_TOKEN", net.token)
    fetch_checkpoint(NET)


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_a_gated_repository_says_where_to_accept_its_terms(net, monkeypatch, token):
    net.repositories["models", "me/net"].is_gated = True
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(CheckpointError, match=r"is gated.*Accept them at http://.*/me/net, and set HF_TOKEN"):
        fetch_checkpoint(NET)


def test_the_token_opens_a_gated_repository_and_goes_to_no_other_host(net, monkeypatch):
    net.repositories["models", "me/net"].is_gated = True
    monkeypatch.setenv("HF_TOKEN", net.token)
    fetch_checkpoint(NET)
    assert all("authorization" in request.headers for request in net.asked("/resolve/"))
    assert not any("authorization" in request.headers for request in net.asked("/cdn/"))


def test_a_refused_token_is_told(net):
    net.fail("/resolve/", status=403, times=9)
    with pytest.raises(CheckpointError, match=r"refused access to me/net \(status 403\). Check that the token"):
        fetch_checkpoint(NET)


def test_something_that_is_no_hub_is_recognised(net):
    net.fail("/api/models/", status=200)
    with pytest.raises(CheckpointError, match="is no Hub.*Check HF_ENDPOINT and the proxy"):
        fetch_checkpoint(NET)


@pytest.mark.parametrize("blob_id", ["../../etc/passwd", "", None, "a" * 39])
def test_a_hash_that_is_none_never_names_a_file(blob_id):
    with pytest.raises(ValueError, match="config.json"):
        listing._remote_file(RepoSibling("config.json", size=3, blob_id=blob_id))


# Without a network


def test_a_branch_that_was_fetched_works_without_a_network(net, monkeypatch):
    fetched = fetch_checkpoint(NET)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = fetch_checkpoint(NET)
    assert (again.folder, again.commit) == (fetched.folder, fetched.commit)
    assert "The Hub was not reached; me/net@main is taken to be commit" in again.note
    assert fetch_tokenizer(NET).commit == fetched.commit


@pytest.mark.parametrize(("status", "headers"), [(503, {}), (429, {"Retry-After": "3600"})])
def test_a_failing_hub_is_no_reason_not_to_use_what_is_here(net, pauses, status, headers):
    fetch_checkpoint(NET)
    net.fail("/api/models/", status=status, headers=headers, times=99)
    assert fetch_checkpoint(NET).note
    assert pauses == []


def test_a_repository_that_is_gone_is_told_though_it_is_here(net):
    fetch_checkpoint(NET)
    net.repositories.clear()
    with pytest.raises(CheckpointError, match="no repository me/net"):
        fetch_checkpoint(NET)


def test_what_is_not_here_cannot_come_without_a_network(net, monkeypatch, pauses):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"The Hub at http://127.0.0.1:9 cannot be reached.*copy the cache"):
        fetch_checkpoint(NET)
    assert pauses == [1, 2, 4, 8, 16]


def test_offline_mode_uses_what_is_here_and_asks_nothing(net, monkeypatch):
    fetched = fetch_checkpoint(NET)
    net.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_checkpoint(NET).folder == fetched.folder
    assert fetch_checkpoint(HubRef("me/net", fetched.commit)).note == ""
    with pytest.raises(CheckpointError, match="me/other@main is not here, and HF_HUB_OFFLINE forbids"):
        fetch_checkpoint(HubRef("me/other"))
    assert net.requests == []


# Names


@pytest.mark.parametrize(
    "text",
    [
        "../../etc",
        "..%2f..%2fetc",
        "..%252f..%252fetc",
        "..\\..\\etc",
        "/etc/passwd",
        "me/../etc",
        "me/net/more",
        "me/net@refs/../x",
        "me/net@../x",
        "me/net@a..b",
        "me/net@refs%2f..%2fx",
        "me/net@-f",
        "me/net\0",
        "me/net\n@x",
        "http://127.0.0.1/me/net",
        "me--net/x",
        "",
    ],
)
def test_a_name_that_is_none_is_refused_before_any_request(net, tmp_path, text):
    with pytest.raises(ConfigError, match="is no (Hub id|revision)"):
        fetch_checkpoint(HubRef.parse(text))
    with pytest.raises(ConfigError, match="is no (Hub id|revision)"):
        hub_suite([text])
    assert net.requests == []
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("repo_id", ["me/net.git", "me/net.", "me/net-"])
def test_a_name_that_the_hub_itself_forbids_is_refused_before_any_request(net, repo_id):
    with pytest.raises(ConfigError, match="is no Hub id"):
        fetch_checkpoint(HubRef(repo_id))
    assert net.requests == []


# What a repository lacks


def test_a_repository_without_a_configuration_is_told(fake_hub):
    fake_hub.add("me/net", {"model.safetensors": b"x"})
    with pytest.raises(CheckpointError, match=r"me/net@main has no config.json"):
        fetch_checkpoint(NET)


def test_a_repository_without_weights_is_told_and_nothing_is_downloaded(fake_hub):
    fake_hub.add("me/net", {"config.json": b"{}", "model.gguf": b"x", "train.py": b"x"})
    with pytest.raises(
        CheckpointError, match=r"no weights that can be read .*it has config.json, model.gguf, train.py"
    ):
        fetch_checkpoint(NET)
    assert fake_hub.asked("/resolve/") == []


def test_a_repository_without_a_tokenizer_is_told(fake_hub):
    fake_hub.add("me/net", {"config.json": b"{}", "vocab.json": b"{}"})
    with pytest.raises(CheckpointError, match=r"has no tokenizer.json. Name a tokenizer of another repository"):
        fetch_tokenizer(NET)


@pytest.mark.parametrize(("stem", "suffix"), [("model", ".safetensors"), ("pytorch_model", ".bin")])
def test_a_shard_that_the_index_names_and_the_hub_lacks_is_told(fake_hub, stem, suffix):
    first, second = (f"{stem}-0000{n}-of-00002{suffix}" for n in (1, 2))
    index = json.dumps({"weight_map": {"a": first, "b": second}}).encode()
    fake_hub.add("me/net", {"config.json": b"{}", f"{stem}{suffix}.index.json": index, first: b"x"})
    with pytest.raises(CheckpointError, match=f"is not whole on the Hub: it lacks {second}"):
        fetch_checkpoint(NET)


def test_an_index_that_cannot_be_read_is_told(fake_hub):
    shard = "model-00001-of-00001.safetensors"
    fake_hub.add("me/net", {"config.json": b"{}", "model.safetensors.index.json": b"[]", shard: b"x"})
    with pytest.raises(CheckpointError, match="it lacks a readable model.safetensors.index.json"):
        fetch_checkpoint(NET)


# The disk


def test_a_download_that_the_disk_cannot_hold_is_refused_before_it_begins(net, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match=r"needs 0.0 GB, but .* has 0.0 GB left. Free some space"):
        fetch_checkpoint(NET)
    assert net.asked("/resolve/") == []


def test_a_disk_that_is_full_half_way_keeps_what_has_arrived(net, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(transfer.os, "fsync", full)
        with pytest.raises(StorageError, match="The disk is full.*what has arrived is kept"):
            fetch_checkpoint(NET)
    assert not nothing_half()
    fetch_checkpoint(NET)
    assert weights() == WEIGHTS


def test_a_cache_that_cannot_be_written_is_told(net, tmp_path):
    (tmp_path / "hf").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="The cache cannot be written"):
        fetch_checkpoint(NET)
