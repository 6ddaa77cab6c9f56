"""A critic: a network that runs a graph in its head and says what score and cost to expect.

It is what is learned from logged runs of whole graphs (Stage I without an environment), it takes the luck out
of single rollouts when labels are mined, and it prices every cut in the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from agentnet.routers.gnn.plan import Plan, TrainingOptions
from agentnet.routers.gnn.training import seeded, train
from agentnet.routers.topology.environment import Environment, Returns
from agentnet.routers.topology.graphs import Graphs, Join
from agentnet.routers.topology.network import Agents

_HOPS = 3
"""Times that messages are passed on: paths of up to three edges are seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Rollouts:
    """R graphs that were run.

    Attributes:
        task: [R] positions of the tasks.
        graphs: The R graphs.
        score: [R] in [0, 1].
        cost: [R] in the environment's unit.
    """

    task: Tensor
    graphs: Graphs
    score: Tensor
    cost: Tensor

    def __len__(self) -> int:
        return len(self.task)

    def take(self, rows: Tensor) -> Rollouts:
        """Returns some of the rollouts, by index or mask."""
        return Rollouts(self.task[rows], self.graphs.take(rows), self.score[rows], self.cost[rows])

    @staticmethod
    def cat(parts: Sequence[Rollouts]) -> Rollouts:
        """Returns the rollouts of all parts."""
        return Rollouts(
            torch.cat([p.task for p in parts]),
            Graphs.cat([p.graphs for p in parts]),
            torch.cat([p.score for p in parts]),
            torch.cat([p.cost for p in parts]),
        )


