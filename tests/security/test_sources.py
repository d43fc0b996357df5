"""What no source of ours may hold, read as Python reads it; a new one fails here before anybody relies on it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("quantaweb", "compute", "clusters", "deploy")
SOURCES = [ROOT / "manage.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]
# what may be called where, and why it does no harm
ALLOWED = {
    ("compute/hub/convert.py", "pickle"): "reads the names of classes in pickles of the Hub, and makes none of them",
}
NETWORK = {"requests", "httpx", "httpx2", "urllib.request", "urllib3", "http.client", "aiohttp", "ftplib", "paramiko"}
MAY_ASK_OTHERS = {
    "clusters/services/machine_chat.py": "QW_SUGGEST_URL, an operator's",
    "clusters/management/commands/healthcheck.py": "this very site",
    "compute/hub/failures.py": "only names the exceptions of huggingface_hub",
    "compute/hub/fetch.py": "only names the exceptions of huggingface_hub",
    "compute/hub/listing.py": "only names the exceptions of huggingface_hub",
    "compute/hub/session.py": "the client's own rules: where it may be sent on to",
    "compute/hub/patience.py": "only names the exceptions of huggingface_hub",
    "compute/hub/transfer.py": "only names the exceptions of huggingface_hub",
}


@cache
def parsed() -> list[tuple[str, ast.AST]]:
    """What matters of every source: calls and imports."""
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        wanted = (node for node in ast.walk(tree) if isinstance(node, (ast.Call, ast.Import, ast.ImportFrom)))
        found += [(str(path.relative_to(ROOT)), node) for node in wanted]
    return found


def name_of(node: ast.expr) -> str:
    """`a.b.c` of a call's function."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    for place, node in parsed():
        if isinstance(node, ast.Call):
            yield place, node, name_of(node.func)


def given(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def imports() -> Iterator[tuple[str, str]]:
    for place, node in parsed():
        if isinstance(node, ast.Import):
            yield from ((place, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield place, node.module
            yield from ((place, f"{node.module}.{alias.name}") for alias in node.names)


def test_there_is_something_to_read() -> None:
    assert len(SOURCES) > 300


def test_no_code_of_others_is_run() -> None:
    found = [
        (place, name) for place, call, name in calls()
        if name in ("eval", "exec", "__import__", "os.system", "os.popen", "yaml.load", "marshal.loads")
        or is_constant(given(call, "shell"), True)
        or is_constant(given(call, "trust_remote_code"), True)
        or is_constant(given(call, "allow_pickle"), True)
    ]  # fmt: skip
    assert found == []


def test_models_are_read_without_code_and_as_weights_alone() -> None:
    for place, call, name in calls():
        if name.endswith(".from_pretrained"):
            assert is_constant(given(call, "trust_remote_code"), False), place
        if name == "torch.load":
            assert is_constant(given(call, "weights_only"), True), place
        if name.endswith("from_pretrained") and "Model" in name:
            assert is_constant(given(call, "use_safetensors"), True), place


def test_no_pickle_is_opened() -> None:
    bad = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    found = {(place, name) for place, name in imports() if name in bad}
    assert found == set(ALLOWED) & found


def test_who_asks_others_over_the_network_is_on_the_list() -> None:
    found = {place for place, name in imports() if any(name == one or name.startswith(f"{one}.") for one in NETWORK)}
    assert found == set(MAY_ASK_OTHERS)
    asks = re.compile(r"httpx2\.(get|post|stream|request|Client|AsyncClient)")
    assert [place for place, _, name in calls() if place.startswith("compute/hub/") and asks.fullmatch(name)] == []


def test_no_text_is_declared_safe() -> None:
    """Only our own drawings are: charts/markup.py escapes what it is given."""
    found = {place for place, _, name in calls() if name.rpartition(".")[2] == "mark_safe"}
    assert found <= {"clusters/charts/markup.py"}
    safe = re.compile(r"\|\s*safe\b|\{%\s*autoescape\s+off|\|\s*safeseq\b")
    marked = {path.name for path in (ROOT / "templates").rglob("*") if path.is_file() and safe.search(path.read_text())}
    assert {name for name in marked if not name.endswith(".txt")} == set()  # letters are plain text


def test_scripts_make_no_markup_and_run_no_text() -> None:
    bad = re.compile(
        r"\.(innerHTML|outerHTML)\b|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(.on|srcdoc"
    )
    for path in (ROOT / "static/js").rglob("*.js"):
        if ".min." not in path.name:
            assert not bad.search(path.read_text()), path


def test_pages_hold_no_script_style_or_handler_of_their_own() -> None:
    script = r'<script(?![^>]*\bsrc=)(?![^>]*type="application/json")'
    handler = r"<[a-z]+\s(?:[^<>{}]|{{[^}]*}}|{%[^%]*%})*\s(?:on[a-z]+|style|hx-on[:a-z-]*)="
    inline = re.compile(f"{script}|<style|{handler}|javascript:")
    for path in (ROOT / "templates").rglob("*.html"):
        assert not inline.search(path.read_text()), path


def test_every_exception_from_the_security_rules_says_why() -> None:
    """In what is served or computes: asserts that hold by construction, and statements of our own names."""
    known = {"S101", "S104", "S105", "S108", "S608"}
    for path in SOURCES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if found := re.findall(r"noqa:.*\b(S\d{3})", line):
                assert set(found) <= known, (path, line)


@pytest.mark.parametrize("statement", ["S608"])
def test_no_statement_is_put_together_from_what_people_send(statement: str) -> None:
    """Every place that formats SQL is known; each formats names of tables and columns, and passes values apart."""
    places = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if re.search(rf"noqa:.*{statement}", path.read_text(encoding="utf-8"))
    }
    assert places <= {
        "clusters/services/backup.py",
        "clusters/ingest/writing.py",
        "clusters/queries/search/contexts.py",
    }
