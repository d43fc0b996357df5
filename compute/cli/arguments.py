"""Arguments that several commands share, and the settings that they stand for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compute.config import AFFINITIES, GRADIENT_SCOPES, HUB, PRECISIONS, VECTORS, CheckpointRef, CorpusConfig, HubRef
from compute.errors import CheckpointError, ConfigError

CORPUS_HELP = (
    "text: a .jsonl file (also .gz, .zst), a .parquet file, a folder of these or of .txt and .md files, or "
    "hub:OWNER/NAME[@REVISION], a data set of the Hugging Face Hub"
)
MODEL_HELP = (
    "a folder in Hugging Face's layout, FOLDER@REVISION for a folder in it, or OWNER/NAME[@REVISION] of the Hub; "
    "GPT-NeoX, GPT-2, GPT-Neo, Llama, Mistral and Qwen networks are known"
)
Group = argparse._ActionsContainer  # a command, or a titled group of its arguments
_CORPUS = ("max_length", "max_documents", "text_field", "split", "subset")


def numbers(text: str) -> tuple[int, ...]:
    """10,20,50 as numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r}: write whole numbers with commas, such as 10,20,50") from error


def decimals(text: str) -> tuple[float, ...]:
    """0.3,0.5,1 as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r}: write numbers with commas, such as 0.3,0.5,1") from error


def words(text: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def part_of(text: str) -> tuple[int, int]:
    """3/10 as a part and the number of parts."""
    part, slash, n = text.partition("/")
    if not (slash and part.isdecimal() and n.isdecimal() and 1 <= int(part) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part: write I/N with 1 <= I <= N, such as 3/10")
    return int(part), int(n)


def given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The settings among these that were given."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name, None) is not None}


def add_out(command: Group, what: str) -> None:
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help=what)


def add_corpus(command: argparse.ArgumentParser, *, required: bool = True, max_length: str = "1024") -> None:
    group = command.add_argument_group("text")
    group.add_argument("--corpus", required=required, metavar="FILE", help=CORPUS_HELP)
    group.add_argument("--max-length", type=int, metavar="N", help=f"tokens read of each document ({max_length})")
    group.add_argument(
        "--documents", "--max-documents", type=int, dest="max_documents", metavar="N", help="the first N (all)"
    )
    group.add_argument("--text-field", metavar="NAME", help="field or column that holds the text (text)")
    group.add_argument("--split", metavar="NAME", help="of a data set (train)")
    group.add_argument("--subset", metavar="NAME", help="of a data set that has several")


def add_device(command: Group) -> None:
    command.add_argument("--device", default="cpu", help="cpu, cuda, or cuda:1 and so on (cpu)")


def add_precision(command: Group) -> None:
    command.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of losses; auto is bfloat16 with a float32 unembedding for a billion parameters on a GPU, else float32 "
        "(auto)",
    )


def add_keep_induced(command: Group) -> None:
    command.add_argument(
        "--keep-induced",
        dest="exclude_induced",
        action="store_const",
        const=False,
        help="also tokens that repeat a trigram of their document",
    )


def add_vectors(command: Group) -> None:
    command.add_argument(
        "--vectors",
        choices=VECTORS,
        help="what is compared: gradients, MLP activations, or sparsified gradients (gradients)",
    )
    command.add_argument(
        "--gradient-scope",
        choices=GRADIENT_SCOPES,
        help="default leaves out embeddings and normalisations, as-published keeps the final one, all keeps everything "
        "(default)",
    )


def add_sketch(command: Group) -> None:
    command.add_argument("--sketch-size", type=int, metavar="K", help="numbers in a sketch, two bytes each (65536)")
    command.add_argument("--sketch-seed", type=int, metavar="N", help="of the sketch's random signs (0)")
    command.add_argument(
        "--refine",
        type=int,
        metavar="M",
        help="with sketches: exact cosines for the M nearest of each token, for which gradients are computed again (0)",
    )
    command.add_argument(
        "--block-tokens",
        type=int,
        metavar="N",
        help="exact without a store: keep the gradients of N tokens in memory and compute the rest again",
    )


def add_clustering(command: Group, *, ks: str = "numbers of clusters") -> None:
    command.add_argument("--counts", "--ks", type=numbers, dest="ks", metavar="K,K,…", help=ks)
    command.add_argument("--n-init", type=int, metavar="N", help="starts of k-means (30)")
    command.add_argument("--seed", type=int, metavar="N", help="of k-means (0)")
    command.add_argument(
        "--effort",
        choices=("parity", "fast"),
        help="parity gives scikit-learn's labels, fast as good a k-means for less work (parity)",
    )


def add_affinities(command: Group) -> None:
    command.add_argument("--affinities", type=words, metavar=",".join(AFFINITIES), help="one of them or both (both)")


def corpus_of(arguments: argparse.Namespace, *, max_length: int = 1024) -> CorpusConfig:
    """The text that the arguments name."""
    return CorpusConfig(source=arguments.corpus, **{"max_length": max_length} | given(arguments, _CORPUS))


def model_of(text: str) -> CheckpointRef:
    """One network: a folder if there is one of that name (with @REVISION, a folder in it), else one of the Hub."""
    base, _, revision = text.rpartition("@")
    for name, inside in ((text, "."), (base, revision)):
        folder = Path(name).expanduser().resolve()
        if name and (folder / inside).is_dir():
            lm = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in folder.name).lstrip("._-")
            step = "main" if inside == "." else inside
            return CheckpointRef(lm=lm[:80] or "network", revision=step, path=str(folder / inside))
    if text.startswith(("/", ".", "~")) or text.count("/") > 1:
        raise CheckpointError(f"There is no checkpoint folder {text}. Check the path, or give OWNER/NAME of the Hub.")
    ref = HubRef.parse(text)
    print(f"There is no folder {text} here; the network of that name on the Hub is meant.", file=sys.stderr)
    return CheckpointRef(lm=ref.name, revision=ref.revision, path=f"{HUB}{ref}")


def tokenizer_of(arguments: argparse.Namespace, ref: CheckpointRef) -> str:
    """The tokenizer that was named, or the network's own."""
    return arguments.tokenizer or ref.path


def refuse_together(arguments: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse options that exclude each other."""
    found = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name)]
    if len(found) > 1:
        raise ConfigError(f"{' and '.join(found)} exclude each other; give one of them.")
