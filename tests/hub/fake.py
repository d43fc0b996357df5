"""A Hub of our own on loopback: models and data sets, commits, ranges, and everything that can go wrong on the way."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

LARGE = (".safetensors", ".bin", ".parquet", ".gz", ".zst", ".pt")  # kept by their sha256, served by another host
_API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<id>[^/]+(?:/[^/]+)?)"
    r"(?:/(?P<what>revision|tree|refs|paths-info)(?:/(?P<revision>[^/]+))?(?:/(?P<path>.+))?)?"
)
_RESOLVE = re.compile(r"/(?P<kind>datasets/)?(?P<id>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_CDN = re.compile(r"/cdn/(?P<sha256>[0-9a-f]{64})/(?P<name>[^/]+)")
_HEADERS_SEEN = ("authorization", "range", "user-agent")


@dataclass
class Repository:
    """Files of each commit, and the commits that branches stand for."""

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    is_gated: bool = False
    is_private: bool = False


@dataclass(frozen=True)
class Request:
    """One request that was heard."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass
class Fault:
    """What goes wrong with the next requests whose path holds a piece of text."""

    where: str
    times: int
    method: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None  # bytes of the body, then the connection ends
    flipped: int | None = None  # position of a byte that is sent wrong
    seconds: float = 0.0  # pause before the answer
    is_range_ignored: bool = False


class FakeHub:
    """Serves what was added, notes what was asked, fails as told; a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[Request] = []
        self.token = "hf_right"
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)

    def __enter__(self) -> FakeHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def cdn_url(self) -> str:
        """Another origin, as the real Hub's large files have."""
        return f"http://localhost:{self._server.server_port}"

    def add(
        self, repo_id: str, files: Mapping[str, bytes] | Path, *, revision: str = "main", kind: str = "models"
    ) -> str:
        """Commit files, or all of a folder, to a branch; give the commit."""
        if isinstance(files, Path):
            files = {str(f.relative_to(files)): f.read_bytes() for f in sorted(files.rglob("*")) if f.is_file()}
        digest = hashlib.sha1(repr((repo_id, revision)).encode())
        for name in sorted(files):
            digest.update(name.encode() + git_sha1(files[name]).encode())
        commit = digest.hexdigest()
        repository = self.repositories.setdefault((kind, repo_id), Repository())
        repository.commits[commit] = dict(files)
        repository.branches[revision] = commit
        return commit

    def fail(
        self,
        where: str,
        *,
        times: int = 1,
        method: str = "GET",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        cut_at: int | None = None,
        flipped: int | None = None,
        seconds: float = 0.0,
        is_range_ignored: bool = False,
    ) -> None:
        """Let the next requests go wrong whose path holds the text; see `Fault`."""
        self._faults.append(
            Fault(where, times, method, status, headers or {}, cut_at, flipped, seconds, is_range_ignored)
        )

    def asked(self, where: str = "", method: str = "") -> list[Request]:
        """The requests so far whose path holds the text."""
        with self._lock:
            return [r for r in self.requests if where in r.path and method in r.method]

    def note(self, request: Request) -> Fault:
        """Keep the request; give what is to go wrong with it."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.times > 0 and fault.where in request.path and fault.method == request.method:
                    fault.times -= 1
                    return fault
        return Fault("", 0, "")


def git_sha1(content: bytes) -> str:
    """Name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, object]:
    """One file as the tree of a repository lists it."""
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
    if path.endswith(LARGE):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


