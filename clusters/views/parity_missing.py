"""Why an experiment on sparse parity has no such figure, and what would give one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clusters.charts.numbers import count
from clusters.queries import parity as queries
from clusters.values.parity import NOUNS, RESOURCES, Resource
from clusters.views.parity_figures import Read
from compute.labs.frame import Preset
from compute.labs.parity import LAB


def missing(read: Read) -> dict[str, str]:
    """A sentence for every figure, or part of the page, that stays empty, by its name."""
    said: dict[str, str] = {}
    for resource in RESOURCES:
        if read.measured[resource] is None:
            said[f"loss-{resource.lower()}"] = said[f"learned-{resource.lower()}"] = _law(read, resource)
        if resource not in read.sweeps:
            said[f"exponents-{resource.lower()}"] = (
                f"A law over {NOUNS[resource]} was fitted at fewer than two values of α."
            )
    if not read.sweeps:
        said["exponents"] = (
            f"{_alphas(read)} A second value of α in the settings gives these curves{_preset(_has_alphas)}."
        )
    if read.finite is None:
        said["samples"] = (
            "Every network of this experiment saw each batch once, so none could learn its samples by heart. Give "
            f"numbers of training samples{_preset(_has_samples)}."
        )
    elif read.measured["D"] is None:
        said["overfitting"] = f"{_law(read, 'D')}"
    if read.finite is not None and queries.train_losses(read.experiment, read.finite) is None:
        said["grokking"] = "The losses of single tasks on the training samples were not kept."
    return said


def _alphas(read: Read) -> str:
    n = len(read.known.alphas)
    if n == 1:
        return f"This experiment was done at α = {read.alpha:g} alone."
    return f"This experiment has {count(n)} values of α, but a law was fitted at fewer than two of them."


def _law(read: Read, resource: Resource) -> str:
    if resource == "N":
        n = len({one.width for one in queries.online(read.known, read.alpha)})
        return (
            f"{_trained(n, 'width')} on ever new batches; a law over parameters needs two. Name several widths"
            f"{_preset(_has_widths)}."
        )
    if resource == "S":
        need = "a law over steps needs one. Leave samples online"
        return f"No network saw new batches all the time; {need}{_preset(_is_online)}."
    n = len({one.n_samples for one in queries.sampled(read.known, read.alpha)})
    return (
        f"{_trained(n, 'number of training samples')}; a law over samples needs two. Name several"
        f"{_preset(_has_samples)}."
    )


def _trained(n: int, noun: str) -> str:
    return f"Networks of {'no' if n == 0 else 'one'} {noun} were trained" if n < 2 else f"Of {n} {noun}s most diverged"


def _preset(suits: Callable[[Any], bool]) -> str:
    """Presets that would give it, in words: the first for a few cores, and the first at the paper's scale."""
    small, large = (
        next((one.title for one in LAB.presets if one.needs_gpu == is_large and suits(one.config)), "")
        for is_large in (False, True)
    )
    said = f", or start “{small}”" if small else ""
    return said + (f"; at the paper’s scale, on a GPU: “{large}”" if large else "")


def at_paper_scale() -> dict[str, list[Preset]]:
    """Presets that do what each part of the page shows as the paper did it, by that part's name."""
    large = [one for one in LAB.presets if one.needs_gpu]
    suits = {
        "laws": lambda config: not _has_alphas(config),
        "alphas": _has_alphas,
        "samples": lambda config: _has_samples(config) and not _has_alphas(config),
    }
    return {part: [one for one in large if fits(one.config)] for part, fits in suits.items()}


def _has_widths(config: Any) -> bool:
    return len(config.widths) > 1 and None in config.samples


def _is_online(config: Any) -> bool:
    return None in config.samples


def _has_samples(config: Any) -> bool:
    return sum(size is not None for size in config.samples) > 1


def _has_alphas(config: Any) -> bool:
    return len(config.alphas) > 1
