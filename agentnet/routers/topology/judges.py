"""What to expect of a graph that was not searched: the judges behind evidence and other pools.

`CriticJudge` asks critics. `ReplayJudge` replays the graph on logged tasks like the one at hand, which is
exact on these: it needs every agent's recorded answers, and so knows no agent without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.routers.gnn.training import arrays_of, load_arrays
from agentnet.routers.topology.critic import Critic, Critics
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.network import Agents
from agentnet.routers.topology.replay import ReplayEnvironment

CRITIC_PROBES, REPLAY_PROBES = 64, 400
"""Logged tasks kept with a router."""


class Judge(Protocol):
    """Expectations of any graph over N agents."""

    strangers: bool
    """Whether it can judge agents of which there is no outcome."""

    def mean(self, graphs: Graphs, agents: Agents) -> tuple[Tensor, Tensor]:
        """Returns [P] mean score and [P] mean cost of graphs on logged tasks."""

    def on(self, task: Tensor, group: int, graphs: Graphs, agents: Agents) -> tuple[Tensor, Tensor]:
        """Returns [P] expected score and [P] expected cost of graphs on a task [d] of a group."""

    def among(self, names: Sequence[str]) -> Self:
        """Returns the judge for other agents, some of them perhaps unknown."""

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays."""


@dataclass(frozen=True, slots=True, eq=False)
class CriticJudge:
    """Asks critics; see `Judge`.

    Attributes:
        critics: The critics.
        probes: [T, d] encodings of logged tasks.
    """

    critics: Critics
    probes: Tensor
    strangers: bool = True

    @classmethod
    def of(cls, critics: Critics, tasks: Tensor) -> CriticJudge:
        """Keeps some of the logged tasks."""
        return cls(critics, tasks[_some(len(tasks), CRITIC_PROBES)].clone())

    def mean(self, graphs: Graphs, agents: Agents) -> tuple[Tensor, Tensor]:
        """Returns what critics expect, over the probes."""
        p, t = len(graphs), len(self.probes)
        each = graphs.take(torch.arange(p).repeat_interleave(t))
        score, _, cost = self.critics.expect(self.probes.repeat(p, 1), agents, each)
        return score.view(p, t).mean(1), cost.view(p, t).mean(1)

    def on(self, task: Tensor, group: int, graphs: Graphs, agents: Agents) -> tuple[Tensor, Tensor]:
        """Returns what critics expect on the task itself."""
        score, _, cost = self.critics.expect(task.expand(len(graphs), -1), agents, graphs)
        return score, cost

    def among(self, names: Sequence[str]) -> CriticJudge:
        """Returns itself: critics know agents by their roles."""
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        arrays = {"probes": self.probes.numpy()}
        for i, critic in enumerate(self.critics.members):
            arrays |= {f"critic{i}.{name}": array for name, array in arrays_of(critic).items()}
        first = self.critics.members[0]
        return {
            "judge": "critics", "critics": len(self.critics.members), "critic_unit": self.critics.unit,
            "critic_messages": first.messages, "critic_width": first.role.out_features,
        }, arrays  # fmt: skip

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> CriticJudge:
        """Builds the judge from what `state` returned."""
        probes = torch.from_numpy(np.array(arrays["probes"]))
        members = []
        for i in range(int(state["critics"])):
            critic = Critic(
                probes.shape[1], width=int(state["critic_width"]), messages=state["critic_messages"]
            )
            mine = f"critic{i}."
            load_arrays(critic, {k.removeprefix(mine): a for k, a in arrays.items() if k.startswith(mine)})
            members.append(critic.eval())
        return cls(Critics(tuple(members), float(state["critic_unit"])), probes)


@dataclass(frozen=True, slots=True, eq=False)
class ReplayJudge:
    """Replays graphs on logged tasks; see `Judge`.

    Attributes:
        replayed: Recorded answers to logged tasks.
        group: [T] the groups of these tasks.
    """

    replayed: ReplayEnvironment
    group: Tensor
    strangers: bool = False

    @classmethod
    def of(cls, env: ReplayEnvironment, tasks: Tensor, group: Tensor) -> ReplayJudge:
        """Keeps some of the logged tasks, with their groups."""
        some = _some(len(tasks), REPLAY_PROBES)
        return cls(env.take(tasks[some]), group[some].clone())

    def _each(self, graphs: Graphs) -> tuple[Tensor, Tensor]:
        p, t = len(graphs), len(self.group)
        made = self.replayed.run(torch.arange(t).repeat(p), graphs.take(torch.arange(p).repeat_interleave(t)))
        return made.score.view(p, t), made.cost.view(p, t)

    def mean(self, graphs: Graphs, agents: Agents) -> tuple[Tensor, Tensor]:
        """Returns means over the kept tasks."""
        score, cost = self._each(graphs)
        return score.mean(1), cost.mean(1)

    def on(self, task: Tensor, group: int, graphs: Graphs, agents: Agents) -> tuple[Tensor, Tensor]:
        """Returns means over the kept tasks; those of the same group count five times."""
        score, cost = self._each(graphs)
        weight = torch.where(self.group == group, 5.0, 1.0)
        weight = weight / weight.sum()
        return score @ weight, cost @ weight

    def among(self, names: Sequence[str]) -> ReplayJudge:
        """Returns the judge of some of the agents."""
        return replace(self, replayed=self.replayed.among(names))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        state, arrays = self.replayed.state()
        return {"judge": "replay", "replay": state}, arrays | {"replay_group": self.group.numpy()}

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ReplayJudge:
        """Builds the judge from what `state` returned."""
        group = torch.from_numpy(np.array(arrays["replay_group"]))
        return cls(ReplayEnvironment.restore(state["replay"], arrays), group)


def restore_judge(state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> CriticJudge | ReplayJudge:
    """Builds a judge from what its ``state`` returned."""
    kind = CriticJudge if state["judge"] == "critics" else ReplayJudge
    return kind.restore(state, arrays)


def _some(count: int, most: int) -> Tensor:
    return torch.linspace(0, count - 1, min(most, count)).long()
