"""Stage I's search for good graphs: an evolving population, judged by group of tasks at several prices.

Independent draws from the prior almost never hold, say, three cheap agents that wait for nobody and a
strong one that waits for all three. So graphs are drawn from the prior once, and then from the best so far,
changed a little: an agent added, dropped, exchanged or moved in the order, an edge toggled. Score and cost of
a graph are means over tasks, kept apart by group of similar tasks; a graph survives if it is among the best
of some group, or of all tasks, at some price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from agentnet.routers.topology.critic import Rollouts, roll_out
from agentnet.routers.topology.environment import Environment, dial_utility
from agentnet.routers.topology.graphs import Graphs, Join, unique_graphs
from agentnet.routers.topology.sampler import forward_pairs

_EACH = 3
"""Survivors of a group at a price."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """Which of the two prunings is allowed; for ablations one is switched off.

    Attributes:
        hard: Agents may be left out.
        soft: Edges may be left out; without, every kept agent reads all that come before it.
    """

    hard: bool = True
    soft: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Genes:
    """P graphs in a form that can be changed a little without making a cycle.

    Attributes:
        keep: [P, N] bool.
        place: [P, N] the lower, the earlier.
        wish: [P, N, N] bool, symmetric: pairs that have an edge, from the earlier to the later agent.
    """

    keep: Tensor
    place: Tensor
    wish: Tensor

    def __len__(self) -> int:
        return len(self.keep)

    @classmethod
    def of(cls, graphs: Graphs) -> Genes:
        """Reads graphs."""
        order = graphs.order()
        place = order.argsort(1).float()
        return cls(graphs.keep, place, graphs.edges | graphs.edges.transpose(1, 2))

    def graphs(self, join: Join) -> Graphs:
        """Returns the graphs."""
        return Graphs.joined(self.keep, self.wish & forward_pairs(self.place.argsort(1)), join)

    def pruned(self, pruning: Pruning) -> Genes:
        """Returns the graphs with what may not be pruned put back."""
        keep = self.keep if pruning.hard else torch.ones_like(self.keep)
        wish = self.wish if pruning.soft else torch.ones_like(self.wish)
        return Genes(keep, self.place, wish)

    def take(self, rows: Tensor) -> Genes:
        """Returns some of them."""
        return Genes(self.keep[rows], self.place[rows], self.wish[rows])

    @staticmethod
    def cat(parts: Sequence[Genes]) -> Genes:
        """Returns all of them."""
        return Genes(*(torch.cat([getattr(p, k) for p in parts]) for k in ("keep", "place", "wish")))

    def changed(self, generator: torch.Generator) -> Genes:
        """Returns each graph with one to three small changes."""
        keep, place, wish = self.keep.clone(), self.place.clone(), self.wish.clone()
        p, n = keep.shape
        rows = torch.arange(p)
        for step in range(3):
            active = torch.rand(p, generator=generator) < (1.0, 0.5, 0.25)[step]
            what = torch.randint(5, (p,), generator=generator)
            i = torch.randint(n, (p,), generator=generator)
            j = torch.randint(n, (p,), generator=generator)
            at = active & (what <= 1)
            keep[rows[at], i[at]] ^= True
            # An agent that comes in waits for, or is awaited by, all or nobody half of the time.
            fill = torch.rand((p, 1), generator=generator) < torch.rand((p, n), generator=generator)
            new = at & keep[rows, i]
            wish[rows[new], i[new]] = fill[new]
            wish[rows[new], :, i[new]] = fill[new]
            at = active & (what == 2)
            place[rows[at], i[at]] = torch.rand(int(at.sum()), generator=generator) * n
            at = active & (what == 3)
            wish[rows[at], i[at], j[at]] ^= True
            wish[rows[at], j[at], i[at]] = wish[rows[at], i[at], j[at]]
            at = active & (what == 4)
            swap = torch.arange(n).repeat(p, 1)
            swap[rows[at], i[at]], swap[rows[at], j[at]] = j[at], i[at]
            keep, place = keep.gather(1, swap), place.gather(1, swap)
            wish = wish.gather(1, swap[:, :, None].expand(-1, -1, n)).gather(
                2, swap[:, None].expand(-1, n, -1)
            )
        wish[:, torch.arange(n), torch.arange(n)] = False
        keep[~keep.any(1), 0] = True
        return Genes(keep, place, wish)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The survivors of a search.

    Attributes:
        graphs: P graphs.
        score: [P, T] on every task searched with; where an environment draws, the mean of several runs.
        cost: [P, T] likewise.
        sample: Some of the rollouts made, for critics to learn from.
        tried: Graphs tried.
        draws: Whether the environment gives another score when asked again.
    """

    graphs: Graphs
    score: Tensor
    cost: Tensor
    sample: Rollouts
    tried: int
    draws: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to search.

    Attributes:
        generations: Times that children are made and judged.
        children: Graphs made a generation.
        first_look: Tasks on which children are looked at first; who fails there is not run on all.
        sample: Rollouts that are kept.
        pruning: What may be pruned.
    """

    generations: int = 40
    children: int = 192
    first_look: int = 160
    sample: int = 8_000
    pruning: Pruning = field(default_factory=Pruning)


def evolve(
    env: Environment,
    tasks: Tensor,
    group: Tensor,
    start: Graphs,
    rates: Sequence[float],
    generator: torch.Generator,
    effort: Effort,
) -> Found:
    """Searches for good graphs.

    Args:
        env: Where they are run.
        tasks: [T] positions of tasks.
        group: [T] the tasks' groups, from 0.
        start: The first generation.
        rates: Prices, r.
        generator: Source of randomness.
        effort: How long.
    """
    judge = _Judge(env, tasks, group, rates, generator)
    genes = Genes.of(start).pruned(effort.pruning)
    kept = judge.all_of(genes.take(_different(genes, env.join)))
    draws = judge.draws(kept)
    parts = [_rollouts(kept, env, tasks, effort.sample // 2, generator)]
    tried = len(kept.genes)
    for _ in range(effort.generations):
        kept = kept.take(judge.survivors(kept.score, kept.cost))
        if draws:
            kept = kept.mixed(judge.all_of(kept.genes))
        parents = torch.randint(len(kept.genes), (effort.children,), generator=generator)
        young = kept.genes.take(parents).changed(generator).pruned(effort.pruning)
        # What is there already, or comes twice, would only crowd out others.
        fresh = _different(Genes.cat([kept.genes, young]), env.join) - len(kept.genes)
        young = judge.promising(young.take(fresh[fresh >= 0]), kept, effort.first_look)
        tried += int((fresh >= 0).sum())
        if len(young):
            new = judge.all_of(young)
            parts.append(_rollouts(new, env, tasks, effort.sample // (2 * effort.generations), generator))
            kept = kept.joined(new)
    kept = kept.take(judge.survivors(kept.score, kept.cost))
    graphs = kept.genes.graphs(env.join)
    return Found(graphs, kept.score, kept.cost, Rollouts.cat(parts), tried, draws)


def survivors(score: Tensor, cost: Tensor, rates: Sequence[float], unit: float) -> Tensor:
    """Returns the positions, ascending, of the graphs among the best of some group at some price.

    Args:
        score: [P, G] by graph and group.
        cost: [P, G].
        rates: Prices.
        unit: Unit of cost.

    >>> survivors(torch.tensor([[.1], [.2], [.3], [.4]]), torch.ones(4, 1), [0.0], 1.0).tolist()
    [1, 2, 3]
    """
    lives = torch.zeros(len(score), dtype=torch.bool)
    for rate in rates:
        value = dial_utility(score, cost, torch.tensor(rate), unit)
        lives[value.topk(min(_EACH, len(score)), 0).indices.flatten()] = True
    return lives.nonzero().squeeze(1)


def group_means(score: Tensor, cost: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns [P, G + 1] mean scores and costs by group, then over all tasks, and [G] tasks a group.

    Args:
        score: [T, P] of every graph on every task.
        cost: [T, P] likewise.
        group: [T] the tasks' groups.
        groups: G.
    """
    member = torch.nn.functional.one_hot(group, groups).float()
    sizes = member.sum(0)
    member = torch.cat((member / sizes.clamp_min(1), torch.full((len(group), 1), 1 / len(group))), 1)
    return score.T @ member, cost.T @ member, sizes


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """Graphs with their score and cost on every task, [P, T], and how often they were run there."""

    genes: Genes
    score: Tensor
    cost: Tensor
    runs: Tensor

    def take(self, rows: Tensor) -> _Kept:
        return _Kept(self.genes.take(rows), self.score[rows], self.cost[rows], self.runs[rows])

    def joined(self, other: _Kept) -> _Kept:
        return _Kept(
            Genes.cat([self.genes, other.genes]),
            torch.cat((self.score, other.score)),
            torch.cat((self.cost, other.cost)),
            torch.cat((self.runs, other.runs)),
        )

    def mixed(self, again: _Kept) -> _Kept:
        """The same graphs, run once more: luck must not survive for ever."""
        share = (1 / (self.runs + 1))[:, None]
        return _Kept(
            self.genes,
            self.score + (again.score - self.score) * share,
            self.cost + (again.cost - self.cost) * share,
            self.runs + 1,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    env: Environment
    tasks: Tensor
    group: Tensor
    rates: Sequence[float]
    generator: torch.Generator

    def run(self, genes: Genes, at: Tensor) -> tuple[Tensor, Tensor]:
        """[P, t] scores and costs of graphs on the tasks at some positions."""
        p, t = len(genes), len(at)
        each = genes.graphs(self.env.join).take(torch.arange(p).repeat_interleave(t))
        made = roll_out(self.env, self.tasks[at].repeat(p), each, self.generator)
        return made.score.view(p, t), made.cost.view(p, t)

    def all_of(self, genes: Genes) -> _Kept:
        score, cost = self.run(genes, torch.arange(len(self.tasks)))
        return _Kept(genes, score, cost, torch.ones(len(genes)))

    def draws(self, kept: _Kept) -> bool:
        """Whether the environment gives another score when asked again."""
        few = torch.arange(min(len(kept.genes), 8))
        again, _ = self.run(kept.genes.take(few), torch.arange(len(self.tasks)))
        return not torch.equal(again, kept.score[few])

    def survivors(self, score: Tensor, cost: Tensor, at: Tensor | None = None) -> Tensor:
        group = self.group if at is None else self.group[at]
        means, costs, _ = group_means(score.T, cost.T, group, int(self.group.max()) + 1)
        return survivors(means, costs, self.rates, self.env.unit)

    def promising(self, young: Genes, kept: _Kept, first_look: int) -> Genes:
        """Returns the children that would survive beside their parents on some of the tasks."""
        if len(self.tasks) < 2 * first_look:
            return young
        at = torch.randperm(len(self.tasks), generator=self.generator)[:first_look]
        score, cost = self.run(young, at)
        lives = self.survivors(torch.cat((kept.score[:, at], score)), torch.cat((kept.cost[:, at], cost)), at)
        return young.take(lives[lives >= len(kept.genes)] - len(kept.genes))


def _different(genes: Genes, join: Join) -> Tensor:
    """Returns the positions, ascending, of the first of each graph."""
    return unique_graphs(genes.graphs(join))[0].sort().values


def _rollouts(
    kept: _Kept, env: Environment, tasks: Tensor, most: int, generator: torch.Generator
) -> Rollouts:
    """Some of the runs."""
    p, t = kept.score.shape
    rows = torch.randperm(p * t, generator=generator)[:most]
    graphs = kept.genes.take(rows // t).graphs(env.join)
    return Rollouts(tasks[rows % t], graphs, kept.score.flatten()[rows], kept.cost.flatten()[rows])
