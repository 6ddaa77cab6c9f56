"""`SocietyEnvironment`: a society as the environment that topology learners roll out in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentnet.bench.society.model import Dynamics
from agentnet.bench.society.society import Society, dial
from agentnet.bench.society.tasks import locate
from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.topology.environment import Returns
from agentnet.routers.topology.graphs import Graphs, Join


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SocietyEnvironment:
    """Simulated: runs graphs on a society's tasks, thousands at once; an `Environment`.

    Attributes:
        agents: The N agents of the arrays.
        conditions: [n] int64 row of each task in ``dynamics``.
        dynamics: The society's numbers for these agents; single precision.
        price: Score per token of the society.
        expected: Whether the score is the expectation instead of a draw.
        messages: Edges carry answers.
        join: The decision reads all kept agents.
        unit: Tokens of the dearest of these agents working alone.

    >>> society = Society.draw(0)
    >>> environment = society.environment(society.outcomes(4), society.pool)
    >>> everybody = torch.ones(2, 9, dtype=torch.bool)
    >>> complete = Graphs.joined(everybody, torch.ones(2, 9, 9, dtype=torch.bool).triu(1), "all")
    >>> returns = environment.run(torch.tensor([0, 3]), complete, torch.Generator())
    >>> returns.score.shape, bool((returns.cost == society.tokens(complete)).all())
    (torch.Size([2]), True)
    """

    agents: tuple[str, ...]
    conditions: Tensor
    dynamics: Dynamics
    price: float
    expected: bool
    unit: float
    messages: bool = True
    join: Join = "all"

    @property
    def n(self) -> int:
        """Number of tasks."""
        return len(self.conditions)

    @property
    def dial(self) -> float:
        """The dial at which a token has the society's price, in this environment's unit."""
        return dial(self.price, self.unit)

    def run(self, tasks: Tensor, graphs: Graphs, generator: torch.Generator) -> Returns:
        """Runs R graphs; see `agentnet.routers.topology.environment.Environment.run`.

        A graph's score is 1 with the probability that its decision is right; ``expected`` and deterministic
        societies draw nothing.
        """
        device = graphs.keep.device
        dynamics = self.dynamics if device.type == "cpu" else self.dynamics.to(device=device)
        score = dynamics.score(self.conditions.to(device)[tasks], graphs)
        if not self.expected and dynamics.bar is None:
            drawn = torch.rand(len(graphs), generator=generator).to(device)
            score = (drawn < score).to(score.dtype)
        return Returns(score, dynamics.tokens(graphs))


def make_environment(
    society: Society, outcomes: Outcomes, pool: Pool, *, expected: bool = False
) -> SocietyEnvironment:
    """Makes the environment whose tasks are rows and whose agents are a pool's; see `Society.environment`.

    Raises:
        DataError: a row or an agent is not of this society.
    """
    if unknown := [name for name in pool.names if name not in society.agents]:
        raise DataError(f"agents {unknown} are not of society {society.name!r}: {', '.join(society.agents)}.")
    agents = torch.tensor([society.agents.index(name) for name in pool.names])
    domain, level, number = locate(society, outcomes)
    conditions = torch.as_tensor(domain * len(society.levels) + level)
    dynamics = society.dynamics
    if society.turn is not None:
        conditions += torch.as_tensor(number >= society.turn[1]) * len(dynamics.mean)
        dynamics = dynamics.followed_by(society.after.dynamics)
    mine = dynamics.subset(agents)
    return SocietyEnvironment(
        agents=pool.names,
        conditions=conditions,
        dynamics=mine.to(torch.float32),
        price=society.price,
        expected=expected,
        unit=float(mine.alone().max()),
    )
