"""Sets of agents as choices: a set is one action, and its weight the ratio of two probabilities of that set.

Where a router draws every agent of a set by itself, the probability of the very set is a product. The
number of sets is exponential, and so is the spread of the weights in the number of agents on which two
policies disagree: overlap of sets is poor far sooner than overlap of single agents.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError

Floats = NDArray[np.float64]


def set_chance(include: Floats, members: NDArray[np.bool_], *, nonempty: bool = False) -> Floats:
    """Returns [n] the probability of the very set, where agents are drawn one by one, independently.

    Args:
        include: [n, A] probability with which each agent is taken in.
        members: [n, A] who was in the set.
        nonempty: Whether an empty draw is drawn anew, so that probabilities are given a set that is none.

    Raises:
        DataError: shapes differ, or a probability is none.

    >>> set_chance(np.array([[0.5, 0.2]]), np.array([[True, False]])).tolist()
    [0.4]
    >>> set_chance(np.array([[0.5, 0.5]]), np.array([[True, True]]), nonempty=True).round(3).tolist()
    [0.333]
    """
    if include.shape != members.shape or include.ndim != 2:
        raise DataError(f"one probability an agent is needed: got {include.shape} for {members.shape}.")
    if not ((include >= 0) & (include <= 1)).all():
        raise DataError("the probability of taking an agent in lies in [0, 1].")
    each = np.where(members, include, 1 - include)
    chance: Floats = each.prod(1)
    if nonempty:
        some = 1 - (1 - include).prod(1)
        if (some <= 0).any():
            raise DataError("a policy that never takes any agent in has no set that is not empty.")
        chance = np.where(members.any(1), chance / np.where(some > 0, some, 1), 0.0)
    return chance


def set_weights(
    target: Floats, logging: Floats, members: NDArray[np.bool_], *, nonempty: bool = False
) -> Floats:
    """Returns [n] importance weights of logged sets: pi(S|x) / mu(S|x).

    Args:
        target: [n, A] probability with which the judged policy takes each agent in.
        logging: [n, A] the same of the policy that wrote the log.
        members: [n, A] the sets that were logged.
        nonempty: As in `set_chance`, of both.

    Raises:
        DataError: a logged set had probability 0.

    >>> set_weights(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]), np.array([[True, False]])).tolist()
    [4.0]
    """
    below = set_chance(logging, members, nonempty=nonempty)
    if (below <= 0).any():
        raise DataError("the log holds a set that its own policy never chooses: check its probabilities.")
    return set_chance(target, members, nonempty=nonempty) / below
