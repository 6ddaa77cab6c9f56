"""How ``recipe="agentnet"`` learns: Stage I searches good graphs, Stage II learns when each is the best.

Stage I. Graphs are run on the logged tasks, thousands at a time, and the best at several prices of cost make
a bank. Where graphs cannot be run, critics learned from logged runs say what they would come to.
Stage II. The network's energy makes a distribution over the bank for every task and price; what is raised is
the expected utility, which is an exact sum over the bank, so that its gradient has no variance from sampling.
The weights that decide best on held-out tasks are kept: an untrained network decides by the bank's means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from agentnet.outcomes.encoders.base import unit_rows
from agentnet.routers.calibration import fit_logistic
from agentnet.routers.clustering import spherical_kmeans
from agentnet.routers.gnn.plan import Plan, TrainingOptions
from agentnet.routers.gnn.training import History, seeded, train
from agentnet.routers.topology.bank import NEVER, Bank, first_of_each
from agentnet.routers.topology.critic import CriticEnvironment, Critics, Rollouts, learn_critics, roll_out
from agentnet.routers.topology.environment import Environment, dial_utility
from agentnet.routers.topology.graphs import Graphs, Join, unique_graphs
from agentnet.routers.topology.judges import CriticJudge, ReplayJudge
from agentnet.routers.topology.network import Agents, Decoder, TopologyNet
from agentnet.routers.topology.parts import LoggedEnvironment, LoggedParts
from agentnet.routers.topology.replay import ReplayEnvironment
from agentnet.routers.topology.search import Effort, Found, evolve, group_means
from agentnet.routers.topology.solo import FEWEST_HELD_OUT
from agentnet.routers.topology.start import layered_graphs, plain_graphs, prior_graphs

RATES = (0.0, 0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 1.0, 3.0)
"""Prices at which graphs are searched and decisions validated: r, what the unit of cost is worth in score."""
PSEUDOS = (NEVER, 300.0, 100.0, 30.0, 5.0)
"""Settings of `Bank.pseudo` that are tried."""
_RUNS = 12
"""Runs of every graph of the bank on every task, where an environment draws."""
_A_GROUP = 12
"""Tasks a group, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Settings of the learning.

    Attributes:
        effort: Of the search.
        stage_one: Whether to search; without, the bank holds graphs of the prior.
        epochs: Passes over the tasks in Stage II; 0 leaves the network untrained.
        decoder: Of the network.
        width: Of the networks.
        critics: Critics that are averaged where they stand in for an environment; else there is one.
        lr: Learning rate of Stage II.
    """

    effort: Effort = field(default_factory=Effort)
    stage_one: bool = True
    epochs: int = 60
    decoder: Decoder = "directed"
    width: int = 32
    critics: int = 3
    lr: float = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is learned from.

    Attributes:
        tasks: [n, d] encodings.
        agents: The N agents.
        names: Their names.
        train: Positions of the tasks that are learned from.
        val: Positions of those that decide which weights are kept.
        env: Where graphs are run; None where there are only logged rollouts.
        logged: What logged runs know; None where there are none.
        join: Whose answers the decision reads.
        unit: Unit of cost.
        normalise: Name of the normaliser by which answers are compared.
    """

    tasks: Tensor
    agents: Agents
    names: tuple[str, ...]
    train: Tensor
    val: Tensor
    env: Environment | None
    logged: LoggedParts | None
    join: Join
    unit: float
    normalise: str = "default"

    @property
    def messages(self) -> bool:
        """Whether edges carry answers."""
        return self.env is None or self.env.messages


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learned.

    Attributes:
        bank: The graphs.
        net: The energy's network.
        judge: What to expect of any other graph.
        keep: (slope, offset) by which the log-odds of keeping an agent are calibrated.
        history: Of Stage II.
        tried: Graphs that the search tried.
        rollouts: Rollouts that critics learned from; 0 without critics.
    """

    bank: Bank
    net: TopologyNet
    judge: CriticJudge | ReplayJudge
    keep: tuple[float, float]
    history: History
    tried: int
    rollouts: int


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """How the networks are trained.

    Attributes:
        seed: Makes it deterministic.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint.
        label: Names the trainings.
    """

    seed: int
    device: str
    options: TrainingOptions | None
    label: str


def learn_topology(lesson: Lesson, recipe: Recipe, training: Training) -> Learned:
    """Learns which graph to run when; see the module."""
    generator = torch.Generator().manual_seed(training.seed)
    critics: Critics | None = None
    env = lesson.env
    if env is None:
        assert lesson.logged is not None
        critics = _critics(lesson, recipe, lesson.logged.rollouts, training)
        guess = CriticEnvironment(critics, lesson.tasks, lesson.agents, lesson.names, join=lesson.join)
        env = LoggedEnvironment(lesson.logged, guess, normalise=lesson.normalise)
    found, group, centroids = search(lesson, env, recipe, generator)
    rows = first_of_each(found.graphs)
    table = Table.of(env, found.graphs.take(rows), lesson, generator, runs=_RUNS if found.draws else 1)
    bank = table.bank(found.graphs.take(rows), lesson, group, centroids)
    rollouts = found.sample if lesson.logged is None else lesson.logged.rollouts
    judge: CriticJudge | ReplayJudge
    if isinstance(env, ReplayEnvironment):
        judge = ReplayJudge.of(env, lesson.train, bank.group(lesson.tasks[lesson.train]))
    else:
        critics = critics or _critics(lesson, recipe, rollouts, training)
        judge = CriticJudge.of(critics, lesson.tasks[lesson.train])
    with seeded(training.seed):
        net = TopologyNet(lesson.tasks.shape[1], width=recipe.width, decoder=recipe.decoder)
    bank = table.best_pseudo(bank, lesson)
    history = _learn_energy(net, bank, table, lesson, recipe, training)
    keep = table.calibrate(net, bank, lesson)
    return Learned(bank, net, judge, keep, history, found.tried, len(rollouts) if critics else 0)


def _critics(lesson: Lesson, recipe: Recipe, rollouts: Rollouts, training: Training) -> Critics:
    held_out = torch.zeros(len(lesson.tasks), dtype=torch.bool)
    held_out[lesson.val] = True
    return learn_critics(
        rollouts, lesson.tasks, lesson.agents, unit=lesson.unit, messages=lesson.messages,
        members=recipe.critics if lesson.env is None else 1,
        epochs=int(np.clip(150_000 // max(len(rollouts), 1), 8, 120)),
        width=recipe.width, held_out=held_out, seed=training.seed, device=training.device,
        options=training.options, label=training.label,
    )  # fmt: skip


def search(
    lesson: Lesson, env: Environment, recipe: Recipe, generator: torch.Generator
) -> tuple[Found, Tensor, Tensor]:
    """Stage I: returns the graphs found, the groups of the tasks learned from, and the groups' centroids."""
    n, count = len(lesson.names), recipe.effort.children
    start = [
        plain_graphs(n, lesson.join),
        prior_graphs(n, count // 2, lesson.join, generator),
        layered_graphs(n, count // 2, lesson.join, generator),
    ]
    if lesson.logged is not None:
        graphs = lesson.logged.rollouts.graphs
        rows, where = unique_graphs(graphs)
        often = torch.bincount(where).argsort(descending=True, stable=True)[: 2 * count]
        start.append(graphs.take(rows[often]))
    groups = max(1, min(12, len(lesson.train) // _A_GROUP))
    units = torch.tensor(unit_rows(lesson.tasks[lesson.train].numpy()))
    centroids = spherical_kmeans(units, groups, seed=0)
    group = (lesson.tasks[lesson.train] @ centroids.T).argmax(1)
    effort = recipe.effort if recipe.stage_one else replace(recipe.effort, generations=0)
    return evolve(env, lesson.train, group, Graphs.cat(start), RATES, generator, effort), group, centroids


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What every graph of a bank came to on every task.

    Attributes:
        score: [n, P].
        cost: [n, P] over the unit.
    """

    score: Tensor
    cost: Tensor

    @classmethod
    def of(
        cls, env: Environment, graphs: Graphs, lesson: Lesson, generator: torch.Generator, *, runs: int = 1
    ) -> Table:
        """Runs every graph on every task, several times where an environment draws."""
        n, p = len(lesson.tasks), len(graphs)
        each, tasks = graphs.take(torch.arange(p).repeat(n)), torch.arange(n).repeat_interleave(p)
        made = [roll_out(env, tasks, each, generator) for _ in range(runs)]
        score, cost = (torch.stack([getattr(m, k) for m in made]).mean(0) for k in ("score", "cost"))
        return cls(score.view(n, p), cost.view(n, p) / lesson.unit)

    def bank(self, graphs: Graphs, lesson: Lesson, group: Tensor, centroids: Tensor) -> Bank:
        """Returns the bank of these graphs, judged on the tasks learned from."""
        score, cost, sizes = group_means(
            self.score[lesson.train], self.cost[lesson.train], group, len(centroids)
        )
        return Bank(lesson.names, graphs, score, cost, sizes, centroids)

    def utility(self, rows: Tensor, rate: Tensor) -> Tensor:
        """[B, P] of every graph on some tasks, each at its price."""
        return dial_utility(self.score[rows], self.cost[rows], rate[:, None], 1.0)

    def values(self, net: TopologyNet | None, bank: Bank, lesson: Lesson, rows: Tensor) -> Tensor:
        """[B] utility of the likeliest graphs on some tasks, mean over `RATES`."""
        total = torch.zeros(len(rows))
        for r in RATES:
            rate = torch.full((len(rows),), r)
            picked = energies(net, bank, lesson, rows, rate).argmax(1, keepdim=True)
            total += self.utility(rows, rate).gather(1, picked)[:, 0]
        return total / len(RATES)

    def best_pseudo(self, bank: Bank, lesson: Lesson) -> Bank:
        """Returns the bank with the setting under which its means decide best on held-out tasks.

        Groups are looked at only where that is better than ignoring them by more than a standard error. The
        tasks searched with cannot tell: a graph is in the bank because it was good on them.
        """
        if len(lesson.val) < FEWEST_HELD_OUT or len(bank.sizes) < 2:
            return bank
        found = {p: self.values(None, replace(bank, pseudo=p), lesson, lesson.val) for p in PSEUDOS}
        best = max(PSEUDOS, key=lambda pseudo: float(found[pseudo].mean()))
        return replace(bank, pseudo=best if clearly_above(found[best], found[NEVER]) else NEVER)

    @torch.no_grad()
    def calibrate(self, net: TopologyNet, bank: Bank, lesson: Lesson) -> tuple[float, float]:
        """Logistic curve from the log-odds of keeping to whether an agent stands in the graph that did best.

        Best is the highest utility on the task itself, the cheaper graph among equals.
        """
        rows = lesson.val if len(lesson.val) >= FEWEST_HELD_OUT else lesson.train
        logits, stands = [], []
        for r in RATES[:-2]:
            rate = torch.full((len(rows),), r)
            chance = energies(net, bank, lesson, rows, rate).softmax(1)
            keep, _ = bank.marginals(chance)
            best = (self.utility(rows, rate) - 1e-4 * self.cost[rows]).argmax(1)
            logits.append(torch.logit(keep.clamp(1e-4, 1 - 1e-4)).flatten())
            stands.append(bank.graphs.keep[best].float().flatten())
        x, y = torch.cat(logits).double().numpy(), torch.cat(stands).double().numpy()
        if y.min() == y.max():
            return 1.0, 0.0
        slope, offset = fit_logistic(x, y)
        return max(float(slope), 0.0), float(offset)


def clearly_above(values: Tensor, base: Tensor) -> bool:
    """Whether paired values are above others by more than a standard error of their difference."""
    gain = values - base
    return bool(gain.mean() > gain.std() / len(gain) ** 0.5)


def energies(net: TopologyNet | None, bank: Bank, lesson: Lesson, rows: Tensor, rate: Tensor) -> Tensor:
    """[B, P] energies of the bank's graphs on some of the lesson's tasks."""
    if net is None:
        return bank.energy(lesson.tasks[rows], rate, None)
    place = next(net.parameters()).device
    worth = net(lesson.tasks[rows].to(place), lesson.agents.to(str(place)), rate.to(place))
    return bank.energy(lesson.tasks[rows], rate, type(worth)(worth.agent.cpu(), worth.edge.cpu()))


def draw_rates(count: int, generator: torch.Generator) -> Tensor:
    """[count] prices: one in six is 0, the others are log-uniform from 0.002 to 4."""
    power = torch.rand(count, generator=generator) * 3.3 - 2.7
    free = torch.rand(count, generator=generator) < 1 / 6
    return torch.where(free, torch.zeros(count), 10**power)


def _learn_energy(
    net: TopologyNet, bank: Bank, table: Table, lesson: Lesson, recipe: Recipe, training: Training
) -> History:
    """Stage II: raises the expected utility over tasks and prices."""
    if not recipe.epochs:
        return History()

    def epoch(_: int, generator: torch.Generator) -> Iterator[Tensor]:
        order = lesson.train[torch.randperm(len(lesson.train), generator=generator)]
        for rows in torch.split(order, 32):
            rate = draw_rates(len(rows), generator)
            chance = energies(net, bank, lesson, rows, rate).softmax(1)
            # Times (1 + r): what is at stake is the same in score at every price.
            worth = table.utility(rows, rate) * (1 + rate[:, None])
            yield -(chance * worth).sum(1).mean()

    judged = lesson.val if len(lesson.val) >= FEWEST_HELD_OUT else None

    def value() -> float:
        assert judged is not None
        return float(table.values(net, bank, lesson, judged).mean())

    plan = Plan(epochs=recipe.epochs, patience=None, lr=recipe.lr, weight_decay=0.05, clip=1.0)
    with seeded(training.seed):
        history = train(
            net, epoch=epoch, validate=None if judged is None else value, plan=plan, seed=training.seed,
            device=training.device, options=training.options, label=f"{training.label} energy",
        )  # fmt: skip
    net.cpu()
    with torch.no_grad():
        if judged is not None and not clearly_above(
            table.values(net, bank, lesson, judged), table.values(None, bank, lesson, judged)
        ):
            _forget(net)
    return history


def _forget(net: TopologyNet) -> None:
    """Takes the network's opinion back: on held-out tasks it was no clear gain over the bank's means."""
    with torch.no_grad():
        for head in (net.agent, net.sender):
            head.weight.zero_()
            head.bias.zero_()
