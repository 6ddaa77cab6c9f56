"""`eps_greedy`: the agent believed best, and with probability epsilon any; learns while serving."""

from __future__ import annotations

from agentnet.routers.bandits.arms import Floats
from agentnet.routers.bandits.explore import best_of, epsilon_at, with_floor
from agentnet.routers.bandits.looks import Features
from agentnet.routers.bandits.router import BanditRouter, Believed
from agentnet.routers.settings import check_at_least


class EpsGreedyRouter(BanditRouter):
    """Takes the best by prediction, or with probability epsilon any. See docs/routers/bandits.md.

    Args:
        epsilon: Share of the tasks that explore, at the start.
        halving: Tasks after which epsilon is half of that, a third after twice as many; None keeps it.
        context: Whether it looks at the task; without, it learns one mean for every agent.
        features: ``"agentnet"``, ``"greenserv"``, or ``"none"``: as ``context=False``.
        ridge: Prior precision of an agent's own part, in units of the noise; None: 15, ``greenserv`` 0.05.
        shared: Prior precision of the part that all agents share; 0: they share nothing. None: 4,
            ``greenserv`` 0.
        floor: Probability that every agent keeps; at most one over the number of agents.
        budget: Most that exploring may cost a task on average, in predicted utility; None is unlimited.
        encoder: Name of the text encoder.
        seed: Seed of the draws; None takes the seed of `fit`.

    >>> from agentnet import Agent, Pool
    >>> router = EpsGreedyRouter(epsilon=0.0, context=False, floor=0.0)
    >>> router.route("hi", Pool([Agent(name="a"), Agent(name="b")])).propensity
    0.5
    """

    name = "eps_greedy"

    def __init__(
        self,
        *,
        epsilon: float = 1.0,
        halving: float | None = 20.0,
        context: bool = True,
        features: Features = "agentnet",
        ridge: float | None = None,
        shared: float | None = None,
        floor: float = 0.002,
        budget: float | None = 0.05,
        encoder: str = "minilm",
        seed: int | None = None,
    ) -> None:
        check_at_least(epsilon=(epsilon, 0), halving=(halving, 1e-9))
        super().__init__(
            features=features if context else "none", ridge=ridge, shared=shared, floor=floor,
            budget=budget, encoder=encoder, seed=seed,
        )  # fmt: skip
        self.epsilon, self.halving, self.context = epsilon, halving, context

    def _explored(
        self, believed: Believed, value: Floats, minus: Floats | float, gain: float, seed: int
    ) -> Floats:
        epsilon = min(epsilon_at(believed.belief.seen, self.epsilon, self.halving), 1.0)
        return with_floor(best_of(value), epsilon / value.shape[1])
