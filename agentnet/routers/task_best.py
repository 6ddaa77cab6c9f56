"""`task_best`: predicts the kind of task from the text, and takes the agent that is best at that kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import OUT_OF_SCOPE, Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.decision import Evidence, Floats
from agentnet.routers.encoded import EncodedRouter
from agentnet.routers.encoding import Vectors
from agentnet.routers.groups import Groups, one_hot
from agentnet.routers.heads import SoftmaxHead, fit_head, folds
from agentnet.routers.single import Choice
from agentnet.routers.tuning import options, sample_rows

STRENGTHS = (1.0, 10.0, 100.0)
_FOLDS = 3
_PSEUDO = 2.0
"""Outcomes that an agent's overall mean counts for in its mean of a task."""
_MOST_ROWS = 8000
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A kind of task, how likely it is, and how the agent does on it."""

    task: str
    probability: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvidence(Evidence):
    """The most likely kinds of task and the chosen agent's mean score on them."""

    agent: str | None
    """The chosen agent; None when the router abstained."""
    tasks: tuple[TaskRow, ...] = field(default=())

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        who = self.agent or "the best agent (abstained)"
        return [
            f"{row.task} with probability {row.probability:.3f}, where {who} scores {row.score:.3f}"
            for row in self.tasks
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """What is needed to predict for one pool."""

    means: NDArray[np.float64]
    costs: NDArray[np.float64]


class TaskBestRouter(EncodedRouter[_View]):
    """Predicts task labels, then each agent's expected score: sum_t P(t | q) * mean score of a on t.

    The labels are the task column of the training outcomes; in a label pack they are the right agents
    themselves (and one more for tasks out of scope), which makes this a linear classifier of agents.
    A routed task's own label is never looked at. The head's penalty is chosen by cross-validation over
    ``train`` and ``val``.

    Args:
        encoder: Name of the text encoder.
        strength: Inverse of the head's L2 penalty; None chooses.
    """

    name = "task_best"
    _groups: Groups
    _head: SoftmaxHead

    def __init__(self, *, encoder: str = "minilm", strength: float | None = None) -> None:
        super().__init__(encoder=encoder)
        self.strength = strength
        self._labels: tuple[str, ...] = ()

    # -- learning ------------------------------------------------------------------------------
    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        if self.kind == "label":
            names = [gold or OUT_OF_SCOPE for gold in outcomes.queries.gold]
        else:
            names = list(outcomes.queries.task)
        if not any(names):
            raise DataError("task_best learns task labels, but the column 'task' is empty; use knn instead.")
        self._labels, inverse = tuple(sorted(set(names))), np.unique(names, return_inverse=True)[1]
        count = len(self._labels)
        prior = self.stats.mean(outcomes.pool)
        fold = folds(inverse, min(_FOLDS, len(outcomes)), seed=seed)
        tried = sample_rows(len(outcomes), _MOST_ROWS, seed)
        best: tuple[float, float, NDArray[np.float64]] | None = None
        table = []
        for strength in options(self.strength, STRENGTHS):
            raw, loss = self._left_out(outcomes, vectors, inverse, fold, strength, prior)
            table.append({"strength": strength, "value": round(-loss, 6)})
            if best is None or loss < best[0]:
                best = (loss, strength, raw)
        assert best is not None  # there is always one strength to try
        self._head = fit_head(vectors, inverse, count, strength=best[1])
        self._groups = Groups.of(outcomes, one_hot(inverse, count))
        split = outcomes.queries.split
        report = FitReport(
            router=self.name,
            n_train=int((split == "train").sum()),
            n_val=int((split == "val").sum()),
            seconds=0,
            chosen={"strength": best[1], "labels": count},
            tried=tuple(table),
            notes=(f"chosen by the labels' log-likelihood in {_FOLDS}-fold cross-validation",),
        )
        return report, tried, best[2][tried]

    def _left_out(
        self,
        outcomes: Outcomes,
        vectors: Vectors,
        labels: NDArray[np.intp],
        fold: NDArray[np.intp],
        strength: float,
        prior: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], float]:
        """Scores of every row from heads fitted on the other folds, and the labels' mean log loss."""
        count = len(self._labels)
        raw = np.empty(outcomes.score.shape)
        chance = np.empty(len(outcomes))
        for held in np.unique(fold):
            inside, outside = fold != held, fold == held
            if not inside.any():
                inside = outside
            head = fit_head(vectors[inside], labels[inside], count, strength=strength)
            share = head.predict(vectors[outside])
            chance[outside] = share[np.arange(len(share)), labels[outside]]
            groups = Groups.of(outcomes.take(inside), one_hot(labels[inside], count))
            raw[outside] = share @ groups.means(prior, self._pseudo)
        return raw, float(-np.log(np.maximum(chance, 1e-9)).mean())

    @property
    def _pseudo(self) -> float:
        return 0.0 if self.kind == "label" else _PSEUDO

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with the probes added to the tasks that they probably belong to."""
        from agentnet.routers.persist import fingerprint

        self._check_fitted()
        share = self._head.predict(self._encode(probes.tasks(), None))
        other = self._copy()
        other._groups = self._groups.add(Groups.of(probes, share))
        other.stats = self.stats.add(probes)
        other.version = fingerprint(other)
        return other

    # -- predicting ----------------------------------------------------------------------------
    def _view(self, pool: Pool) -> _View:
        groups = self._groups.columns(pool.names)
        if self.kind == "label":
            groups = groups.one_label()
        return _View(
            means=groups.means(self.stats.mean(pool), self._pseudo),
            costs=groups.mean_costs(self.stats.cost(pool)),
        )

    def _knows(self, pool: Pool) -> NDArray[np.bool_]:
        return self.stats.known(pool)  # an example is no class of the head: it counts as description

    def _predict_known(self, view: _View, vectors: Vectors) -> tuple[Floats, Floats]:
        share = self._head.predict(vectors).astype(np.float64)
        return share @ view.means, share @ view.costs

    def _explain(self, choice: Choice) -> Evidence:
        vector = choice.vector if choice.vector is not None else self._encode([choice.task], None)[0]
        view, _ = self._prepared(choice.pool)
        share = self._head.predict(vector[None])[0]
        column = int(np.argmax(choice.raw)) if choice.agent is None else choice.agent
        rows = [
            TaskRow(
                task=self._labels[i] or "(no label)",
                probability=round(float(share[i]), 4),
                score=round(float(view.means[i, column]), 4),
            )
            for i in np.argsort(-share)[:_SHOWN].tolist()
        ]
        name = None if choice.agent is None else choice.pool.names[choice.agent]
        return TaskEvidence(agent=name, tasks=tuple(rows))

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        state |= {"labels": list(self._labels), "group_agents": list(self._groups.names)}
        head = {"head_weight": self._head.weight, "head_bias": self._head.bias}
        return state, arrays | self._groups.state() | head

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._labels = tuple(config["labels"])
        self._groups = Groups.restore(config["group_agents"], arrays)
        self._head = SoftmaxHead(arrays["head_weight"], arrays["head_bias"])
