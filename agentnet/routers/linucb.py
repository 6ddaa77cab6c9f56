"""`linucb`: the agent with the highest upper confidence bound; learns while serving.

Li et al., "A contextual-bandit approach to personalized news article recommendation", WWW 2010: hybrid
models (ours, features ``agentnet``) or disjoint ones (features ``greenserv``, arXiv:2601.17551).
"""

from __future__ import annotations

from agentnet.routers.bandits.arms import Floats
from agentnet.routers.bandits.explore import best_of
from agentnet.routers.bandits.looks import Features
from agentnet.routers.bandits.router import BanditRouter, Believed
from agentnet.routers.settings import check_at_least


class LinUcbRouter(BanditRouter):
    """Takes the agent of highest predicted utility plus ``alpha`` deviations. See docs/routers/bandits.md.

    Args:
        alpha: Width of the bound, in units of the noise; None: 0.5 for features ``agentnet``, 0.1 (the
            paper's) for ``greenserv``.
        features: ``"agentnet"``, ``"greenserv"``, or ``"none"``: no context.
        ridge: Prior precision of an agent's own part, in units of the noise; None: 15, ``greenserv`` 0.05.
        shared: Prior precision of the part that all agents share; 0: they share nothing. None: 4,
            ``greenserv`` 0.
        floor: Probability that every agent keeps; at most one over the number of agents.
        budget: Most that exploring may cost a task on average, in predicted utility; None is unlimited.
        encoder: Name of the text encoder.
        seed: Seed of the draws; None takes the seed of `fit`.

    >>> from agentnet import Agent, Pool
    >>> LinUcbRouter(features="none", floor=0.0).route("hi", Pool([Agent(name="a")])).agents
    ('a',)
    """

    name = "linucb"

    def __init__(
        self,
        *,
        alpha: float | None = None,
        features: Features = "agentnet",
        ridge: float | None = None,
        shared: float | None = None,
        floor: float = 0.002,
        budget: float | None = 0.05,
        encoder: str = "minilm",
        seed: int | None = None,
    ) -> None:
        check_at_least(alpha=(alpha, 0))
        super().__init__(
            features=features, ridge=ridge, shared=shared, floor=floor, budget=budget, encoder=encoder,
            seed=seed,
        )  # fmt: skip
        self.alpha = alpha

    @property
    def width(self) -> float:
        """The alpha that is used."""
        if self.alpha is not None:
            return self.alpha
        return 0.1 if self.features == "greenserv" else 0.5

    def _explored(
        self, believed: Believed, value: Floats, minus: Floats | float, gain: float, seed: int
    ) -> Floats:
        return best_of(value + gain * self.width * believed.posterior.deviation)
