"""`Method`: everything in which the two recipes of ``amro_s`` differ, resolved from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentnet.errors import InvalidInput
from agentnet.routers.colony.heuristic import Heuristic, SystemCost
from agentnet.routers.colony.paths import Join
from agentnet.routers.colony.space import MOST_LAYERS, MOST_LAYERS_WITH_STOPS
from agentnet.routers.colony.update import Rules
from agentnet.routers.colony.warm_start import LEAST
from agentnet.routers.settings import check_choice

Recipe = Literal["agentnet", "paper"]
REGAIN = 0.002
"""Share of rho by which recipe ``agentnet`` lets edges regain trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How one recipe walks and learns.

    Attributes:
        layers: Most agents of a path.
        join: How the agents' answers become one.
        stops: Whether a path may end early.
        alpha: Exponent of the pheromone.
        beta: Exponent of the heuristic.
        rules: Of the update.
        heuristic: Weights of eta.
        cost: Parts of f_sys.
        tau0: Pheromone of a colony that knows nothing.
        dial: Setting of the quality-cost dial; None: `fit` chooses it.
    """

    layers: int
    join: Join
    stops: bool
    alpha: float
    beta: float
    rules: Rules
    heuristic: Heuristic
    cost: SystemCost
    tau0: float
    dial: float | None

    @property
    def repeats(self) -> bool:
        """Whether an agent may come twice: an independent answer tells nothing twice, a second look may."""
        return self.join == "chain"

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        *,
        layers: int | None,
        join: Join | None,
        alpha: float | None,
        beta: float | None,
        rho: float,
        max_min: bool,
        dial: float | None,
    ) -> Method:
        """Resolves settings; None takes the recipe's own value.

        Raises:
            InvalidInput: a setting is out of its range.
        """
        check_choice(join=(join, ("vote", "chain")))
        most = MOST_LAYERS_WITH_STOPS if recipe == "agentnet" else MOST_LAYERS
        if layers is not None and not 1 <= layers <= most:
            raise InvalidInput(f"setting 'layers' is 1 to {most} with recipe {recipe!r}; got {layers!r}.")
        if recipe == "paper":
            return cls(
                layers=layers or 3,
                join=join or "chain",
                stops=False,
                alpha=1.0 if alpha is None else alpha,
                beta=1.0 if beta is None else beta,
                rules=Rules(rho=rho, bounds=(0.05, 20.0) if max_min else None),
                heuristic=Heuristic(),
                cost=SystemCost(),
                tau0=1.0,
                dial=0.5 if dial is None else dial,
            )
        return cls(
            layers=layers or 4,
            join=join or "vote",
            stops=True,
            alpha=10.0 if alpha is None else alpha,
            beta=1.0 if beta is None else beta,
            rules=Rules(rho=rho, eps=1.0, bounds=(LEAST, 1.0), evaporation="edges", regain=REGAIN),
            # What an agent is able to is in the pheromone already; eta is left to what changes.
            heuristic=Heuristic(product=True),
            cost=SystemCost(usd=1.0, latency=0.0, load=0.0, cut=False),
            tau0=0.5,
            dial=dial,
        )
