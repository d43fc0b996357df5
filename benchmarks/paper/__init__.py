"""A made-up bundle of the paper's size, seeded: what the site's speed is measured on.

Nothing in it was computed by a network, and nothing can be learned from it; its arrays have the shapes, types, sizes
and the rough statistics of a real run: Zipf's law among tokens and clusters, steps and slopes among curves, blocks
among cosines. `python -m benchmarks.paper FOLDER` writes one.
"""

from benchmarks.paper.bundle import make_bundle
from benchmarks.paper.plan import Plan

__all__ = ["Plan", "make_bundle"]
