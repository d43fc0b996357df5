"""Settings from the environment: a variable, or the file that NAME_FILE names.

The site reads all of its settings so; what computes reads its own, without Django.
"""

from __future__ import annotations

import os
from pathlib import Path

from compute.errors import ConfigError


def text(name: str, default: str = "") -> str:
    """The value, or what the file named by NAME_FILE holds; ConfigError where that cannot be read."""
    file = os.environ.get(f"{name}_FILE")
    if not file:
        return os.environ.get(name, default)
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{name}_FILE names {file}, which cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}_FILE names {file}, which is no text; write the value alone into it.") from error


def integer(name: str, default: int, *, least: int = 0) -> int:
    """A whole number; ConfigError for anything else."""
    value = text(name, str(default))
    if not value.isdecimal() or int(value) < least:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
    return int(value)


def threads() -> int | None:
    """QW_THREADS, that one process computes with; None where it is not set."""
    return integer("QW_THREADS", 1, least=1) if text("QW_THREADS") else None


def converted_cache() -> str:
    """QW_HUB_CACHE, the folder of weights that were no safetensors; empty where it is not set."""
    return text("QW_HUB_CACHE")
