"""Documents and a vocabulary that look like text: Zipf's law, words, code, and tokens that mean harm."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.paper.plan import MAX_LENGTH, Plan
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.vocabulary import Vocabulary

KINDS = (
    ("Pile-CC", 0.27), ("PubMed Central", 0.12), ("Books3", 0.02), ("OpenWebText2", 0.14), ("ArXiv", 0.05),
    ("Github", 0.14), ("FreeLaw", 0.06), ("StackExchange", 0.10), ("USPTO Backgrounds", 0.04), ("Wikipedia (en)", 0.06),
)  # fmt: skip
HOSTILE = (
    b"<script>alert(1)</script>", b'"><img src=x onerror=alert(1)>', b"</td></table></div>", b"javascript:alert(1)",
    b"{{ 7*7 }}{% debug %}", b"=cmd|' /C calc'!A0", b"\x00", b"\x1b[31m", "\u202e".encode(), "\u2066\u200b".encode(),
    b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", "e\u0301\u0301".encode(), ("Z" + "\u0351" * 60).encode(), b"A" * 300,
    "日本".encode(), "🏴󠁧󠁢".encode(), "مرحبا".encode(), b"hx-get=/x", b"'; DROP TABLE--", b"\r\n", b"&lt;&amp;", b"   \t",
)  # fmt: skip
FIRST_HOSTILE, EVERY_HOSTILE = 300, 37  # ids, and so how common they are
COMMON = (  # noqa: SIM905  (a table of words reads better than a list of quotes)
    ", . the \n of and to in a - is for that ( ) : with \" on as ' by at from it was be are this _ / = or an have not "
    "; { } [ ] which you we but his can has were all more one will their he its if been I would there they when so "
    "what up out about no who other than time into some only new two may any also me do my like first over after our "
    "these then most she her such how them many your them where years very just because must through people before "
    "should well even year between work way world because state being own same here used number use make system good "
    "set data case \t \n\n    .\n ,\n :// .com 0 1 2 3 4 5 6 7 8 9 10 12 15 20 100 2012 2013 2014 def return import "
    "self class int void public static const std :: -> => == != && || ++ += </ /> <p> <div href http https www "
    "\\ $ % # @ * & + < > ? ! ... ' s t n't 'm 're 've"
).split(" ")
ONSETS = "b c d f g h l m n p r s t v w st tr pr gr ch sh pl cl br".split()  # noqa: SIM905
VOWELS = "a e i o u ea ou ai io ie".split()  # noqa: SIM905
CODAS = "n r s t l d m ng st ck nd nt x y".split() + [""] * 6  # noqa: SIM905


def make_vocabulary(plan: Plan) -> Vocabulary:
    """Tokens, the commonest first, with every byte among the rarest."""
    rng = np.random.default_rng([plan.seed, 1])
    tokens = list(dict.fromkeys(_common()))
    known = set(tokens)
    while len(tokens) < plan.n_vocabulary - 256:
        if len(tokens) >= FIRST_HOSTILE and (len(tokens) - FIRST_HOSTILE) % EVERY_HOSTILE == 0:
            place = (len(tokens) - FIRST_HOSTILE) // EVERY_HOSTILE
            if place < len(HOSTILE):
                tokens.append(HOSTILE[place])
                continue
        word = _word(rng)
        if word not in known:
            known.add(word)
            tokens.append(word)
    tokens += [bytes([byte]) for byte in range(256)]
    offsets = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    return Vocabulary(np.frombuffer(b"".join(tokens), np.uint8).copy(), offsets)


def make_corpus(plan: Plan) -> TokenizedCorpus:
    """Documents of up to 1,024 tokens; the number of predictions is exact, some documents are empty."""
    rng = np.random.default_rng([plan.seed, 2])
    n_predicted = _lengths(rng, plan.n_documents, plan.n_predictions)
    lengths = n_predicted + (n_predicted > 0)
    lengths[n_predicted == 0] = rng.integers(0, 2, np.count_nonzero(n_predicted == 0))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    uniform = rng.random(int(offsets[-1]), dtype=np.float32)
    token_ids = (np.exp(uniform * np.float32(np.log(plan.n_vocabulary))) - 1).astype(np.uint16)
    return TokenizedCorpus(token_ids, offsets)


def document_rows(plan: Plan, corpus: TokenizedCorpus) -> list[dict[str, Any]]:
    rng = np.random.default_rng([plan.seed, 3])
    names, shares = zip(*KINDS, strict=True)
    kinds = rng.choice(len(names), corpus.n_documents, p=shares)
    return [
        {"source": f"{names[kind]}/{place:05d}", "kind": names[kind], "n_tokens": n}
        for place, (kind, n) in enumerate(zip(kinds.tolist(), corpus.lengths.tolist(), strict=True))
    ]


def _common() -> list[bytes]:
    words = [word or " " for word in COMMON]
    return [(" " + word if word.isalpha() else word).encode() for word in words] + [word.encode() for word in words]


def _word(rng: np.random.Generator) -> bytes:
    syllables = [
        ONSETS[rng.integers(len(ONSETS))] + VOWELS[rng.integers(len(VOWELS))] + CODAS[rng.integers(len(CODAS))]
        for _ in range(rng.integers(1, 4))
    ]
    word = "".join(syllables)
    kind = rng.random()
    return (" " + word if kind < 0.6 else word.capitalize() if kind < 0.75 else word).encode()


def _lengths(rng: np.random.Generator, n_documents: int, total: int) -> np.ndarray:
    """Predictions of every document: at most 1,023, a few none, with this sum."""
    most = MAX_LENGTH - 1
    lengths = np.minimum(rng.lognormal(6.15, 1.0, n_documents).astype(np.int64), most)
    lengths[rng.integers(0, n_documents, max(2, n_documents // 1000))] = 0
    while (left := total - int(lengths.sum())) != 0:
        open_ones = np.flatnonzero((lengths > 1) & ((lengths < most) if left > 0 else True))
        chosen = rng.permutation(open_ones)[: abs(left)]
        lengths[chosen] += np.sign(left)
    return lengths
