"""A lab that counts: for tests of the frame that all labs stand in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compute.labs.frame import Lab, Piece, Preset, Results
from compute.labs.settings import LabConfig
from compute.steps.run import Work
from compute.workspace import digest


@dataclass(frozen=True, kw_only=True)
class Counting(LabConfig):
    upto: int = 3
    scales: tuple[float, ...] = (1.0, 2.0)
    limits: tuple[int | None, ...] = (None,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least("upto", 1, 100)
        self.above("scales", 0)
        self.distinct("scales")


def plan(config: Counting) -> list[Piece]:
    return [Piece("count", f"by {scale:g}", "steps", config.upto) for scale in config.scales]


def do(config: Counting, work: Work, phase: str, ordinal: int) -> None:
    stamp = digest([config.to_json(), ordinal])
    if work.files.has(f"count/{ordinal}", stamp):
        return
    for ndone in range(config.upto):
        work.report(ndone, config.upto)
    work.files.save(f"count/{ordinal}", config.scales[ordinal] * np.arange(config.upto), stamp)


def results(config: Counting, work: Work) -> Results:
    counts = [work.files.load(f"count/{i}", digest([config.to_json(), i])) for i in range(len(config.scales))]
    whole = np.stack([count for count in counts if count is not None])
    return Results({"total": float(whole.sum())}, [("counts", whole, "steps")])


COUNTING = Lab("counting", "Counting", Counting.from_json, plan, do, results,
               (Preset("few", "A few", "Counts to three.", Counting(name="few")),))  # fmt: skip
