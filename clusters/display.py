"""Corpus text made fit to be seen: from token ids through the vocabulary's bytes, with nothing left invisible.

Corpus text is hostile. What comes out of here holds no control, bidirectional or zero-width character; it is
still plain text that a template must escape.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from compute.numerics.vocabulary import Vocabulary

NEWLINE, TAB, REPLACEMENT, ELLIPSIS = "⏎", "⇥", "\ufffd", "…"
MAX_CHARACTERS = 240  # of one token that are drawn; the rest is counted
MAX_MARKS = 8  # combining marks in a row that are drawn; the rest is counted
_NAMES = {
    0x00AD: "SHY", 0x061C: "ALM", 0x200B: "ZWSP", 0x200C: "ZWNJ", 0x200D: "ZWJ", 0x200E: "LRM", 0x200F: "RLM",
    0x2028: "LS", 0x2029: "PS", 0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO",
    0x2060: "WJ", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xFEFF: "BOM",
}  # fmt: skip
_BLANK = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}  # letters and marks that draw nothing
_VARIATION = (range(0xFE00, 0xFE10), range(0x180B, 0x1810), range(0xE0100, 0xE01F0))


@dataclass(frozen=True, slots=True)
class TokenText:
    """One token as it is shown."""

    text: str  # empty where the token is a piece of a character that a later token completes
    raw_bytes: bytes
    breaks_line: bool  # holds a newline
    is_space: bool  # nothing but white space

    @property
    def hex(self) -> str:
        """The bytes, for people: "E6 97 A5"."""
        return self.raw_bytes.hex(" ").upper()

    @property
    def lines(self) -> list[str]:
        """The text cut after every newline, so that a page may break there."""
        return lines_of(self.text) if self.breaks_line else [self.text]


def display_tokens(vocabulary: Vocabulary, ids: Iterable[int]) -> list[TokenText]:
    """Every token's text in its sequence: a character split over tokens stands on the one that completes it."""
    shown: list[TokenText] = []
    pieces: list[bytes] = []  # of the tokens since the last that stands for itself
    for token_id in ids:
        own = _own_text(vocabulary, int(token_id))
        if own is None:
            pieces.append(vocabulary.token_bytes(int(token_id)))
            continue
        if pieces:
            shown += _texts_of(pieces)
            pieces = []
        shown.append(own)
    return shown + _texts_of(pieces)


def _texts_of(chunks: list[bytes]) -> list[TokenText]:
    return [_token_text(raw, text) for raw, text in zip(chunks, _decoded_pieces(chunks), strict=True)]


@lru_cache(maxsize=32_768)  # the commoner tokens of a few vocabularies, some hundred bytes each
def _own_text(vocabulary: Vocabulary, token_id: int) -> TokenText | None:
    """The text of a token that is the same wherever it stands: one of whole characters; None for any other.

    What is longer than anything that is drawn is not kept.
    """
    raw = vocabulary.token_bytes(token_id)
    if not 0 < len(raw) <= MAX_CHARACTERS:
        return None
    try:
        return _token_text(raw, raw.decode())
    except UnicodeDecodeError:
        return None


def token_label(vocabulary: Vocabulary, token_id: int, *, limit: int = 200) -> str:
    """One token standing alone, as in a list of answers; bytes that are no whole character are written in hex."""
    raw = vocabulary.token_bytes(int(token_id))
    parts = _parts(raw[: 4 * limit + 4])  # no character has more than four bytes
    text = "".join(visible(part) if isinstance(part, str) else f"⟨{part.hex(' ').upper()}⟩" for part in parts)
    return shortened(_standing_alone(text) or f"⟨id {int(token_id)}⟩", limit)


def display_text(vocabulary: Vocabulary, ids: Iterable[int], *, limit: int = 20_000) -> str:
    """The text of several tokens as one line, for search and for the database."""
    raw = b"".join(vocabulary.token_bytes(int(token_id)) for token_id in ids)
    return clean_text(raw.decode("utf-8", "replace"), limit=limit)


def clean_text(text: str, *, limit: int | None = None) -> str:
    """Text that any database takes and any page may show: no control character, no lone surrogate."""
    return visible(text) if limit is None else shortened(visible(text[: limit + 1]), limit)


def one_line(text: str) -> str:
    """A name that somebody gave, cleaned: runs of white space and line breaks are one space."""
    return " ".join(clean_text(text.replace("\n", " ")).split())


