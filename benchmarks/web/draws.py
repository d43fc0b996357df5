"""What pages are asked for: other clusters, tokens, thresholds and tiles every time, from one seed."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from compute.bundle import Bundle

TILE = 256
WORDS = ("the", "and", "in", "re", "er", "st", "=", "a", "o", "return", "with", "sa")
SORTS = ("size", "coherence", "within", "dominant", "monogenicity", "emergence", "emergence-step", "rank")
COLOURS = ("loss", "monogenicity", "n_eff", "class", "kind")
_PIXELS = re.compile(r"(/runs/[^\"'\s]+/similarity/[^\"'/\s]+/(?:signed|absolute)/\w+/k\d+)/")


class Draws:
    """Values for the places of an address."""

    def __init__(self, bundle: Bundle, slug: str, fetch: Callable[[str], str], seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.slug = slug
        self._fetch = fetch
        self._pixels: dict[str, str] = {}
        manifest = bundle.manifest
        self.selected = np.array(bundle.array("selection/flat_index"))
        self.n_predictions = int(manifest["corpus"]["n_predictions"])
        self.n_documents = int(manifest["corpus"]["n_documents"])
        self.affinities = sorted({one["affinity"] for one in manifest["clusterings"]})
        self.ks = sorted({one["k"] for one in manifest["clusterings"]})
        self.sizes = manifest["sizes"]
        self.checkpoints = [(one["lm"], one["revision"]) for one in manifest["checkpoints"]]
        steps: dict[str, list[int]] = {}
        for one in manifest["checkpoints"]:
            steps.setdefault(one["lm"], []).append(one["step"])
        self.steps = {lm: found for lm, found in steps.items() if len(found) > 1}
        smallest = np.array(bundle.array(f"clustering/signed/k{self.ks[0]}"))
        self.first_label = int(np.bincount(smallest).argmax())

    def address(self, template: str) -> str:
        """The address with all its places filled."""
        values = self.values()
        if "{pixels}" in template:
            values |= self._matrix(values["k"], values["affinity"])
        return template.format(**values)

    def values(self) -> dict[str, Any]:
        draw = self.random
        k, other_k = draw.choice(self.ks), draw.choice(self.ks)
        first = draw.randint(1, max(1, self.ks[-1] // 10))
        lm = draw.choice(list(self.steps))
        n = len(self.selected)
        block = draw.randrange(max(1, n - 300))
        x, y, side = draw.uniform(-10, 10), draw.uniform(-10, 10), draw.uniform(1, 6)
        return {
            "run": self.slug,
            "k": k,
            "other_k": other_k if other_k != k else self.ks[(self.ks.index(k) + 1) % len(self.ks)],
            "affinity": draw.choice(self.affinities),
            "label": draw.randrange(k),
            "first_label": self.first_label,
            "first": first,
            "last": draw.randint(min(first + 5, self.ks[-1]), self.ks[-1]),
            "least": draw.randint(1, 20),
            "share": draw.randint(20, 100),
            "sort": draw.choice(SORTS),
            "word": draw.choice(WORDS),
            "unit": draw.choice(("nats", "bits")),
            "show": "similarity",
            "row": draw.randrange(n),
            "column": draw.randrange(n),
            "block_first": block,
            "block_last": min(block + 300, n),
            "m_min": f"{draw.uniform(-0.5, 0.9):.3f}",
            "n_max": f"{draw.uniform(1.3, 4):.3f}",
            "nats": f"{draw.uniform(2, 6):.3f}",
            "low_nats": f"{draw.uniform(0.05, 1):.3f}",
            "bits": f"{draw.uniform(0.5, 6):.3f}",
            "threshold": f"{draw.uniform(0.1, 3):.3f}",
            "last_size": len(self.sizes),
            "index": draw.randrange(self.n_predictions),
            "token": int(draw.choice(self.selected)),
            "document": draw.randrange(self.n_documents),
            "checkpoint": "/".join(draw.choice(self.checkpoints)),
            "other_checkpoint": "/".join(draw.choice(self.checkpoints)),
            "stepped": lm,
            "step": draw.choice(self.steps[lm]),
            "by_curve": "curve",
            "colour": draw.choice(COLOURS),
            "area": f"{x:.3f},{y:.3f},{x + side:.3f},{y:.3f},{x + side:.3f},{y + side:.3f}",
        }

    def _matrix(self, k: int, affinity: str) -> dict[str, Any]:
        """Where the pixels of this matrix are, as its page says, and one of its tiles."""
        page = f"/runs/{self.slug}/similarity/?k={k}&affinity={affinity}"
        if page not in self._pixels:
            found = _PIXELS.search(self._fetch(page))
            if found is None:
                raise LookupError(f"{page} names no pixels of its matrix.")
            self._pixels[page] = found[1]
        level = 0
        while self.random.random() < 0.5 and (len(self.selected) >> level) > TILE:
            level += 1
        width = math.ceil(len(self.selected) / 2**level)
        n_tiles = math.ceil(width / TILE)
        column, row = self.random.randrange(n_tiles), self.random.randrange(n_tiles)
        return {"pixels": self._pixels[page], "tile": f"{level}/{column}/{row}"}
