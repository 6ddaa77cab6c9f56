"""A stream of tasks with bandit feedback: only the score of the agent that was chosen is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.bandits.arms import Arms, Floats, Posterior, root_of
from agentnet.routers.bandits.belief import WARM
from agentnet.routers.bandits.contexts import learn_contexts
from agentnet.routers.bandits.explore import best_of, epsilon_at, may_explore, noise, wins, with_floor
from agentnet.routers.bandits.looks import Features
from agentnet.routers.bandits.router import PRIORS

FLOOR = 0.002
"""Probability that every agent keeps: the default of the routers, the same for all bandits."""
DRAWS = 128
"""Draws of the posterior by which Thompson sampling computes its probabilities: the router's default."""
Kind = Literal["eps_greedy", "linucb", "thompson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandit:
    """One bandit with its settings.

    Attributes:
        kind: Name of the router.
        features: What it sees of a task; ``none``: no context.
        setting: Its exploration: ``alpha``, ``width``, or ``epsilon`` and ``halving``.
        every: Scores come in batches of so many rounds; 1: at once.
        budget: Budget of regret a round; None is unlimited.
        label_told: Whether the pack's task label stands in place of a learned task type, as in the runs that
            GreenServ reports: only there does a bandit see a label.
    """

    kind: Kind
    features: Features
    setting: Mapping[str, float | None] = field(default_factory=dict)
    every: int = 1
    budget: float | None = None
    label_told: bool = False

    @property
    def name(self) -> str:
        """The router and what it sees."""
        seen = {"none": "context-free", "greenserv": "GreenServ's features", "agentnet": "agentnet features"}
        told = ", task label told" if self.label_told else ""
        return f"{self.kind}, {seen[self.features]}{told}"

    def with_(self, **changes: Any) -> Bandit:
        """Returns a copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """n tasks as a stream draws them.

    Attributes:
        score: [n, A] what every agent would score; a bandit is told one of them a round.
        looks: By features, [n, d + m] what is seen of the tasks.
        labels: [n] the pack's task labels, from 0: for reports and for ``label_told``.
    """

    score: Floats
    looks: Mapping[str, NDArray[np.float32]]
    labels: NDArray[np.intp]

    def take(self, rows: NDArray[np.intp]) -> World:
        """Returns some of the tasks."""
        return World(
            score=self.score[rows],
            looks={name: look[rows] for name, look in self.looks.items()},
            labels=self.labels[rows],
        )

    def contexts(self, bandit: Bandit, order: NDArray[np.intp]) -> Floats:
        """Returns [T, D] the contexts of a stream, learned from its first `WARM` tasks, without scores."""
        if bandit.features == "none":
            return np.ones((len(order), 1))
        looks = self.looks[bandit.features][order]
        found = learn_contexts(bandit.features, looks[:WARM]).of(looks)
        if not bandit.label_told:
            return found
        types = len(learn_contexts(bandit.features, looks[:WARM]).arrays["types"])
        told: Floats = np.eye(int(self.labels.max()) + 1)[self.labels[order]]
        return np.concatenate((told, found[:, types:]), axis=1)


def play(
    world: World, bandit: Bandit, order: NDArray[np.intp], *, seed: int
) -> tuple[NDArray[np.intp], Floats]:
    """Plays a stream as the router of that name does, without its text and its JSON.

    Returns:
        [T] the agents chosen, and [T] the probabilities with which they were.
    """
    names = [str(i) for i in range(world.score.shape[1])]
    ridge, shared = PRIORS[bandit.features]
    context = world.contexts(bandit, order)
    warm = 0 if bandit.features == "none" else WARM
    constant = np.ones((1, 1))
    arms = Arms.start(names, 1, ridge=ridge, shared=shared)
    drawn = noise(names, 1, DRAWS, seed)
    rng = np.random.default_rng([seed, 7])
    chosen = np.zeros(len(order), np.intp)
    chance = np.zeros(len(order))
    told: list[int] = []
    spent, learned = 0.0, 0
    for t in range(len(order)):
        x = context[t : t + 1] if learned >= warm else constant
        posterior = arms.posterior(x)
        explores = may_explore(spent, learned, bandit.budget)
        chances = _chances(bandit, posterior, arms, drawn, learned) if explores else best_of(posterior.mean)
        row = with_floor(chances, FLOOR)[0]
        ahead = np.cumsum(row)
        agent = min(int((rng.random() * ahead[-1] >= ahead).sum()), len(row) - 1)
        chosen[t], chance[t] = agent, row[agent]
        told.append(t)
        if len(told) < bandit.every:
            continue
        before, learned = learned, learned + len(told)
        if before < warm <= learned:
            arms = Arms.start(names, context.shape[1], ridge=ridge, shared=shared)
            drawn = noise(names, context.shape[1], DRAWS, seed)
            told = list(range(t + 1))
        for s in told:
            seen = context[s] if learned >= warm else constant[0]
            arms.absorb(int(chosen[s]), seen, float(world.score[order[s], chosen[s]]))
        if bandit.budget is not None:
            mean = posterior.mean[0]
            spent += float(mean.max() - mean[agent])
        told = []
    return chosen, chance


def _chances(
    bandit: Bandit, posterior: Posterior, arms: Arms, drawn: tuple[Floats, Floats], learned: int
) -> Floats:
    setting = bandit.setting
    if bandit.kind == "linucb":
        return best_of(posterior.mean + float(setting["alpha"] or 0) * posterior.deviation)
    if bandit.kind == "thompson":
        return wins(posterior, root_of(arms.common), drawn, width=float(setting["width"] or 0))
    epsilon = epsilon_at(learned, float(setting["epsilon"] or 0), setting["halving"])
    return with_floor(best_of(posterior.mean), min(epsilon, 1.0) / posterior.mean.shape[1])
