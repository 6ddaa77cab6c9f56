"""Which set of agents to take: the one of highest expected reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from agentnet.routers.reasoning.reward import reward

_SINGLES = 5
"""Agents that are tried alone and together; the others are too unlikely to matter."""
_LIKELY = 0.01


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of the right set for a query.

    Attributes:
        sets: Probability by set of agents; they add up to at most 1, the rest is spread thinly.
    """

    sets: Mapping[frozenset[str], float]

    def of(self, agent: str) -> float:
        """Returns the probability that an agent is in the right set."""
        return sum(chance for names, chance in self.sets.items() if agent in names)


def expected_reward(chosen: frozenset[str], belief: Belief) -> float:
    """Returns the mean of TCAR's reward over the belief.

    >>> expected_reward(frozenset("a"), Belief({frozenset("a"): 0.5, frozenset("ab"): 0.5}))
    0.875
    """
    return sum(chance * reward(chosen, gold) for gold, chance in belief.sets.items())


def choose_set(
    belief: Belief,
    *,
    most: int,
    agent_cost: float = 0.0,
    costs: Mapping[str, float] | None = None,
    allowed: Sequence[str] | None = None,
) -> frozenset[str]:
    """Returns the set of highest expected reward minus costs; empty where nobody is allowed.

    Args:
        belief: Of the right set.
        most: Most agents.
        agent_cost: What every agent after the first costs, in reward.
        costs: What each agent costs in reward beside that, for example its price times the dial.
        allowed: Agents that may be chosen; None allows all.

    >>> choose_set(Belief({frozenset("a"): 0.9, frozenset("b"): 0.1}), most=3)
    frozenset({'a'})
    >>> sorted(choose_set(Belief({frozenset("ab"): 0.9, frozenset("a"): 0.1}), most=3))
    ['a', 'b']
    """
    costs = costs or {}
    agents: dict[str, float] = {}
    for names, chance in belief.sets.items():
        for name in names:
            agents[name] = agents.get(name, 0.0) + chance
    may = set(agents) if allowed is None else set(allowed)
    # By price too: where only cost counts, a cheap agent is tried however unlikely it is.
    ranked = sorted((n for n in agents if n in may), key=lambda n: (-agents[n] + costs.get(n, 0.0), n))
    tried = [frozenset({name}) for name in ranked[:_SINGLES]]
    short = [name for name in ranked[:_SINGLES] if agents[name] >= _LIKELY]
    for size in range(2, most + 1):
        tried += [frozenset(names) for names in combinations(short, size)]
    tried += [names for names in belief.sets if 1 < len(names) <= most and names <= may]

    def worth(names: frozenset[str]) -> tuple[float, int]:
        spent = agent_cost * (len(names) - 1) + sum(costs.get(name, 0.0) for name in names)
        return round(expected_reward(names, belief) - spent, 9), -len(names)

    # The first of equals wins, by name: whatever the order of the pool was.
    return max(sorted(dict.fromkeys(tried), key=sorted), key=worth, default=frozenset())
