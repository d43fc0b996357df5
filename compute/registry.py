"""Suites that are known by name, and checkpoints of the Hugging Face Hub; standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from compute.config import HUB, CheckpointRef, HubRef, SuiteConfig
from compute.errors import ConfigError

_OWNER = "EleutherAI"
_V0_STEPS = tuple(f"step{step}" for step in range(1000, 143_001, 1000))
_STEPS = ("step0", *(f"step{2**power}" for power in range(10)), *_V0_STEPS)
# name, layers, width, padded vocabulary, name before January 2023 (the paper's), name in the paper's figures
_PYTHIA = (
    ("70m", 6, 512, 50_304, "19m", "19m"),
    ("160m", 12, 768, 50_304, "125m", "85m"),
    ("410m", 24, 1024, 50_304, "350m", "300m"),
    ("1b", 16, 2048, 50_304, "800m", "800m"),
    ("1.4b", 24, 2048, 50_304, "1.3b", "1.2b"),
    ("2.8b", 32, 2560, 50_304, "2.7b", "2.5b"),
    ("6.9b", 32, 4096, 50_432, "6.7b", "6.4b"),
    ("12b", 36, 5120, 50_688, "13b", ""),
)
_MULTIPLES = {"k": 10**3, "m": 10**6, "b": 10**9}
_STATED_SIZE = re.compile(r"(?:^|[-_])(\d{1,4}(?:\.\d{1,3})?)([kmb])(?=$|[-_.])", re.IGNORECASE)


@dataclass(frozen=True)
class Size:
    """One network of a suite of GPT-NeoX networks."""

    lm: str
    hub_id: str
    paper_name: str  # name of the same weights before January 2023, "19m"; empty if the weights never had another
    n_layers: int
    d_model: int
    vocabulary: int  # padded
    figure_name: str = ""  # in the paper's figures, by parameters that are no embeddings: "85m"

    @property
    def n_non_embedding(self) -> int:
        return self.n_layers * (12 * self.d_model**2 + 13 * self.d_model) + 2 * self.d_model

    @property
    def n_unembedding(self) -> int:
        return self.vocabulary * self.d_model

    @property
    def n_parameters(self) -> int:
        """All, with input embedding and unembedding."""
        return self.n_non_embedding + 2 * self.n_unembedding

    @property
    def short(self) -> str:
        """The size alone: "70m"."""
        return self.lm.split("-")[1]

    @property
    def old_lm(self) -> str:
        """Name of the repository before January 2023, "pythia-19m"; empty if it never had another."""
        return self.paper_name and f"pythia-{self.paper_name}{'-deduped' if '-deduped' in self.lm else ''}"

    @property
    def names(self) -> set[str]:
        """Everything that a person may call it, in small letters."""
        old = {self.old_lm, f"{_OWNER}/{self.old_lm}"} if self.old_lm else set()
        names = {self.lm, self.hub_id, self.short, self.paper_name, self.figure_name} | old
        return {name.casefold() for name in names if name}


@dataclass(frozen=True)
class KnownSuite:
    """Networks that share tokenizer, data and recipe, each with the same revisions on the Hub."""

    name: str
    title: str
    sizes: tuple[Size, ...]  # rising
    revisions: tuple[str, ...]  # in order of training
    note: str

    @property
    def final_revision(self) -> str:
        return self.revisions[-1]


def _pythia(name: str, title: str, note: str) -> KnownSuite:
    deduped = "-deduped" if "deduped" in name else ""
    is_v0 = name.endswith("-v0")
    sizes = []
    for short, n_layers, d_model, vocabulary, paper_name, figure_name in _PYTHIA:
        lm = f"pythia-{short}{deduped}{'-v0' if is_v0 else ''}"
        old = (paper_name, figure_name) if is_v0 else ("", "")
        sizes.append(Size(lm, f"{_OWNER}/{lm}", old[0], n_layers, d_model, vocabulary, old[1]))
    return KnownSuite(name, title, tuple(sizes), _V0_STEPS if is_v0 else _STEPS, note)


SUITES: dict[str, KnownSuite] = {
    suite.name: suite
    for suite in (
        _pythia(
            "pythia",
            "Pythia",
            "Eight sizes trained on the Pile; 154 checkpoints each: step 0, powers of two up to 512, "
            "then every 1,000 steps up to 143,000.",
        ),
        _pythia(
            "pythia-deduped",
            "Pythia, deduplicated",
            "The same sizes and checkpoints, trained on the Pile after duplicate documents were removed.",
        ),
        _pythia(
            "pythia-v0",
            "Pythia v0 (the paper's)",
            "The first release, which the paper used: the same shapes, other training; 143 checkpoints each, "
            "every 1,000 steps.",
        ),
        _pythia(
            "pythia-deduped-v0",
            "Pythia v0, deduplicated",
            "The first release, trained on the Pile after duplicate documents were removed; 143 checkpoints each.",
        ),
    )
}


def known_suite(name: str) -> KnownSuite:
    """The suite of this name."""
    if name not in SUITES:
        raise ConfigError(f"There is no suite {name[:80]!r}; choose among {', '.join(SUITES)}.")
    return SUITES[name]


def suite_config(
    name: str, *, sizes: Sequence[str] | None = None, revisions: Sequence[str] | None = None
) -> SuiteConfig:
    """Checkpoints of a known suite: all sizes unless some are named, final weights unless revisions are named.

    A revision is a step ("step3000"), "final", "all", or a range ("step1000..step143000", and with ":10" each tenth).
    """
    suite = known_suite(name)
    named = [_size_of(suite, text) for text in sizes] if sizes is not None else suite.sizes
    chosen = [size for size in suite.sizes if size in named]
    steps = {step for text in revisions or ("final",) for step in _steps_of(suite, text)}
    if not chosen:
        raise ConfigError(f"No size of {name} is named; choose among {', '.join(s.short for s in suite.sizes)}.")
    refs = [
        CheckpointRef(lm=size.lm, revision=step, path=f"{HUB}{size.hub_id}@{step}")
        for size in chosen
        for step in sorted(steps, key=suite.revisions.index)
    ]
    tokenizer = f"{HUB}{chosen[0].hub_id}@{suite.final_revision}"
    return SuiteConfig(name=name, checkpoints=tuple(refs), tokenizer=tokenizer)


def hub_suite(refs: Sequence[str], *, tokenizer: str | None = None, name: str = "hub") -> SuiteConfig:
    """A suite of any repositories of the Hub, each given as OWNER/NAME or OWNER/NAME@REVISION.

    Without a tokenizer, the first repository's own is taken. Old names of Pythia stand for their weights of today.
    """
    if not refs:
        raise ConfigError("No repository is named; give at least one as OWNER/NAME or OWNER/NAME@REVISION.")
    hubs = [_under_todays_name(HubRef.parse(text.strip())) for text in refs]
    owners: dict[str, set[str]] = {}
    for hub in hubs:
        owners.setdefault(hub.name, set()).add(hub.repo_id)
    checkpoints = tuple(
        CheckpointRef(
            lm=hub.name if len(owners[hub.name]) == 1 else hub.repo_id.replace("/", "."),
            revision=hub.revision,
            path=f"{HUB}{hub}",
        )
        for hub in hubs
    )
    return SuiteConfig(name=name, checkpoints=checkpoints, tokenizer=tokenizer or f"{HUB}{hubs[0]}")


def find_checkpoint(suite: SuiteConfig, text: str) -> CheckpointRef:
    """The checkpoint that a person means.

    It may be called by its network's name or Hub id, or the paper's name for it; with "/REVISION" or "@REVISION" after
    it, else the network's last checkpoint is meant.
    """
    wanted = text.strip().removeprefix(HUB)
    for name, revision in _readings(wanted):
        named = [ref for ref in suite.checkpoints if name.casefold() in _names_of(ref)]
        if revision is not None:
            named = [ref for ref in named if ref.revision == revision]
        if named:
            return max(named, key=lambda ref: float("inf") if ref.step is None else ref.step)
    raise ConfigError(f"{wanted[:120]!r} is no checkpoint of the suite {suite.name}; {_what_there_is(suite, wanted)}.")


def expected_non_embedding(hub_id: str) -> int | None:
    """Parameters, without both embeddings, that the weights of a known suite must have; None for any other."""
    size = known_size(hub_id)
    return size.n_non_embedding if size else None


def guessed_parameters(name: str) -> int | None:
    """Size that a repository's name states, as "-1.4b", "-125M" or "0.5B"; None if it states none."""
    stated = _STATED_SIZE.findall(name.rpartition("/")[2])
    if not stated:
        return None
    number, unit = stated[0]
    return round(float(number) * _MULTIPLES[unit.lower()])


