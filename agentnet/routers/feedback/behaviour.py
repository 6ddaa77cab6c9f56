"""What a log tells of the router behind it: with which probability it chooses each agent on a task.

A router that chose by what it knew has said something about the agents by choosing, and what it chose is tied
to what came of it. Its probability as a further regressor takes that into account (Little and An, "Robust
likelihood-based analysis of multivariate data with missing values", Statistica Sinica 2004, who regress on
the propensity; Bang and Robins, "Doubly robust estimation in missing data and causal inference models",
Biometrics 2005).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.table import Outcomes

Floats = NDArray[np.float64]
_PULL = 2.0
"""Rows that the penalty of each coefficient counts for."""


def choices_of(outcomes: Outcomes) -> tuple[Floats, NDArray[np.bool_]]:
    """Returns [n, A] a guess of the logging router's probabilities for each row, and [n] where there is one.

    Of a row the probability p of the agent that ran is known; the others share 1 - p alike. Where several
    agents ran, theirs are averaged.
    """
    known = outcomes.observed & (outcomes.propensity > 0)
    agents = known.shape[1]
    chance: Floats = np.where(known, np.minimum(outcomes.propensity, 1.0), 0.0).astype(np.float64)
    rest = np.where(known, (1 - chance) / max(agents - 1, 1), 0.0)
    guess = rest.sum(1, keepdims=True) - rest + chance
    ran = known.sum(1)
    mean: Floats = guess / np.maximum(ran, 1)[:, None]
    return mean, np.asarray(ran > 0)


def learn_habit(outcomes: Outcomes, common: Floats) -> Floats | None:
    """Returns [1 + D, A] coefficients of the logging router's probabilities; None where nothing is known.

    Args:
        outcomes: n rows of a log.
        common: [n, 1 + D] features, the first 1.
    """
    guess, rows = choices_of(outcomes)
    if not rows.any():
        return None
    x = common[rows]
    penalty = np.full(x.shape[1], _PULL)
    penalty[0] = 1e-4
    return np.asarray(np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ guess[rows]), np.float64)


def habit_of(coefficients: Floats | None, common: Floats, agents: int) -> Floats:
    """Returns [n, A] probabilities in [0, 1]; zeros where there are no coefficients."""
    if coefficients is None:
        return np.zeros((len(common), agents))
    chances: Floats = np.clip(common @ coefficients, 0.0, 1.0)
    return chances
