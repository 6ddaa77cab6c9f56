"""`EdgePrediction`: GraphRouter as published: which edge from a query leads to the best agent.

Source: Feng, Shen and You, "GraphRouter", arXiv 2410.03834, and its released code. What is done otherwise,
and why, is listed in ``docs/routers/graph_router.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.decision import Floats
from agentnet.routers.gnn.bipartite import BipartiteNet, Graph
from agentnet.routers.gnn.edges import Edges, draw_visible, known_costs, utility
from agentnet.routers.gnn.model import GraphModel, Learned, Learning, Predictor
from agentnet.routers.gnn.task_types import TaskTypes
from agentnet.routers.gnn.training import Plan, arrays_of, load_arrays, pick_device, seeded, train
from agentnet.routers.rows import Rows

_VALIDATE_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRecipe:
    """Settings of the published training.

    Attributes:
        scenario: Weights of effect and cost: ``performance``, ``balance`` or ``cost``.
        hidden: h.
        steps: Steps of AdamW, with a rate that falls linearly to 0.
        maskings: B, the maskings averaged in a step.
        visible: r, the share of edges that carry messages; the others are predicted.
        mean: Aggregate by mean instead of by sum.
    """

    scenario: str = "performance"
    hidden: int = 32
    steps: int = 1000
    maskings: int = 32
    visible: float = 0.5
    mean: bool = False
    lr: float = 1e-3
    weight_decay: float = 1e-4


class EdgePrediction(GraphModel):
    """The recipe ``paper``.

    Args:
        recipe: Its settings.
    """

    def __init__(self, recipe: EdgeRecipe) -> None:
        self.recipe = recipe
        self._net: BipartiteNet | None = None
        self._query = self._agent = _Range.of(np.zeros((1, 1), np.float32))
        self._cost = (0.0, 0.0)

    # -- learning ------------------------------------------------------------------------------
    def learn(self, data: Learning) -> Learned:
        """Trains on the split train, keeps the step with the highest mean utility on the split val."""
        recipe, device = self.recipe, pick_device(data.device)
        fit, held = data.held_out()
        outcomes = data.outcomes
        plain = Edges.of(outcomes.score, known_costs(outcomes), outcomes.weight)
        seen = plain.cost[fit][plain.weight[fit] > 0]
        self._cost = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
        self._query, self._agent = _Range.of(data.vectors[fit]), _Range.of(data.profiles)
        edges = plain.scaled(*self._cost)
        with seeded(data.seed, device):
            net = BipartiteNet(
                data.types.centres.shape[1], data.vectors.shape[1], data.profiles.shape[1],
                hidden=recipe.hidden, mean=recipe.mean,
            )  # fmt: skip
        features = edges.features(recipe.scenario)
        graph = self._graph(data.vectors[fit], data.types, data.profiles, features[fit], device)
        known = torch.from_numpy(edges.weight[fit] > 0).to(device)
        label, apart = edges.best(recipe.scenario)
        judged = torch.from_numpy(edges.weight[fit] * apart[fit, None]).to(device)
        labels = torch.from_numpy(label[fit]).to(device)
        whole = known.T[None].float()
        asked = self._inputs(data.vectors[held], data.types, device)
        value = utility(edges.effect[held], edges.cost[held], recipe.scenario)
        reward = np.where(edges.weight[held] > 0, value, np.nan)

        def epoch(_: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
            visible = draw_visible(known, recipe.maskings, recipe.visible, generator)
            yield net.loss(graph, visible, labels, judged)

        def predict() -> Floats:
            states = net.of_agents(graph, net.of_queries(graph.task, graph.query), whole)
            logits = net.logits(net.of_queries(*asked), states[0])
            return logits.sigmoid().cpu().numpy()

        plan = Plan(
            epochs=recipe.steps, patience=None, lr=recipe.lr, weight_decay=recipe.weight_decay,
            schedule="linear", validate_every=_VALIDATE_EVERY,
        )  # fmt: skip
        done = train(
            net, epoch=epoch, validate=lambda: mean_reward(predict(), reward), plan=plan, seed=data.seed,
            device=device, options=data.options, label="graph network", identity=outcomes.fingerprint,
        )  # fmt: skip
        with torch.no_grad(), torch_threads(1):
            raw = predict()
        self._net = net.cpu()
        chosen = {"step": done.best + 1, "utility": round(done.value or 0.0, 6)}
        return Learned(held, raw, chosen, ("the step was chosen by mean utility on val",))

    def _inputs(
        self, vectors: NDArray[np.float32], types: TaskTypes, device: str = "cpu"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The embeddings of queries' tasks and of queries, scaled as in training."""
        task, query = self._query(types.embed(vectors)), self._query(vectors)
        return torch.from_numpy(task).to(device), torch.from_numpy(query).to(device)

    def _graph(
        self,
        vectors: NDArray[np.float32],
        types: TaskTypes,
        profiles: NDArray[np.float32],
        features: torch.Tensor,
        device: str = "cpu",
    ) -> Graph:
        agents = torch.from_numpy(self._agent(profiles)).to(device)
        return Graph(*self._inputs(vectors, types, device), agents, features.to(device))

    # -- predicting ----------------------------------------------------------------------------
    def predictor(
        self,
        rows: Rows,
        types: TaskTypes,
        profiles: NDArray[np.float32],
        mean: NDArray[np.float64],
        cost: NDArray[np.float64],
    ) -> Predictor:
        """Runs both layers with every known edge visible; what is left is one product a query."""
        assert self._net is not None
        edges = Edges.of(rows.score, rows.cost, rows.weight).scaled(*self._cost)
        graph = self._graph(rows.vectors, types, profiles, edges.features(self.recipe.scenario))
        visible = torch.from_numpy((edges.weight > 0).T[None].astype(np.float32))
        with torch.no_grad():
            known = self._net.of_queries(graph.task, graph.query)
            agents = self._net.of_agents(graph, known, visible)[0]
        return _Bilinear(self, types, agents, cost)

    def score(self, vectors: NDArray[np.float32], types: TaskTypes, agents: torch.Tensor) -> Floats:
        """Returns p(q, m), [n, M], from the agents' states [M, D]."""
        assert self._net is not None
        with torch.no_grad():
            logits = self._net.logits(self._net.of_queries(*self._inputs(vectors, types)), agents)
            return logits.sigmoid().numpy()

    # -- disk ----------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns the weights, and the ranges by which inputs are scaled."""
        assert self._net is not None
        arrays = {f"net.{name}": array for name, array in arrays_of(self._net).items()}
        for name, scale in (("query", self._query), ("agent", self._agent)):
            arrays |= {f"{name}_low": scale.low, f"{name}_span": scale.span}
        return {"cost_range": list(self._cost)}, arrays

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what `state` returned."""
        self._query = _Range(arrays["query_low"], arrays["query_span"])
        self._agent = _Range(arrays["agent_low"], arrays["agent_span"])
        self._cost = (float(state["cost_range"][0]), float(state["cost_range"][1]))
        width = len(self._query.low)
        with seeded(0):
            net = BipartiteNet(
                width, width, len(self._agent.low), hidden=self.recipe.hidden, mean=self.recipe.mean
            )
        weights = {name[4:]: array for name, array in arrays.items() if name.startswith("net.")}
        load_arrays(net, weights)
        self._net = net.eval()


@dataclass(frozen=True, slots=True, eq=False)
class _Bilinear(Predictor):
    """The agents' states, computed once: a decision is a projection of the query and one product."""

    model: EdgePrediction
    types: TaskTypes
    agents: torch.Tensor
    cost: NDArray[np.float64]

    def __call__(self, vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
        return self.model.score(vectors, self.types, self.agents), self.cost


@dataclass(frozen=True, slots=True, eq=False)
class _Range:
    """Scales every feature to [0, 1] over the rows it was made from, and the same way ever after."""

    low: NDArray[np.float32]
    span: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> _Range:
        low, span = rows.min(0), np.ptp(rows, axis=0)
        return cls(low, np.where(span > 0, span, 1).astype(np.float32))

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((rows - self.low) / self.span).astype(np.float32)


def mean_reward(raw: Floats, reward: Floats) -> float:
    """Returns the mean reward of the agents with the highest prediction.

    Args:
        raw: [n, M] predictions.
        reward: [n, M]; NaN unknown. A choice whose reward is unknown counts as the mean of its row.
    """
    seen = ~np.isnan(reward)
    fill = np.where(seen, reward, 0).sum(1) / np.maximum(seen.sum(1), 1)
    filled = np.where(seen, reward, fill[:, None])
    return float(filled[np.arange(len(raw)), raw.argmax(1)].mean())
