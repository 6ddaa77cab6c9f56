"""From beliefs to probabilities of choice: upper bounds, Thompson sampling, epsilon; floor and budget."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.task import Task
from agentnet.routers.bandits.arms import Floats, Posterior

GRACE = 200
"""Tasks whose budget of regret may be spent ahead: exploring pays at the start."""
_TIE = 1e-9
_CHUNK = 64


def best_of(values: Floats) -> Floats:
    """Returns [n, A] the probability 1 at the highest of each row, shared evenly between ties.

    >>> best_of(np.array([[1.0, 3.0, 3.0]])).tolist()
    [[0.0, 0.5, 0.5]]
    """
    top = values >= values.max(1, keepdims=True) - _TIE
    shares: Floats = top.astype(np.float64) / top.sum(1, keepdims=True)
    return shares


def with_floor(chances: Floats, floor: float) -> Floats:
    """Returns the mixture (1 - A f) p + f: every one of the A agents keeps at least f.

    >>> with_floor(np.array([[1.0, 0.0]]), 0.1).tolist()
    [[0.9, 0.1]]
    """
    agents = chances.shape[1]
    least = min(floor, 1 / agents)
    mixed: Floats = (1 - agents * least) * chances + least
    return mixed


def epsilon_at(seen: int, epsilon: float, halving: float | None) -> float:
    """Returns epsilon after ``seen`` tasks: e h / (h + seen), half of it after h tasks; None: constant.

    >>> epsilon_at(100, 0.4, 100), epsilon_at(100, 0.4, None)
    (0.2, 0.4)
    """
    return epsilon if halving is None else epsilon * halving / (halving + seen)


def may_explore(spent: float, rounds: int, budget: float | None) -> bool:
    """Returns whether the budget of regret lets the bandit explore.

    Args:
        spent: Sum over the rounds of predicted utility of the best agent minus that of the chosen one.
        rounds: Tasks learned from while serving.
        budget: Most that exploring may cost a task on average; None is unlimited. The budget of the first
            `GRACE` tasks may be spent ahead.

    >>> may_explore(5.0, 0, 0.02), may_explore(3.9, 0, 0.02), may_explore(5.0, 100, 0.02)
    (False, True, True)
    """
    return budget is None or spent < budget * (rounds + GRACE)


def noise(names: Sequence[str], dim: int, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Returns the fixed standard normals of Thompson sampling: [draws, D] shared, [draws, A] by agent.

    An agent's own depend on its name alone, so that neither order nor size of the pool changes them.
    """
    shared = np.random.default_rng([seed, 0]).standard_normal((draws, dim))
    own = [np.random.default_rng([seed, 1, _number(name)]).standard_normal(draws) for name in names]
    return shared, np.stack(own, axis=1)


def wins(
    posterior: Posterior,
    root: Floats,
    drawn: tuple[Floats, Floats],
    *,
    width: float,
    gain: float = 1.0,
    minus: Floats | float = 0.0,
) -> Floats:
    """Returns [n, A] the share of posterior draws in which each agent is best.

    The choice is then drawn from these very shares, so that its probability is known exactly, as it would
    not be if a single draw of the posterior chose. Source of the sampling: Agrawal and Goyal, "Thompson
    sampling for contextual bandits with linear payoffs", ICML 2013.

    Args:
        posterior: Of n contexts and A agents.
        root: L with L L' the covariance of the shared part.
        drawn: From `noise`.
        width: v: how much wider than a unit of noise the posterior is drawn.
        gain: What a score is worth: one minus the dial.
        minus: [n, A] or [A] what an agent costs, in utility.
    """
    shared, own = drawn
    n, agents = posterior.mean.shape
    found = np.empty((n, agents))
    tilt = root @ shared.T
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        low = np.broadcast_to(minus, (n, agents))[rows]
        spread = np.sqrt(posterior.own[rows])[:, None, :] * own
        if tilt.any():
            spread = spread + np.swapaxes(posterior.lever[rows] @ tilt, 1, 2)
        value = (gain * posterior.mean[rows] - low)[:, None, :] + gain * width * spread
        winner = value.argmax(2)
        for i in range(len(winner)):
            found[start + i] = np.bincount(winner[i], minlength=agents)
    return found / len(own)


def draw(chances: Floats, names: Sequence[str], at: Floats) -> NDArray[np.intp]:
    """Returns [n] the agents that numbers in [0, 1) point at; the order of the pool plays no part."""
    order = np.argsort(np.array(names), kind="stable")
    ahead = np.cumsum(chances[:, order], axis=1)
    found = (at[:, None] * ahead[:, -1:] >= ahead).sum(1)
    found = np.minimum(found, len(order) - 1)
    chosen: NDArray[np.intp] = order[found]
    # Rounding may point at an agent that is never chosen: take the likeliest.
    never = chances[np.arange(len(chosen)), chosen] <= 0
    chosen[never] = chances[never].argmax(1)
    return chosen


def numbers(tasks: Sequence[Task], rng: np.random.Generator | None, key: str) -> Floats:
    """Returns [n] numbers in [0, 1): drawn, or without ``rng`` a hash of the key and the task."""
    if rng is not None:
        return rng.random(len(tasks))
    return np.array([_number(f"{task.task_id}\0{task.text}", key) / 2**64 for task in tasks])


def _number(text: str, key: str = "") -> int:
    data = text.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(data, digest_size=8, key=key.encode()[:64])
    return int.from_bytes(digest.digest(), "big")
