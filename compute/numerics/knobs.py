"""What can be set in the quantization model: read from texts, with a sentence about every one that cannot be.

Pages, the API and the command line all read their settings here, so that each says the same of the same value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from compute.errors import ConfigError
from compute.numerics.zipf import normaliser

Case = Literal["constant", "removed", "lowered"]
CASES: dict[str, str] = {
    "constant": "a and b are constants",
    "removed": "case 1: a learned quantum has no loss left",
    "lowered": "case 2: a learned quantum multiplies the probability by C",
}
INFINITE = ("", "inf", "infinite", "infinity", "∞")
LONGEST_WINDOW = 1000  # the last n of a fit
MOST_VALUES = 1000  # of a list of n, N, D or S
MOST = 1e30  # of a resource, or of what a quantum takes of it
NEAREST_TO_0 = 1e-9  # of a number that is not 0: sums over what lies below overflow


class KnobError(ConfigError):
    """Settings that the model has no meaning for; `problems` has a sentence for each by its name."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


@dataclass(frozen=True)
class Knob:
    """One setting: its letter in the paper, what it is, and which numbers it may be.

    Attributes
    ----------
    least, most : float
        Allowed, `least` included unless `is_above`.
    is_log : bool
        Whether equal factors, not equal differences, are equal steps of it.
    low, high : float
        Between which a slider moves.
    """

    name: str
    symbol: str
    words: str
    default: float | None
    least: float = 0.0
    most: float = MOST
    is_above: bool = False
    is_whole: bool = False
    is_log: bool = True
    low: float = 0.0
    high: float = 1.0


KNOBS: tuple[Knob, ...] = (
    Knob("alpha", "α", "how fast use falls with rank", 0.4, most=10, is_above=True, low=0.02, high=2),
    Knob("n_quanta", "K", "quanta that there are; inf: infinitely many", None, 1, 1e12, is_whole=True, low=5, high=1e6),
    Knob("a", "a", "loss where the quantum is learned", 0.0, most=1e6, is_log=False, high=1),
    Knob("b", "b", "loss where it is not", 1.0, most=1e6, is_log=False, low=0.1, high=10),
    Knob("gain", "C of case 2", "factor on the answer’s probability", 2.0, 1, 1e9, is_above=True, low=1.05, high=20),
    Knob("capacity", "C", "parameters that a quantum takes", 6700.0, is_above=True, low=10, high=1e7),
    Knob("tau", "τ", "samples that a quantum needs", 15_000.0, is_above=True, low=10, high=1e7),
    Knob("batch_size", "B", "samples in a step", 20_000.0, is_above=True, low=1, high=1e6),
    Knob("first_steps", "T", "steps of the first quantum; empty: τ ζ / B", None, is_above=True, low=1, high=1e5),
    Knob("n_parameters", "N", "parameters of the network", 300_000.0, low=1e3, high=1e10),
    Knob("n_samples", "D", "samples of data, seen in several epochs", 5e6, low=1e3, high=1e12),
    Knob("n_steps", "S", "steps of training, each with new samples", 1000.0, low=1, high=1e7),
    Knob("window_first", "first n of the fit", "", 1.0, 1, LONGEST_WINDOW - 1, is_whole=True, low=1, high=100),
    Knob("window_last", "last n of the fit", "", None, 2, LONGEST_WINDOW, is_whole=True, low=2, high=LONGEST_WINDOW),
    Knob("resolution", "R", "quanta that an observer can tell apart", 500.0, 1, 1e12, is_whole=True, low=5, high=1e5),
    Knob("measured", "measured exponent", "that a fit over the window found", None, most=20, is_above=True,
         is_log=False, low=0.05, high=1),
)  # fmt: skip
BY_NAME = {knob.name: knob for knob in KNOBS}
USUAL_LAST = 50  # n at which a window ends where nobody says otherwise


