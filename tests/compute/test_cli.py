"""The command line: what it prints, where it writes, how it ends."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from compute.bundle import open_bundle
from compute.cli import INTERRUPTED, REFUSED, main
from compute.pipeline import plan
from compute.progress import Progress
from tests.tiny import CLUSTERED, MAX_LENGTH, WIDTHS, tiny_config


def own(suite: Path, out: Path, *more: str) -> list[str]:
    """Arguments of a run on the very small networks."""
    folders = [f"{lm}/step120={suite / lm / 'step120'}" for lm in WIDTHS]
    return [
        *("qdg", "--suite-folder", *folders, "--tokenizer", f"{suite}/tokenizer.json", "--clustered", CLUSTERED),
        *("--corpus", f"{suite}/text.jsonl", "--max-length", str(MAX_LENGTH), "--tokens", "30", "--ks", "2,5"),
        *("--threshold", "0.5", "--n-init", "2", "--out", str(out), *more),
    ]


@pytest.fixture(scope="module")
def published(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert main(own(tiny_suite, out)) == 0
    (path,) = out.glob("own-*")
    return path


def test_a_run_prints_the_path_of_its_bundle(published, tiny_suite, capsys):
    assert main(own(tiny_suite, published.parent)) == 0
    assert capsys.readouterr().out.strip() == str(published)


def test_threads_that_are_no_number_are_refused_with_a_sentence(tiny_suite, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("QW_THREADS", "four")
    assert main(own(tiny_suite, tmp_path)) == REFUSED
    assert "QW_THREADS is 'four'; it must be a whole number of at least 1." in capsys.readouterr().err


def test_the_settings_reach_the_run(published):
    config = open_bundle(published).manifest["config"]
    assert config["clustering"]["ks"] == [2, 5]
    assert config["selection"]["n_tokens"] == 30
    assert config["selection"]["threshold_nats"] == 0.5


def test_maps_can_be_made_smaller_or_left_out(tiny_suite, tmp_path, published, monkeypatch):
    asked = []
    monkeypatch.setattr("compute.cli.qdg._whole", lambda config, *_: asked.append(config.map))
    main(own(tiny_suite, tmp_path, "--no-map"))
    main(own(tiny_suite, tmp_path, "--map-curves", "12"))
    assert asked[0] is None
    assert asked[1].n_curves == 12


def test_a_whole_bundle_is_verified(published, capsys):
    assert main(["verify", str(published)]) == 0
    assert "is whole" in capsys.readouterr().out


def test_an_altered_bundle_is_refused_with_the_file(published, tmp_path, capsys):
    import shutil

    copy = shutil.copytree(published, tmp_path / "copy")
    path = copy / "similarity" / "signed.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert main(["verify", str(copy)]) == REFUSED
    assert "signed.npy was altered" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle_is_refused(tmp_path, capsys):
    assert main(["info", str(tmp_path)]) == REFUSED
    assert "is no bundle" in capsys.readouterr().err


def test_info_says_what_a_bundle_holds(published, capsys):
    assert main(["info", str(published)]) == 0
    printed = capsys.readouterr().out
    assert "tiny-l step120" in printed
    assert "2, 5" in printed


@pytest.mark.parametrize("option", ["--tokenizer", "--corpus", "--clustered", "--suite-folder"])
def test_a_missing_option_is_named(tiny_suite, tmp_path, capsys, option):
    arguments = own(tiny_suite, tmp_path)
    at = arguments.index(option)
    n_values = 1 + (len(WIDTHS) if option == "--suite-folder" else 1)
    del arguments[at : at + n_values]
    assert main(arguments) == REFUSED
    assert f"{option} is missing" in capsys.readouterr().err


def test_settings_that_conflict_are_one_sentence(tiny_suite, tmp_path, capsys):
    assert main(own(tiny_suite, tmp_path, "--ks", "2,500")) == REFUSED
    error = capsys.readouterr().err
    assert "largest k is 500" in error
    assert "Traceback" not in error


def test_a_missing_corpus_is_one_sentence(tiny_suite, tmp_path, capsys):
    assert main(own(tiny_suite, tmp_path, "--corpus", str(tmp_path / "absent.jsonl"))) == REFUSED
    assert "There is no corpus" in capsys.readouterr().err


@pytest.mark.parametrize("ks", ["two", "5,,10", "", "5;10", "1e3", "9" * 5000])
def test_ks_that_are_no_numbers_are_refused(tiny_suite, tmp_path, capsys, ks):
    with pytest.raises(SystemExit) as stop:
        main(own(tiny_suite, tmp_path, "--ks", ks))
    assert stop.value.code == REFUSED
    assert "write whole numbers with commas" in capsys.readouterr().err


def test_pieces_of_an_uncounted_text_are_refused(tiny_suite, tmp_path, capsys):
    assert main(own(tiny_suite, tmp_path, "--documents-per-shard", "5")) == REFUSED
    assert "needs --documents" in capsys.readouterr().err


def test_auto_is_decided_once_for_all_parts_of_a_run(tiny_suite, tmp_path, capsys):
    auto = own(tiny_suite, tmp_path, "--mode", "auto", "--only", "corpus")
    assert main(auto) == 0
    first = capsys.readouterr().err.splitlines()[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compute.cli.qdg.shutil.disk_usage", lambda path: SimpleNamespace(free=0))
        assert main(auto) == 0
        assert capsys.readouterr().err.splitlines()[0] == first
        assert first.startswith("Exact")
        assert main([*auto, "--name", "other"]) == 0
    assert capsys.readouterr().err.startswith("Sketches")


def test_a_part_of_no_phase_is_refused(tiny_suite, tmp_path, capsys):
    assert main(own(tiny_suite, tmp_path, "--part", "1/2")) == REFUSED
    assert "--only" in capsys.readouterr().err


def test_the_demo_and_ones_own_corpus_exclude_each_other(tmp_path, capsys):
    assert main(["qdg", "--demo", "--corpus", "x.jsonl", "--out", str(tmp_path)]) == REFUSED
    assert "--demo brings its own" in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_go_on(tiny_suite, tmp_path, capsys, monkeypatch):
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("compute.numerics.losses.token_losses", interrupted)
    assert main(own(tiny_suite, tmp_path)) == INTERRUPTED
    assert "run the same command again" in capsys.readouterr().err


def test_an_interrupted_run_goes_on(published, tiny_suite, tmp_path, monkeypatch):
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compute.numerics.gradients.gradient_rows", interrupted)
        main(own(tiny_suite, tmp_path))
    assert main(own(tiny_suite, tmp_path)) == 0
    assert (tmp_path / published.name).is_dir()


def test_a_device_that_is_not_there_is_refused(tiny_suite, tmp_path, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert main(own(tiny_suite, tmp_path, "--device", "cuda")) == REFUSED
    assert "finds no CUDA GPU" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_rewrites_one_line_on_a_terminal(tiny_suite):
    stream = Terminal()
    specs = plan(tiny_config(tiny_suite))
    progress = Progress(specs, stream)
    progress(specs[0], 0, 60)
    progress(specs[0], 60, 60)
    progress.close()
    assert stream.getvalue().count("\n") == 1
    assert "60/60 documents" in stream.getvalue()


def test_progress_writes_few_lines_elsewhere(tiny_suite):
    stream = io.StringIO()
    specs = plan(tiny_config(tiny_suite))
    progress = Progress(specs, stream)
    for n_done in range(61):
        progress(specs[0], n_done, 60)
    assert stream.getvalue().count("\n") == 1
