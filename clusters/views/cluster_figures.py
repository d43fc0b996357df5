"""The figures of a cluster's page, each made only where it is asked for; their numbers have no gaps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from django.core.exceptions import BadRequest

from clusters.charts import cluster as charts
from clusters.charts import cluster_similarity as alike
from clusters.charts.chart import Chart
from clusters.charts.ladder import ladder_chart
from clusters.forms.clusters import ORDERS, ClusterQuery
from clusters.models import Cluster, Clustering
from clusters.queries.cluster_ladder import best_matches
from clusters.queries.cluster_similarity import similarities
from clusters.queries.clusters import flat_indices
from clusters.queries.selected import member_step_curves, selected_size_curves, step_networks
from clusters.queries.tokens import curve_classes
from clusters.stored.arrays import bundle_of
from clusters.values.readings import Match, Similarities, StepCurve
from clusters.views.addresses import cluster_address


class Figures:
    """What can be drawn of one cluster, read when it is drawn and kept for the next figure."""

    def __init__(
        self, clustering: Clustering, cluster: Cluster, rows: np.ndarray, ks: dict[str, list[int]], asked: ClusterQuery
    ) -> None:
        self.clustering, self.run, self.cluster = clustering, clustering.run, cluster
        self.rows, self.ks, self.asked = rows, ks, asked
        self.tokens: list[int] = flat_indices(self.run)[rows].tolist()
        self.members = charts.Members(self.tokens, asked.token if asked.token in self.tokens else None)
        self._networks = step_networks(self.run)
        self.networks = [network.lm for network in self._networks]
        if asked.lm and asked.lm not in self.networks:
            there = ", ".join(self.networks) or "none"
            raise BadRequest(f"lm is {asked.lm[:40]!r}; networks measured at several steps are: {there}.")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Number of every figure that this cluster has, in the page's order."""
        there = {
            "answers": True,
            "loss-over-parameters": self.sizes is not None,
            "classes": bool(self.classes),
            "loss-over-steps": bool(self.networks),
            "members": self.has_similarity and len(self.rows) > 1,
            "similarity": self.has_similarity,
            "ladder": len(self.matches) > 1,
        }
        return {slug: number for number, slug in enumerate((slug for slug, is_there in there.items() if is_there), 1)}

    @property
    def slugs(self) -> list[str]:
        """The figures that are charts."""
        return [slug for slug in self.numbers if slug in self._makers]

    def chart(self, slug: str) -> Chart | None:
        """One figure; None where the cluster has none of that name."""
        return self._makers[slug](self.numbers[slug]) if slug in self.numbers and slug in self._makers else None

    @property
    def _makers(self) -> dict[str, Callable[[int], Chart | None]]:
        return {
            "loss-over-parameters": self._sizes_chart,
            "loss-over-steps": self._steps_chart,
            "members": self._heatmap_chart,
            "similarity": self._similarity_chart,
            "ladder": self._ladder_chart,
        }

    @cached_property
    def sizes(self) -> np.ndarray | None:
        """Losses of every member under the final checkpoints, (n, n_sizes)."""
        curves = selected_size_curves(self.run)
        return None if curves is None else np.asarray(curves[self.rows])

    @cached_property
    def steps(self) -> list[StepCurve]:
        return member_step_curves(self.run, self._networks, self.rows)

    @cached_property
    def lm(self) -> str:
        """The network whose members are drawn over steps: the one asked for, the clustered one, or the largest."""
        clustered = str(self.run.manifest["clustered"]["lm"])
        return self.asked.lm or (clustered if clustered in self.networks else self.networks[-1])

    @cached_property
    def classes(self) -> list[tuple[str, int]]:
        return curve_classes(self.run, self.tokens)

    @cached_property
    def has_similarity(self) -> bool:
        return bundle_of(self.run).has(f"similarity/{self.clustering.affinity}")

    @cached_property
    def similarities(self) -> Similarities | None:
        selected = self.members.selected
        keep = None if selected is None else int(self.rows[self.tokens.index(selected)])
        return similarities(self.run, self.clustering.affinity, self.rows, keep=keep)

    @cached_property
    def heatmap(self) -> alike.Heatmap | None:
        if "members" not in self.numbers or self.similarities is None:
            return None
        rows = self.similarities.rows.tolist()
        found = self.run.tokens.filter(row__in=rows).values_list("row", "flat_index", "answer", "document", "position")
        members = {
            row: alike.Member(index, f"{answer}  (doc {document}, token {position})", answer)
            for row, index, answer, document, position in found
        }
        return alike.heatmap(
            self.similarities, members, ORDERS[self.asked.order], number=self.numbers["members"],
            selected=self.members.selected,
        )  # fmt: skip

    @cached_property
    def matches(self) -> list[Match]:
        """The best match in every clustering of the run."""
        return best_matches(self.run, self.ks, self.rows)

    def address(self, match: Match) -> str:
        return cluster_address(self.run.slug, match.k, match.label, match.affinity)

    def _sizes_chart(self, number: int) -> Chart | None:
        sizes = [size["n_non_embedding"] for size in self.run.manifest["sizes"]]
        unit, curves = self.asked.unit, self.sizes
        return None if curves is None else charts.sizes_chart(sizes, curves, self.members, unit, number=number)

    def _steps_chart(self, number: int) -> Chart:
        return charts.steps_chart(self.steps, self.lm, self.members, self.asked.unit, number=number)

    def _heatmap_chart(self, number: int) -> Chart | None:
        return self.heatmap.chart if self.heatmap else None

    def _similarity_chart(self, number: int) -> Chart | None:
        found, within, across = self.similarities, self.cluster.similarity_within, self.cluster.similarity_across
        return alike.similarity_chart(found, number=number, within=within, across=across) if found else None

    def _ladder_chart(self, number: int) -> Chart:
        return ladder_chart(self.matches, self.clustering.affinity, self.clustering.k, number=number, href=self.address)