@dataclass(frozen=True)
class Knobs:
    """The quantization model with every number set.

    Attributes
    ----------
    alpha : float
        Exponent of the distribution over quanta is alpha + 1.
    n_quanta : int, optional
        K; infinitely many when absent.
    case : {"constant", "removed", "lowered"}
        What is lost at a learned and at an unlearned quantum: a and b, or appendix A's cases 1 and 2 (nats).
    a, b, gain : float
        Of the constant case; of case 2.
    capacity, tau, batch_size : float
        Parameters a quantum takes; samples that it needs; samples in a step.
    first_steps : float, optional
        Steps T that the first quantum takes; τ ζ / B when absent.
    n_parameters, n_samples, n_steps : float
        Resources of one network.
    window : tuple of int, optional
        First and last n of a fit, both included; absent where K leaves no two.
    resolution : int
        Quanta that an observer can tell apart, the most frequent ones.
    measured : float, optional
        An exponent that somebody measured over the window.
    """

    alpha: float = 0.4
    n_quanta: int | None = None
    case: Case = "constant"
    a: float = 0.0
    b: float = 1.0
    gain: float = 2.0
    capacity: float = 6700.0
    tau: float = 15_000.0
    batch_size: float = 20_000.0
    first_steps: float | None = None
    n_parameters: float = 300_000.0
    n_samples: float = 5e6
    n_steps: float = 1000.0
    window: tuple[int, int] | None = (1, USUAL_LAST)
    resolution: int = 500
    measured: float | None = None

    @property
    def total(self) -> float:
        """ζ(alpha + 1), or Z_K."""
        return normaliser(self.alpha, self.n_quanta)

    @property
    def n_seen(self) -> int:
        """Quanta that there are and that an observer can tell apart."""
        return self.resolution if self.n_quanta is None else min(self.n_quanta, self.resolution)

    @property
    def unit(self) -> str:
        """Of losses."""
        return "the unit of a and b" if self.case == "constant" else "nats"

    @property
    def seen(self) -> Knobs:
        """The same world as an observer of finite resolution knows it."""
        return replace(self, n_quanta=self.n_seen)

    def as_dict(self) -> dict[str, Any]:
        """Every setting by the name that texts have it by."""
        named: dict[str, Any] = {"case": self.case}
        for knob in KNOBS:
            if not knob.name.startswith("window"):
                named[knob.name] = getattr(self, knob.name)
        first, last = self.window or (None, None)
        return named | {"window_first": first, "window_last": last}


@dataclass
class _Reading:
    """Values read so far, and what is wrong with the others."""

    values: dict[str, float | None] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def read_knobs(texts: Mapping[str, str]) -> Knobs:
    """Read settings that somebody typed.

    Parameters
    ----------
    texts : mapping of str to str
        By the names of `KNOBS`, and "case"; an absent or empty one has its default. Other names are left alone.

    Returns
    -------
    Knobs

    Raises
    ------
    KnobError
        What is no number, infinite, out of range, or contradicts another; with a sentence for each.

    Examples
    --------
    >>> read_knobs({"alpha": "0.083", "n_quanta": "inf"}).alpha
    0.083
    """
    read, problems = read_some(texts)
    if problems:
        raise KnobError(problems)
    return read


def read_some(texts: Mapping[str, str]) -> tuple[Knobs, dict[str, str]]:
    """Read what can be read of `texts`, with defaults for the rest, and say by name what is wrong with it.

    >>> read_some({"alpha": "-1"})[1]
    {'alpha': 'α is -1; it must be above 0 and at most 10.'}
    """
    reading = _Reading()
    for knob in KNOBS:
        _read_one(knob, texts.get(knob.name, "").strip(), reading)
    case = texts.get("case", "").strip() or "constant"
    if case not in CASES:
        reading.problems["case"] = f"case is {case[:40]!r}; choose one of {', '.join(CASES)}."
        case = "constant"
    _relate(case, reading)
    values = reading.values
    n_quanta, measured = values["n_quanta"], values["measured"]
    first, last = values.pop("window_first"), values.pop("window_last")
    window = (int(first), int(last)) if first is not None and last is not None else None
    given = {name: value for name, value in values.items() if value is not None}
    return Knobs(**{
        **given, "n_quanta": None if n_quanta is None else int(n_quanta), "case": case, "window": window,
        "resolution": int(given["resolution"]), "measured": measured,
    }), reading.problems  # type: ignore[arg-type]  # fmt: skip


