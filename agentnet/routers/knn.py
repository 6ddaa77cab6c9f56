"""`knn`: an agent's score is the weighted mean of its scores on the most similar known tasks.

Source: "Rethinking predictive modeling for LLM routing: when simple kNN beats complex learned routers",
arXiv 2505.12601. The kernel, the shrinkage and the rule by which they are chosen are agentnet's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.decision import Evidence, Floats
from agentnet.routers.encoded import EncodedRouter
from agentnet.routers.encoding import Vectors
from agentnet.routers.neighbours import Moments, kernel, nearest, to_tensor
from agentnet.routers.rows import Rows
from agentnet.routers.settings import check_at_least
from agentnet.routers.single import Choice
from agentnet.routers.tuning import Search, options, sample_rows

K = (5, 10, 20, 40, 80, 160)
TEMPERATURES = (0.0, 0.3, 0.1, 0.05)
SHRINK = (0.02, 0.1, 0.3, 1.0, 10.0)
_MOST_ROWS = 5000
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A known task that is similar to the one routed."""

    text: str
    similarity: float
    score: float | None
    """The chosen agent's score on it (of the best agent, when the router abstained); None unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourEvidence(Evidence):
    """The most similar known tasks, and how the chosen agent did on them."""

    agent: str | None
    """The chosen agent; None when the router abstained."""
    k: int
    temperature: float
    neighbours: tuple[Neighbour, ...] = field(default=())

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        who = self.agent or "the best agent (abstained)"
        lines = [f"{who} on the {len(self.neighbours)} most similar of {self.k} known tasks:"]
        for item in self.neighbours:
            score = "  ?  " if item.score is None else f"{item.score:.3f}"
            lines.append(f"  score {score}  similarity {item.similarity:.3f}  {item.text}")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """What is needed to predict for one pool."""

    rows: Rows
    index: torch.Tensor
    moments: Moments
    prior: torch.Tensor
    cost: torch.Tensor


class KnnRouter(EncodedRouter[_View]):
    """Predicts by the k most similar tasks, with kernel weights, drawn to the agents' mean scores.

    score(a | q) = (sum_i w_i s_ia + m * mean_a) / (sum_i w_i + m) over the k rows i nearest to q, with
    w_i = exp((cos(q, i) - 1) / temperature), and m = ``shrink`` times the mean sum of weights in training.
    As w falls with distance, a task far from all known ones is scored by the agents' means. Cost is
    predicted in the same way. Settings left open are chosen by leaving one row out at a time over
    ``train`` and ``val``.

    Args:
        encoder: Name of the text encoder.
        k: Neighbours; None chooses.
        temperature: Width of the kernel; 0 weighs all k alike; None chooses.
        shrink: Pull to the agents' mean scores; None chooses.
        keep_texts: Store the first characters of known tasks, to show them as evidence.
    """

    name = "knn"
    partial_feedback = "doubly_robust"
    _rows: Rows

    def __init__(
        self,
        *,
        encoder: str = "minilm",
        k: int | None = None,
        temperature: float | None = None,
        shrink: float | None = None,
        keep_texts: bool = True,
    ) -> None:
        super().__init__(encoder=encoder)
        check_at_least(k=(k, 1), temperature=(temperature, 0), shrink=(shrink, 0))
        self.k = k
        self.temperature = temperature
        self.shrink = shrink
        self.keep_texts = keep_texts
        self._k, self._temperature, self._mass = 1, 0.0, 0.0

    # -- learning ------------------------------------------------------------------------------
    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        self._rows = Rows.of(outcomes, vectors, keep_texts=self.keep_texts)
        tried = sample_rows(len(outcomes), _MOST_ROWS, seed)
        search = Search()
        if len(outcomes) > 1:
            raw = self._tune(search, outcomes, tried)
        else:  # one row has no neighbour
            self._k, self._temperature, self._mass = 1, self.temperature or 0.0, 1.0
            raw = self.stats.mean(outcomes.pool)[None, :]
        split = outcomes.queries.split
        report = FitReport(
            router=self.name,
            n_train=int((split == "train").sum()),
            n_val=int((split == "val").sum()),
            seconds=0,
            chosen=search.choose() if search.trials else {},
            tried=search.table(),
            notes=("chosen by leaving one row out over train and val",),
        )
        return report, tried, raw

    def _tune(self, search: Search, outcomes: Outcomes, tried: NDArray[np.intp]) -> Floats:
        """Tries all settings on the rows ``tried``, keeps the choice, returns its predictions for them."""
        moments = Moments.of(self._rows.score, self._rows.weight, None)
        prior = to_tensor(self.stats.mean(outcomes.pool))
        index = to_tensor(self._rows.vectors)
        own = torch.from_numpy(tried)
        ks = [k for k in options(self.k, K) if k < len(outcomes)] or [len(outcomes) - 1]
        near, where = nearest(index[own], index, max(ks), own=own)
        scope = ~outcomes.out_of_scope[tried]
        judged, trust = outcomes.score[tried][scope], outcomes.weight[tried][scope]

        def predict(k: int, temperature: float) -> tuple[torch.Tensor, torch.Tensor, float]:
            weights = kernel(near[:, :k], temperature or None).contiguous()
            return moments.sums(where[:, :k].contiguous(), weights), weights, float(weights.sum(1).mean())

        for temperature in options(self.temperature, TEMPERATURES):
            for k in ks:
                sums, weights, mass = predict(k, temperature)
                for shrink in options(self.shrink, SHRINK):
                    raw = moments.score(sums, weights, prior, shrink * mass).numpy()
                    setting = {"k": k, "temperature": temperature, "shrink": shrink}
                    smooth = float(np.log2(k) + np.log2(shrink + 1e-3))
                    search.add(setting, raw[scope], judged, smooth, trust)
        chosen = search.choose()
        self._k, self._temperature = int(chosen["k"]), float(chosen["temperature"])
        sums, weights, mass = predict(self._k, self._temperature)
        self._mass = round(float(chosen["shrink"]) * mass, 6)
        return moments.score(sums, weights, prior, self._mass).numpy()

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with the probes as further neighbours; nothing is trained."""
        from agentnet.routers.persist import fingerprint

        self._check_fitted()
        vectors = self._encode(probes.tasks(), None)
        other = self._copy()
        other._rows = self._rows.join(Rows.of(probes, vectors, keep_texts=self.keep_texts))
        other.stats = self.stats.add(probes)
        other.version = fingerprint(other)
        return other

    # -- predicting ----------------------------------------------------------------------------
    def _view(self, pool: Pool) -> _View:
        prior = self.stats.mean(pool)
        if self.kind == "label":
            rows = self._rows.with_labels(pool, self._texts)
        else:
            rows = self._rows.columns(pool.names)
            rows.score[:, ~self.stats.known(pool)] = 0  # overwritten later; a NaN would only cost time
        return _View(
            rows=rows,
            index=to_tensor(rows.vectors),
            moments=Moments.of(rows.score, rows.weight, rows.cost),
            prior=to_tensor(prior),
            cost=to_tensor(self.stats.cost(pool)),
        )

    def _predict_known(self, view: _View, vectors: Vectors) -> tuple[Floats, Floats]:
        near, where = nearest(to_tensor(vectors), view.index, self._k)
        weights = kernel(near, self._temperature or None)
        sums = view.moments.sums(where, weights)
        raw = view.moments.score(sums, weights, view.prior, self._mass).numpy()
        return raw, view.moments.cost(sums, view.cost, max(self._mass, 1e-3)).numpy()

    def _explain(self, choice: Choice) -> Evidence:
        vector = choice.vector if choice.vector is not None else self._encode([choice.task], None)[0]
        view, _ = self._prepared(choice.pool)
        near, where = nearest(to_tensor(vector[None]), view.index, min(self._k, _SHOWN))
        column = int(np.argmax(choice.raw)) if choice.agent is None else choice.agent
        known = bool(self._knows(choice.pool)[column])
        found = []
        for similarity, row in zip(near[0].tolist(), where[0].tolist(), strict=True):
            score = float(view.rows.score[row, column])
            shown = None if np.isnan(score) or not known else round(score, 4)
            found.append(Neighbour(text=view.rows.texts[row], similarity=round(similarity, 4), score=shown))
        return NeighbourEvidence(
            agent=None if choice.agent is None else choice.pool.names[choice.agent],
            k=self._k,
            temperature=self._temperature,
            neighbours=tuple(found),
        )

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        rows, matrices = self._rows.state()
        tuned = {"k": self._k, "temperature": self._temperature, "mass": self._mass}
        return state | rows | {"tuned": tuned}, arrays | matrices

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._rows = Rows.restore(config, arrays)
        tuned = config["tuned"]
        self._k, self._temperature, self._mass = int(tuned["k"]), tuned["temperature"], tuned["mass"]
