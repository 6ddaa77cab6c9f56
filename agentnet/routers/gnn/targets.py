"""Target distributions over agents and the loss: equations A5 and A6 of docs/routers/agent_router.md."""

from __future__ import annotations

import torch
from torch import Tensor

TAU, EPS = 0.25, 1e-3
"""Temperature and smoothing (NG-Router's code; AgentRouter's own are not known)."""


def soft_targets(score: Tensor, tau: float = TAU, eps: float = EPS, known: Tensor | None = None) -> Tensor:
    """Returns the distribution over agents that their scores stand for (A5).

    t = softmax(score / tau), uniform where no agent scores; (1 - eps) t + eps / A. Agents whose score is
    not known get 0, and A counts the known ones.

    Args:
        score: [B, A] in [0, 1].
        tau: Temperature.
        eps: Share that is spread over all agents.
        known: [B, A] bool; None is all. A row without any known score is all zero.

    >>> target = soft_targets(torch.tensor([[1.0] + [0.0] * 23]), eps=0)
    >>> round(float(target[0, 0]), 4), float(soft_targets(torch.zeros(1, 4))[0, 0])
    (0.7036, 0.25)
    """
    known = torch.ones_like(score, dtype=torch.bool) if known is None else known
    held = torch.where(known, score, torch.zeros_like(score)).clamp(min=0)
    weight = torch.exp((held - held.amax(1, keepdim=True)) / tau) * known
    return _smoothed(weight, known, eps)


def hard_targets(score: Tensor, eps: float = 0.0, known: Tensor | None = None) -> Tensor:
    """Returns the distribution that is even over the best agents: an ablation of A5.

    Ties share the weight: in data where most agents are right, giving it to the first one would teach the
    order of the pool.

    >>> hard_targets(torch.tensor([[1.0, 0.0, 1.0]])).tolist()
    [[0.5, 0.0, 0.5]]
    """
    known = torch.ones_like(score, dtype=torch.bool) if known is None else known
    held = torch.where(known, score, torch.full_like(score, -1.0))
    best = (held >= held.amax(1, keepdim=True) - 1e-9) & known
    return _smoothed(best.to(score.dtype), known, eps)


def _smoothed(weight: Tensor, known: Tensor, eps: float) -> Tensor:
    total = weight.sum(1, keepdim=True).clamp(min=1e-12)
    count = known.sum(1, keepdim=True).clamp(min=1)
    return (1 - eps) * weight / total + eps * known / count


def router_loss(logits: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
    """Returns the mean over the batch of KL(target || softmax(logits)) (A6), over the known agents.

    Args:
        logits: [B, A] scores of the agents.
        target: [B, A] distributions, 0 where not known.
        known: [B, A] bool; None is all. Rows with fewer than two known agents say nothing and count 0.

    >>> scores = torch.tensor([[2.0, 0.0, -1.0]])
    >>> abs(round(float(router_loss(scores, scores.softmax(1))), 6))
    0.0
    """
    if known is not None:
        logits = logits.masked_fill(~known, float("-inf"))
        logits = torch.where(known.any(1, keepdim=True), logits, torch.zeros_like(logits))
    log = torch.log_softmax(logits, 1)
    each = torch.where(target > 0, target * (torch.log(target.clamp(min=1e-12)) - log), torch.zeros_like(log))
    loss = each.sum(1)
    return loss.mean() if known is None else torch.where(known.sum(1) > 1, loss, 0 * loss).mean()
