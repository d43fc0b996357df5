"""Scaling exponents side by side: of published studies, of people's own entries, of runs and experiments here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from compute.errors import FitError
from compute.numerics.manifold import Dimension, dimension
from compute.numerics.theory import exponents

PUBLISHED, OWN, SHARED, RUN, PARITY = "published", "own", "shared", "run", "parity"
ORIGINS = {PUBLISHED: "a published study", OWN: "yours", SHARED: "entered by another", RUN: "a run here",
           PARITY: "an experiment here"}  # fmt: skip
OURS = (RUN, PARITY)


@dataclass(frozen=True)
class Measurement:
    """Exponents of one loss: L ∝ x^−α over parameters (N), data (D) and training steps (S); None: not measured."""

    origin: str
    source: str
    task: str = ""
    year: int | None = None
    domain: str = ""
    alpha_n: float | None = None
    alpha_d: float | None = None
    alpha_s: float | None = None
    interval_n: tuple[float, float] | None = None  # 95%
    interval_d: tuple[float, float] | None = None
    interval_s: tuple[float, float] | None = None
    note: str = ""
    link: str = ""
    pk: int | None = None  # of an entry that its owner can change

    @property
    def name(self) -> str:
        """As one line says it."""
        year = f" {self.year}" if self.year else ""
        return f"{self.source}{year}{f', {self.task}' if self.task else ''}"

    @property
    def predicted(self) -> float | None:
        """alpha_D as the theory has it from alpha_N; None where alpha_N is none."""
        return exponents(self.alpha_n).data if self.alpha_n is not None and self.alpha_n > 0 else None

    @property
    def is_below(self) -> bool | None:
        """Whether it lies below the diagonal alpha_D = alpha_N; None without both."""
        if self.alpha_n is None or self.alpha_d is None:
            return None
        return self.alpha_d < self.alpha_n

    @property
    def dimension(self) -> Dimension | None:
        """What manifold theory reads off alpha_N."""
        if self.alpha_n is None:
            return None
        try:
            return dimension(self.alpha_n, *(self.interval_n or ()))
        except FitError:
            return None

    def as_json(self) -> dict[str, Any]:
        """All of it, with what follows, by plain names."""
        space = self.dimension
        return asdict(self) | {
            "predicted_alpha_d": self.predicted, "is_below_diagonal": self.is_below,
            "dimension": None if space is None else [space.value, space.low, space.high],
        }  # fmt: skip


SORTS = ("source", "n", "d", "s", "predicted", "dimension", "domain", "year")


def sorted_by(rows: Sequence[Measurement], key: str, *, is_falling: bool) -> list[Measurement]:
    """The rows by one column; those without a value come last, either way."""

    def value(row: Measurement) -> Any:
        return {
            "source": row.source.lower(), "year": row.year, "domain": row.domain or None, "n": row.alpha_n,
            "d": row.alpha_d, "s": row.alpha_s, "predicted": row.predicted,
            "dimension": row.dimension.value if row.dimension else None,
        }[key]  # fmt: skip

    known = [row for row in rows if value(row) is not None]
    return [*sorted(known, key=value, reverse=is_falling), *(row for row in rows if value(row) is None)]
