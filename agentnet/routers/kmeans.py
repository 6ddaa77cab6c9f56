"""`kmeans`: known tasks are clustered; an agent's score is its mean in the nearest clusters.

Source: "The Avengers", arXiv 2505.19797, and Avengers-Pro, arXiv 2508.12631 (the nearest few clusters, a
weight for cost). Kernel, shrinkage and the rule by which they are chosen are agentnet's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.clustering import spherical_kmeans
from agentnet.routers.decision import Evidence, Floats
from agentnet.routers.encoded import EncodedRouter
from agentnet.routers.encoding import Vectors
from agentnet.routers.groups import Groups, one_hot
from agentnet.routers.neighbours import Moments, kernel, nearest, to_tensor
from agentnet.routers.rows import snippet
from agentnet.routers.settings import check_at_least
from agentnet.routers.single import Choice
from agentnet.routers.tuning import Search, options, sample_rows

CLUSTERS = (4, 8, 16, 32, 64, 128)
LABEL_CLUSTERS = (4, 8, 16, 32, 64, 128, 256, 512)
NEAREST = (1, 2, 3, 5)
TEMPERATURES = (0.0, 0.3, 0.1)
SHRINK = (0.02, 0.1, 0.3, 1.0, 10.0)
_MOST_ROWS = 5000
_EXEMPLARS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRow:
    """A cluster near the task."""

    cluster: int
    similarity: float
    size: float
    """Known outcomes of the agent in it, weighted."""
    score: float | None
    """The agent's mean score in it; None unknown."""
    examples: tuple[str, ...]
    """Known tasks nearest to its centre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvidence(Evidence):
    """The clusters nearest to the task, and how the chosen agent does in them."""

    agent: str | None
    """The chosen agent; None when the router abstained."""
    clusters: tuple[ClusterRow, ...] = field(default=())

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        lines = [f"{self.agent or 'the best agent (abstained)'} in the nearest clusters of known tasks:"]
        for row in self.clusters:
            score = "  ?  " if row.score is None else f"{row.score:.3f}"
            lines.append(
                f"  score {score} over {row.size:g}  similarity {row.similarity:.3f}  "
                f"cluster {row.cluster}: {' | '.join(row.examples)}"
            )
        return lines


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """What is needed to predict for one pool."""

    centroids: torch.Tensor
    groups: Groups
    moments: Moments
    prior: torch.Tensor
    cost: torch.Tensor


class KmeansRouter(EncodedRouter[_View]):
    """Predicts by the agents' mean scores in the nearest clusters, drawn to their overall means.

    score(a | q) = (sum_c w_c * sum_ca + m * mean_a) / (sum_c w_c * n_ca + m) over the p clusters c nearest
    to q, with w_c = exp((cos(q, c) - 1) / temperature), and m = ``shrink`` times the mean of
    sum_c w_c n_ca in training. Cost is predicted in the same way. Clusters are found without looking at
    outcomes; settings left open are chosen by taking each row of ``train`` and ``val`` out of its
    cluster's sums.

    Args:
        encoder: Name of the text encoder.
        clusters: Number of clusters; None chooses.
        nearest: Clusters looked at; None chooses.
        temperature: Width of the kernel; 0 weighs all alike; None chooses.
        shrink: Pull to the agents' mean scores; None chooses.
        keep_texts: Store the first characters of a few known tasks per cluster, as evidence.
    """

    name = "kmeans"
    partial_feedback = "doubly_robust"
    _groups: Groups
    _centroids: Vectors

    def __init__(
        self,
        *,
        encoder: str = "minilm",
        clusters: int | None = None,
        nearest: int | None = None,
        temperature: float | None = None,
        shrink: float | None = None,
        keep_texts: bool = True,
    ) -> None:
        super().__init__(encoder=encoder)
        check_at_least(
            clusters=(clusters, 1), nearest=(nearest, 1), temperature=(temperature, 0), shrink=(shrink, 0)
        )
        self.clusters = clusters
        self.nearest = nearest
        self.temperature = temperature
        self.shrink = shrink
        self.keep_texts = keep_texts
        self._p, self._temperature, self._mass = 1, 0.0, 0.0
        self._exemplars: tuple[tuple[str, ...], ...] = ()

    # -- learning ------------------------------------------------------------------------------
    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        stored = to_tensor(vectors)
        rows = Moments.of(outcomes.score, _weights(outcomes), None, sparse=True).table
        tried = sample_rows(len(outcomes), _MOST_ROWS, seed)
        prior = to_tensor(self.stats.mean(outcomes.pool))
        search = Search()
        found = {}
        for clusters in self._cluster_grid(len(outcomes)):
            centroids = spherical_kmeans(stored, clusters, seed=seed)
            labels = (stored @ centroids.T).argmax(1)
            groups = Groups.of(outcomes, one_hot(labels, clusters))
            found[clusters] = (centroids, groups, labels)
            self._try(search, found[clusters], stored, rows, outcomes, tried, prior)
        chosen = search.choose()
        centroids, self._groups, labels = found[int(chosen["clusters"])]
        self._centroids = centroids.numpy()
        self._p, self._temperature = int(chosen["nearest"]), float(chosen["temperature"])
        sums, own, mass = self._left_out((centroids, self._groups, labels), stored, rows, tried, chosen)
        self._mass = round(float(chosen["shrink"]) * mass, 6)
        raw = self._groups.moments().score(sums, own, prior, self._mass).numpy()
        self._exemplars = self._pick_exemplars(outcomes, stored, centroids)
        split = outcomes.queries.split
        report = FitReport(
            router=self.name,
            n_train=int((split == "train").sum()),
            n_val=int((split == "val").sum()),
            seconds=0,
            chosen=chosen,
            tried=search.table(),
            notes=("chosen by leaving one row out of its cluster's sums, over train and val",),
        )
        return report, tried, raw

    def _cluster_grid(self, n: int) -> list[int]:
        if self.clusters is not None:
            return [min(self.clusters, n)]
        labels = self.kind == "label"
        grid, rows = (LABEL_CLUSTERS, 4) if labels else (CLUSTERS, 8)
        fits = [clusters for clusters in grid if n >= rows * clusters]
        return (fits[-4:] if labels else fits) or [max(1, min(4, n // 2))]

    def _try(
        self,
        search: Search,
        found: tuple[torch.Tensor, Groups, torch.Tensor],
        stored: torch.Tensor,
        rows: torch.Tensor,
        outcomes: Outcomes,
        tried: NDArray[np.intp],
        prior: torch.Tensor,
    ) -> None:
        """Adds every setting of one clustering to the search."""
        moments = found[1].moments()
        clusters = len(found[0])
        scope = ~outcomes.out_of_scope[tried]
        judged, trust = outcomes.score[tried][scope], outcomes.weight[tried][scope]
        for near in [p for p in options(self.nearest, NEAREST) if p <= clusters] or [1]:
            for temperature in options(self.temperature, TEMPERATURES if near > 1 else TEMPERATURES[:2]):
                setting = {"clusters": clusters, "nearest": near, "temperature": temperature}
                sums, own, mass = self._left_out(found, stored, rows, tried, setting)
                for shrink in options(self.shrink, SHRINK):
                    raw = moments.score(sums, own, prior, shrink * mass).numpy()[scope]
                    smooth = float(np.log2(near / clusters) + np.log2(shrink + 1e-3))
                    search.add(setting | {"shrink": shrink}, raw, judged, smooth, trust)

    def _left_out(
        self,
        found: tuple[torch.Tensor, Groups, torch.Tensor],
        stored: torch.Tensor,
        rows: torch.Tensor,
        tried: NDArray[np.intp],
        setting: Mapping[str, Any],
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Weighted sums of the rows' nearest clusters without the rows themselves, and their mean mass."""
        centroids, groups, _ = found
        at = torch.from_numpy(tried)
        near, where = nearest(stored[at], centroids, int(setting["nearest"]))
        weights = kernel(near, setting["temperature"] or None)
        moments = groups.moments()
        sums = moments.sums(where, weights)
        # The nearest cluster is the row's own: its share of the sums is the row itself.
        sums[:, : rows.shape[1]] -= weights[:, :1] * rows[at]
        agents = moments.agents
        observed = sums[:, agents : 2 * agents]
        return sums, weights, float(observed.mean())

    def _pick_exemplars(
        self, outcomes: Outcomes, stored: torch.Tensor, centroids: torch.Tensor
    ) -> tuple[tuple[str, ...], ...]:
        if not self.keep_texts:
            return ((),) * len(centroids)
        _, where = nearest(centroids, stored, min(_EXEMPLARS, len(stored)))
        texts = outcomes.queries.text
        return tuple(tuple(snippet(texts[i]) for i in row) for row in where.tolist())

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with the probes added to their clusters' sums; nothing is trained."""
        from agentnet.routers.persist import fingerprint

        self._check_fitted()
        vectors = self._encode(probes.tasks(), None)
        labels = (to_tensor(vectors) @ to_tensor(self._centroids).T).argmax(1)
        other = self._copy()
        other._groups = self._groups.add(Groups.of(probes, one_hot(labels, len(self._centroids))))
        other.stats = self.stats.add(probes)
        other.version = fingerprint(other)
        return other

    # -- predicting ----------------------------------------------------------------------------
    def _view(self, pool: Pool) -> _View:
        groups = self._groups.columns(pool.names)
        centroids = self._centroids
        if self.kind == "label":
            groups, centroids = self._with_examples(groups.one_label(), pool)
        return _View(
            centroids=to_tensor(centroids),
            groups=groups,
            moments=groups.moments(),
            prior=to_tensor(self.stats.mean(pool)),
            cost=to_tensor(self.stats.cost(pool)),
        )

    def _with_examples(self, groups: Groups, pool: Pool) -> tuple[Groups, Vectors]:
        """Each example of an agent is a further cluster of usual size, in which that agent is right."""
        pairs = [(column, text) for column, agent in enumerate(pool) for text in agent.examples]
        if not pairs:
            return groups, self._centroids
        size = float(np.median(groups.mass.max(1)))
        total = np.zeros((len(pairs), len(pool)))
        total[np.arange(len(pairs)), [column for column, _ in pairs]] = size
        none = np.zeros_like(total)
        joined = replace(
            groups,
            total=np.concatenate((groups.total, total)),
            mass=np.concatenate((groups.mass, np.full_like(total, size))),
            cost=np.concatenate((groups.cost, none)),
            calls=np.concatenate((groups.calls, none)),
        )
        return joined, np.concatenate((self._centroids, self._texts([text for _, text in pairs])))

    def _predict_known(self, view: _View, vectors: Vectors) -> tuple[Floats, Floats]:
        near, where = nearest(to_tensor(vectors), view.centroids, self._p)
        weights = kernel(near, self._temperature or None)
        sums = view.moments.sums(where, weights)
        raw = view.moments.score(sums, weights, view.prior, self._mass).numpy()
        return raw, view.moments.cost(sums, view.cost, max(self._mass, 1e-3)).numpy()

    def _explain(self, choice: Choice) -> Evidence:
        vector = choice.vector if choice.vector is not None else self._encode([choice.task], None)[0]
        view, _ = self._prepared(choice.pool)
        near, where = nearest(to_tensor(vector[None]), view.centroids, self._p)
        column = int(np.argmax(choice.raw)) if choice.agent is None else choice.agent
        found = []
        for similarity, cluster in zip(near[0].tolist(), where[0].tolist(), strict=True):
            mass = float(view.groups.mass[cluster, column])
            score = round(float(view.groups.total[cluster, column]) / mass, 4) if mass > 0 else None
            texts = self._exemplars[cluster] if cluster < len(self._exemplars) else ("an agent's examples",)
            found.append(
                ClusterRow(
                    cluster=cluster, similarity=round(similarity, 4), size=round(mass, 3), score=score,
                    examples=texts,
                )
            )  # fmt: skip
        name = None if choice.agent is None else choice.pool.names[choice.agent]
        return ClusterEvidence(agent=name, clusters=tuple(found))

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        state |= {
            "group_agents": list(self._groups.names),
            "exemplars": [list(texts) for texts in self._exemplars],
            "tuned": {"nearest": self._p, "temperature": self._temperature, "mass": self._mass},
        }
        return state, arrays | self._groups.state() | {"centroids": self._centroids}

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._groups = Groups.restore(config["group_agents"], arrays)
        self._centroids = arrays["centroids"]
        self._exemplars = tuple(tuple(texts) for texts in config["exemplars"])
        tuned = config["tuned"]
        self._p, self._temperature, self._mass = int(tuned["nearest"]), tuned["temperature"], tuned["mass"]


def _weights(outcomes: Outcomes) -> NDArray[np.float32]:
    return np.nan_to_num(outcomes.weight, nan=1.0)
