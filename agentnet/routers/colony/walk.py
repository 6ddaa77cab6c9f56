"""`walk`: draws paths for any number of queries at once, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.routers.colony.space import PathSpace

CHUNK = 8_192
"""Queries walked at once on the CPU: what they touch stays in the processor's cache."""
_NARROW = 48
"""Most columns whose running sums are one matrix product, which is then faster than a running sum."""
_TINY = 1e-37
Array = Any
"""A numpy array or a torch tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class Walks:
    """Paths of n queries.

    Attributes:
        columns: [n, S] int64 column drawn in each slot of the space; -1 where the path had ended.
        probability: [n, S] float32 probability of each draw; 1 where there was none.
    """

    columns: torch.Tensor
    probability: torch.Tensor

    @property
    def propensity(self) -> torch.Tensor:
        """[n] float64 probability with which this very path (or tree of paths) was drawn."""
        return self.probability.double().prod(1)


def walk(
    tau: Array,
    weights: Array,
    eta: Array,
    space: PathSpace,
    draws: Array,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    greedy: bool = False,
    device: str = "cpu",
) -> Walks:
    r"""Draws a path for every query by the proportional transition rule of ant colonies.

    .. math:: p_{ij}(q) = \frac{[\tau^{(q)}_{ij}]^\alpha [\eta_j(q)]^\beta}
              {\sum_{l \in N(i)} [\tau^{(q)}_{il}]^\alpha [\eta_l(q)]^\beta}

    AMRO-S, transition rule [quoted]; alpha = beta = 1 (default, not in paper). Where the space has stop
    nodes, their eta is that of the best agent, and both cases of a comparison are drawn.

    Args:
        tau: [T, R, C] pheromones.
        weights: [n, T] task types of the queries.
        eta: [n, A] or [1, A] heuristic of the agents; an agent of eta 0 is never chosen.
        space: Where paths may go.
        draws: [n, S] uniform numbers in [0, 1), one a slot: the same numbers give the same paths. Only
            their length counts when ``greedy``.
        alpha: Exponent of the pheromone.
        beta: Exponent of the heuristic.
        greedy: Take the most probable column instead of drawing; its probability is then 1.
        device: Where to compute.
    """
    place = torch.device(device)
    tau, weights = _to(tau, place).contiguous(), _to(weights, place).contiguous()
    eta, draws = _to(eta, place), _to(draws, place).T.contiguous()
    desire, closed = _desire(eta, space, beta)
    n = draws.shape[1]
    size = CHUNK if place.type == "cpu" else max(n, 1)
    # Slot by slot in memory while they are drawn; the caller sees them query by query.
    columns = torch.empty((len(space.slots), n), dtype=torch.int64, device=place)
    probability = torch.empty((len(space.slots), n), device=place)
    ones = torch.ones((tau.shape[2], tau.shape[2]), device=place).triu_()
    for start in range(0, n, size):
        part = slice(start, start + size)
        here = desire if len(desire) == 1 else desire[part]
        _walk(
            tau, weights[part], here, space, draws[:, part], ones, alpha, closed, greedy,
            columns[:, part], probability[:, part],
        )  # fmt: skip
    return Walks(columns.T, probability.T)


def chances(
    fused: NDArray[np.float64],
    eta: NDArray[np.float64],
    columns: Sequence[int],
    space: PathSpace,
    slots: Sequence[int],
    *,
    alpha: float,
    beta: float,
) -> NDArray[np.float64]:
    """Returns [H, C] the probabilities of one query's H choices by the rule of `walk`, in full precision.

    Args:
        fused: [H, C] the query's pheromone in the rows it stood on.
        eta: [A] heuristic of the agents.
        columns: [S] what was drawn in each slot, for what must not come twice.
        space: Where paths may go.
        slots: [H] positions of the choices' slots.
        alpha: Exponent of the pheromone.
        beta: Exponent of the heuristic.

    Returns:
        The probabilities; a row of zeros where nothing could be chosen.
    """
    scores = torch.tensor(fused)
    if not space.repeats:
        drawn = torch.tensor(columns)[:, None]
        for h, slot in enumerate(slots):
            _forget_visited(scores[h : h + 1], drawn, space, slot)
    desire, closed = _desire(torch.tensor(eta)[None], space, beta)
    scores = _attraction(scores, desire, alpha, closed)
    found: NDArray[np.float64] = (scores / scores.sum(1, keepdim=True).clamp(min=_TINY)).numpy()
    return found


def _desire(eta: torch.Tensor, space: PathSpace, beta: float) -> tuple[torch.Tensor, bool]:
    """[n, C] eta^beta, 1 at most, with the stop node's; and whether a column of any query is closed."""
    # An agent of eta 0 is closed, whatever the exponents.
    desire = torch.where(eta > 0, eta.pow(beta), 0.0)
    if space.stops:
        # Only how agents compare says where to go: when all are busy, stopping is not the better for it.
        desire = torch.cat([desire, desire.amax(1, keepdim=True)], 1)
    closed = bool((desire <= 0).any())
    return desire / desire.amax(1, keepdim=True).clamp(min=_TINY), closed


