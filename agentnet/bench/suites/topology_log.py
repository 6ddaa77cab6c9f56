"""Environments made of a log: what methods that run graphs to learn are given where nothing can be run."""

from __future__ import annotations

import torch

from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import Encoder, task_text
from agentnet.outcomes.table import Outcomes
from agentnet.routers.stats import AgentStats
from agentnet.routers.topology.choose import agents_of, dearest, logged_graphs
from agentnet.routers.topology.critic import CriticEnvironment, Critics, learn_critics
from agentnet.routers.topology.environment import Environment, EnvironmentFactory
from agentnet.routers.topology.parts import LoggedEnvironment

MEMBERS, EPOCHS = 3, 60


class LogEnvironments:
    """Makes environments from logged runs, counted in tokens: exact where the log tells, else by critics.

    It is what `agp` learns in itself where it has a log and nothing else, so that all learn from the same.

    Args:
        encoder: Of task texts and roles.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[int, tuple[str, ...]], Critics] = {}

    def factory(self, seed: int) -> EnvironmentFactory:
        """Returns the maker of environments whose critics are trained with a seed, once."""

        def make(outcomes: Outcomes, pool: Pool) -> Environment:
            return self._make(outcomes, pool, seed)

        return make

    def _make(self, outcomes: Outcomes, pool: Pool, seed: int) -> Environment:
        log = logged_graphs(outcomes, "tokens")
        if log is None:
            raise DataError("the log holds too few judged runs of several agents to learn topologies from.")
        tasks = torch.from_numpy(self._encoder.encode([task_text(task) for task in outcomes.tasks()]))
        roles = self._encoder.encode([agent.profile for agent in pool])
        agents = agents_of(AgentStats.of(outcomes), pool, roles)
        key = (seed, tuple(outcomes.queries.query_id.tolist()))
        if key not in self._known:
            self._known[key] = learn_critics(
                log.rollouts, tasks, agents, unit=dearest(log.rollouts), messages=True, members=MEMBERS,
                epochs=EPOCHS, held_out=torch.from_numpy(outcomes.queries.split == "val"), seed=seed,
                device="cpu", options=None, label="topology",
            )  # fmt: skip
        guess = CriticEnvironment(self._known[key], tasks, agents, pool.names, join="sinks")
        return LoggedEnvironment(log, guess)
