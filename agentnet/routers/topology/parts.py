"""What a log of whole graphs knows exactly: every part of a run that depends on nothing else.

What an agent says depends on the agents whose answers reach it, and on nobody else. So a logged run tells,
for each of its agents, what the graph of that agent and its ancestors would have answered alone, and at what
cost; and graphs that were never run can be put together from such parts. Whether an answer is right is known
where a run ended with it and was judged. One run of four agents thus stands for a dozen.

This takes agents to answer the same question in the same way, as they do at temperature 0; where they do not,
a part stands for one draw of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agentnet.graphs.answers import normalise, weighted_vote
from agentnet.graphs.live import Step
from agentnet.graphs.semantics import aggregate_plain
from agentnet.outcomes.table import LoggedRun, Outcomes
from agentnet.routers.topology.critic import CriticEnvironment, Rollouts
from agentnet.routers.topology.environment import Returns
from agentnet.routers.topology.graphs import Graphs, unique_graphs

PartKey = tuple[int, int]
"""An agent, and the edges among it and its ancestors as bits i * N + j."""


@dataclass(frozen=True, slots=True)
class Part:
    """What an agent answered at the end of a part, and what its own work cost."""

    answer: str
    """Normalised; empty for none."""
    cost: float


@dataclass(frozen=True, slots=True, eq=False)
class LoggedParts:
    """Parts of logged runs, by task.

    Attributes:
        agents: The N agents.
        parts: [n] by task, the parts that were seen.
        verdicts: [n] by task, the mean score of answers that runs ended with.
        rollouts: Every part of every run whose answer was judged, and the runs themselves; one row for each
            graph and task, with the mean where there are several.
    """

    agents: tuple[str, ...]
    parts: tuple[dict[PartKey, Part], ...]
    verdicts: tuple[dict[str, float], ...]
    rollouts: Rollouts

    @classmethod
    def of(
        cls, outcomes: Outcomes, runs: Sequence[tuple[int, LoggedRun]], unit: str, kind: str
    ) -> LoggedParts:
        """Takes runs apart.

        Args:
            outcomes: Its rows are the tasks, its pool the agents.
            runs: (row, run) of judged runs in which no agent stands twice, of agents of the pool.
            unit: What counts as cost: ``tokens`` or ``usd``.
            kind: Name of the normaliser by which answers are compared.
        """
        agents, n = outcomes.agents, len(outcomes)
        judged: list[dict[str, list[float]]] = [{} for _ in range(n)]
        taken: list[tuple[int, LoggedRun, dict[str, Step], Graphs]] = []
        for row, run in runs:
            steps = {step.node: step for step in run.steps if step.round == 0 and not step.skipped}
            graph = Graphs.of([run.graph], agents)
            taken.append((row, run, steps, graph))
            whole = run.graph.rounds == 1 and len(steps) == len(run.graph.nodes)
            if whole and run.graph.aggregation.kind in ("vote", "last", "best"):
                ended = aggregate_plain(run.graph, {(0, name): step for name, step in steps.items()})
                assert run.score is not None
                judged[row].setdefault(normalise(ended.answer, kind), []).append(run.score)
        verdicts = tuple({key: sum(s) / len(s) for key, s in one.items()} for one in judged)
        parts: tuple[dict[PartKey, Part], ...] = tuple({} for _ in range(n))
        found: dict[tuple[int, bytes], tuple[Graphs, list[float], list[float]]] = {}

        def note(row: int, graph: Graphs, score: float, cost: float) -> None:
            key = (row, content_of(graph))
            _, scores, costs = found.setdefault(key, (graph, [], []))
            scores.append(score)
            costs.append(cost)

        for row, run, steps, graph in taken:
            total = run.tokens if unit == "tokens" else run.cost_usd
            if run.score is not None and total is not None:
                note(row, graph, run.score, float(total))
            if run.graph.rounds > 1 or not all(edge.carries for edge in run.graph.spatial):
                continue
            at = {agents.index(node.agent): steps.get(node.id) for node in run.graph.nodes}
            costs = {i: _cost(step, unit) for i, step in at.items()}
            for i, step in at.items():
                own = costs[i]
                inside = closure(graph.edges[0], i)
                if step is None or own is None or any(costs.get(j) is None for j in inside):
                    continue
                answer = normalise(step.answer, kind) if step.error is None else ""
                parts[row].setdefault(part_key(graph.edges[0], i, inside), Part(answer, own))
                if answer in verdicts[row] and len(inside) < len(at):
                    spent = sum(costs[j] or 0.0 for j in inside)
                    note(row, _cut(graph, i, inside), verdicts[row][answer], spent)
        _note_singles(outcomes, unit, note)
        rows = [row for row, _ in found]
        return cls(
            agents, parts, verdicts,
            Rollouts(
                torch.tensor(rows, dtype=torch.long), Graphs.cat([graph for graph, _, _ in found.values()]),
                torch.tensor([sum(s) / len(s) for _, s, _ in found.values()]),
                torch.tensor([sum(c) / len(c) for _, _, c in found.values()]),
            ),
        )  # fmt: skip

    def known(
        self, task: int, order: Sequence[int], keys: Sequence[PartKey], outputs: set[int], kind: str
    ) -> tuple[float, float] | None:
        """Returns score and cost of a graph on a task, put together from parts; None where one is missing.

        Args:
            task: Its position.
            order: The kept agents, in the order they run.
            keys: Their parts.
            outputs: Whose answers the decision reads.
            kind: Name of the normaliser.
        """
        seen = self.parts[task]
        found = [seen.get(key) for key in keys]
        if any(part is None for part in found):
            return None
        given = [part for part in found if part is not None]
        answers = [part.answer for i, part in zip(order, given, strict=True) if i in outputs]
        vote = weighted_vote(answers, [1.0] * len(answers), kind)
        score = self.verdicts[task].get(vote.key if vote else "")
        return None if score is None else (score, sum(part.cost for part in given))


class LoggedEnvironment:
    """An `Environment` from a log: exact where parts make up the graph, else what critics expect.

    Args:
        parts: What the log knows.
        critics: What to expect of the rest.
        normalise: Name of the normaliser by which answers are compared.
    """

    messages = True

    def __init__(self, parts: LoggedParts, critics: CriticEnvironment, *, normalise: str = "default") -> None:
        self._parts, self._critics, self._kind = parts, critics, normalise
        self.agents, self.n, self.join, self.unit = critics.agents, critics.n, critics.join, critics.unit
        self._known: Known = {}

    def run(self, tasks: Tensor, graphs: Graphs, generator: torch.Generator) -> Returns:
        """Looks graphs up on tasks, and asks the critics for the rest."""
        found = self._critics.run(tasks, graphs, generator)
        score, cost = found.score.clone(), found.cost.clone()
        for row, known in enumerate(self._looked_up(tasks, graphs)):
            if known is not None:
                score[row], cost[row] = known
        return Returns(score, cost)

    def share_known(self, tasks: Tensor, graphs: Graphs) -> float:
        """Returns the share of graphs and tasks of which the log knows the outcome."""
        found = self._looked_up(tasks, graphs)
        return sum(item is not None for item in found) / max(len(found), 1)

    def _looked_up(self, tasks: Tensor, graphs: Graphs) -> list[tuple[float, float] | None]:
        return exact_outcomes(self._parts, tasks, graphs, self._kind, self._known)


Known = dict[tuple[int, bytes], tuple[float, float] | None]


def exact_outcomes(
    log: LoggedParts, tasks: Tensor, graphs: Graphs, kind: str, known: Known | None = None
) -> list[tuple[float, float] | None]:
    """Returns score and cost of each graph on its task, None where parts of it are missing.

    Args:
        log: What was logged.
        tasks: [R] positions of tasks.
        graphs: R graphs.
        kind: Name of the normaliser by which answers are compared.
        known: What was looked up before; added to.
    """
    known = {} if known is None else known
    rows, where = unique_graphs(graphs)
    plans = [_plan(graphs.take(rows[k : k + 1])) for k in range(len(rows))]
    found = []
    for task, k in zip(tasks.tolist(), where.tolist(), strict=True):
        content, order, keys, outputs = plans[k]
        if (task, content) not in known:
            known[task, content] = log.known(task, order, keys, outputs, kind)
        found.append(known[task, content])
    return found


def _plan(graph: Graphs) -> tuple[bytes, list[int], list[PartKey], set[int]]:
    order = [i for i in graph.order()[0].tolist() if graph.keep[0, i]]
    keys = [part_key(graph.edges[0], i, closure(graph.edges[0], i)) for i in order]
    return content_of(graph), order, keys, set(graph.outputs[0].nonzero().squeeze(1).tolist())


def closure(edges: Tensor, agent: int) -> set[int]:
    """Returns an agent and its ancestors in a graph [N, N].

    >>> closure(torch.tensor([[False, True], [False, False]]), 1)
    {0, 1}
    """
    inside, todo = {agent}, [agent]
    while todo:
        above = set(edges[:, todo.pop()].nonzero().squeeze(1).tolist()) - inside
        inside |= above
        todo += above
    return inside


def part_key(edges: Tensor, agent: int, inside: set[int]) -> PartKey:
    """Returns the key of the part that ends with an agent."""
    n = len(edges)
    pairs = edges.nonzero().tolist()
    return agent, sum(1 << (i * n + j) for i, j in pairs if i in inside and j in inside)


def _note_singles(outcomes: Outcomes, unit: str, note: Callable[[int, Graphs, float, float], None]) -> None:
    """Takes what agents scored alone into the log, where it is known what that cost."""
    tokens = outcomes.prompt_tokens + outcomes.completion_tokens
    cost = tokens if unit == "tokens" else outcomes.cost
    n = len(outcomes.agents)
    alone = [
        Graphs.joined(
            torch.eye(n, dtype=torch.bool)[i : i + 1], torch.zeros((1, n, n), dtype=torch.bool), "all"
        )
        for i in range(n)
    ]
    for row, i in np.argwhere(outcomes.observed & ~np.isnan(cost)).tolist():
        note(row, alone[i], float(outcomes.score[row, i]), float(cost[row, i]))


def _cut(graph: Graphs, agent: int, inside: set[int]) -> Graphs:
    """The part that ends with an agent, as a graph of its own."""
    keep, outputs = torch.zeros_like(graph.keep), torch.zeros_like(graph.keep)
    keep[0, list(inside)] = True
    outputs[0, agent] = True
    return Graphs(keep, graph.edges & keep[:, :, None] & keep[:, None, :], outputs)


def content_of(graph: Graphs) -> bytes:
    """Returns what a single graph is, to be looked up by."""
    return torch.cat((graph.keep[0], graph.outputs[0], graph.edges[0].flatten())).numpy().tobytes()


def _cost(step: Step | None, unit: str) -> float | None:
    if step is None:
        return None
    if unit == "usd":
        return None if step.cost is None else float(step.cost)
    if step.prompt_tokens is None or step.completion_tokens is None:
        return None
    return float(step.prompt_tokens + step.completion_tokens)
