"""`Society`: a simulated population of agents whose best topology is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.bench.society.model import Dynamics, normal_cdf
from agentnet.errors import InvalidInput
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.topology.graphs import Graphs, Join

if TYPE_CHECKING:
    from agentnet.bench.society.environment import SocietyEnvironment
    from agentnet.bench.society.prior import Kind
    from agentnet.bench.society.search import Best

Floats = NDArray[np.float64]
BAR_SLACK = 1e-5
"""How far below the best single agent's accuracy a deterministic society still scores 1: rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Society:
    """Simulated: N agents with skills, habits and token counts; the model is told in `society.model`.

    Attributes:
        name: Stands in the ids of its tasks.
        agents: N names.
        descriptions: N texts by which a router may know the agents.
        domains: D names.
        levels: L difficulties: each scales all mean evidence; the first is the easiest.
        skill: [N, D] mean evidence: above 0 skilled, 0 lazy, below 0 adversarial.
        synergy: [N, N, D] what an edge i -> j adds to j's mean evidence.
        susceptibility: [N] in [0, 1): how far an agent adopts what it reads.
        loudness: [N] above 0: scale of an agent's own part.
        group: [N] redundancy group; evidence within a group correlates by ``rho``.
        rho: In [0, 1).
        prompt: [N] tokens.
        completion: [N] tokens.
        decision: Tokens of the decision node's own prompt.
        price: Score per token: what the utility charges.
        deterministic: Score 1 where the expected accuracy of a graph reaches that of the best single agent
            (of the whole society, in the task's condition), else 0: equal graphs score equally.
        turn: An agent and the number of the first task on which it has turned bad; None nobody turns.

    >>> society = Society.draw(0)
    >>> len(society.agents), society.best(0, 0).certified
    (9, True)
    """

    name: str
    agents: tuple[str, ...]
    descriptions: tuple[str, ...]
    domains: tuple[str, ...]
    levels: tuple[float, ...]
    skill: Floats
    synergy: Floats
    susceptibility: Floats
    loudness: Floats
    group: NDArray[np.intp]
    rho: float
    prompt: Floats
    completion: Floats
    decision: float
    price: float
    deterministic: bool = False
    turn: tuple[int, int] | None = None

    join: Join = "all"
    """Whose answers the decision reads: those of all kept agents."""

    def __post_init__(self) -> None:
        n, d = len(self.agents), len(self.domains)
        shapes = {"skill": (n, d), "synergy": (n, n, d)}
        shapes |= {key: (n,) for key in ("susceptibility", "loudness", "group", "prompt", "completion")}
        for key, shape in shapes.items():
            if getattr(self, key).shape != shape:
                raise InvalidInput(f"{key} has shape {getattr(self, key).shape}; {shape} is needed.")
        checks = {
            "susceptibility lies in [0, 1)": (self.susceptibility >= 0) & (self.susceptibility < 1),
            "loudness is above 0": self.loudness > 0,
            "rho lies in [0, 1)": np.array(0 <= self.rho < 1),
            "levels are above 0": np.array(self.levels) > 0,
            "the price is not negative": np.array(self.price >= 0),
            "tokens are above 0": np.array([*self.prompt, *self.completion, self.decision]) > 0,
        }
        if wrong := [what for what, holds in checks.items() if not holds.all()]:
            raise InvalidInput(f"a society cannot be made so: {'; '.join(wrong)}.")

    @classmethod
    def draw(cls, seed: int, kind: Kind = "mixed", *, adversaries: int | None = None) -> Society:
        """Draws a society from the documented prior; see `agentnet.bench.society.prior.draw`."""
        from agentnet.bench.society.prior import draw

        return draw(seed, kind, adversaries=adversaries)

    @property
    def correlation(self) -> Floats:
        """[N, N] of the agents' evidence."""
        same = self.group[:, None] == self.group[None, :]
        matrix: Floats = np.where(same, self.rho, 0.0)
        np.fill_diagonal(matrix, 1.0)
        return matrix

    @cached_property
    def dynamics(self) -> Dynamics:
        """The numbers under all D x L conditions, double precision; agents that turn have not yet."""
        levels = np.array(self.levels)[None, :, None]
        mean = self.skill.T[:, None, :] * levels
        synergy = self.synergy.transpose(2, 0, 1)[:, None] * levels[..., None]
        n = len(self.agents)
        numbers = {
            "mean": mean.reshape(-1, n),
            "synergy": synergy.reshape(-1, n, n),
            "correlation": self.correlation,
            "decision": np.array(self.decision),
        }
        numbers |= {k: getattr(self, k) for k in ("susceptibility", "loudness", "prompt", "completion")}
        made = Dynamics(**{k: torch.as_tensor(v, dtype=torch.float64) for k, v in numbers.items()})
        if not self.deterministic:
            return made
        return replace(made, bar=normal_cdf(made.mean).amax(1) - BAR_SLACK)

    @property
    def unit(self) -> float:
        """Tokens of the dearest agent working alone: the unit of the quality-cost dial."""
        return float(self.dynamics.alone().max())

    @property
    def dial(self) -> float:
        """The dial w at which a token has this society's price: price = w / (1 - w) / unit."""
        return dial(self.price, self.unit)

    def condition(self, domain: int | str, difficulty: int) -> int:
        """Returns the row of a domain (name or number) at a difficulty (number) in `dynamics`.

        Raises:
            InvalidInput: there is no such domain or difficulty.
        """
        where = self.domains.index(domain) if domain in self.domains else domain
        if not isinstance(where, int) or not 0 <= where < len(self.domains):
            raise InvalidInput(f"no domain {domain!r}; there are {self.domains}.")
        if not 0 <= difficulty < len(self.levels):
            raise InvalidInput(f"no difficulty {difficulty!r}; there are {len(self.levels)} levels.")
        return where * len(self.levels) + difficulty

    def accuracy(self, graphs: Graphs, domain: int | str, difficulty: int) -> Tensor:
        """[R] probability that the decision is right, exactly."""
        condition = torch.full((len(graphs),), self.condition(domain, difficulty))
        return self.dynamics.accuracy(condition, graphs)

    def tokens(self, graphs: Graphs) -> Tensor:
        """[R] tokens that graphs take."""
        return self.dynamics.tokens(graphs)

    def value(self, graphs: Graphs, domain: int | str, difficulty: int) -> Tensor:
        """[R] expected score minus price times tokens, exactly."""
        condition = torch.full((len(graphs),), self.condition(domain, difficulty))
        return self.dynamics.score(condition, graphs) - self.price * self.tokens(graphs)

    @cached_property
    def optima(self) -> tuple[Best, ...]:
        """[D x L] the best topology of every condition, with its certificate."""
        from agentnet.bench.society.search import search

        return search(self.dynamics, self.price)

    def best(self, domain: int | str, difficulty: int) -> Best:
        """Returns the best of all topologies for a domain at a difficulty; all are searched at once."""
        return self.optima[self.condition(domain, difficulty)]

    def outcomes(self, n: int, seed: int = 0) -> Outcomes:
        """Draws n tasks with texts; see `agentnet.bench.society.tasks.draw_outcomes`."""
        from agentnet.bench.society.tasks import draw_outcomes

        return draw_outcomes(self, n, seed)

    def environment(self, outcomes: Outcomes, pool: Pool, *, expected: bool = False) -> SocietyEnvironment:
        """Makes the environment of these outcomes' rows and this pool's agents: an `EnvironmentFactory`.

        Args:
            outcomes: Rows drawn by `outcomes`; any subset, in any order.
            pool: Agents of this society; any subset, in any order.
            expected: Score the expectation instead of a draw.

        Raises:
            DataError: a row or an agent is not of this society.
        """
        from agentnet.bench.society.environment import make_environment

        return make_environment(self, outcomes, pool, expected=expected)

    def log(
        self, outcomes: Outcomes, graphs: Sequence[Graphs] | None = None, *, runs: int = 1, seed: int = 0
    ) -> Outcomes:
        """Adds logged runs of random graphs; see `agentnet.bench.society.logs.log`."""
        from agentnet.bench.society.logs import log

        return log(self, outcomes, graphs, runs=runs, seed=seed)

    def turned(self, agent: int | str, at: int = 0) -> Society:
        """Returns a copy in which an agent turns bad at the task of number ``at``.

        From then on its evidence speaks against the truth as strongly as it spoke for it, what helped it now
        misleads it, and what it says helps nobody. Neither its name nor its description tells.
        """
        position = self.agents.index(agent) if isinstance(agent, str) else agent
        return replace(self, turn=(position, at))

    @property
    def after(self) -> Society:
        """The society once its agent has turned; itself where nobody turns."""
        if self.turn is None:
            return self
        agent = self.turn[0]
        skill, synergy = self.skill.copy(), self.synergy.copy()
        skill[agent] = -np.abs(skill[agent])
        synergy[:, agent] = -np.abs(synergy[:, agent])
        synergy[agent] = 0
        return replace(self, skill=skill, synergy=synergy, turn=None)

    @property
    def pool(self) -> Pool:
        """The agents as a pool; they have no backend, for nothing is ever called."""
        from agentnet.graphs.agent import Agent

        pairs = zip(self.agents, self.descriptions, strict=True)
        return Pool(Agent(name=name, description=text) for name, text in pairs)


def dial(price: float, unit: float) -> float:
    """Returns the w for which ``exchange_rate(w) / unit`` is the price of a token.

    >>> dial(0.001, 1000.0)
    0.5
    """
    return price * unit / (1 + price * unit)
