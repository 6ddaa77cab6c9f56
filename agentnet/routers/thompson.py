"""`thompson`: every agent as often as it may be the best one; learns while serving.

Linear Thompson sampling (Agrawal and Goyal, "Thompson sampling for contextual bandits with linear payoffs",
ICML 2013). The share of draws in which an agent is best is computed first and the choice drawn from these
shares, so that the logged probability is exact.
"""

from __future__ import annotations

from agentnet.routers.bandits.arms import Arms, Floats
from agentnet.routers.bandits.explore import noise, wins
from agentnet.routers.bandits.looks import Features
from agentnet.routers.bandits.router import BanditRouter, Believed
from agentnet.routers.settings import check_at_least


class ThompsonRouter(BanditRouter):
    """Draws an agent with the probability that it is best, by the posterior. See docs/routers/bandits.md.

    Args:
        width: v: how much wider than a unit of noise the posterior is drawn.
        draws: Draws of the posterior by which the probabilities are computed.
        features: ``"agentnet"``, ``"greenserv"``, or ``"none"``: no context.
        ridge: Prior precision of an agent's own part, in units of the noise; None: 15, ``greenserv`` 0.05.
        shared: Prior precision of the part that all agents share; 0: they share nothing. None: 4,
            ``greenserv`` 0.
        floor: Probability that every agent keeps; at most one over the number of agents.
        budget: Most that exploring may cost a task on average, in predicted utility; None is unlimited.
        encoder: Name of the text encoder.
        seed: Seed of the draws; None takes the seed of `fit`.

    >>> from agentnet import Agent, Pool
    >>> router = ThompsonRouter(features="none")
    >>> 0.3 < router.route("hi", Pool([Agent(name="a"), Agent(name="b")])).propensity < 0.7
    True
    """

    name = "thompson"

    def __init__(
        self,
        *,
        width: float = 0.15,
        draws: int = 128,
        features: Features = "agentnet",
        ridge: float | None = None,
        shared: float | None = None,
        floor: float = 0.002,
        budget: float | None = 0.05,
        encoder: str = "minilm",
        seed: int | None = None,
    ) -> None:
        check_at_least(width=(width, 0), draws=(draws, 1))
        super().__init__(
            features=features, ridge=ridge, shared=shared, floor=floor, budget=budget, encoder=encoder,
            seed=seed,
        )  # fmt: skip
        self.width, self.draws = width, draws
        self._noise: tuple[tuple[object, ...], tuple[Floats, Floats]] | None = None

    def _explored(
        self, believed: Believed, value: Floats, minus: Floats | float, gain: float, seed: int
    ) -> Floats:
        posterior, root = believed.posterior, believed.arms.root
        drawn = self._normals(believed.arms, seed)
        return wins(posterior, root, drawn, width=self.width, gain=gain, minus=minus)

    def _normals(self, arms: Arms, seed: int) -> tuple[Floats, Floats]:
        """The standard normals of a pool; those of the latest are kept."""
        key = (arms.names, arms.dim, seed)
        kept = self._noise  # one reference: another thread may replace it meanwhile
        if kept is None or kept[0] != key:
            kept = self._noise = (key, noise(arms.names, arms.dim, self.draws, seed))
        return kept[1]