def _walk(
    tau: torch.Tensor,
    weights: torch.Tensor,
    desire: torch.Tensor,
    space: PathSpace,
    draws: torch.Tensor,
    ones: torch.Tensor,
    alpha: float,
    closed: bool,
    greedy: bool,
    columns: torch.Tensor,
    probability: torch.Tensor,
) -> None:
    """Fills ``columns`` and ``probability``, both [S, n], for one chunk."""
    for s, slot in enumerate(space.slots):
        if slot.parent < 0:
            scores, over = weights @ tau[:, 0], None
        else:
            before = columns[slot.parent]
            over = (before < 0) | (before == len(space.agents))
            rows = before.clamp(0, len(space.agents) - 1) + space.base(slot.layer, slot.agreed)
            scores = _fused(tau, weights, rows)
        if slot.parent >= 0 and not space.repeats:
            _forget_visited(scores, columns, space, s)
        scores = _attraction(scores, desire, alpha, closed)
        _draw(scores, draws[s], ones, greedy, over, columns[s], probability[s])


def _attraction(scores: torch.Tensor, desire: torch.Tensor, alpha: float, closed: bool) -> torch.Tensor:
    """[n, C] pheromone^alpha * eta^beta, up to a factor per row that keeps it within floats' range."""
    if alpha == 1:
        return scores.mul_(desire)
    if closed:  # what may not be chosen must not set the scale
        scores.mul_(desire > 0)
    scores.div_(scores.amax(1, keepdim=True).clamp_(min=_TINY))
    if alpha == 0:
        scores.sign_()
    else:
        scores.pow_(alpha)
    return scores.mul_(desire)


def _fused(tau: torch.Tensor, weights: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """[n, C] each query's mixture of the specialists' rows it stands on."""
    types, size, _ = tau.shape
    at = rows[:, None] + torch.arange(0, types * size, size, device=rows.device)
    return torch.nn.functional.embedding_bag(at, tau.flatten(0, 1), mode="sum", per_sample_weights=weights)


def _forget_visited(scores: torch.Tensor, columns: torch.Tensor, space: PathSpace, slot: int) -> None:
    parent = space.slots[slot].parent
    while parent >= 0:
        at = columns[parent].clamp(0, len(space.agents) - 1)
        scores.scatter_(1, at[:, None], 0.0)
        parent = space.slots[parent].parent


def _draw(
    scores: torch.Tensor,
    draws: torch.Tensor,
    ones: torch.Tensor,
    greedy: bool,
    over: torch.Tensor | None,
    columns: torch.Tensor,
    probability: torch.Tensor,
) -> None:
    if greedy:
        best, pick = scores.max(1)
        chance = torch.ones_like(best)
        dead = best <= 0
    else:
        count = scores.shape[1]
        running = scores @ ones if count <= _NARROW else scores.cumsum(1)
        total = running[:, -1].clone()
        # Arithmetic instead of a comparison, which is several times slower: 1 where a column lies beyond.
        beyond = running.sub_((draws * total)[:, None]).sign_().clamp_(min=0)
        # Rounding can lead past the last column, or draw one of chance 0 at the very end.
        pick = (count - beyond @ ones[0]).long().clamp_(0, count - 1)
        chance = scores.gather(1, pick[:, None])[:, 0] / total
        if not chance.min() > 0:
            pick = torch.where(chance > 0, pick, scores.argmax(1))
            chance = scores.gather(1, pick[:, None])[:, 0] / total
        dead = total <= 0
    ended = dead if over is None else over | dead
    columns.copy_(pick.masked_fill(ended, -1))
    probability.copy_(chance.masked_fill(ended, 1.0))


def _to(value: Array, device: torch.device) -> torch.Tensor:
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        value = value.astype(np.float32)  # torch warns of memory that must not be written to
    return torch.as_tensor(value, dtype=torch.float32, device=device)