def known_size(hub_id: str) -> Size | None:
    """The network of a known suite that has this Hub id; None for any other."""
    return next((s for suite in SUITES.values() for s in suite.sizes if s.hub_id.casefold() == hub_id.casefold()), None)


def _size_of(suite: KnownSuite, text: str) -> Size:
    for size in suite.sizes:
        if text.strip().casefold() in size.names:
            return size
    raise ConfigError(
        f"{suite.name} has no size {text[:80]!r}; choose among {', '.join(s.short for s in suite.sizes)}."
    )


def _steps_of(suite: KnownSuite, text: str) -> Sequence[str]:
    """Revisions that one item of a list means."""
    text = text.strip()
    if text == "all":
        return suite.revisions
    if text == "final":
        return (suite.final_revision,)
    steps, colon, every = text.partition(":")
    first, dots, last = steps.partition("..")
    if colon and not (dots and every.isdecimal() and len(every) < 7 and int(every) > 0):
        raise ConfigError(f"{text[:80]!r} is no range of revisions; write step1000..step143000:10 for each tenth.")
    ends = [_index_of(suite, step) for step in ((first, last) if dots else (first,))]
    if ends[0] > ends[-1]:
        raise ConfigError(f"The range {text[:80]!r} runs backwards; write the earlier step first.")
    return suite.revisions[ends[0] : ends[-1] + 1 : int(every or 1)]


