"""A piece of a job, as the web process plans it and a worker is given it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ShardSpec:
    """A few minutes of work; a shard may start when every shard of earlier phases is done."""

    ordinal: int
    phase: str
    phase_ordinal: int
    name: str
    unit: str
    n_total: int  # the best guess in advance; `report` corrects it


def in_order(pieces: list[tuple[str, str, str, int]]) -> list[ShardSpec]:
    """Number phase, name, unit and amount of every piece, the pieces of each phase from 0."""
    specs: list[ShardSpec] = []
    for phase, name, unit, n_total in pieces:
        phase_ordinal = sum(spec.phase == phase for spec in specs)
        specs.append(ShardSpec(len(specs), phase, phase_ordinal, name, unit, n_total))
    return specs