class Critic(nn.Module):
    """Passes messages along a graph's edges and reads the outputs.

    h_j <- relu(A h0_j + B mean_i->j h_i + C [reads anything]), three times over; the score is read from the
    sum, mean and maximum over the outputs, the cost from what agents and messages cost.
    Any pool of any size will do.

    Args:
        text: d, width of the encodings of tasks and roles.
        width: Hidden width.
        messages: Whether edges carry answers; where not, cost depends on which answers agree, too.
    """

    def __init__(self, text: int, *, width: int = 32, messages: bool = True) -> None:
        super().__init__()
        self.messages = messages
        self.role = nn.Linear(text, width)
        self.task = nn.Linear(text, width)
        self.start = nn.Sequential(nn.Linear(3 * width + 3, width), nn.ReLU())
        self.own = nn.Linear(width, width)
        self.heard = nn.Linear(width, width)
        self.reads = nn.Linear(1, width, bias=False)
        self.score = nn.Sequential(nn.Linear(3 * width + 2, width), nn.ReLU(), nn.Linear(width, 1))
        self.agent_cost = nn.Linear(width, 1)
        self.message_cost = nn.Linear(width, 1)
        self.ran = nn.Sequential(nn.Linear(2 * width + 2, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, tasks: Tensor, agents: Agents, graphs: Graphs) -> tuple[Tensor, Tensor]:
        """Returns [R] log-odds of a right answer and [R] cost over the unit.

        Args:
            tasks: [R, d] encodings.
            agents: N agents.
            graphs: R graphs over them.
        """
        r, n = graphs.keep.shape
        keep, edges, out = graphs.keep.float(), graphs.edges.float(), graphs.outputs.float()
        role = self.role(agents.roles).expand(r, -1, -1)
        task = self.task(tasks)[:, None].expand(-1, n, -1)
        facts = agents.facts.expand(r, -1, -1)
        first = self.start(torch.cat((role, task, role * task, facts), -1)) * keep[..., None]
        count = edges.sum(1)[..., None]
        inward = edges.transpose(1, 2) / count.clamp_min(1.0)
        state = first
        for _ in range(_HOPS):
            heard = inward @ state
            told = self.heard(heard) + self.reads(torch.log1p(count))
            state = torch.relu(self.own(first) + torch.where(count > 0, told, 0.0)) * keep[..., None]
        outputs = out.sum(1, keepdim=True)
        total = (state * out[..., None]).sum(1)
        top = torch.where(graphs.outputs[..., None], state, 0.0).amax(1)
        size = torch.cat((torch.log1p(keep.sum(1, keepdim=True)), torch.log1p(outputs)), 1)
        logit = self.score(torch.cat((total / outputs.clamp_min(1.0), top, total / 3, size), 1)).squeeze(1)
        return logit, self._cost(first, task[:, 0], keep, edges, size)

    def _cost(self, first: Tensor, task: Tensor, keep: Tensor, edges: Tensor, size: Tensor) -> Tensor:
        asked = softplus(self.agent_cost(first).squeeze(-1)) * keep
        if self.messages:
            sent = softplus(self.message_cost(first).squeeze(-1))[..., None] * edges
            read: Tensor = asked.sum(1) + sent.sum((1, 2))
            return read
        # An agent that waits costs nothing where it is skipped.
        ran = self.ran(torch.cat((first.mean(1), task, size), 1)).sigmoid()
        cost: Tensor = (asked * torch.where(edges.amax(1) > 0, ran, 1.0)).sum(1)
        return cost


@dataclass(frozen=True, slots=True, eq=False)
class Critics:
    """Several critics, each learned from another bootstrap sample of the rollouts.

    Attributes:
        members: The critics, in evaluation mode.
        unit: Unit of cost.
    """

    members: tuple[Critic, ...]
    unit: float

    @torch.no_grad()
    def expect(self, tasks: Tensor, agents: Agents, graphs: Graphs) -> tuple[Tensor, Tensor, Tensor]:
        """Returns [R] expected score, [R] its standard deviation between critics, and [R] expected cost."""
        scores, costs = [], []
        for critic in self.members:
            logit, cost = critic(tasks, agents, graphs)
            scores.append(logit.sigmoid())
            costs.append(cost)
        score = torch.stack(scores)
        return score.mean(0), score.std(0, correction=0), torch.stack(costs).mean(0) * self.unit


def learn_critics(
    rollouts: Rollouts,
    tasks: Tensor,
    agents: Agents,
    *,
    unit: float,
    messages: bool,
    members: int,
    epochs: int,
    width: int = 32,
    held_out: Tensor | None = None,
    seed: int,
    device: str,
    options: TrainingOptions | None,
    label: str,
) -> Critics:
    """Learns critics from rollouts.

    Args:
        rollouts: What was run.
        tasks: [n, d] encodings of the tasks.
        agents: The N agents.
        unit: Unit of cost.
        messages: Whether edges carry answers.
        members: Number of critics.
        epochs: Most passes over the rollouts.
        width: Hidden width.
        held_out: [n] bool: tasks whose rollouts say when to stop; None trains to the end.
        seed: Makes it deterministic.
        device: ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint.
        label: Names the training.
    """
    made = []
    kept = torch.ones(len(rollouts), dtype=torch.bool)
    if held_out is not None and held_out[rollouts.task].any() and not held_out[rollouts.task].all():
        kept = ~held_out[rollouts.task]
    learn_from, judge_by = kept.nonzero().squeeze(1), (~kept).nonzero().squeeze(1)
    for member in range(members):
        with seeded(seed + member):
            critic = Critic(tasks.shape[1], width=width, messages=messages)
        lesson = _Lesson(critic, rollouts, tasks, agents, unit)
        rows = learn_from
        if member:
            pick = torch.Generator().manual_seed(seed + member)
            rows = learn_from[torch.randint(len(learn_from), (len(learn_from),), generator=pick)]
        train(
            critic,
            epoch=lambda _, generator, rows=rows, lesson=lesson: lesson.epoch(rows, generator),  # type: ignore[misc]
            validate=(lambda lesson=lesson: lesson.value(judge_by)) if len(judge_by) else None,  # type: ignore[misc]
            plan=Plan(epochs=epochs, patience=max(5, epochs // 5), lr=3e-3, weight_decay=0.01, clip=1.0),
            seed=seed + member,
            device=device,
            options=options,
            label=f"{label} critic {member + 1}",
        )
        made.append(critic.cpu())
    return Critics(tuple(made), unit)


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    critic: Critic
    rollouts: Rollouts
    tasks: Tensor
    agents: Agents
    unit: float

    def epoch(self, rows: Tensor, generator: torch.Generator, batch: int = 256) -> Iterator[Tensor]:
        order = rows[torch.randperm(len(rows), generator=generator)]
        for part in torch.split(order, batch):
            yield self._loss(part)

    def value(self, rows: Tensor) -> float:
        return -float(self._loss(rows))

    def _loss(self, rows: Tensor) -> Tensor:
        place = next(self.critic.parameters()).device
        part = self.rollouts.take(rows)
        graphs = Graphs(*(getattr(part.graphs, k).to(place) for k in ("keep", "edges", "outputs")))
        logit, cost = self.critic(self.tasks[part.task].to(place), self.agents.to(str(place)), graphs)
        known = part.cost.to(place) / self.unit
        loss = binary_cross_entropy_with_logits(logit, part.score.to(place))
        return loss + 0.2 * (torch.log1p(cost.clamp_min(0)) - torch.log1p(known)).square().mean()


class CriticEnvironment:
    """An `Environment` that answers with what critics learned from logs expect; cautious where they differ.

    Args:
        critics: From `learn_critics`.
        tasks: [n, d] encodings of the tasks.
        agents: The N agents.
        names: Their names.
        join: Whose answers the decision reads.
        caution: Standard deviations between critics by which a score is lowered: where the log is thin the
            critics disagree, and what was hardly ever run must not look best by chance.
    """

    messages = True

    def __init__(
        self,
        critics: Critics,
        tasks: Tensor,
        agents: Agents,
        names: Sequence[str],
        *,
        join: Join,
        caution: float = 1.0,
    ) -> None:
        self._critics, self._tasks, self._known, self._caution = critics, tasks, agents, caution
        self.agents, self.n, self.join, self.unit = tuple(names), len(tasks), join, critics.unit

    def run(self, tasks: Tensor, graphs: Graphs, generator: torch.Generator) -> Returns:
        """Returns expected scores, lowered where the critics differ, and expected costs."""
        score, spread, cost = self._critics.expect(self._tasks[tasks], self._known, graphs)
        return Returns((score - self._caution * spread).clamp(0.0, 1.0), cost)


def roll_out(env: Environment, tasks: Tensor, graphs: Graphs, generator: torch.Generator) -> Rollouts:
    """Runs graphs on tasks, some thousands at a time."""
    scores, costs = [], []
    for rows in torch.split(torch.arange(len(tasks)), 8192):
        found = env.run(tasks[rows], graphs.take(rows), generator)
        scores.append(found.score)
        costs.append(found.cost)
    return Rollouts(tasks, graphs, torch.cat(scores), torch.cat(costs))