def clean_lines(text: str) -> str:
    """A longer text that somebody wrote, cleaned; its line breaks stay."""
    return "\n".join(clean_text(line).rstrip() for line in text.splitlines()).strip()


def visible(text: str) -> str:
    """The text with every invisible character drawn as a picture: ⏎ ␀ ⟨RLO⟩ ⟨U+0085⟩."""
    return _fewer_marks(text.translate(_PICTURES))


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, the last of them an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + ELLIPSIS


def lines_of(text: str) -> list[str]:
    """A shown text cut after every newline picture."""
    parts = text.split(NEWLINE)
    lines = [part + NEWLINE for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] or not lines else lines


class _Pictures(dict[int, str]):
    """Code point to what is shown for it, worked out once for each that occurs."""

    def __missing__(self, code: int) -> str:
        self[code] = shown = _picture(code)
        return shown


def _picture(code: int) -> str:
    if code < 0x20:
        return {0x0A: NEWLINE, 0x09: TAB}.get(code, chr(0x2400 + code))
    if code == 0x7F:
        return "␡"
    category = unicodedata.category(chr(code))
    if category == "Cs":
        return REPLACEMENT
    blank = code in _BLANK or any(code in block for block in _VARIATION)
    hidden = category in ("Cc", "Cf", "Zl", "Zp", "Cn") or (category == "Zs" and code not in (0x20, 0x3000))
    if blank or hidden:
        return f"⟨{_NAMES.get(code) or f'U+{code:04X}'}⟩"
    return chr(code)


_PICTURES = _Pictures()


def _fewer_marks(text: str) -> str:
    """Long runs of combining marks, which would paint over the page, cut to a few and a count."""
    if text.isascii() or not any(map(_is_mark, text)):
        return text
    out: list[str] = []
    run = 0
    for character in text + "\0":
        if _is_mark(character):
            run += 1
            if run <= MAX_MARKS:
                out.append(character)
            continue
        if run > MAX_MARKS:
            out.append(f"⟨+{run - MAX_MARKS} marks⟩")
        run = 0
        out.append(character)
    return "".join(out[:-1])


def _is_mark(character: str) -> bool:
    return character > "\u02ff" and unicodedata.category(character) in ("Mn", "Me")


def _standing_alone(text: str) -> str:
    """A mark at the beginning gets a circle to sit on, else it would be drawn on the token before."""
    return "◌" + text if text and _is_mark(text[0]) else text


def _token_text(raw: bytes, text: str) -> TokenText:
    shown = visible(text[:MAX_CHARACTERS])
    if len(text) > MAX_CHARACTERS:
        shown += f"⟨+{len(text) - MAX_CHARACTERS:,} characters⟩"
    return TokenText(_standing_alone(shown), raw, b"\n" in raw, bool(text) and text.isspace())


def _decoded_pieces(chunks: list[bytes]) -> list[str]:
    """UTF-8 over several pieces: each character goes to the piece with its last byte, bad bytes become U+FFFD."""
    texts = [""] * len(chunks)
    pending, owner = b"", 0  # the beginning of a character, and the piece that holds its last byte so far
    for i, raw in enumerate(chunks):
        if not raw:
            continue
        if pending and not _continues(pending, raw):
            texts[owner] += pending.decode("utf-8", "replace")
            pending = b""
        data = pending + raw
        texts[i], used = codecs.utf_8_decode(data, "replace", False)
        pending, owner = data[used:], i
    if pending:
        texts[owner] += pending.decode("utf-8", "replace")
    return texts


def _continues(pending: bytes, raw: bytes) -> bool:
    """Whether the pending bytes and some of the next ones are one character, or the beginning of one."""
    try:
        codecs.utf_8_decode(pending + raw, "strict", False)
    except UnicodeDecodeError as error:
        return error.start > 0 or error.end > len(pending)
    return True


def _parts(raw: bytes) -> list[str | bytes]:
    """Bytes cut into whole characters (text) and what is none (bytes)."""
    parts: list[str | bytes] = []
    while raw:
        try:
            return [*parts, raw.decode()]
        except UnicodeDecodeError as error:
            if error.start:
                parts.append(raw[: error.start].decode())
            parts.append(raw[error.start : error.end])
            raw = raw[error.end :]
    return parts
