"""The ways in which agents answer, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from agentnet.errors import InvalidInput, PoolError
from agentnet.graphs.agent import Agent
from agentnet.runtime.call import AgentCall, Answer
from agentnet.runtime.strategies.base import Strategy
from agentnet.runtime.strategies.functions import CALLABLE
from agentnet.runtime.strategies.program import PROGRAM
from agentnet.runtime.strategies.prompted import (
    CHAIN_OF_THOUGHT,
    CRITIC_STRATEGY,
    DEBATE_STRATEGY,
    DIRECT,
    SUMMARISE_STRATEGY,
)
from agentnet.runtime.strategies.react import REACT
from agentnet.runtime.strategies.recorded import RECORDED, recorded_from
from agentnet.runtime.strategies.refining import REFINE_STRATEGY
from agentnet.runtime.strategies.sampling import SELF_CONSISTENCY
from agentnet.runtime.tools import make_tools

__all__ = ["BUILT_IN", "Strategy", "StrategyLike", "check_agent", "recorded_from", "with_own"]

StrategyLike = Strategy | Callable[[AgentCall], Awaitable[Answer | str]]
"""A strategy, or an async function of an `AgentCall`."""

BUILT_IN: Mapping[str, Strategy] = MappingProxyType(
    {
        item.name: item
        for item in (
            DIRECT,
            CHAIN_OF_THOUGHT,
            SELF_CONSISTENCY,
            PROGRAM,
            REACT,
            CRITIC_STRATEGY,
            REFINE_STRATEGY,
            SUMMARISE_STRATEGY,
            DEBATE_STRATEGY,
            CALLABLE,
            RECORDED,
        )
    }
)


def with_own(own: Mapping[str, StrategyLike] | None) -> Mapping[str, Strategy]:
    """Returns the built-in strategies and a user's own; a name that stands twice is the user's.

    Raises:
        InvalidInput: one is neither a `Strategy` nor a function.
    """
    if not own:
        return BUILT_IN
    table = dict(BUILT_IN)
    for name, item in own.items():
        if isinstance(item, Strategy):
            table[name] = item
        elif callable(item):
            table[name] = Strategy(name=name, run=item, needs="nothing", any_options=True)
        else:
            raise InvalidInput(f"strategy {name!r} must be a Strategy or an async function; got {item!r}.")
    return table


def check_agent(agent: Agent, strategies: Mapping[str, Strategy]) -> Strategy:
    """Returns an agent's strategy, having checked that the agent can be run.

    Raises:
        PoolError: the strategy is unknown, the backend or callable is missing, an option or a tool is wrong.
    """
    strategy = strategies.get(agent.strategy)
    if strategy is None:
        raise PoolError(
            f"agent {agent.name!r} has the unknown strategy {agent.strategy!r}; there are "
            f"{sorted(strategies)}."
        )
    strategy.check(agent)
    make_tools(agent.tools)
    return strategy
