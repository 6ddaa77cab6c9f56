"""`graph_router`: a graph of tasks, queries and agents whose edges carry score and cost; predicts new edges.

Source: Feng, Shen and You, "GraphRouter: a graph-based router for LLM selections", arXiv 2410.03834 (ICLR
2025). ``recipe=paper`` follows it and its released code; ``recipe=agentnet`` is agentnet's own. Where they
differ is told in ``docs/routers/graph_router.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.decision import Evidence, Floats
from agentnet.routers.encoded import EncodedRouter
from agentnet.routers.encoding import Vectors
from agentnet.routers.gnn.edge_prediction import EdgePrediction, EdgeRecipe
from agentnet.routers.gnn.edges import SCENARIOS
from agentnet.routers.gnn.model import GraphModel, Learning, Predictor
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.gnn.task_nodes import NodeRecipe, TaskNodes
from agentnet.routers.gnn.task_types import TaskTypes
from agentnet.routers.neighbours import nearest, to_tensor
from agentnet.routers.rows import Rows
from agentnet.routers.settings import check_at_least, check_choice
from agentnet.routers.single import Choice

_SHOWN = 5
_TYPES_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentForecast:
    """What the graph expects of an agent on the task."""

    agent: str
    score: float
    """Expected score; with ``recipe=paper`` the probability of being the best agent."""
    cost_usd: float | None
    """None unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEdge:
    """A recorded outcome of the chosen agent, on a query similar to the task."""

    text: str
    similarity: float
    score: float | None
    """None unknown."""
    cost_usd: float | None
    """None unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEvidence(Evidence):
    """Predicted edges to the agents, and the recorded edges they rest on."""

    agent: str | None
    """The chosen agent; None when the router abstained."""
    tasks: tuple[tuple[str, float], ...] = ()
    """Most probable types of the task, with their probability."""
    forecast: tuple[AgentForecast, ...] = field(default=())
    """All agents, best first."""
    edges: tuple[KnownEdge, ...] = field(default=())
    """Edges of the chosen agent (of the best one, when the router abstained), most similar query first."""

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        lines = ["task: " + ", ".join(f"{name} {share:.2f}" for name, share in self.tasks)]
        for item in self.forecast[:_SHOWN]:
            cost = "?" if item.cost_usd is None else f"{item.cost_usd:.6f}"
            lines.append(f"  predicted {item.score:.3f}  cost {cost} USD  {item.agent}")
        lines.append(f"{self.agent or 'the best agent (abstained)'} on the most similar known queries:")
        for edge in self.edges:
            score = "  ?  " if edge.score is None else f"{edge.score:.3f}"
            lines.append(f"  score {score}  similarity {edge.similarity:.3f}  {edge.text}")
        return lines


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """The graph of one pool."""

    rows: Rows
    predict: Predictor


class GraphRouter(EncodedRouter[_View]):
    """Predicts the edges from a task to the agents in a graph of known outcomes.

    With ``recipe="agentnet"`` known queries send their outcomes to task nodes, and these to the new query;
    every agent's score and cost is predicted, and the quality-cost dial decides when a task is routed. With
    ``recipe="paper"`` queries send messages to agents, and what is predicted is whether an agent is the best
    one under a fixed scenario. In both, the network's weights know no agent: `with_probes` adds a new
    agent's outcomes as visible edges, and nothing is trained.

    Args:
        encoder: Name of the text encoder.
        recipe: ``agentnet`` or ``paper``.
        scenario: Of ``recipe="paper"``: what an agent is best at, ``performance``, ``balance`` or ``cost``.
        hidden: Of ``recipe="paper"``: h; the graph's nodes have 2 h coordinates.
        steps: Steps of training at most; None is 1000 for ``paper`` and 60 for ``agentnet``.
        maskings: Maskings of the graph in a step; None is 32 for ``paper`` and 4 for ``agentnet``.
        visible: Share of edges (``agentnet``: of queries) that carry messages in training.
        aggregation: Of ``recipe="paper"``: ``sum`` or ``mean`` over an agent's edges.
        nodes: Of ``recipe="agentnet"``: task nodes beside those of the task types.
        members: Of ``recipe="agentnet"``: networks that are averaged.
        keep_texts: Store the first characters of known queries, to show them as evidence.

    Raises:
        InvalidInput: a setting is out of its range, or ``scenario`` is given without ``recipe="paper"``.
    """

    name = "graph_router"
    recipes: ClassVar[tuple[str, ...]] = ("agentnet", "paper")
    _rows: Rows
    _types: TaskTypes

    def __init__(
        self,
        *,
        encoder: str = "minilm",
        recipe: str = "agentnet",
        scenario: str = "performance",
        hidden: int = 32,
        steps: int | None = None,
        maskings: int | None = None,
        visible: float = 0.5,
        aggregation: str = "sum",
        nodes: int = 32,
        members: int = 5,
        keep_texts: bool = True,
    ) -> None:
        super().__init__(encoder=encoder)
        check_choice(
            recipe=(recipe, self.recipes),
            scenario=(scenario, tuple(SCENARIOS)),
            aggregation=(aggregation, ("sum", "mean")),
        )
        check_at_least(
            hidden=(hidden, 1),
            steps=(steps, 1),
            maskings=(maskings, 1),
            nodes=(nodes, 1),
            members=(members, 1),
        )
        if not 0 < visible < 1:
            raise InvalidInput(f"setting 'visible' is between 0 and 1; got {visible!r}.")
        if recipe != "paper" and scenario != "performance":
            raise InvalidInput(
                "setting 'scenario' belongs to recipe=paper; use the dial (cost_weight) with recipe=agentnet."
            )
        self.recipe, self.scenario, self.hidden = recipe, scenario, hidden
        self.steps, self.maskings, self.visible, self.aggregation = steps, maskings, visible, aggregation
        self.nodes, self.members, self.keep_texts = nodes, members, keep_texts
        self._model = self._make_model()
        self._device = "cpu"
        self._watch: TrainingOptions | None = None

    def _make_model(self) -> GraphModel:
        if self.recipe == "paper":
            return EdgePrediction(
                EdgeRecipe(
                    scenario=self.scenario,
                    hidden=self.hidden,
                    steps=self.steps or EdgeRecipe().steps,
                    maskings=self.maskings or EdgeRecipe().maskings,
                    visible=self.visible,
                    mean=self.aggregation == "mean",
                )
            )
        return TaskNodes(
            NodeRecipe(
                nodes=self.nodes,
                members=self.members,
                epochs=self.steps or NodeRecipe().epochs,
                maskings=self.maskings or NodeRecipe().maskings,
                visible=self.visible,
            )
        )

    def use_training(self, options: TrainingOptions) -> None:
        """Takes progress, log and checkpoint for the next `fit`."""
        self._watch = options

    # -- learning ------------------------------------------------------------------------------
    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        self._device = device
        return super()._learn(outcomes, seed=seed, device=device)

    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        self._rows = Rows.of(outcomes, vectors, keep_texts=self.keep_texts)
        self._types = TaskTypes.of(outcomes, vectors, seed=seed)
        self._model = self._make_model()
        learned = self._model.learn(
            Learning(
                outcomes=outcomes,
                vectors=vectors,
                profiles=self._profiles(outcomes.pool),
                types=self._types,
                mean=self.stats.mean(outcomes.pool),
                seed=seed,
                device=self._device,
                options=self._watch,
            )
        )
        split = outcomes.queries.split
        report = FitReport(
            router=self.name,
            n_train=int((split == "train").sum()),
            n_val=int((split == "val").sum()),
            seconds=0,
            chosen=learned.chosen,
            notes=learned.notes,
        )
        return report, learned.rows, learned.raw

    def _profiles(self, pool: Pool) -> Vectors:
        """[M, d] the agents' descriptions; no name or position is a feature of its own."""
        return self._texts([agent.profile for agent in pool])

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with the probes as further visible edges; nothing is trained."""
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
        if self.kind == "label":
            rows = self._rows.with_labels(pool, self._texts)
        else:
            rows = self._rows.columns(pool.names)
        predict = self._model.predictor(
            rows, self._types, self._profiles(pool), self.stats.mean(pool), self.stats.cost(pool)
        )
        return _View(rows, predict)

    def _knows(self, pool: Pool) -> NDArray[np.bool_]:
        return self.stats.known(pool)  # an example is no node of its own: it counts as description

    def _predict_known(self, view: _View, vectors: Vectors) -> tuple[Floats, Floats]:
        return view.predict(vectors)

    def _explain(self, choice: Choice) -> Evidence:
        vector = choice.vector if choice.vector is not None else self._encode([choice.task], None)[0]
        view, _ = self._prepared(choice.pool)
        _, cost = self._predict([choice.task], choice.pool, vector[None])
        costs = np.broadcast_to(cost, (1, len(choice.pool)))[0]
        near, where = nearest(to_tensor(vector[None]), to_tensor(view.rows.vectors), _SHOWN)
        column = int(np.argmax(choice.raw)) if choice.agent is None else choice.agent
        known = bool(self._knows(choice.pool)[column])
        edges = tuple(
            KnownEdge(
                text=view.rows.texts[row],
                similarity=round(similarity, 4),
                score=_number(view.rows.score[row, column], 4) if known else None,
                cost_usd=None if view.rows.cost is None else _number(view.rows.cost[row, column], 9),
            )
            for similarity, row in zip(near[0].tolist(), where[0].tolist(), strict=True)
        )
        forecast = tuple(
            AgentForecast(
                agent=choice.pool.names[i],
                score=round(float(choice.raw[i]), 4),
                cost_usd=_number(costs[i], 9),
            )
            for i in np.argsort(-choice.raw, kind="stable").tolist()
        )
        share = self._types.head.predict(vector[None])[0]
        tasks = tuple(
            (self._types.names[i], round(float(share[i]), 4))
            for i in np.argsort(-share)[:_TYPES_SHOWN].tolist()
        )
        agent = None if choice.agent is None else choice.pool.names[choice.agent]
        return GraphEvidence(agent=agent, tasks=tasks, forecast=forecast, edges=edges)

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        rows, matrices = self._rows.state()
        names, types = self._types.state()
        model, weights = self._model.state()
        return state | rows | {"types": names, "model": model}, arrays | matrices | types | weights

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._rows = Rows.restore(config, arrays)
        self._types = TaskTypes.restore(config["types"], dict(arrays))
        self._model.restore(config["model"], arrays)


def _number(value: float, digits: int) -> float | None:
    return None if np.isnan(value) else round(float(value), digits)
