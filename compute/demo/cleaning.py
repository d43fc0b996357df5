"""From a file's text to clean pieces: boilerplate off, addresses masked, noise refused, cut at lines."""

from __future__ import annotations

import ast
import re
import zlib
from collections.abc import Iterable

MAX_CHARS = 840
MIN_CHARS = 240

_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]+(?:@| at |\(at\)| \(at\) )[A-Za-z0-9\-]+(?:(?:\.| dot )[A-Za-z0-9\-]+)+")
_LEGAL = re.compile(
    r"copyright|licen[sc]ed? (?:under|is|at|for|that|agreement)|all rights reserved|spdx|permission is hereby"
    r"|redistribution and use|\bwarrant(?:y|ies)\b|\(c\) \d{4}|as is\"|\bGPL\b|gnu (?:general|lesser)",
    re.IGNORECASE,
)
_COPYLEFT = re.compile(r"GNU (?:LESSER |AFFERO )?GENERAL PUBLIC|Mozilla Public", re.IGNORECASE)
_PYTHON_HEAD = re.compile(r"\A(?:[ \t]*(?:#[^\n]*)?\n)+")
_C_HEAD = re.compile(r"\A(?:\s*(?:/\*.*?\*/|//[^\n]*\n))+", re.DOTALL)
_HTML_HEAD = re.compile(r"\A\s*(?:<!--.*?-->|\{#.*?#\})", re.DOTALL)
_DOCSTRING = re.compile(r'(?:\A|:[ \t]*\n)[ \t]*[rRuU]?"""(.*?)"""', re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/=_\\x]{90,}")
_LONG_LINE = 400


def mask_emails(text: str) -> str:
    """Replace every e-mail address by a fixed placeholder."""
    return _EMAIL.sub("name@example.org", text)


def strip_boilerplate(text: str, kind: str) -> str:
    """Cut the legal comment block from the head of a file; other files pass unchanged."""
    pattern = {"python": _PYTHON_HEAD, "data": _PYTHON_HEAD, "c": _C_HEAD}.get(kind)
    if kind == "web":
        pattern = _HTML_HEAD if text.lstrip().startswith(("<!--", "{#")) else _C_HEAD
    head = pattern.match(text) if pattern else None
    if head and (_LEGAL.search(head.group()) or "generated" in head.group().lower()):
        return text[head.end() :]
    return text


def is_noise(piece: str) -> bool:
    """Tell whether a piece is a table of numbers, minified or encoded text, or one line repeated."""
    n = len(piece)
    letters = sum(map(str.isalpha, piece))
    if letters < 0.35 * n or sum(map(str.isdigit, piece)) > 0.18 * n:
        return True
    lines = [line.strip() for line in piece.splitlines() if line.strip()]
    if len(lines) < 3 or max(map(len, lines)) > _LONG_LINE or _BASE64.search(piece):
        return True
    if len(lines) >= 8 and len(set(lines)) < 0.6 * len(lines):
        return True
    return len(zlib.compress(piece.encode())) < 0.2 * n


def is_legal(piece: str) -> bool:
    """Tell whether a piece is mostly licence or copyright text."""
    return len(_LEGAL.findall(piece)) >= 2


def cut(text: str, max_chars: int = MAX_CHARS) -> list[str]:
    """Cut text at line boundaries into pieces of at most `max_chars`, preferring blank lines."""
    pieces: list[str] = []
    lines: list[str] = []
    size = 0
    for line in text.splitlines(keepends=True):
        full = size + len(line) > max_chars
        paragraph = size > 0.7 * max_chars and not lines[-1].strip()
        if lines and (full or paragraph):
            pieces.append("".join(lines))
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    pieces.append("".join(lines))
    return [p.strip("\n").rstrip() for p in pieces if len(p) <= max_chars]


def evenly(items: list[str], n: int) -> list[str]:
    """Return `n` of the items, spread evenly from first to last."""
    if len(items) <= n:
        return items
    return [items[int((i + 0.5) * len(items) / n)] for i in range(n)]


def clean_pieces(text: str, kind: str, n_pieces: int) -> list[str]:
    """Return up to `n_pieces` clean pieces of a file, spread evenly over it."""
    if kind == "licence" and _COPYLEFT.search(text):
        return []
    text = mask_emails(strip_boilerplate(text.replace("\r\n", "\n").expandtabs(4), kind))
    pieces = [p for p in cut(text) if len(p) >= MIN_CHARS]
    wanted = evenly(pieces, n_pieces + 2)
    kept = [p for p in wanted if not is_noise(p) and (kind == "licence" or not is_legal(p))]
    return kept[:n_pieces] if len(kept) <= n_pieces else evenly(kept, n_pieces)


def docstrings(text: str) -> list[str]:
    """Return a Python file's long docstrings, dedented, as prose."""
    found = []
    for match in _DOCSTRING.finditer(text):
        body = match.group(1)
        if len(body) >= MIN_CHARS:
            found.append(_dedent(body))
    return found


def _dedent(body: str) -> str:
    first, _, rest = body.partition("\n")
    lines = rest.split("\n")
    margin = min((len(x) - len(x.lstrip()) for x in lines if x.strip()), default=0)
    return "\n".join([first.strip(), *(x[margin:] for x in lines)]).strip()


def readme_of(metadata: str) -> str:
    """Return the description that follows the headers of a METADATA file."""
    return metadata.partition("\n\n")[2]


def reference_topics(source: str) -> list[str]:
    """Return the language reference's topics from the text of `pydoc_data/topics.py`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return [v for v in ast.literal_eval(node.value).values() if isinstance(v, str)]
    return []


def po_entries(text: str) -> list[tuple[str, str]]:
    """Return (msgid, whole entry) of each translated entry, without the file header and flags."""
    entries = []
    for block in re.split(r"\n\s*\n", text):
        at = block.find("\nmsgid ")
        at = 0 if block.startswith("msgid ") else at + 1
        if not block[at:].startswith("msgid ") or "#~" in block or "msgctxt" in block:
            continue
        body = "\n".join(line for line in block[at:].split("\n") if not line.startswith("#"))
        msgid, found, msgstr = body.partition("\nmsgstr")
        is_header = msgid.startswith('msgid ""') and "\n" not in msgid
        if found and len(msgid) > 12 and "msgid_plural" not in msgid and len(msgstr) > 6 and not is_header:
            entries.append((msgid, body))
    return entries


def join_entries(entries: Iterable[str], max_chars: int = MAX_CHARS) -> list[str]:
    """Join translation entries into pieces of at most `max_chars`, parted by blank lines."""
    pieces: list[str] = []
    current = ""
    for entry in entries:
        if current and len(current) + 2 + len(entry) > max_chars:
            pieces.append(current)
            current = ""
        if len(entry) <= max_chars:
            current = f"{current}\n\n{entry}" if current else entry
    return [*pieces, current] if current else pieces
