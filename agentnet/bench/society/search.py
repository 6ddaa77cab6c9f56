"""The best topology of a society, with a certificate: exhaustive for small teams, a bound for large ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import torch
from torch import Tensor

from agentnet.bench.society.bound import upper_bounds
from agentnet.bench.society.model import Dynamics, normal_cdf
from agentnet.routers.topology.graphs import Graphs

LARGEST = 5
"""Largest team whose every DAG is tried: 29,281."""
_TIE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Best:
    """The best topology for tasks of one condition.

    Attributes:
        value: Its expected score minus price times tokens.
        keep: [N] bool.
        edges: [N, N] bool.
        score: Its expected score.
        tokens: Its tokens.
        upper: No topology whatsoever is worth more.
        certified: Whether ``value`` is ``upper``, so that it is the best of all.
        certificate: How that is known, in words.
    """

    value: float
    keep: Tensor
    edges: Tensor
    score: float
    tokens: float
    upper: float
    certified: bool
    certificate: str

    @property
    def graphs(self) -> Graphs:
        """The topology as the only one of a `Graphs`."""
        return Graphs.joined(self.keep[None], self.edges[None], "all")


@cache
def all_dags(size: int) -> Tensor:
    """[G, size, size] bool: every labelled DAG: 1, 3, 25, 543, 29,281 for sizes 1 to 5.

    >>> [len(all_dags(size)) for size in (1, 2, 3, 4)]
    [1, 3, 25, 543]
    """
    pairs = list(combinations(range(size), 2))
    edges = torch.zeros((3 ** len(pairs), size, size), dtype=torch.bool)
    if pairs:
        ways = torch.cartesian_prod(*[torch.arange(3)] * len(pairs)).reshape(-1, len(pairs))
        for column, (i, j) in enumerate(pairs):
            edges[:, i, j] = ways[:, column] == 1
            edges[:, j, i] = ways[:, column] == 2
    step = edges.float()
    power = step
    acyclic = torch.ones(len(edges), dtype=torch.bool)
    for _ in range(size):
        acyclic &= power.diagonal(dim1=1, dim2=2).sum(1) == 0
        power = ((power @ step) > 0).float()
    return edges[acyclic]


def search(dynamics: Dynamics, price: float, *, largest: int = LARGEST) -> tuple[Best, ...]:
    """Finds the best topology of every condition, the decision reading all kept agents.

    Every team is tried without edges, and every team of at most ``largest`` agents with every DAG, unless
    its upper bound is below the best found already. Larger teams are excluded by their upper bound
    (`agentnet.bench.society.bound`). Where a larger team's bound lies above the best found, the result is
    ``certified=False`` with the largest such bound.

    Args:
        dynamics: Of the N agents; double precision.
        price: Score per token.
        largest: Largest team whose DAGs are all tried.
    """
    n, conditions = dynamics.mean.shape[1], dynamics.mean.shape[0]
    teams = torch.tensor(list(product((False, True), repeat=n))[1:])
    plain = Graphs.joined(teams, torch.zeros((len(teams), n, n), dtype=torch.bool), "all")
    values = torch.stack([_value(dynamics, price, c, plain) for c in range(conditions)], 1)
    value, row = values.max(0)
    keep, edges = teams[row], plain.edges[row]
    for size in range(2, min(largest, n) + 1):
        some = teams[teams.sum(1) == size]
        bounds = upper_bounds(dynamics, price, some, above=value)
        for team in bounds.amax(1).argsort(descending=True).tolist():
            if not (bounds[team] > value + _TIE).any():
                continue
            members = some[team].nonzero().squeeze(1)
            found, which = _best_dags(dynamics.subset(members), price)
            for c in (found > value + _TIE).nonzero().squeeze(1).tolist():
                value[c], keep[c] = found[c], some[team]
                edges[c] = _spread(all_dags(size)[which[c]], members, n)
    left = torch.full_like(value, -torch.inf)
    if n > largest:
        left = upper_bounds(dynamics, price, teams[teams.sum(1) > largest], above=value).amax(0)
    return tuple(
        _result(dynamics, price, c, keep[c], edges[c], float(left[c]), min(largest, n))
        for c in range(conditions)
    )


def _result(
    dynamics: Dynamics, price: float, condition: int, keep: Tensor, edges: Tensor, left: float, largest: int
) -> Best:
    graphs = Graphs.joined(keep[None], edges[None], "all")
    score = float(dynamics.score(torch.tensor([condition]), graphs))
    tokens = float(dynamics.tokens(graphs))
    value = score - price * tokens
    certified = left <= value + _TIE
    if not certified:
        text = f"not certified: teams of more than {largest} agents are only known to stay below {left:.4f}"
    elif int(keep.sum()) > largest:
        text = f"meets the upper bound of all teams of more than {largest} agents; smaller ones are searched"
    else:
        text = f"every DAG of up to {largest} agents; larger teams stay below {left:.4f}"
    return Best(
        value=value,
        keep=keep,
        edges=edges,
        score=score,
        tokens=tokens,
        upper=value if certified else left,
        certified=certified,
        certificate=text,
    )


def _value(dynamics: Dynamics, price: float, condition: int, graphs: Graphs) -> Tensor:
    score = dynamics.score(torch.full((len(graphs),), condition), graphs)
    return score - price * dynamics.tokens(graphs)


def _best_dags(team: Dynamics, price: float) -> tuple[Tensor, Tensor]:
    """[C] the best value of a team's DAGs under each condition, and the DAG's position.

    Weights, variance and tokens do not depend on the condition: they are worked out once.
    """
    dags = all_dags(team.mean.shape[1])
    keep = torch.ones(dags.shape[:2], dtype=torch.bool)
    graphs = Graphs(keep, dags, keep)
    weights = team.weights(graphs)
    deviation = ((weights @ team.correlation) * weights).sum(1).sqrt()
    passed = (dags * weights[:, None, :]).flatten(1)
    mean = weights @ team.mean.T + passed @ team.synergy.flatten(1).T
    score = normal_cdf(mean / deviation[:, None])
    if team.bar is not None:
        score = (score >= team.bar).to(score.dtype)
    value, which = (score - price * team.tokens(graphs)[:, None]).max(0)
    return value, which


def _spread(edges: Tensor, members: Tensor, n: int) -> Tensor:
    whole = torch.zeros((n, n), dtype=torch.bool)
    whole[members[:, None], members[None, :]] = edges
    return whole
