"""Inputs that are nearly right: seeds, changed a little, with a sense for JSON, arrays, tar and query strings.

Everything comes from one seeded generator, so that an input can be made again from its seed and number.
"""

from __future__ import annotations

import io
import json
import random
import tarfile
from typing import Any
from urllib.parse import quote

TEXTS = ("", "a", "\0", "\ud800", "\u202e", "é日本", "../../x", "=cmd", "NaN", "-1", "1e400", "٣", "a" * 3000, "{", "[",
         "<b>", "\\", "%00", "' OR 1=1",
         "../" * 40, "\u0301" * 500, "signed", "0x10", "1_000", " 7 ", "+7", "on")  # fmt: skip
NUMBERS = (0, -1, 1, 2, 3, 2**31, -(2**31) - 1, 2**63, 10**40, 0.5, -0.0, 1e308, 5e-324)
TOKENS = (b"NaN", b"-Infinity", b"1e999", b"null", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b'"\\ud800"', b"[" * 2000,
          b"{" * 50, b'{"a":' * 500, b"\n", b"\r\n", b",", b'"', b"0" * 400, b"../../x", b"\xef\xbb\xbf")  # fmt: skip

KINDS = (tarfile.REGTYPE,) * 12 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, b"x", b"S")
NAMES = ("../../x", "/etc/x", "a/../../x", "a" * 200, "b/manifest.json", "b//x", "b\\x", "b/.x", "b/é", "-r")
VALUES = (*TEXTS, *map(str, NUMBERS), "3,4,5,6", "-9,-9,9,-9,9,9", "yes", "no", "rank", "-size", "all")


def changed(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One seed after a few changes: by its structure where it has one, else by its bytes."""
    raw = rng.choice(seeds)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        how = rng.random()
        if how < 0.4 and raw[:1] in (b"{", b"["):
            raw = _changed_json(rng, raw)
        elif how < 0.5:
            raw = _spliced(rng, raw, rng.choice(seeds))
        else:
            raw = _changed_bytes(rng, raw)
    return raw


def _changed_bytes(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw) + 1)
    how = rng.randrange(6)
    if how == 0:
        return raw[:at]
    if how == 1:
        return raw[:at] + rng.choice(TOKENS) + raw[at:]
    if how == 2:
        return raw[:at] + raw[at + rng.randint(1, 40) :]
    if how == 3:
        return raw[:at] + raw[max(0, at - rng.randint(1, 600)) :]
    changed = bytearray(raw)
    for _ in range(rng.randint(1, 6)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 32, 34, 44, 48, 57, 91, 123, 127, 128, 255))
    return bytes(changed)


def _spliced(rng: random.Random, one: bytes, other: bytes) -> bytes:
    return one[: rng.randrange(len(one) + 1)] + other[rng.randrange(len(other) + 1) :]


def _changed_json(rng: random.Random, raw: bytes) -> bytes:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return _changed_bytes(rng, raw)
    return json.dumps(changed_value(rng, value)).encode("utf-8", "surrogatepass")


def changed_value(rng: random.Random, value: Any, depth: int = 0) -> Any:
    """The value with one of its parts replaced, doubled or left out."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.15:
        return any_value(rng, depth)
    where = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    copied = dict(value) if isinstance(value, dict) else list(value)
    how = rng.random()
    if how < 0.15:
        del copied[where]
    elif how < 0.3 and isinstance(copied, dict):
        copied[rng.choice(TEXTS)] = copied[where]
    elif how < 0.3:
        copied.insert(where, copied[where])
    else:
        copied[where] = changed_value(rng, copied[where], depth + 1)
    return copied


def any_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(7)
    if kind < 2:
        return rng.choice(TEXTS)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind == 4 or depth > 4:
        return rng.choice((None, True, False, [], {}, float("nan"), float("inf")))
    if kind == 5:
        return [any_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): any_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def array_file(rng: random.Random) -> bytes:
    """An array's file whose header says all kinds of things."""
    shape = rng.choice(("(3,)", "(3, 4)", "()", "(-1,)", "(10**12,)", "(1000000000000,)", "(3", "None", "('a',)",
                        "(0,)", "(2**63,)", "(1,)*70", "(True,)", "(3.0,)"))  # fmt: skip
    kind = rng.choice(("'<f4'", "'<i8'", "'|O'", "'|V9999999999'", "[('a', '<f4')]", "'<U99999999'", "''", "None",
                       "'<M8[s]'", "'|S1'", "'>c16'", "__import__('os')"))  # fmt: skip
    order = rng.choice(("False", "True", "7"))
    text = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".ljust(rng.choice((60, 117, 200))) + "\n"
    version = rng.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    width = 2 if version == b"\x01\x00" else 4
    length = rng.choice((len(text), len(text), len(text), 0, 65535))
    raw = b"\x93NUMPY" + version + length.to_bytes(width, "little") + text.encode() + bytes(rng.choice((0, 12, 48, 96)))
    return raw if rng.random() < 0.6 else _changed_bytes(rng, raw)


def tar_file(rng: random.Random, members: dict[str, bytes]) -> bytes:
    """An archive with members that are changed, doubled, renamed, linked, or of other sizes than they say."""
    out = io.BytesIO()
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))  # these take names of any length
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as archive:
        for name, content in members.items():
            if rng.random() < 0.1:
                continue
            info = tarfile.TarInfo(_name(rng, name))
            info.type = rng.choice(
                (tarfile.REGTYPE,) * 12 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, b"x", b"S")
            )
            info.linkname = rng.choice(("", "/etc/passwd", "../x"))
            sent = changed(rng, [content]) if rng.random() < 0.2 else content
            info.size = len(sent) if info.type == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(sent))
    raw = out.getvalue()
    return raw if rng.random() < 0.7 else _changed_bytes(rng, raw)


def _name(rng: random.Random, name: str) -> str:
    if rng.random() < 0.9:
        return name
    return rng.choice(
        ("../../x", "/etc/x", "a/../../x", "a" * 200, "b/manifest.json", "b//x", "b\\x", "b/.x", "b/é", "-r")
    )


def query(rng: random.Random, names: tuple[str, ...]) -> str:
    """A query string of names that somebody reads, with values that nobody would write."""
    pairs = []
    for _ in range(rng.randrange(7)):
        value = str(
            rng.choice((*TEXTS, *map(str, NUMBERS), "3,4,5,6", "-9,-9,9,-9,9,9", "yes", "no", "rank", "-size", "all"))
        )
        text = quote(value.encode("utf-8", "surrogatepass")) if rng.random() < 0.8 else value.replace("&", "")
        pairs.append(f"{rng.choice(names)}={text}")
    return "&".join(pairs)
