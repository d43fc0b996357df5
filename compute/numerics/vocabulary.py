"""What every token stands for, in bytes, read from a tokenizer file without a tokenizer library."""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compute.errors import CorpusError


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The bytes of every token, end to end.

    Attributes
    ----------
    bytes : ndarray of shape (n_bytes,), uint8
        Bytes of all tokens in order of their ids.
    offsets : ndarray of shape (n_vocabulary + 1,), int64
        Token i is ``bytes[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    CorpusError
        If the two arrays contradict each other.

    Notes
    -----
    A token may hold part of a character: join the bytes of several tokens before decoding them.

    Examples
    --------
    >>> vocabulary = Vocabulary(np.frombuffer(b"the cat", np.uint8), np.array([0, 3, 7]))
    >>> vocabulary.token_bytes(1), vocabulary.token_bytes(99)
    (b' cat', b'')
    """

    bytes: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        if self.bytes.ndim != 1 or self.bytes.dtype != np.uint8:
            raise CorpusError(f"A vocabulary's bytes must be a flat array of uint8, not {self.bytes.dtype}.")
        offsets = self.offsets
        if offsets.ndim != 1 or len(offsets) < 1 or offsets.dtype != np.int64:
            raise CorpusError(f"A vocabulary's offsets must be a flat array of int64, not {offsets.dtype}.")
        if offsets[0] != 0 or offsets[-1] != len(self.bytes) or np.any(np.diff(offsets) < 0):
            raise CorpusError(
                f"A vocabulary's offsets must rise from 0 to its {len(self.bytes)} bytes; these run from "
                f"{offsets[0]} to {offsets[-1]}. The arrays are damaged: read the tokenizer again."
            )

    def __len__(self) -> int:
        """Number of token ids."""
        return len(self.offsets) - 1

    def token_bytes(self, token_id: int) -> builtins.bytes:
        """Bytes of one token; none for an id that the vocabulary does not hold (models pad their vocabulary)."""
        if not 0 <= token_id < len(self):
            return b""
        return self.bytes[self.offsets[token_id] : self.offsets[token_id + 1]].tobytes()


def vocabulary_from_tokenizer(tokenizer_json_path: Path) -> Vocabulary:
    """Read the bytes of every token from a ``tokenizer.json`` with byte-level BPE.

    Parameters
    ----------
    tokenizer_json_path : Path
        File as the tokenizers library saves it.

    Returns
    -------
    Vocabulary
        Ids that the file leaves out stand for no bytes.

    Raises
    ------
    CorpusError
        If the file cannot be read or is not byte-level BPE.

    Notes
    -----
    Byte-level BPE writes each byte as one printable character. Added tokens are matched in the raw text, so
    their content is taken literally, as UTF-8.
    """
    path = Path(tokenizer_json_path)
    tokenizer = _read_json(path)
    try:
        if tokenizer["model"]["type"] != "BPE" or not _is_byte_level(tokenizer):
            raise CorpusError(f"{path} is not a byte-level BPE tokenizer, the only kind that can be shown as bytes.")
        table = {int(i): _unmap(text) for text, i in tokenizer["model"]["vocab"].items()}
        for added in tokenizer.get("added_tokens") or []:
            table[int(added["id"])] = added["content"].encode()
        if not table or min(table) < 0:
            raise ValueError("no token ids")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorpusError(f"{path} is not a complete tokenizer file ({error!r}). Save the tokenizer again.") from error
    return _pack([table.get(i, b"") for i in range(max(table) + 1)])


def byte_alphabet() -> dict[str, int]:
    """The character that byte-level BPE writes for each of the 256 bytes, the other way round.

    Printable Latin-1 bytes stand for themselves; the rest are numbered from U+0100.

    Examples
    --------
    >>> byte_alphabet()["Ġ"]
    32
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


_ALPHABET = byte_alphabet()


def _unmap(text: str) -> builtins.bytes:
    """Bytes behind one vocabulary entry; an entry outside the alphabet can only be a literal token."""
    try:
        return builtins.bytes(_ALPHABET[character] for character in text)
    except KeyError:
        return text.encode()


def _is_byte_level(tokenizer: dict[str, Any]) -> bool:
    """Whether any stage of the tokenizer, nested in a sequence or not, is byte-level."""
    stages: list[Any] = [tokenizer.get("pre_tokenizer"), tokenizer.get("decoder")]
    while stages:
        stage = stages.pop()
        if not isinstance(stage, dict):
            continue
        if stage.get("type") == "ByteLevel":
            return True
        stages += stage.get("pretokenizers") or stage.get("decoders") or []
    return False


def _pack(tokens: list[builtins.bytes]) -> Vocabulary:
    """One flat byte array with offsets."""
    offsets = np.zeros(len(tokens) + 1, np.int64)
    np.cumsum([len(token) for token in tokens], out=offsets[1:])
    return Vocabulary(np.frombuffer(b"".join(tokens), np.uint8).copy(), offsets)


def _read_json(path: Path) -> dict[str, Any]:
    """The file's JSON object."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CorpusError(f"The tokenizer file {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise CorpusError(f"The tokenizer file {path} is not JSON: it may be cut short. Save it again.") from error
    if not isinstance(content, dict):
        raise CorpusError(f"The tokenizer file {path} holds no tokenizer. Save the tokenizer again.")
    return content
