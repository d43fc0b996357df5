"""What networks predict surely: the share of losses near zero, and whether what is learned stays learned."""

from __future__ import annotations

from collections.abc import Sequence

from clusters.charts.chart import Chart, Help, log_axis, make_chart, make_series, share_axis
from clusters.charts.losses import Look, shade, share_title, top_of, width_of
from clusters.charts.numbers import count, fixed, percent
from clusters.values.distributions import Distribution, Learned

NEAR_ZERO_HELP = Help(
    what="How often a network is nearly certain of the right token: the share of predictions under the run’s own "
    "threshold, from which clustered tokens are taken, and the share in the first bin of p(L).",
    formula="share = predictions with L < threshold / predictions",
    source="§5, Figure 3",
)


def near_zero_by_size(finals: Sequence[Distribution], look: Look, *, number: int) -> Chart | None:
    """Shares of the first bin and under the threshold against size; None for one size."""
    if len({one.n_non_embedding for one in finals}) < 2:
        return None
    below = [[one.n_non_embedding, one.fraction_below] for one in finals]
    series = [make_series("line", below, name=f"under {look.threshold}", css="c1", label=f"under {look.threshold}",
                          marker="dot")]  # fmt: skip
    counted = [one for one in finals if one.has_counts]
    first = [[one.n_non_embedding, one.first_share] for one in counted]
    if counted:
        edge = f"under {width_of(counted[-1].by_size, look)}"
        series.append(make_series("line", first, name=edge, css="c2", label=edge, marker="diamond"))
    return make_chart(
        slug="near-zero-sizes", number=number, size="third", title=share_title(finals[0], finals[-1], look, by="size"),
        description="Share of predictions with a loss near zero against size",
        reading=_ratio_reading(finals[0], finals[-1], look), series=series,
        x=log_axis([one.n_non_embedding for one in finals], "non-embedding parameters", pad=1.15),
        y=share_axis([0, top_of(series)], "share of predictions", from_zero=True),
        help=NEAR_ZERO_HELP,
    )  # fmt: skip


def near_zero_by_step(networks: dict[str, list[Distribution]], look: Look, *, number: int) -> Chart | None:
    """Share under the threshold over training, one line a network; None without steps."""
    if not networks:
        return None
    series = [
        make_series("line", [[one.step, one.fraction_below] for one in steps], name=lm,
                    css=shade(i, len(networks)), label=lm)
        for i, (lm, steps) in enumerate(networks.items())
    ]  # fmt: skip
    steps = [one.step for own in networks.values() for one in own]
    last = {lm: own[-1] for lm, own in networks.items()}
    best = max(last.values(), key=lambda one: one.fraction_below)
    return make_chart(
        slug="near-zero-steps", number=number, size="third",
        title=f"Training takes {best.lm} to {percent(best.fraction_below)} under {look.threshold}",
        description=f"Share of predictions under {look.threshold} against training step, one line a network",
        reading=_first_sure(networks, look), series=series,
        x=log_axis([s for s in steps if s], "training step", with_zero=0 in steps),
        y=share_axis([0, top_of(series)], "share of predictions", from_zero=True),
        help=NEAR_ZERO_HELP,
    )  # fmt: skip


def _first_sure(networks: dict[str, list[Distribution]], look: Look) -> str:
    """From which step on each network has one sure prediction in a hundred."""
    found = []
    for lm, steps in networks.items():
        step = next((one.step for one in steps if one.fraction_below >= 0.01), None)
        found.append(f"{lm} never" if step is None else f"{lm} from step {count(step)}")
    return f"One prediction in a hundred under {look.threshold}: {', '.join(found[:5])}."


def persistence_chart(learned: Sequence[Learned], threshold_nats: float, *, number: int) -> Chart | None:
    """Share of the tokens first learned at each size that stay learned; None where none can be told."""
    shown = [one for one in learned[:-1] if one.n_first]
    if not shown:
        return None
    points = [
        [one.n_non_embedding, one.share, f"{one.lm}: {count(one.n_staying)} of {count(one.n_first)}"] for one in shown
    ]
    line = make_series("line", points, name="stay learned", css="c1", marker="dot")
    low, high = (end(shown, key=lambda one: one.share) for end in (min, max))
    title = f"Of what a network learns first, {percent(low.share)} to {percent(high.share)} stays learned"
    return make_chart(
        slug="persistence", number=number, size="third",
        title=title if len(shown) > 1 else f"Of what {low.lm} learns, {percent(low.share)} stays learned",
        description="Share of tokens first learned at a size that stay learned at all larger sizes",
        reading=f"Learned: loss under {threshold_nats} nats. The last size has no larger one to lose a token in.",
        series=[line], x=log_axis([one.n_non_embedding for one in shown], "first learned at, parameters", pad=1.25),
        y=share_axis([0, 1], "stay learned at every larger size", exact=True),
        help=Help(
            what="Take the tokens whose loss first falls below the threshold at one size, then ask whether it lies "
            "below at every larger size, too. If quanta were learned once and for all, every share would be 100%; "
            "noise around the threshold alone makes it less.",
            formula="share(j) = #{i : Lᵢ ≥ t before j, Lᵢ < t from j on} / #{i : Lᵢ ≥ t before j, Lᵢ < t at j}",
            source="§5, t = 0.3 nats",
        ),
        table={
            "head": ["network", "non-embedding parameters", "first learned", "stay learned", "share"],
            "rows": [[one.lm, one.n_non_embedding, one.n_first, one.n_staying, one.share] for one in shown],
        },
    )  # fmt: skip


def _ratio_reading(first: Distribution, last: Distribution, look: Look) -> str:
    if not first.fraction_below:
        return f"{first.lm} has no loss under {look.threshold}; {last.lm} has {percent(last.fraction_below)}."
    ratio, sizes = last.fraction_below / first.fraction_below, last.n_non_embedding / first.n_non_embedding
    return f"{fixed(ratio, 1)} times the share for {count(sizes)} times the parameters."
