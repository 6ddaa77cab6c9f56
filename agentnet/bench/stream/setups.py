"""The setups that are compared, by name."""

from __future__ import annotations

from dataclasses import replace

from agentnet.bench.stream.run import Setup
from agentnet.routers.colony.heuristic import Heuristic
from agentnet.routers.colony.recipes import Method, Recipe
from agentnet.routers.colony.update import Evaporation

PAPER = Setup()
"""The specification's rules: alpha 1, beta 1, rho 0.05, Q 1, eps 0.1, attribution-scaled evaporation,
sampling rate 0.2, batches of 32 (all default, not in paper)."""
RANDOM = replace(PAPER, learns=False, eta=None)
LIVE_ETA = Heuristic(product=True)
RHOS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
EVAPORATIONS: tuple[Evaporation, ...] = ("attributed", "classic", "visited")
JUDGES = ((0.0, 0.0), (0.05, 0.05), (0.05, 0.1), (0.1, 0.1), (0.2, 0.2), (0.3, 0.3))


def of_recipe(recipe: Recipe) -> Setup:
    """Returns the learning rules that `amro_s` has by default, over paths of fixed length that are drawn.

    Stops and votes are no part of the simulation: recipe ``agentnet``'s learning is measured here, not its
    trees. Without `fit` its dial stands at 0, so that cost is no part of its deposit.
    """
    method = Method.of(recipe, layers=3, join=None, alpha=None, beta=None, rho=0.05, max_min=False, dial=None)
    common = replace(
        PAPER, rules=method.rules, eta=method.heuristic, alpha=method.alpha, beta=method.beta,
        tau0=method.tau0, cost=method.cost,
    )  # fmt: skip
    return common if recipe == "paper" else replace(common, price=0.0, prior=False)


def evaporating(kind: Evaporation, rho: float) -> Setup:
    """Returns the specification's setup with another evaporation."""
    return replace(PAPER, rules=replace(PAPER.rules, evaporation=kind, rho=rho))
