"""Checks an upload in a process of its own: over some damaged files, the library for Parquet ends the whole process."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import resource
import subprocess
import sys
from pathlib import Path

from compute.errors import CorpusError
from compute.texts.uploads import UploadFacts, check_upload

MOST_BYTES, MOST_SECONDS = 4_000_000_000, 50  # of addresses, of which little is memory; a web request ends after 60
_PROJECT = Path(__file__).parents[2]


def check_upload_apart(path: Path, *, text_field: str = "text") -> UploadFacts:
    """The same as `check_upload`; whatever the file does, this process goes on.

    Raises
    ------
    CorpusError
        If the file is refused, ends the process that reads it, or takes too long.
    ImportError
        If the library that reads it is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ImportError("pyarrow is not installed", name="pyarrow")
    command = [sys.executable, "-m", "compute.texts.apart", str(path.absolute()), text_field]
    try:
        done = subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        raise CorpusError(f"{path} takes longer than {MOST_SECONDS} s to read. Cut it into several files.") from None
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise CorpusError(f"{path} is damaged: it ended the program that read it. Copy or write it again.") from None
    if "refused" in told:
        raise CorpusError(told["refused"])
    return UploadFacts(**told)


def _main(path: str, text_field: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    try:
        told = dataclasses.asdict(check_upload(Path(path), text_field=text_field))
    except CorpusError as error:
        told = {"refused": str(error)}
    print(json.dumps(told))


if __name__ == "__main__":
    _main(*sys.argv[1:])