def _sibling(path: str, content: bytes, with_blobs: bool) -> dict[str, object]:
    """One file as the facts about a repository list it."""
    sibling: dict[str, object] = {"rfilename": path}
    if with_blobs:
        sibling |= {"size": len(content), "blobId": git_sha1(content)}
    if with_blobs and path.endswith(LARGE):
        sibling["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return sibling


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body go at once, not after the other side has acknowledged

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            headers = {name: self.headers[name] for name in _HEADERS_SEEN if self.headers[name]}
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.fault = hub.note(Request(self.command, path, parts.query, headers))
            time.sleep(self.fault.seconds)
            if self.fault.status is not None:
                return self.send(self.fault.status, b"", dict(self.fault.headers))
            for pattern, reply in ((_API, self.api), (_CDN, self.cdn), (_RESOLVE, self.resolve)):
                match = pattern.fullmatch(path)
                if match:
                    return reply(match.groupdict(), parse_qs(parts.query))
            return self.missing("EntryNotFound")

        def api(self, named: dict[str, str], query: dict[str, list[str]]) -> None:
            repository = self.repository(named["kind"], named["id"])
            if repository is None:
                return self.missing("RepoNotFound")
            if named["what"] == "refs":
                branches = [
                    {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                    for name, commit in repository.branches.items()
                ]
                return self.json({"branches": branches, "tags": [], "converts": []})
            commit = self.commit(repository, named["revision"] or "main")
            if commit is None:
                return self.missing("RevisionNotFound")
            files = repository.commits[commit]
            if named["what"] == "tree":
                return self.json(_tree(files, named["path"] or "", query.get("recursive", [""])[0].lower() == "true"))
            if named["what"] == "paths-info":
                return self.json(_paths_info(files, self.body))
            with_blobs = query.get("blobs", [""])[0].lower() == "true"
            siblings = [_sibling(name, content, with_blobs) for name, content in sorted(files.items())]
            return self.json({"id": named["id"], "sha": commit, "private": False, "siblings": siblings})

        def resolve(self, named: dict[str, str], _: dict[str, list[str]]) -> None:
            repository = self.repository("datasets" if named["kind"] else "models", named["id"])
            if repository is None:
                return self.missing("RepoNotFound")
            if repository.is_gated and not self.is_known():
                return self.send(403 if self.headers["Authorization"] else 401, b"", {"X-Error-Code": "GatedRepo"})
            commit = self.commit(repository, named["revision"])
            if commit is None:
                return self.missing("RevisionNotFound")
            content = repository.commits[commit].get(named["path"])
            if content is None:
                return self.missing("EntryNotFound", {"X-Repo-Commit": commit})
            headers = {"X-Repo-Commit": commit, "ETag": f'"{git_sha1(content)}"'}
            if not named["path"].endswith(LARGE):
                return self.content(content, headers)
            sha256 = hashlib.sha256(content).hexdigest()
            headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content))}
            headers["Location"] = f"{hub.cdn_url}/cdn/{sha256}/{Path(named['path']).name}"
            return self.send(302, b"", headers)

        def cdn(self, named: dict[str, str], _: dict[str, list[str]]) -> None:
            for repository in hub.repositories.values():
                for files in repository.commits.values():
                    for content in files.values():
                        if hashlib.sha256(content).hexdigest() == named["sha256"]:
                            return self.content(content, {"ETag": f'"{named["sha256"]}"'})
            return self.missing("EntryNotFound")

        def content(self, content: bytes, headers: dict[str, str]) -> None:
            """A file or the range of it that was asked for, cut or spoilt as told."""
            first, last, status = 0, len(content) - 1, 200
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            if asked and not self.fault.is_range_ignored:
                first, last, status = int(asked[1]), min(last, int(asked[2] or last)), 206
                if first > last:
                    return self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            if self.fault.flipped is not None:
                at = self.fault.flipped
                content = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
            return self.send(status, content[first : last + 1], headers | {"Accept-Ranges": "bytes"})

        def repository(self, kind: str, repo_id: str) -> Repository | None:
            repository = hub.repositories.get((kind, repo_id))
            if repository is not None and repository.is_private and not self.is_known():
                return None
            return repository

        def commit(self, repository: Repository, revision: str) -> str | None:
            commit = repository.branches.get(revision, revision)
            return commit if commit in repository.commits else None

        def is_known(self) -> bool:
            return self.headers["Authorization"] == f"Bearer {hub.token}"

        def missing(self, code: str, headers: Mapping[str, str] | None = None) -> None:
            status = 401 if code == "RepoNotFound" and not self.is_known() else 404  # as the real one has it
            return self.send(status, b"", {"X-Error-Code": code, **(headers or {})})

        def json(self, answer: object) -> None:
            self.send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if self.fault.cut_at is not None:
                body, self.close_connection = body[: self.fault.cut_at], True
            with suppress(ConnectionError):  # the other side may have gone
                self.wfile.write(body)

    return Handler


def _tree(files: Mapping[str, bytes], path: str, is_recursive: bool) -> list[dict[str, object]]:
    prefix = f"{path}/" if path else ""
    inside = {name: content for name, content in sorted(files.items()) if name.startswith(prefix)}
    folders = {name[len(prefix) :].split("/")[0] for name in inside if "/" in name[len(prefix) :]}
    entries: list[dict[str, object]] = [
        {"type": "directory", "path": prefix + name, "oid": "0" * 40, "size": 0} for name in sorted(folders)
    ]
    entries += [_entry(n, c) for n, c in inside.items() if is_recursive or "/" not in n[len(prefix) :]]
    return entries


def _paths_info(files: Mapping[str, bytes], body: bytes) -> list[dict[str, object]]:
    asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
    entries: list[dict[str, object]] = []
    for path in asked:
        if path in files:
            entries.append(_entry(path, files[path]))
        elif any(name.startswith(f"{path}/") for name in files):
            entries.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
    return entries


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The Hub that this test's process talks to, with a cache of its own in `tmp_path / "hf"`."""
    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "QW_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with FakeHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
