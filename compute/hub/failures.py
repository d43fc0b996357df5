"""What a failure of the Hub means to a person, and what can be done."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)

from compute.config import HubRef
from compute.errors import CheckpointError, ComputeError, ConfigError, StorageError
from compute.hub import patience

_FULL = (errno.ENOSPC, errno.EDQUOT)


def endpoint() -> str:
    """Address of the Hub: HF_ENDPOINT, or Hugging Face's; https, but for one on this machine."""
    address = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError(
            f"HF_ENDPOINT is {address}; a Hub is asked by https:// alone, so that nobody changes what comes."
        )
    return address


def is_offline() -> bool:
    """Whether the environment forbids requests."""
    told = (os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or "").upper()
    return told in constants.ENV_VARS_TRUE_VALUES or constants.is_offline_mode()


@contextmanager
def in_words(ref: HubRef) -> Iterator[None]:
    """Turn failures of the Hub, of the network and of the disk into sentences."""
    try:
        yield
    except ComputeError:
        raise
    except HFValidationError as error:
        raise ConfigError(f"{str(ref)[:120]!r} is no Hub id; write OWNER/NAME, as in EleutherAI/pythia-70m.") from error
    except (HfHubHTTPError, RemoteEntryNotFoundError) as error:
        raise CheckpointError(_of_answer(ref, error)) from error
    except OfflineModeIsEnabled as error:
        raise CheckpointError(offline(ref)) from error
    except httpx2.HTTPError as error:
        raise CheckpointError(
            f"The Hub at {endpoint()} cannot be reached ({_short(error)}), and {ref} is not all here. Check the "
            "network, the proxy and HF_ENDPOINT, then start again: what has arrived is kept. On a machine without a "
            "network, fetch elsewhere and copy the cache (HF_HOME)."
        ) from error
    except OSError as error:
        raise StorageError(_of_disk(error)) from error


def offline(ref: HubRef) -> str:
    return (
        f"{ref} is not here, and HF_HUB_OFFLINE forbids asking the Hub. Unset it, or run "
        f"`python -m compute fetch {ref}` where there is a network and copy the cache (HF_HOME)."
    )


def no_hub(what: str) -> str:
    return (
        f"What answers at {endpoint()} is no Hub ({what}). Check HF_ENDPOINT and the proxy; a login page of the "
        "network may be in between."
    )


def _of_answer(ref: HubRef, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return (
            f"{ref.repo_id} is gated: its owners give it to those who accept their terms. Accept them at "
            f"{endpoint()}/{ref.repo_id}, and set HF_TOKEN to a token of the account that did."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"There is no repository {ref.repo_id} on the Hub, or it is private. Check the spelling of OWNER/NAME; for "
            "a private one, set HF_TOKEN to a token that may read it."
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return (
            f"{ref} lists a file that the Hub does not have ({error.response.url.path}). Try again later, or another "
            "revision."
        )
    if isinstance(error, DisabledRepoError):
        return f"{ref.repo_id} was disabled on the Hub. Choose another repository."
    if status in (401, 403):
        return (
            f"The Hub refused access to {ref.repo_id} (status {status}). Check that the token in HF_TOKEN is valid and "
            "may read it, or unset it for what is public."
        )
    if status == 429:
        seconds = patience.asked_pause(error)
        return (
            f"The Hub has had too many requests from here{f' and asks to wait {seconds:,.0f} s' if seconds else ''} "
            f"(status 429). Start again then: what has arrived of {ref} is kept. A token in HF_TOKEN raises the limit."
        )
    if status >= 500:
        return (
            f"The Hub at {endpoint()} failed over {ref} (status {status}). Start again later: what has arrived is kept."
        )
    return f"The Hub at {endpoint()} refused the request for {ref} (status {status}). Check HF_ENDPOINT and the name."


def _of_disk(error: OSError) -> str:
    if error.errno in _FULL:
        return (
            "The disk is full. Free some space, or let HF_HOME name a folder on a larger disk, and start again: what "
            "has arrived is kept."
        )
    return (
        f"The cache cannot be written ({_short(error)}). Check the folder's rights, or let HF_HOME and QW_HUB_CACHE "
        "name folders that this process may write to."
    )


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
