"""What the Hub says about a revision: its commit, and the size and hash of every file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from compute.config import HubRef
from compute.errors import CheckpointError
from compute.hub import cache, failures
from compute.hub.session import session
from compute.hub.transfer import TIMEOUT_SECONDS, RemoteFile

constants.HF_HUB_DISABLE_TELEMETRY = True  # requests say nothing about this machine, and nothing else is asked for
_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Listing:
    """A revision as the Hub describes it."""

    commit: str
    files: Mapping[str, RemoteFile]

    def those(self, names: Iterable[str]) -> list[RemoteFile]:
        """The files of these names, as far as there are any."""
        return [self.files[name] for name in names if name in self.files]


def listed(ref: HubRef) -> Listing:
    """Ask once."""
    try:
        info = HfApi(endpoint=failures.endpoint(), library_name="quantaweb").model_info(
            ref.repo_id, revision=ref.revision, files_metadata=True, timeout=TIMEOUT_SECONDS
        )
        files = [_remote_file(sibling) for sibling in info.siblings or ()]
    except RevisionNotFoundError as error:
        raise CheckpointError(_no_revision(ref)) from error
    except (HfHubHTTPError, HFValidationError):
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(failures.no_hub(f"its answer about {ref} cannot be read")) from error
    if not cache.is_commit(info.sha):
        raise CheckpointError(failures.no_hub(f"its answer about {ref} names no commit"))
    return Listing(str(info.sha), {file.name: file for file in files})


def _revisions(repo_id: str) -> list[str]:
    url = f"{failures.endpoint()}/api/models/{repo_id}/refs"
    response = session().get(url, headers=build_hf_headers(library_name="quantaweb"), timeout=TIMEOUT_SECONDS)
    hf_raise_for_status(response)
    answer = response.json()
    return [str(each["name"]) for kind in ("branches", "tags") for each in answer.get(kind, ())]


def _remote_file(sibling: RepoSibling) -> RemoteFile:
    """The file that a line of the Hub's answer describes; its hash becomes a file's name, so it must be one."""
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    size = sibling.size
    if not isinstance(size, int) or not _SHA1.fullmatch(str(sibling.blob_id)):
        raise ValueError(sibling.rfilename)
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ValueError(sibling.rfilename)
    return RemoteFile(sibling.rfilename, size, str(sibling.blob_id), sha256)


def _no_revision(ref: HubRef) -> str:
    try:
        near = get_close_matches(ref.revision, _revisions(ref.repo_id), n=3)
    except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError):
        near = []
    where = f"branches and tags are listed at {failures.endpoint()}/{ref.repo_id}/tree/main"
    hint = f"near to it are {', '.join(near)}" if near else f"check the spelling; {where}"
    return f"{ref.repo_id} has no revision {ref.revision!r}; {hint}."
