"""`TaskNodes`: a graph in which queries reach agents through task nodes, so that a new query gets messages.

The released GraphRouter sends messages from queries to agents only: a query's own state is a projection of
its text, and which of the known queries resemble it is never used. Here a query is tied by attention to a
few dozen task nodes. Known queries send their outcomes to the task nodes, these send each agent's mean
residual to the new query. The attention is learned; outcomes are only ever read off the visible edges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.clustering import spherical_kmeans
from agentnet.routers.decision import Floats
from agentnet.routers.gnn.edge_prediction import mean_reward
from agentnet.routers.gnn.edges import draw_visible
from agentnet.routers.gnn.model import GraphModel, Learned, Learning, Predictor
from agentnet.routers.gnn.task_types import TaskTypes
from agentnet.routers.gnn.training import Plan, arrays_of, load_arrays, pick_device, seeded, train
from agentnet.routers.heads import folds
from agentnet.routers.rows import Rows
from agentnet.routers.tuning import sample_rows

_ROWS_PER_NODE = 8
_COST_MASS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecipe:
    """Settings of the training.

    Attributes:
        nodes: Task nodes that start as clusters; those of the task types come on top.
        members: Networks whose predictions are averaged. Each leaves out another part of the rows, by which
            it stops and from which the calibration is learned.
        epochs: Most steps of AdamW, each over all rows.
        maskings: Maskings of whole queries, in a step.
        visible: Share of queries whose outcomes are visible in a masking; the others are predicted.
        reward: Weight of the expected score of the choice beside the squared error of all scores.
        softness: Temperature of the choice in that expectation.
        temperature: Of the attention over clusters, at the start.
    """

    nodes: int = 32
    members: int = 5
    epochs: int = 60
    maskings: int = 4
    visible: float = 0.5
    reward: float = 0.5
    softness: float = 0.1
    temperature: float = 0.05
    lr: float = 3e-2
    patience: int = 4
    validate_every: int = 5
    most_rows: int = 5000


class TaskNodeNet(nn.Module):
    """Attention of queries over groups of task nodes, and how outcomes are averaged there.

    a_g(q) = softmax(W_g q + b_g) over the nodes of group g; a node's message about agent m is

        R_g[t, m] = sum_i a_g(i)_t w_im (s_im - mean_m) / (sum_i a_g(i)_t w_im + exp(l_g))

    over the visible outcomes, and score(q, m) = mean_m + mean_g a_g(q) R_g[:, m].

    Args:
        weights: Start of W_g, [d, T_g] for each group.
        biases: Start of b_g, [T_g] for each group.
    """

    def __init__(self, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.weight = nn.ParameterList([nn.Parameter(weight.clone()) for weight in weights])
        self.bias = nn.ParameterList([nn.Parameter(bias.clone()) for bias in biases])
        self.mass = nn.Parameter(torch.ones(len(weights)))

    def attend(self, queries: torch.Tensor) -> list[torch.Tensor]:
        """Returns [n, T_g] attention over the task nodes, for each group."""
        pairs = zip(self.weight, self.bias, strict=True)
        return [(queries @ weight + bias).softmax(1) for weight, bias in pairs]

    def messages(
        self, attention: Sequence[torch.Tensor], residual: torch.Tensor, weight: torch.Tensor
    ) -> list[torch.Tensor]:
        """Returns [..., T_g, M], what the task nodes know of each agent, for each group.

        Args:
            attention: From `attend`, of the known queries.
            residual: [..., n, M] weighted score minus the agent's mean; 0 where not visible.
            weight: [..., n, M] weight of the score; 0 where not visible.
        """
        return [
            (a.T @ residual) / (a.T @ weight + mass.exp())
            for a, mass in zip(attention, self.mass, strict=True)
        ]

    def gather(self, attention: Sequence[torch.Tensor], messages: Sequence[torch.Tensor]) -> torch.Tensor:
        """Returns [..., n, M] the queries' mean message over the groups."""
        parts = [a @ message for a, message in zip(attention, messages, strict=True)]
        return torch.stack(parts).mean(0)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Outcomes as tensors on a device."""

    vectors: torch.Tensor
    score: torch.Tensor
    weight: torch.Tensor
    mean: torch.Tensor

    @classmethod
    def of(cls, vectors: Any, score: Any, weight: Any, mean: Any, device: str = "cpu") -> _Table:
        seen = ~np.isnan(score)
        mass = seen if weight is None else np.where(seen, weight, 0)
        filled = np.where(seen, score, 0)
        parts = (np.asarray(part, np.float32) for part in (vectors, filled, mass, mean))
        return cls(*(torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in parts))

    def take(self, rows: NDArray[np.intp]) -> _Table:
        at = torch.from_numpy(rows).to(self.score.device)
        return _Table(self.vectors[at], self.score[at], self.weight[at], self.mean)

    @property
    def residual(self) -> torch.Tensor:
        return self.weight * (self.score - self.mean)


class TaskNodes(GraphModel):
    """The recipe ``agentnet``.

    Args:
        recipe: Its settings.
    """

    def __init__(self, recipe: NodeRecipe) -> None:
        self.recipe = recipe
        self.nets: list[TaskNodeNet] = []

    # -- learning ------------------------------------------------------------------------------
    def learn(self, data: Learning) -> Learned:
        """Trains the members; each predicts the rows that it has left out."""
        outcomes, device = data.outcomes, pick_device(data.device)
        rows = sample_rows(len(outcomes), self.recipe.most_rows, data.seed)
        kind = np.unique(np.array(outcomes.queries.task)[rows], return_inverse=True)[1]
        count = min(self.recipe.members, len(rows))
        fold = folds(kind, count, seed=data.seed)
        table = _Table.of(data.vectors, outcomes.score, outcomes.weight, data.mean, device).take(rows)
        raw = np.empty((len(rows), len(outcomes.pool)), np.float32)
        epochs = []
        self.nets = []
        for member in range(count):
            held = np.flatnonzero(fold == member)
            fit = np.flatnonzero(fold != member) if count > 1 else held
            net = self._start(data, rows[fit], member, device)
            best = self._train(net, table.take(fit), table.take(held), data, member, count, device)
            with torch.no_grad(), torch_threads(1):
                raw[held] = _predict(net, table.take(fit), table.take(held).vectors).cpu().numpy()
            epochs.append(best + 1)
            self.nets.append(net.cpu())
        value = mean_reward(raw, outcomes.score[rows])
        chosen = {"members": count, "epochs": epochs, "score": round(value, 6)}
        note = "each network stopped by the part of train and val that it had left out"
        return Learned(rows, raw, chosen, (note,))

    def _start(self, data: Learning, rows: NDArray[np.intp], member: int, device: str) -> TaskNodeNet:
        """A network that attends to the predicted types and to fresh clusters."""
        vectors = torch.from_numpy(np.ascontiguousarray(data.vectors[rows], np.float32))
        count = max(1, min(self.recipe.nodes, len(rows) // _ROWS_PER_NODE))
        centres = spherical_kmeans(vectors, count, seed=data.seed * 1000 + member)
        types = TaskTypes.of(data.outcomes.take(rows), data.vectors[rows], seed=data.seed).head
        weights = [torch.from_numpy(types.weight), centres.T / self.recipe.temperature]
        biases = [torch.from_numpy(types.bias), torch.zeros(count)]
        return TaskNodeNet(weights, biases).to(device)

    def _train(
        self,
        net: TaskNodeNet,
        fit: _Table,
        held: _Table,
        data: Learning,
        member: int,
        count: int,
        device: str,
    ) -> int:
        recipe = self.recipe
        known = (fit.weight > 0).any(1, keepdim=True)

        def epoch(_: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
            seen = draw_visible(known, recipe.maskings, recipe.visible, generator, whole=True)
            visible = seen.transpose(1, 2)
            attention = net.attend(fit.vectors)
            messages = net.messages(attention, visible * fit.residual, visible * fit.weight)
            score = fit.mean + net.gather(attention, messages)
            yield self._loss(score, fit.score, fit.weight * (1 - visible))

        def validate() -> float:
            score = _predict(net, fit, held.vectors)[None]
            return -float(self._loss(score, held.score, held.weight[None]))

        plan = Plan(
            epochs=recipe.epochs, patience=recipe.patience, lr=recipe.lr, schedule="linear",
            validate_every=recipe.validate_every,
        )  # fmt: skip
        done = train(
            net, epoch=epoch, validate=validate, plan=plan, seed=data.seed * 1000 + member, device=device,
            options=data.options, label=f"graph network {member + 1} of {count}",
            identity=data.outcomes.fingerprint,
        )  # fmt: skip
        return done.best

    def _loss(self, score: torch.Tensor, known: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Squared error of all scores, minus the expected score of a soft choice among the known agents.

        Args:
            score: [B, n, M] predicted.
            known: [n, M] recorded.
            weight: [B, n, M] 0 where there is nothing to predict.
        """
        error = (weight * (score - known).square()).sum() / weight.sum().clamp(min=1)
        there = weight > 0
        count = there.sum(2, keepdim=True)
        centre = (known * there).sum(2, keepdim=True) / count.clamp(min=1)
        odds = (score / self.recipe.softness).masked_fill(~there, -1e9).softmax(2)
        gain = (odds * (known - centre) * there).sum() / (count > 0).sum().clamp(min=1)
        return error - self.recipe.reward * gain

    # -- predicting ----------------------------------------------------------------------------
    def predictor(
        self,
        rows: Rows,
        types: TaskTypes,
        profiles: NDArray[np.float32],
        mean: NDArray[np.float64],
        cost: NDArray[np.float64],
    ) -> Predictor:
        """Collects every member's messages of scores and of costs from all known edges."""
        table = _Table.of(rows.vectors, rows.score, rows.weight, mean)
        usual = np.nan_to_num(cost)
        paid = None if rows.cost is None else _Table.of(rows.vectors, rows.cost, None, usual)
        # In units of the dearest mean, as costs are tiny numbers.
        unit = float(usual.max()) or 1.0
        weights, biases, messages = [], [], []
        with torch.no_grad(), torch_threads(1):
            for net in self.nets:
                attention = net.attend(table.vectors)
                told = net.messages(attention, table.residual, table.weight)
                for a, message in zip(attention, told, strict=True):
                    parts = [message]
                    if paid is not None:
                        parts.append((a.T @ (paid.residual / unit)) / (a.T @ paid.weight + _COST_MASS) * unit)
                    messages.append(torch.cat(parts, 1))
                weights += list(net.weight)
                biases += list(net.bias)
            return _Attention(
                torch.cat(weights, 1), torch.cat(biases), tuple(len(bias) for bias in biases),
                torch.cat(messages) / len(messages), np.asarray(mean, np.float32), cost,
            )  # fmt: skip

    # -- disk ----------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns the members' weights."""
        arrays = {
            f"net{i}.{name}": array
            for i, net in enumerate(self.nets)
            for name, array in arrays_of(net).items()
        }
        return {"members": len(self.nets)}, arrays

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what `state` returned."""
        self.nets = []
        for i in range(int(state["members"])):
            start = f"net{i}."
            own = {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
            groups = len(own["mass"])
            shapes = [own[f"weight.{g}"].shape for g in range(groups)]
            with seeded(0):
                net = TaskNodeNet(
                    [torch.zeros(shape) for shape in shapes], [torch.zeros(shape[1]) for shape in shapes]
                )
            load_arrays(net, own)
            self.nets.append(net.eval().requires_grad_(False))


def _predict(net: TaskNodeNet, known: _Table, queries: torch.Tensor) -> torch.Tensor:
    """[n, M] scores of queries, with every outcome in ``known`` visible."""
    messages = net.messages(net.attend(known.vectors), known.residual, known.weight)
    return known.mean + net.gather(net.attend(queries), messages)


@dataclass(frozen=True, slots=True, eq=False)
class _Attention(Predictor):
    """All members and groups side by side: one product, a softmax a group, and one product.

    Attributes:
        weight: [d, sum of T_g].
        bias: [sum of T_g].
        sizes: T_g of each group.
        table: [sum of T_g, M or 2 M] messages of residual scores, and of residual costs where known.
        mean: [M].
        cost: [M] mean USD; NaN unknown.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    sizes: tuple[int, ...]
    table: torch.Tensor
    mean: NDArray[np.float32]
    cost: NDArray[np.float64]

    def attend(self, vectors: NDArray[np.float32]) -> torch.Tensor:
        """Returns [n, sum of T_g]: attention, which sums to 1 in each group."""
        with torch.no_grad():
            logits = torch.from_numpy(np.ascontiguousarray(vectors)) @ self.weight + self.bias
            return torch.cat([part.softmax(1) for part in torch.split(logits, list(self.sizes), 1)], 1)

    def __call__(self, vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
        found = (self.attend(vectors) @ self.table).numpy()
        agents = len(self.mean)
        score = found[:, :agents] + self.mean
        if found.shape[1] == agents:
            return score, self.cost
        return score, np.maximum(self.cost + found[:, agents:], 0)
