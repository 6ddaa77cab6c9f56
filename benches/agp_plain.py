"""The loops ``plain`` of `agp.py`: one graph at a time in plain Python, made fast by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import erf, exp, log, sqrt
from random import Random

from agentnet.bench.society import SocietyEnvironment
from agentnet.routers.topology.graphs import STOP
from agentnet.routers.topology.replay import ReplayEnvironment

Row = tuple[int, list[float], list[float], list[list[float]]]
"""A task and the log-odds of its graph: keep, order, edges."""
Drawn = tuple[list[bool], list[int], list[int]]
"""Kept agents, order, and each agent's predecessors as a bit set."""
Run = Callable[[int, Drawn, Random], tuple[float, float]]
"""Score and cost of a graph on a task."""


def softplus(x: float) -> float:
    return log(1 + exp(x)) if x < 30 else x


def plain_chance(drawn: Drawn, odds: Row) -> float:
    """Log-probability of a draw, see `log_prob_ordered`."""
    keep, order, above = drawn
    _, on, rank, edge = odds
    total = 0.0
    for kept, odd in zip(keep, on, strict=True):
        total -= softplus(-odd if kept else odd)
    if sum(keep) == 1 and keep[on.index(max(on))]:
        total = log(exp(total) + exp(-sum(map(softplus, on))))
    rest = 0.0
    for agent in reversed(order):
        rest += exp(rank[agent])
        total += rank[agent] - log(rest)
    kept_order = [agent for agent in order if keep[agent]]
    for at, target in enumerate(kept_order):
        bits = above[target]
        for source in kept_order[:at]:
            odd = edge[source][target]
            total -= softplus(-odd if bits >> source & 1 else odd)
    return total


def plain_draw(odds: Row, rng: Random) -> Drawn:
    """Draws one graph by the rule of `sample_ordered`."""
    _, on, rank, edge = odds
    random = rng.random
    keep = [random() < 1 / (1 + exp(-odd)) for odd in on]
    if not any(keep):
        keep[on.index(max(on))] = True
    early = [value - log(-log(random() or 1e-12)) for value in rank]
    order = sorted(range(len(on)), key=early.__getitem__, reverse=True)
    above = [0] * len(on)
    kept_order = [agent for agent in order if keep[agent]]
    for at, target in enumerate(kept_order):
        bits = 0
        for source in kept_order[:at]:
            if random() < 1 / (1 + exp(-edge[source][target])):
                bits |= 1 << source
        above[target] = bits
    return keep, order, above


class PlainReplay:
    """`replay` without objects: answers as numbers, ancestors as bit sets."""

    def __init__(self, env: ReplayEnvironment) -> None:
        self.key, self.score, self.cost = (t.tolist() for t in (env._key, env._score, env._cost))
        self.weights, self.needed = env.weights, STOP.threshold - 1e-9

    def __call__(self, task: int, drawn: Drawn, rng: Random) -> tuple[float, float]:
        """Score of the standing answer and cost of all that ran."""
        keep, order, above = drawn
        key, weights, costs = self.key[task], self.weights, self.cost[task]
        reach, depth = [0] * len(keep), [0] * len(keep)
        ran, ran_bits, cost = [], 0, 0.0
        for agent in order:
            if not keep[agent]:
                continue
            bits = into = above[agent]
            if into:
                while into:
                    source = (into & -into).bit_length() - 1
                    into &= into - 1
                    bits |= reach[source]
                    if depth[source] >= depth[agent]:
                        depth[agent] = depth[source] + 1
                reach[agent] = bits
                if not above[agent] & ran_bits or self.agreed(key, bits & ran_bits):
                    continue
            ran.append(agent)
            ran_bits |= 1 << agent
            cost += costs[agent]
        votes: dict[int, float] = {}
        ran.sort(key=lambda agent: (depth[agent], agent))
        first: dict[int, int] = {}
        for agent in ran:
            said = key[agent]
            if said >= 0:
                votes[said] = votes.get(said, 0.0) + weights[agent]
                first.setdefault(said, agent)
        winner = ran[0]
        if votes:
            best = max(votes.values()) - 1e-9
            winner = next(first[said] for said, vote in votes.items() if vote >= best)
        return self.score[task][winner], cost

    def agreed(self, key: list[int], seen: int) -> bool:
        """Whether `STOP` holds over the agents of a bit set."""
        votes: dict[int, float] = {}
        total, answers = 0.0, 0
        while seen:
            agent = (seen & -seen).bit_length() - 1
            seen &= seen - 1
            weight = self.weights[agent]
            total += weight
            if (said := key[agent]) >= 0:
                answers += 1
                votes[said] = votes.get(said, 0.0) + weight
        return answers >= STOP.min_answers and max(votes.values()) >= self.needed * total


class PlainSociety:
    """The closed form of `agentnet.bench.society.model`, in plain Python."""

    def __init__(self, env: SocietyEnvironment) -> None:
        self.conditions = env.conditions.tolist()
        names = ("mean", "synergy", "correlation", "susceptibility", "loudness", "prompt", "completion")
        self.numbers = [getattr(env.dynamics, name).tolist() for name in names]
        self.decision = float(env.dynamics.decision)

    def expected(self, task: int, drawn: Drawn) -> tuple[float, float]:
        """Accuracy and tokens."""
        keep, order, above = drawn
        mean, synergy, correlation, follows, loud, prompt, completion = self.numbers
        condition = self.conditions[task]
        helps, alone = synergy[condition], mean[condition]
        total, weights, cost = [1.0] * len(keep), [0.0] * len(keep), self.decision
        kept = [agent for agent in order if keep[agent]]
        signal = 0.0
        for agent in reversed(kept):
            bits, own, evidence = above[agent], 1.0, alone[agent]
            if bits:
                passed, own = follows[agent] / bits.bit_count() * total[agent], 1 - follows[agent]
                while bits:
                    source = (bits & -bits).bit_length() - 1
                    bits &= bits - 1
                    total[source] += passed
                    evidence += helps[source][agent]
                    cost += completion[source]
            weights[agent] = weight = own * loud[agent] * total[agent]
            signal += weight * evidence
            cost += prompt[agent] + 2 * completion[agent]
        variance = 0.0
        for agent in kept:
            row = correlation[agent]
            variance += weights[agent] * sum(row[other] * weights[other] for other in kept)
        return 0.5 * (1 + erf(signal / sqrt(2 * variance))), cost

    def __call__(self, task: int, drawn: Drawn, rng: Random) -> tuple[float, float]:
        """A score that is drawn, and tokens."""
        chance, cost = self.expected(task, drawn)
        return float(rng.random() < chance), cost


def plain_loop(rows: Sequence[Row], run: Run) -> Callable[[], list[tuple[float, float, float]]]:
    """Returns a work that draws a graph of each row, runs it, and gives log-probability, score and cost."""
    rng = Random(0)

    def work() -> list[tuple[float, float, float]]:
        found = []
        for row in rows:
            drawn = plain_draw(row, rng)
            found.append((plain_chance(drawn, row), *run(row[0], drawn, rng)))
        return found

    return work
