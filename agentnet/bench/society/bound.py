r"""What a team of agents is worth at most, whatever its topology: proved, and cheap for all teams at once.

Let Q be the edges with a positive synergy that a topology of team S has, and m_j = mu_j + the synergies of
Q at j. The weights w of the evidence are not negative and the synergies left out of m are not positive, so

    E T / sd T <= max over w of w'm / sqrt(w' Sigma w),

over any cone K that holds the w of every topology. Let u - m lie in the dual cone of K. Then, by Cauchy and
Schwarz,

    w'm <= w'u <= sqrt(w' Sigma w) sqrt(u' Sigma^-1 u),

so Phi(sqrt(u' Sigma^-1 u)) bounds the accuracy, for whatever u of this kind: looking for the least by
iteration costs no rigour. The topology takes at least the tokens of S without edges and those of the edges in
Q. The bound of S is the largest over all Q.

Two cones: the quick bound takes K = {w >= 0}, where u = max(m, theta) with one theta a redundancy group, the
root of theta = rho / (1 - rho) * sum_j max(0, m_j - theta), is best. The sharp bound uses that messages only
pass weight on: with v = w / g, g the loudness, sum_j v_j is the size k of the team and v_j >= 1 - s_j =: l_j,
for the decision reads everyone. So K = {v: v_j >= l_j / k * sum_i v_i}, and, Sigma and m scaled by g,
u = g m + lambda - 1 l'lambda / k with any lambda >= 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agentnet.bench.society.model import Dynamics, normal_cdf

MOST_PAIRS = 10
"""Most synergies whose subsets are told apart; the others are granted for nothing."""
_STEPS = 150


def upper_bounds(dynamics: Dynamics, price: float, teams: Tensor, above: Tensor | None = None) -> Tensor:
    """[S, C] bound on score minus price times tokens, over all DAGs of a team, the decision reading all.

    Args:
        dynamics: Of the N agents; double precision; evidence correlates equally within groups, not else.
        price: Score per token.
        teams: [S, N] bool, nobody empty.
        above: [C] values above which the quick bound is replaced by the sharp one; None nowhere.
    """
    tokens = (teams * (dynamics.prompt + 2 * dynamics.completion)).sum(1) + dynamics.decision
    columns = []
    for condition in range(len(dynamics.mean)):
        limit = torch.inf if above is None else float(above[condition])
        columns.append(_bounds(dynamics, price, teams, tokens, condition, limit))
    return torch.stack(columns, 1)


def _bounds(
    dynamics: Dynamics, price: float, teams: Tensor, tokens: Tensor, condition: int, above: float
) -> Tensor:
    """[S] bound under one condition."""
    synergy = dynamics.synergy[condition].clamp(min=0)
    pairs = sorted(map(tuple, synergy.nonzero().tolist()), key=lambda pair: -float(synergy[pair]))
    told, given = pairs[:MOST_PAIRS], pairs[MOST_PAIRS:]
    base = dynamics.mean[condition].repeat(len(teams), 1)
    for i, j in given:
        base[:, j] += synergy[i, j] * (teams[:, i] & teams[:, j])
    chosen = _choices(told)
    needs = torch.zeros((len(chosen), teams.shape[1]), dtype=torch.bool)
    gain = torch.zeros(needs.shape, dtype=tokens.dtype)
    messages = torch.zeros(len(chosen), dtype=tokens.dtype)
    for at, (i, j) in enumerate(told):
        needs[:, i] |= chosen[:, at]
        needs[:, j] |= chosen[:, at]
        gain[:, j] += synergy[i, j] * chosen[:, at]
        messages += dynamics.completion[i] * chosen[:, at]
    # One row for each team and each set of its synergies.
    which, team = (~(needs[:, None] & ~teams).any(2)).nonzero(as_tuple=True)
    mean, members, cost = base[team] + gain[which], teams[team], tokens[team] + messages[which]
    bar = None if dynamics.bar is None else dynamics.bar[condition]

    def worth(ratio: Tensor, cost: Tensor) -> Tensor:
        score = normal_cdf(ratio)
        return (score if bar is None else (score >= bar).to(score.dtype)) - price * cost

    bound = worth(_quick_ratio(mean, members, dynamics.correlation), cost)
    loose = bound > above
    if loose.any():
        sharp = worth(_sharp_ratio(dynamics, mean[loose], members[loose]), cost[loose])
        bound[loose] = torch.minimum(bound[loose], sharp)
    return torch.full_like(tokens, -torch.inf).scatter_reduce(0, team, bound, "amax")


def _choices(pairs: list[tuple[int, ...]]) -> Tensor:
    """[B, P] bool: all sets of pairs that do not hold a pair both ways."""
    sets = torch.arange(2 ** len(pairs))[:, None] >> torch.arange(len(pairs)) & 1 == 1
    for at, (i, j) in enumerate(pairs):
        if (j, i) in pairs[:at]:
            sets = sets[~(sets[:, at] & sets[:, pairs.index((j, i))])]
    return sets


def _quick_ratio(mean: Tensor, teams: Tensor, correlation: Tensor) -> Tensor:
    """[S] bound on w'm / sqrt(w' Sigma w) over w >= 0."""
    square = torch.zeros(len(mean), dtype=mean.dtype)
    left = torch.ones(mean.shape[1], dtype=torch.bool)
    for first in range(mean.shape[1]):
        group = (correlation[first] > 0) & left
        if not group.any():
            continue
        left &= ~group
        others = group.clone()
        others[first] = False
        rho = float(correlation[first][others].amax()) if others.any() else 0.0
        square += _group_square(torch.where(teams, mean, -torch.inf)[:, group], teams[:, group], rho)
    return square.sqrt()


def _group_square(mean: Tensor, members: Tensor, rho: float) -> Tensor:
    """[S] u' Sigma^-1 u of one group with u = max(m, theta); 0 where nobody of it is a member.

    sum_j max(0, m_j - theta) is the largest of S_k - k theta over k, S_k the sum of the k largest m: theta is
    the largest of the roots for single k.
    """
    count = torch.arange(1, mean.shape[1] + 1, dtype=mean.dtype)
    largest = mean.sort(1, descending=True).values.cumsum(1)
    theta = (rho * largest / (1 - rho + rho * count)).amax(1).clamp(min=0) if rho > 0 else mean.new_zeros(1)
    u = torch.where(members, torch.maximum(mean, theta[:, None]), 0.0)
    size = members.sum(1).to(mean.dtype)
    # Sigma^-1 of k equally correlated agents, after Sherman and Morrison.
    within = rho / (1 + (size - 1).clamp(min=0) * rho)
    return ((u.square().sum(1) - within * u.sum(1).square()) / (1 - rho)).clamp(min=0)


def _sharp_ratio(dynamics: Dynamics, mean: Tensor, teams: Tensor) -> Tensor:
    """[S] bound on v'(g m) / sqrt(v' G Sigma G v) over the v that messages can give.

    Accelerated projected gradient (Beck and Teboulle, 2009) on lambda >= 0.
    """
    members = teams.to(mean.dtype)
    size = members.sum(1, keepdim=True)
    least = members * (1 - dynamics.susceptibility)
    loud = dynamics.loudness
    spread = dynamics.correlation * loud[:, None] * loud[None, :]
    both = teams[:, :, None] & teams[:, None, :]
    inverse = torch.linalg.inv(torch.where(both, spread, torch.eye(len(loud), dtype=mean.dtype)))
    start = members * mean * loud

    def lifted(extra: Tensor) -> Tensor:
        return start + members * (extra - (least * extra).sum(1, keepdim=True) / size)

    def times(u: Tensor) -> Tensor:
        product: Tensor = inverse @ u[:, :, None]
        return product.squeeze(2)

    # |B|^2 <= (1 + |l| / sqrt(k))^2 for B = I - l 1'/k.
    norm = (1 + least.norm(dim=1) / size.squeeze(1).sqrt()).square() * torch.linalg.matrix_norm(inverse, 2)
    extra = ahead = torch.zeros_like(mean)
    speed = 1.0
    for _ in range(_STEPS):
        slope = members * times(lifted(ahead))
        slope = slope - least * slope.sum(1, keepdim=True) / size
        further = (ahead - slope / norm[:, None]).clamp(min=0)
        faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
        ahead = (further + (speed - 1) / faster * (further - extra)).clamp(min=0)
        extra, speed = further, faster
    u = lifted(extra)
    square = (u * times(u)).sum(1)
    return square.clamp(min=0).sqrt()
