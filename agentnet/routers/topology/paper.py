"""``recipe="paper"``: Adaptive Graph Pruning as published, on the parts of `paper_net` and `paper_stages`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from agentnet.routers.gnn.training import arrays_of, load_arrays, seeded
from agentnet.routers.topology.graphs import Graphs, Join
from agentnet.routers.topology.learning import Lesson, Training
from agentnet.routers.topology.paper_labels import PaperLabels, mine_labels, rank_labels
from agentnet.routers.topology.paper_net import PaperInputs, PaperNet, PaperOutput, decode
from agentnet.routers.topology.paper_stages import StageOne, StageTwo, stage_one, stage_two
from agentnet.routers.topology.picked import Picked


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRecipe:
    """Settings of both stages.

    Attributes:
        one: Of the first stage; None leaves it out.
        two: Of the second stage.
        budget: Runs of sampled graphs for the labels, over all tasks.
        top: Labels a task.
    """

    one: StageOne | None
    two: StageTwo
    budget: int = 2000
    top: int = 2


@dataclass(frozen=True, slots=True, eq=False)
class PaperPruner:
    """The fitted state of ``recipe="paper"``: one network for any agents, known by their roles.

    Attributes:
        names: The agents of the pool.
        roles: [N, d] their encoded descriptions.
        net: The network.
        level: Mean score of the graphs decided for on held-out tasks; NaN where none could be run.
        join: Whose answers the decision reads.
    """

    names: tuple[str, ...]
    roles: Tensor
    net: PaperNet
    level: float
    join: Join

    @classmethod
    def learn(
        cls, lesson: Lesson, recipe: PaperRecipe, training: Training
    ) -> tuple[PaperPruner, dict[str, Any]]:
        """Runs both stages; returns the pruner, and what was done for the report.

        Where graphs cannot be run there is no first stage: the labels are the best logged runs.
        """
        with seeded(training.seed):
            net = PaperNet(lesson.tasks.shape[1])
        inputs = PaperInputs.of(lesson.tasks, lesson.agents.roles)
        seed, device, options = training.seed, training.device, training.options
        if recipe.one is not None and lesson.env is not None:
            stage_one(
                net, lesson.env, inputs, tasks=lesson.train, plan=recipe.one, seed=seed, device=device,
                options=options, label=f"{training.label} stage 1",
            )  # fmt: skip
        labels = _labels(net.cpu(), inputs, lesson, recipe, seed)
        if len(labels):
            stage_two(
                net, labels, inputs, plan=recipe.two, seed=seed, device=device, options=options,
                label=f"{training.label} stage 2",
            )  # fmt: skip
        pruner = cls(lesson.names, lesson.agents.roles, net.cpu().eval(), float("nan"), lesson.join)
        told = {"labels": len(labels), "label_keep_rate": round(float(labels.keep.float().mean()), 4)}
        return replace(pruner, level=pruner._level(lesson)), told

    def _level(self, lesson: Lesson) -> float:
        rows = lesson.val if len(lesson.val) else lesson.train
        if lesson.env is None:
            return float("nan")
        picked = self.pick(lesson.tasks[rows], 0.0)
        return float(lesson.env.run(rows, picked.graphs, torch.Generator().manual_seed(0)).score.mean())

    def seated(self, names: Sequence[str], roles: Tensor) -> PaperPruner:
        """Returns the pruner for a pool, whose agents need not be known: the network reads roles.

        Known agents come first, in the order of the training, because edges are visited in that order.
        """
        place = {name: i for i, name in enumerate(names)}
        known = [name for name in self.names if name in place]
        order = (*known, *sorted(set(names) - set(known)))
        if order == self.names:
            return self
        return replace(self, names=order, roles=roles[[place[name] for name in order]])

    @torch.inference_mode()
    def forward(self, tasks: Tensor, rate: float) -> PaperOutput:
        """Returns what one bare pass of the network gives; the price is not looked at."""
        return self.net.read(PaperInputs.of(tasks, self.roles), torch.arange(len(tasks)))

    @torch.inference_mode()
    def pick(self, tasks: Tensor, rate: float) -> Picked:
        """Returns the graphs above the thresholds; the price is not looked at."""
        output = self.forward(tasks, rate)
        keep = output.keep_logits
        assert keep is not None
        # Four digits: a batch of another size differs in the last ones.
        output = PaperOutput(output.edge_logits.round(decimals=4), keep.round(decimals=4))
        graphs = decode(output, join=self.join)
        level = torch.full((len(tasks),), self.level)
        flat = torch.cat((output.keep[:, None], output.edges), 1)
        keys = [row.tobytes() for row in torch.cat((graphs.keep[:, None], graphs.edges), 1).numpy()]
        nan = torch.full_like(level, float("nan"))
        return Picked(graphs, range(len(graphs)), keys, level, nan, flat)

    def probabilities(self, evidence: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [N] p and [N, N] A of one task."""
        keep, edge = evidence[0].double().numpy(), evidence[1:].double().numpy().copy()
        np.fill_diagonal(edge, 0.0)
        return keep, edge

    def needed(self, keep: NDArray[np.float64]) -> None:
        """Returns None: the paper's mask is not calibrated."""

    def expect(self, task: Tensor, graphs: Graphs) -> None:
        """Returns None: the paper's network expects no score."""

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        arrays = {f"net.{name}": array for name, array in arrays_of(self.net).items()}
        level = None if np.isnan(self.level) else self.level
        state = {"names": list(self.names), "level": level, "join": self.join}
        return state, arrays | {"roles": self.roles.numpy()}

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> PaperPruner:
        """Builds the pruner from what `state` returned."""
        roles = torch.from_numpy(np.array(arrays["roles"]))
        net = PaperNet(roles.shape[1])
        load_arrays(net, {k.removeprefix("net."): a for k, a in arrays.items() if k.startswith("net.")})
        level = float("nan") if state["level"] is None else float(state["level"])
        return cls(tuple(state["names"]), roles, net.eval(), level, state["join"])


def _labels(
    net: PaperNet, inputs: PaperInputs, lesson: Lesson, recipe: PaperRecipe, seed: int
) -> PaperLabels:
    """The best graphs of every task: run now, or logged."""
    if lesson.env is not None:
        return mine_labels(
            lesson.env, tasks=lesson.train, generator=torch.Generator().manual_seed(seed),
            budget=recipe.budget, k=recipe.top, net=net, inputs=inputs,
        )  # fmt: skip
    assert lesson.logged is not None
    log = lesson.logged.rollouts
    learned_from = one_hot(lesson.train, len(lesson.tasks)).sum(0).bool()
    log = log.take(learned_from[log.task])
    return rank_labels(log.task, log.graphs.keep, log.graphs.edges, log.score, log.cost, recipe.top)