def read_values(text: str, name: str, knobs: Knobs) -> list[float]:
    """Read numbers with commas between them: quanta learned (n), parameters (N), samples (D) or steps (S).

    Parameters
    ----------
    text : str
    name : {"n", "N", "D", "S"}
    knobs : Knobs
        The world that is asked: there are no more than its K quanta.

    Raises
    ------
    KnobError
        What is no number, negative or above 1e30, n above K, or too many.

    Examples
    --------
    >>> read_values("1, 10,100", "n", Knobs())
    [1.0, 10.0, 100.0]
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) > MOST_VALUES:
        raise KnobError({name: f"{name} lists {len(parts):,} numbers; at most {MOST_VALUES:,} are answered at once."})
    return [_one_value(part, name, knobs.n_quanta) for part in parts]


def _one_value(text: str, name: str, n_quanta: int | None) -> float:
    value = _number(text)
    if value is None:
        raise KnobError({name: f"{name} is {text[:40]!r}, which is no number; write numbers such as 1,10,100."})
    if not 0 <= value <= MOST:
        raise KnobError({name: f"{name} is {_shown(value)}; it must be at least 0 and at most {MOST:g}."})
    if name == "n" and n_quanta is not None and value > n_quanta:
        said = f"n is {value:.12g}, but there are only K = {n_quanta} quanta; ask for n from 0 to {n_quanta}."
        raise KnobError({name: said})
    return value


def _read_one(knob: Knob, text: str, reading: _Reading) -> None:
    reading.values[knob.name] = knob.default
    if not text or (knob.name == "n_quanta" and text.lower() in INFINITE):
        return
    value = _number(text)
    problem = f"{knob.symbol} is {text[:40]!r}, which is no number; write one such as {_example(knob)}."
    if value is not None:
        problem = _refusal(knob, value)
    if problem:
        reading.problems[knob.name] = problem
    else:
        reading.values[knob.name] = value


def _refusal(knob: Knob, value: float) -> str:
    """Why a number cannot be this setting; empty where it can."""
    is_low = value <= knob.least if knob.is_above else value < knob.least
    if math.isinf(value) or is_low or value > knob.most:
        lower = f"above {knob.least:g}" if knob.is_above else f"at least {knob.least:g}"
        more = ", or inf for infinitely many" if knob.name == "n_quanta" else ""
        return f"{knob.symbol} is {_shown(value)}; it must be {lower} and at most {knob.most:g}{more}."
    if 0 < abs(value) < NEAREST_TO_0:
        return f"{knob.symbol} is {value:.12g}, too near to 0 to compute with; it must be at least {NEAREST_TO_0:g}."
    if knob.is_whole and value != int(value):
        return f"{knob.symbol} is {value:g}; it counts quanta and must be whole."
    return ""


def _shown(value: float) -> str:
    return "infinite" if value == math.inf else f"{value:.12g}"


def _relate(case: str, reading: _Reading) -> None:
    """Refuse settings that contradict one another; choose the window's end where nobody has."""
    values, problems = reading.values, reading.problems
    a, b = values["a"] or 0.0, values["b"] or 0.0
    if case == "constant" and b <= a and not {"a", "b"} & set(problems):
        problems["b"] = f"b is {b:g} and a is {a:g}; learning must lower the loss, so b must be above a."
        values["a"], values["b"] = BY_NAME["a"].default, BY_NAME["b"].default
    has_floor = case == "lowered" or (case == "constant" and (values["a"] or 0.0) > 0)
    if problem := _window_problem(values, has_floor=has_floor):
        problems["window_first" if values["window_last"] is None else "window_last"] = problem
        values["window_first"], values["window_last"] = BY_NAME["window_first"].default, None
    if values["window_last"] is None:
        seen = _seen(values)[1]
        end = max(min(USUAL_LAST, _last_usable(seen, has_floor=False)), int(values["window_first"] or 1) + 1)
        values["window_last"] = float(end) if end <= _last_usable(seen, has_floor=has_floor) else None


def _window_problem(values: Mapping[str, float | None], *, has_floor: bool) -> str:
    """Why no power law can be fitted from the first n to the last; empty where one can, or where none was asked for."""
    first, last = values["window_first"] or 1.0, values["window_last"]
    letter, seen = _seen(values)
    usable = _last_usable(seen, has_floor=has_floor)
    if last is None and first == 1:
        return ""
    if last is not None and first >= last:
        return f"The fit runs from n = {first:g} to {last:g}; its end must lie above its start."
    if usable < 2:
        return f"A fit needs two n with a loss to fit; {letter} = {seen:g} leaves {usable}."
    reaches, instead = (
        ("starts at", f"start it by {usable - 1}") if last is None else ("reaches", f"end it by {usable}")
    )
    if (last or first) > seen:
        what = "there are only K" if letter == "K" else "an observer tells apart only R"
        return f"The fit {reaches} n = {last or first:g}, but {what} = {seen:g} quanta; {instead}."
    if last is None and first >= usable:
        return f"From n = {first:g} on {letter} = {seen:g} leaves no two n with a loss to fit; {instead}."
    if last is not None and last > usable:
        return f"At n = {letter} = {seen:g} no loss is left, and 0 has no logarithm; end the fit by n = {usable}."
    return ""


def _seen(values: Mapping[str, float | None]) -> tuple[str, int]:
    """The last quantum that an observer sees, and whether there are no more (K) or none is told apart (R)."""
    n_quanta, resolution = values["n_quanta"], int(values["resolution"] or 1)
    return ("R", resolution) if n_quanta is None or n_quanta > resolution else ("K", int(n_quanta))


def _last_usable(seen: int, *, has_floor: bool) -> int:
    """The last n at which there is a loss to fit."""
    return min(LONGEST_WINDOW, seen - (0 if has_floor else 1))


def _number(text: str) -> float | None:
    """A number as people write it; None for what is none."""
    plain = text.strip().replace("−", "-").replace("_", "")
    if plain.lower().lstrip("+-") in ("∞", "inf", "infinite", "infinity"):
        return -math.inf if plain.startswith("-") else math.inf
    try:
        value = float(plain) if plain.isascii() else math.nan
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _example(knob: Knob) -> str:
    return f"{knob.default if knob.default is not None else knob.high:g}"
