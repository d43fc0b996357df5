"""The induction filter: packed keys and a stable sort, against a dictionary walked token by token."""

from __future__ import annotations

import numpy as np

from benchmarks.case import Case, corpus
from compute.numerics.selection import induction_mask


def case() -> Case:
    text = corpus(4000)

    def dictionary() -> np.ndarray:
        mask = np.zeros(text.n_predictions, dtype=bool)
        for document in range(text.n_documents):
            ids, seen = text.document_tokens(document).tolist(), set()
            start = int(text.prediction_starts[document])
            for j in range(2, len(ids)):
                trigram = (ids[j - 2], ids[j - 1], ids[j])
                mask[start + j - 1] = trigram in seen
                seen.add(trigram)
        return mask

    return Case(
        about=f"{text.n_predictions:,} predictions",
        reference=dictionary,
        ours=lambda: induction_mask(text),
        difference=lambda a, b: f"{int((a != b).sum())} tokens differ",
    )
