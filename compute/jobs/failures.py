"""What went wrong, in a sentence for the job's page; and where, for the log, without a word of corpus text."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

from django.conf import settings

from compute.errors import ComputeError

_MEMORY = (
    "The machine ran out of memory in {phase}. Ask for fewer tokens, or use a machine with more; what is done is kept."
)
_DISK = "The disk is full: {phase} could not write its results. Free some space and resume; what is done is kept."
_DENIED = (
    "The worker may not read or write {file} in {phase}: the file or its folder belongs to somebody else. Mend the "
    "permissions and resume; what is done is kept."
)
_READ_ONLY = "The data folder cannot be written in {phase}. Mend its permissions and resume; what is done is kept."


def sentence(error: BaseException, phase: str) -> str:
    """What happened and what a person can do."""
    if isinstance(error, ComputeError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _MEMORY.format(phase=phase)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _DISK.format(phase=phase)
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return _READ_ONLY.format(phase=phase)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return _DENIED.format(phase=phase, file=Path(str(error.filename or "a file")).name)
    return f"unexpected: {type(error).__name__} in {phase} ({place(error)}); the worker's log has more."


def place(error: BaseException) -> str:
    """The deepest line of our own code that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    root = Path(settings.BASE_DIR)
    for frame in reversed(frames):
        file = Path(frame.filename)
        if root in file.parents and ".venv" not in file.parts:
            return f"{file.relative_to(root)}:{frame.lineno}"
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "no place known"
