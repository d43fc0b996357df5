"""A real bundle in a few seconds: some of the demo's networks on a little of the standard library's text."""

from __future__ import annotations

import hashlib
import json
import sysconfig
from importlib.metadata import version
from pathlib import Path

from compute.bundle import open_bundle
from compute.config import (
    CheckpointRef,
    ClusteringConfig,
    CorpusConfig,
    MapConfig,
    RunConfig,
    SelectionConfig,
    SuiteConfig,
)
from compute.demo import cleaning
from compute.demo.suite import SUITE_FOLDER, demo_suite
from compute.errors import BundleError, CheckpointError
from compute.pipeline import run_qdg
from tests.tiny import tiny_config, write_tiny_suite

KS = (5, 10, 20, 40)
N_TOKENS = 150
MODULES = ("argparse", "calendar", "csv", "shelve", "textwrap", "configparser", "zipfile", "tarfile", "sched", "cmd")
PIECES_PER_MODULE = 5
COMPUTED_BY = ("numerics/*.py", "steps/*.py", "[bcepsw]*.py", "texts/*.py", "demo/cleaning.py")
REPOSITORY = Path(__file__).parent.parent


def small_bundle(directory: Path) -> Path:
    """Compute a bundle named "small" into the folder; give its path."""
    return run_qdg(small_config(directory), directory / "work", directory / "bundles")


def cached_small_bundle(cache: Path) -> Path:
    """The same from an earlier test session, as long as nothing that it was computed by has changed."""
    folder = cache / f"small-{_sources_sha256()[:16]}"
    for path in folder.glob("bundles/small-*"):
        try:
            open_bundle(path).verify()
        except BundleError:
            continue
        return path
    return small_bundle(folder)


def small_config(directory: Path) -> RunConfig:
    """Four of the demo's networks, or three very small ones where the demo's weights are not there."""
    try:
        suite, clustered = _some_of_the_demo()
    except CheckpointError:
        return tiny_config(write_tiny_suite(directory / "tiny"), name="small", ks=KS, n_tokens=N_TOKENS)
    directory.mkdir(parents=True, exist_ok=True)
    return RunConfig(
        name="small",
        suite=suite,
        clustered=clustered,
        corpus=CorpusConfig(source=str(_write_text(directory / "small.jsonl"))),
        selection=SelectionConfig(n_tokens=N_TOKENS),
        clustering=ClusteringConfig(ks=KS, n_init=5),
        map=MapConfig(n_curves=1000),
    )


def _some_of_the_demo() -> tuple[SuiteConfig, str]:
    """The final networks up to the clustered one, and two earlier steps of that."""
    demo = demo_suite(is_checked=False)
    clustered = demo.clustered_model
    chosen = [(m, m.final_step) for m in demo.models if m.n_non_embedding <= clustered.n_non_embedding]
    if len(chosen) < 3:
        raise CheckpointError("Curves over size have scores from three sizes on.")
    chosen += [(clustered, step) for step in clustered.steps[-3:-1]]
    for model, step in chosen:
        if not (model.path(step) / "model.safetensors").is_file():
            raise CheckpointError(f"The demo's weights of {model.name} are not there yet.")
    checkpoints = tuple(
        CheckpointRef(lm=model.name, revision=f"step{step}", path=f"demo:{model.name}/step{step}")
        for model, step in chosen
    )
    suite = SuiteConfig(name="demo", checkpoints=checkpoints, tokenizer="demo:tokenizer.json")
    return suite, f"{clustered.name}/step{clustered.final_step}"


def _write_text(path: Path) -> Path:
    """Code and docstrings of a few modules, cut to documents."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    rows = []
    for name in MODULES:
        source = stdlib / f"{name}.py" if (stdlib / f"{name}.py").is_file() else stdlib / name / "__init__.py"
        text = source.read_text(encoding="utf-8")
        for kind, whole in (("python", text), ("prose", "\n\n".join(cleaning.docstrings(text)))):
            pieces = cleaning.clean_pieces(whole, kind, PIECES_PER_MODULE)
            rows += [{"text": piece, "source": f"lib/{name}.py", "kind": kind} for piece in pieces]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _sources_sha256() -> str:
    digest = hashlib.sha256()
    code = [file for pattern in COMPUTED_BY for file in (REPOSITORY / "compute").glob(pattern)]
    files = [*code, Path(__file__), Path(__file__).with_name("tiny.py")]
    weights = [*SUITE_FOLDER.rglob("*.safetensors"), *SUITE_FOLDER.glob("*.json")]
    for file in sorted(files) + sorted(weights):
        digest.update(f"{file.relative_to(REPOSITORY)}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    for name in ("numpy", "scipy", "torch", "transformers", "scikit-learn"):
        digest.update(version(name).encode())
    return digest.hexdigest()
