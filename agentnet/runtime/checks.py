"""What a `Runtime` checks before any money is spent."""

from __future__ import annotations

from collections.abc import Mapping

from agentnet.errors import InvalidInput
from agentnet.graphs.pool import Pool, PoolHandle
from agentnet.runtime.strategies import Strategy, StrategyLike, check_agent, with_own


def current(pool: Pool | PoolHandle) -> Pool:
    """Returns the pool that is served now."""
    return pool.current if isinstance(pool, PoolHandle) else pool


def checked(
    pool: Pool | PoolHandle,
    strategies: Mapping[str, StrategyLike] | None,
    fallback: str | None,
    sandbox: str,
    **counts: int,
) -> Mapping[str, Strategy]:
    """Returns the strategies by name, those of agentnet among them.

    Args:
        pool: The agents.
        strategies: The caller's own.
        fallback: The agent that answers when the router abstains.
        sandbox: ``"strict"`` or ``"unsafe"``.
        **counts: Whole numbers from 1, by name.

    Raises:
        InvalidInput: a setting cannot be used (`PoolError` where an agent cannot be run).
    """
    if not isinstance(pool, Pool | PoolHandle):
        raise InvalidInput(f"a runtime needs a Pool or a PoolHandle; got {type(pool).__name__}.")
    if sandbox not in ("strict", "unsafe"):
        raise InvalidInput(f"sandbox is 'strict' or 'unsafe'; got {sandbox!r}.")
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise InvalidInput(f"{name} must be a whole number from 1; got {value!r}.")
    table = with_own(strategies)
    for agent in current(pool):
        check_agent(agent, table)
    _ = current(pool).backends
    if fallback is not None:
        current(pool)[fallback]
    return table
