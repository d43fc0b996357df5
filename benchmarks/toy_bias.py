"""What QDG measures where the true exponent is known: the table behind the rank-frequency page's calibration.

    python -m benchmarks.toy_bias [--seeds 24] [--out clusters/data/toy_bias.json]

clusters the toy model of the paper's appendix D.2 at its reduced size (200 subtasks, 200 points of the commonest,
200 dimensions, σ = 2) for every exponent and seed, and writes the slopes of the envelopes over ranks 10 to 100. Half an
hour on one core; the same seeds give the same table.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from compute.numerics.toy import REDUCED, toy_slope

EXPONENTS = tuple(round(0.6 + 0.1 * i, 1) for i in range(11))
TABLE = Path(__file__).parent.parent / "clusters/data/toy_bias.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.toy_bias", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=24, help="draws of every exponent (default 24)")
    parser.add_argument("--out", type=Path, default=TABLE, help="where the table goes")
    given = parser.parse_args()
    slopes = []
    for exponent in EXPONENTS:
        slopes.append([round(toy_slope(exponent, REDUCED, seed), 4) for seed in range(given.seeds)])
        spread = f"± {np.std(slopes[-1], ddof=1):.3f}" if given.seeds > 1 else ""
        print(f"true exponent {exponent}: slope {np.mean(slopes[-1]):.3f} {spread}", flush=True)
    table = {"setting": asdict(REDUCED), "exponents": EXPONENTS, "seeds": list(range(given.seeds)), "slopes": slopes}
    given.out.write_text(json.dumps(table) + "\n")


if __name__ == "__main__":
    main()