def _index_of(suite: KnownSuite, step: str) -> int:
    if step in suite.revisions:
        return suite.revisions.index(step)
    near = get_close_matches(step, suite.revisions, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {suite.revisions[0]} to {suite.final_revision}."
    raise ConfigError(f"{suite.name} has no revision {step[:80]!r}; {hint}")


def _under_todays_name(hub: HubRef) -> HubRef:
    size = _renamed(hub.name) if hub.repo_id.startswith(f"{_OWNER}/") else None
    return HubRef(size.hub_id, hub.revision) if size else hub


def _renamed(old_lm: str) -> Size | None:
    sizes = (size for suite in SUITES.values() for size in suite.sizes)
    return next((size for size in sizes if size.old_lm and size.old_lm == old_lm), None)


def _names_of(ref: CheckpointRef) -> set[str]:
    if ref.hub is None:
        return {ref.lm.casefold()}
    size = known_size(ref.hub.repo_id)
    return {ref.lm.casefold(), ref.hub.repo_id.casefold(), *(size.names if size else ())}


def _readings(text: str) -> Iterator[tuple[str, str | None]]:
    """Ways to take a text apart into a name and a revision."""
    yield text, None
    for separator in "@/":
        name, found, revision = text.rpartition(separator)
        if found:
            yield name, revision


def _what_there_is(suite: SuiteConfig, wanted: str) -> str:
    keys = [ref.key for ref in suite.checkpoints]
    for name, _ in _readings(wanted):
        size = _renamed(name.rpartition("/")[2])
        if size:
            return f"it is the old name of {size.hub_id}, another release than what the suite holds"
    near = get_close_matches(wanted.replace("@", "/"), keys, n=3)
    near = near or get_close_matches(wanted.rpartition("/")[2], keys, n=3, cutoff=0.5)
    if near:
        return f"near to it are {', '.join(near)}"
    more = f" and {len(keys) - 6} more" if len(keys) > 6 else ""
    return f"it holds {', '.join(keys[:6])}{more}"
