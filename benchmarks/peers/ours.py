"""Write the tokens and the reference that other programs are compared with, and time our own gradients of them.

python -m benchmarks.peers.ours FILE.npz

Sixty tokens that the demo suite's clustered network is sure of, each with the context that its loss depends on, sorted
by length; the reference is the cosines, in float64, of their gradients by every linear map of every layer, biases
included.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.gradients import CLUSTERED
from benchmarks.peers.given import cosines_of, read, tell
from benchmarks.stage import Stage, demo_stage
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.gradients import gradient_parameters, gradients
from compute.numerics.vectors import vector_batches

N_TOKENS = 60


def chosen() -> Stage:
    """The stage's tokens thinned out, each the last of a document of its own."""
    stage = demo_stage()
    documents, positions = stage.corpus.locate(stage.tokens[:: len(stage.tokens) // N_TOKENS][:N_TOKENS])
    texts = [stage.corpus.document_tokens(d)[: p + 1] for d, p in zip(documents, positions, strict=True)]
    texts.sort(key=len)
    corpus = TokenizedCorpus(np.concatenate(texts), np.cumsum([0, *map(len, texts)]))
    return Stage(stage.model, corpus, corpus.prediction_starts[1:] - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE.npz", help="where to write them")
    file = parser.parse_args().file
    torch.set_num_threads(1)
    stage = chosen()
    rows = np.stack(list(gradients(stage.model, stage.corpus, stage.tokens))).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    texts = [stage.corpus.document_tokens(document) for document in range(stage.corpus.n_documents)]
    facts = {"checkpoint": str(CLUSTERED), "parameters": [name for name, _ in gradient_parameters(stage.model)]}
    np.savez(
        file,
        tokens=np.concatenate([text[:-1] for text in texts]).astype(np.int64),
        lengths=np.array([len(text) - 1 for text in texts]),
        answers=np.array([text[-1] for text in texts], np.int64),
        cosines=rows @ rows.T,
        facts=json.dumps(facts),
    )

    def find() -> np.ndarray:
        found = torch.empty(len(stage.tokens), stage.n_entries)
        for places, vectors, _ in vector_batches(stage.model, stage.corpus, stage.tokens):
            found[torch.from_numpy(places)] = vectors
        return cosines_of(found)

    lengths = [len(text) - 1 for text in texts]
    print(
        f"{len(texts)} tokens, each with {min(lengths)} to {max(lengths)} before it, {np.mean(lengths):.0f} on average"
    )
    tell("ours", read(file), find)


if __name__ == "__main__":
    main()
