"""Which files of the running installation the demo corpus may read, and what kind of text each is."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = ("python", "c", "po", "prose", "web", "data", "licence")

STDLIB = "stdlib"
# The C API headers of the running Python (PSF licence), wherever the installation keeps them.
HEADERS = "python-include"

# Runtime distributions under permissive licences (MIT, BSD, Apache-2.0, PSF, ISC), by name.
# Left out on purpose: development tools, copyleft (psycopg, certifi, tqdm, hypothesis, docutils, djlint).
DISTRIBUTIONS = (
    "amqp",
    "annotated-doc",
    "anyio",
    "asgiref",
    "billiard",
    "celery",
    "click",
    "click-didyoumean",
    "click-plugins",
    "click-repl",
    "django",
    "django-axes",
    "django-csp",
    "django-htmx",
    "djangorestframework",
    "filelock",
    "fsspec",
    "gunicorn",
    "h11",
    "huggingface_hub",
    "idna",
    "jinja2",
    "joblib",
    "kombu",
    "markdown-it-py",
    "markupsafe",
    "mdurl",
    "mpmath",
    "narwhals",
    "networkx",
    "numpy",
    "packaging",
    "prompt_toolkit",
    "pygments",
    "python-dateutil",
    "pyyaml",
    "redis",
    "regex",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "shellingham",
    "six",
    "sqlparse",
    "sympy",
    "threadpoolctl",
    "tokenizers",
    "torch",
    "transformers",
    "typer",
    "typing_extensions",
    "tzlocal",
    "vine",
    "wcwidth",
    "whitenoise",
)

_KIND_OF_SUFFIX = {
    ".py": "python",
    ".pyx": "python",
    ".h": "c",
    ".hpp": "c",
    ".cuh": "c",
    ".c": "c",
    ".cpp": "c",
    ".cc": "c",
    ".po": "po",
    ".txt": "prose",
    ".rst": "prose",
    ".md": "prose",
    ".css": "web",
    ".js": "web",
    ".html": "web",
    ".json": "data",
    ".yaml": "data",
    ".yml": "data",
    ".toml": "data",
    ".cfg": "data",
    ".ini": "data",
    ".cmake": "data",
}

_LEFT_OUT_FOLDERS = frozenset(
    {
        "test",
        "tests",
        "testing",
        "idle_test",
        "__pycache__",
        "site-packages",
        "sboms",
        "lib-dynload",
        "ensurepip",
        "encodings",  # tables
        "ops",  # torch: thousands of generated headers
        "_vendor",
        "externals",
        "generated",
        "autogen",
    }
)
_LEFT_OUT_WORDS = ("generated", ".min.", "unicode", "_tables", "sbom", "lextab", "parsetab", "_sysconfigdata")
_MAX_BYTES = 1_500_000


@dataclass(frozen=True)
class SourceFile:
    """One file that the corpus may read: `source` is its package-relative path."""

    package: str
    source: str
    path: str
    kind: str
    size: int

    @property
    def directory(self) -> str:
        """Package-relative directory, the unit of the train/test split."""
        return self.source.rpartition("/")[0]


def stable_hash(text: str) -> int:
    """A 64-bit hash that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def kind_of(relative: str) -> str | None:
    """Return the kind of text that a package-relative path holds, or None where it is to be left out."""
    parts = relative.split("/")
    name = parts[-1].lower()
    if any(p in _LEFT_OUT_FOLDERS or p.startswith(("test_", "config-3")) for p in parts[:-1]):
        return None
    if name.startswith(("test_", "conftest")) or name.endswith("_test.py"):
        return None
    if any(word in name for word in _LEFT_OUT_WORDS):
        return None
    if any(p.endswith(".dist-info") for p in parts[:-1]):
        return _kind_of_metadata(name)
    if name.startswith(("license", "licence", "copying")):
        return "licence"
    return _KIND_OF_SUFFIX.get(Path(name).suffix)


def _kind_of_metadata(name: str) -> str | None:
    if name == "metadata":
        return "prose"  # its body is the project's readme
    if name.startswith(("license", "licence")):
        return "licence"
    return None


def _walk(root: str, package: str, prefix: str) -> Iterator[SourceFile]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in _LEFT_OUT_FOLDERS)
        for name in sorted(names):
            path = Path(folder) / name
            relative = f"{prefix}/{path.relative_to(root).as_posix()}"
            kind = kind_of(relative)
            if kind:
                yield SourceFile(package, relative, str(path), kind, path.stat().st_size)


def _of_distribution(name: str) -> Iterator[SourceFile]:
    try:
        dist = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return
    for file in dist.files or ():
        relative = file.as_posix()
        if relative.startswith(".."):
            continue
        kind = kind_of(relative)
        if kind is None:
            continue
        path = Path(str(file.locate()))
        if ".dist-info/" in relative:  # the version in the folder's name must not move a document
            relative = f"{name}/dist-info/{relative.partition('.dist-info/')[2]}"
        try:
            yield SourceFile(name, relative, str(path), kind, path.stat().st_size)
        except OSError:
            continue


def installed_files() -> list[SourceFile]:
    """List every readable source file of the standard library and the named distributions."""
    paths = sysconfig.get_paths()
    files = list(_walk(paths["stdlib"], STDLIB, "lib"))
    files += list(_walk(paths["include"], HEADERS, "include"))
    for name in DISTRIBUTIONS:
        files += list(_of_distribution(name))
    return [f for f in files if 200 <= f.size <= _MAX_BYTES]


def installed_versions() -> dict[str, str]:
    """Map the Python version and each named distribution that is installed to its version."""
    versions = {"python": sysconfig.get_python_version()}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
