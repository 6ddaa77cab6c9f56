"""`ReplayEnvironment`: graphs of unseen work, replayed on recorded answers by the thousand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.plans import AnswerTable, complete_rows
from agentnet.routers.topology.environment import Returns
from agentnet.routers.topology.graphs import STOP, Graphs, Join, vote_weights

CostIn = Literal["usd", "tokens", "calls"]
"""What costs are counted in: whichever of these, in this order, is known of every agent."""

_STEPS = 10_000
"""Vote weights have four decimals and are held as whole numbers: float32 then adds them without rounding."""
_CHUNK = 2048
"""Graphs at once: their arrays fit a processor's cache."""
_SLACK = 1e-9
"""That of `agentnet.graphs.answers.stop_holds`."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplayEnvironment:
    """What graphs without messages would have given on tasks whose answers are all recorded.

    Exact: `run` gives what `agentnet.graphs.replay.replay` gives for the task graphs of
    ``Shape(messages=False, join="all")`` with these vote weights. An agent without predecessors runs. Any
    other is skipped where all its predecessors were, or where `STOP` holds over its ancestors that ran. The
    weighted vote of all that ran stands; ties go to the first in `Graphs.order`, and where nobody answers
    the first agent's empty answer stands.

    Attributes:
        agents: The N agents.
        rows: [n] positions of the tasks among the outcomes' rows.
        weights: [N] weights of the agents' votes.
        unit: Mean cost of the dearest agent.
        cost_in: What costs are counted in.

    >>> from agentnet.graphs.agent import Agent
    >>> from agentnet.outcomes.table import Queries
    >>> text = np.array([["4", "4.0", "5"]] * 20, object)
    >>> data = Outcomes(
    ...     queries=Queries(query_id=np.arange(20).astype(str), text=("2 + 2?",) * 20,
    ...                     split=np.full(20, "train")),
    ...     pool=Pool([Agent(name=name) for name in "abc"]), response=text,
    ...     score=np.tile(np.float32([1, 1, 0]), (20, 1)), cost=np.full((20, 3), 0.5))
    >>> env = ReplayEnvironment.of(data, data.pool)
    >>> edges = torch.zeros(1, 3, 3, dtype=torch.bool)
    >>> edges[0, :2, 2] = True  # c works only if a and b differ
    >>> graphs = Graphs.joined(torch.ones(1, 3, dtype=torch.bool), edges, "all")
    >>> env.run(torch.tensor([0]), graphs)
    Returns(score=tensor([1.]), cost=tensor([1.]))
    """

    agents: tuple[str, ...]
    rows: NDArray[np.intp]
    weights: tuple[float, ...]
    unit: float
    cost_in: CostIn
    _key: Tensor
    """[n, N] int64, as in `AnswerTable`."""
    _said: Tensor
    """[n, N] float32; 1 where the text is not blank, even if nothing of it is left to compare."""
    _score: Tensor
    _cost: Tensor
    """[n, N] float32 both."""
    _kinds: int
    """Most different answers to a task."""
    messages: bool = field(default=False, init=False)
    join: Join = field(default="all", init=False)

    @classmethod
    def of(
        cls,
        outcomes: Outcomes,
        pool: Pool,
        *,
        normalise: str = "default",
        weights: Sequence[float] | None = None,
        device: torch.device | str = "cpu",
    ) -> ReplayEnvironment | None:
        """Makes the environment of the rows on which every agent has a score and its text.

        An agent's unknown cost on a row counts as its mean cost. Where USD are unknown of an agent
        altogether, or are all zero, costs are counted in tokens; where these are unknown too, in calls.

        Args:
            outcomes: Recorded outcomes; those of agents outside the pool are left out.
            pool: The agents, in the order of the arrays.
            normalise: Name of the normaliser by which answers are compared.
            weights: [N] weights of votes, rounded to four decimals; `vote_weights` of the outcomes' mean
                scores by default. Validation tasks take those of the training tasks.
            device: Where the graphs to run are.

        Returns:
            None where too few rows are complete (`agentnet.routers.plans.MIN_ROWS`).

        Raises:
            DataError: the weights are not N numbers above zero.
        """
        data = outcomes.for_pool(pool)
        table = AnswerTable.of(data, kind=normalise)
        if table is None or data.response is None:
            return None
        rows = complete_rows(data)
        votes = [
            round(float(w), 4)
            for w in (vote_weights(data.mean_score.tolist()) if weights is None else weights)
        ]
        if len(votes) != len(pool) or not all(weight > 0 for weight in votes):
            raise DataError(
                f"vote weights are one number above zero for each of {len(pool)} agents; got {votes}."
            )
        said = np.frompyfunc(lambda text: bool(text.strip()), 1, 1)(data.response[rows])
        cost, cost_in = _costs(data, rows)
        return cls(
            agents=pool.names,
            rows=rows,
            weights=tuple(votes),
            unit=float(cost.mean(0).max()),
            cost_in=cost_in,
            _key=torch.from_numpy(table.key.astype(np.int64)).to(device),
            _said=torch.from_numpy(said.astype(np.float32)).to(device),
            _score=torch.from_numpy(table.score.astype(np.float32)).to(device),
            _cost=torch.from_numpy(cost.astype(np.float32)).to(device),
            _kinds=max(1, int(table.key.max()) + 1),
        )

    @property
    def n(self) -> int:
        """Number of tasks."""
        return len(self.rows)

    def take(self, tasks: Tensor) -> ReplayEnvironment:
        """Returns the environment of some of the tasks."""
        return replace(
            self, rows=self.rows[tasks.numpy()], _key=self._key[tasks], _said=self._said[tasks],
            _score=self._score[tasks], _cost=self._cost[tasks],
        )  # fmt: skip

    def among(self, names: Sequence[str]) -> ReplayEnvironment:
        """Returns the environment of some of the agents, in this order."""
        at = [self.agents.index(name) for name in names]
        return replace(
            self, agents=tuple(names), weights=tuple(self.weights[i] for i in at), _key=self._key[:, at],
            _said=self._said[:, at], _score=self._score[:, at], _cost=self._cost[:, at],
        )  # fmt: skip

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        state: dict[str, Any] = {
            "agents": list(self.agents), "weights": list(self.weights), "unit": self.unit,
            "cost_in": self.cost_in, "kinds": self._kinds,
        }  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {
            "replay_key": self._key.numpy().astype(np.int32),
            "replay_said": self._said.numpy().astype(np.uint8),
            "replay_score": self._score.numpy(),
            "replay_cost": self._cost.numpy(),
        }
        return state, arrays

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ReplayEnvironment:
        """Builds the environment from what `state` returned."""
        key = torch.from_numpy(np.array(arrays["replay_key"]).astype(np.int64))
        said, score, cost = (
            torch.from_numpy(np.array(arrays[f"replay_{k}"], np.float32)) for k in ("said", "score", "cost")
        )
        return cls(
            agents=tuple(state["agents"]), rows=np.arange(len(key)), weights=tuple(state["weights"]),
            unit=float(state["unit"]), cost_in=state["cost_in"], _key=key, _said=said, _score=score,
            _cost=cost, _kinds=int(state["kinds"]),
        )  # fmt: skip

    def run(self, tasks: Tensor, graphs: Graphs, generator: torch.Generator | None = None) -> Returns:
        """Replays R graphs; nothing is random, so the generator is not used.

        Args:
            tasks: [R] int64 positions of tasks.
            graphs: R graphs, on the environment's device.
            generator: Not used.
        """
        parts = [
            self._run(tasks[at : at + _CHUNK], graphs.take(slice(at, at + _CHUNK)))
            for at in range(0, max(1, len(tasks)), _CHUNK)
        ]
        return Returns(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _run(self, tasks: Tensor, graphs: Graphs) -> tuple[Tensor, Tensor]:
        ran, winner, at = self.replay(tasks, graphs)
        first = at.gather(0, winner[None])[0]
        return self._score.take(first), (self._cost.take(at) * ran).sum(0)

    def replay(self, tasks: Tensor, graphs: Graphs) -> tuple[Tensor, Tensor, Tensor]:
        """Returns who runs and whose answer stands.

        Returns:
            [N, R] float32, 1 where an agent runs, by place in `Graphs.order`; [R] place of the agent whose
            answer stands; [N, R] positions of the agents by place in the flattened tables.
        """
        n = len(self.agents)
        order = graphs.order().T.contiguous()
        at = order + tasks * n
        key, said = self._key.take(at), self._said.take(at)
        steps = torch.tensor(self.weights, dtype=torch.float64).mul(_STEPS).round().float()
        weight = steps.to(order.device)[order]
        can_vote = key >= 0
        vote, key = weight * can_vote, key.clamp_(min=0)
        ran = graphs.keep.T.gather(0, order).float()
        pair = torch.arange(len(tasks), device=order.device) * n * n
        # [p, q, R]: 1 where place q is an ancestor of place p; bytes, whose maxima are fast.
        above = torch.zeros((n, *ran.shape), dtype=torch.uint8, device=ran.device)
        for p in range(1, n):
            into = graphs.edges.take(pair + order[:p] * n + order[p]).view(torch.uint8)
            above[p, :p] = into | (into[:, None] & above[:p, :p]).amax(0)
            seen = above[p, :p].float() * ran[:p]
            best = self._groups(key[:p], vote[:p] * seen).amax(0).double()
            enough = (said[:p] * seen).sum(0) >= STOP.min_answers
            agreed = best >= (STOP.threshold - _SLACK) * (weight[:p] * seen).sum(0).double()
            cut = (into.amax(0) > 0) & ((into * ran[:p]).sum(0) == 0)
            # Without predecessors nothing is seen, so that `enough` does not hold.
            ran[p] *= ~(cut | (enough & agreed))
        group = self._groups(key, vote * ran).gather(0, key) * can_vote
        # What can be compared beats what cannot, that a blank text, and this who did not run.
        return ran, ((group + 0.5 * said + 0.25) * ran).argmax(0), at

    def _groups(self, key: Tensor, vote: Tensor) -> Tensor:
        """[G, R] total vote of each answer, given [P, R] answers and votes; of whole numbers, thus exact."""
        return vote.new_zeros(self._kinds, key.shape[1]).scatter_add_(0, key, vote)


def _costs(data: Outcomes, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], CostIn]:
    """[n, N] costs on these rows, none of them unknown, and what they are counted in."""
    kinds: tuple[tuple[CostIn, NDArray[np.float64]], ...] = (
        ("usd", data.cost[rows]),
        ("tokens", data.prompt_tokens[rows] + data.completion_tokens[rows]),
    )
    for name, cost in kinds:
        known = ~np.isnan(cost)
        if known.any(0).all() and np.nanmax(cost) > 0:
            mean = np.where(known, cost, 0.0).sum(0) / known.sum(0)
            return np.where(known, cost, mean), name
    return np.ones(data.score[rows].shape), "calls"
