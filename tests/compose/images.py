"""Building the project's own images, with this machine's ways to get packages: `python -m tests.compose.images`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPOSITORY = Path(__file__).parent.parent.parent
TARGETS = ("web", "worker")
_PIP = ("find-links", "index-url", "extra-index-url", "cert", "default-timeout", "trusted-host")


def build(engine: str, target: str, tag: str) -> float:
    """Build one image; give the seconds that it took."""
    began = time.monotonic()
    command = ["nice", engine, "build", "--quiet", "--file", "deploy/Dockerfile", "--target", target]
    if engine == "podman":
        command += ["--format", "docker", *_pip_arguments()]
    if index := os.environ.get("TORCH_INDEX"):
        command += ["--build-arg", f"TORCH_INDEX={index}"]
    environment = os.environ | {"BUILDAH_ISOLATION": os.environ.get("BUILDAH_ISOLATION", "chroot")}
    done = subprocess.run(
        [*command, "--tag", tag, "."], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return time.monotonic() - began


def _pip_arguments() -> list[str]:
    """What pip is told here, it is told in the build, and folders that it reads are mounted there."""
    arguments = []
    mounts = set()
    for name, value in _pip_settings().items():
        arguments += ["--env", f"PIP_{name.upper().replace('-', '_')}={value}"]
        mounts |= set(_local(value))
    return [*arguments, *(f"--volume={folder}:{folder}:ro" for folder in sorted(mounts))]


def _pip_settings() -> dict[str, str]:
    """Those of pip's settings here that say where packages come from; the environment wins over files."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), reverse=True):  # those of files, then those of the environment (":env:")
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in _PIP:
            found[name] = value.strip("'\"").replace("\\n", " ")
    return found


def _local(value: str) -> Iterator[str]:
    """The folders and files of this machine that a setting names."""
    for word in value.split():
        parts = urlsplit(word)
        path = Path(unquote(parts.path)) if parts.scheme in ("", "file") else None
        if path is not None and path.is_absolute() and path.exists():
            yield str(path.parent if path.name == "simple" else path)


if __name__ == "__main__":
    for target in TARGETS:
        seconds = build(sys.argv[1] if len(sys.argv) > 1 else "podman", target, f"quantaweb-{target}:local")
        print(f"quantaweb-{target}:local after {seconds:.0f} s", flush=True)
