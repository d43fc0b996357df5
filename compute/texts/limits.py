"""How much a corpus may grow when it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from compute.errors import CorpusError

ZSTD_WINDOW_BYTES = 1 << 27  # memory that a compressed file may ask for
RATIO_FREE_BYTES = 10_000_000  # a file may begin with so much repetition


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused rather than read, in decoded bytes."""

    line_bytes: int  # of one line, row or text file: one document
    total_bytes: int | None = None
    ratio: int | None = None  # decoded bytes for each stored byte
    page_bytes: int | None = None  # of one page of Parquet, which is decoded whole
    is_nul_allowed: bool = True  # in JSON and Parquet; a text file that holds it is none


UPLOAD = Limits(
    line_bytes=1_000_000, total_bytes=2_000_000_000, ratio=200, page_bytes=32_000_000, is_nul_allowed=False
)  # what anybody may send
TRUSTED = Limits(line_bytes=64_000_000)  # what the operator put there, and data sets of the Hub


class Meter:
    """Counts what is read and decoded, and refuses what grows beyond the limits."""

    def __init__(self, limits: Limits = TRUSTED) -> None:
        self.limits = limits
        self.n_decoded = 0
        self.n_stored = 0  # bytes of the files gone through
        self._n_finished = 0

    def stored(self, n_bytes: int) -> None:
        """So many bytes of the present file are read."""
        self.n_stored = self._n_finished + n_bytes

    def finish(self, n_bytes: int) -> None:
        """The present file, of so many bytes, is read whole."""
        self._n_finished += n_bytes
        self.n_stored = self._n_finished

    def decoded(self, n_bytes: int, name: str) -> None:
        """So many bytes more came out."""
        self.n_decoded += n_bytes
        total, ratio = self.limits.total_bytes, self.limits.ratio
        if total is not None and self.n_decoded > total:
            raise CorpusError(f"{name} holds more than {megabytes(total)} of text. Cut it into several files.")
        if ratio is not None and self.n_decoded > max(RATIO_FREE_BYTES, ratio * self.n_stored):
            raise CorpusError(
                f"{name} unpacks to more than {ratio} times its size, as text never does. Give it uncompressed."
            )


def megabytes(n_bytes: int) -> str:
    """A size for people."""
    return f"{n_bytes // 1_000_000:,} MB"
