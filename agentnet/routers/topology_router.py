"""`topology`: agents that read each other's answers, over a fixed or a learned graph.

The topologies that adaptive pruning is compared with, under one interface: single agents; chains, stars,
complete and random graphs; and graphs learned by GPTSwarm (arXiv 2402.16823), AgentPrune (2410.02506),
G-Designer (2410.11782) and AgentDropout (2503.18891).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.errors import InvalidInput
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.normalise import NORMALISERS
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import MAX_ROUNDS, Aggregation, Node, TaskGraph
from agentnet.outcomes.encoders import task_text
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions, Router
from agentnet.routers.decision import Decision, Scores
from agentnet.routers.encoding import Encodes, Vectors
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.selection import good_enough, priority
from agentnet.routers.settings import check_at_least, check_choice
from agentnet.routers.single import training_rows
from agentnet.routers.stats import AgentStats
from agentnet.routers.topology.environment import Environment, EnvironmentFactory
from agentnet.routers.topology.explain import TopologyEvidence
from agentnet.routers.topology.fixed import FIXED, Fixed, fixed_edges, task_noise
from agentnet.routers.topology.graphs import Graphs, Join, Shape, check_decision, vote_weights
from agentnet.routers.topology.learned import LEARNED, Learned, Site, learn
from agentnet.routers.topology.reinforce import Lesson

Method = Literal[
    "single", "cot", "self_consistency", "chain", "star", "complete", "random", "gptswarm", "agentprune",
    "gdesigner", "agentdropout",
]  # fmt: skip
METHODS: tuple[str, ...] = Method.__args__  # type: ignore[attr-defined]
_STRATEGY = {"cot": "chain_of_thought", "self_consistency": "self_consistency"}


class TopologyRouter(Encodes, Router):
    """Gives every task a graph of agents by one of several methods.

    Fixed methods put agents in rising order of their training score: the best one answers last. Learned
    methods run graphs in an environment: one given by `use_environment`, else what can be made from the
    outcomes; where nothing can, the best single agent is taken, and the report says so. What they learned
    holds for the agents that they saw: `gdesigner` alone asks new ones, too.

    Args:
        method: ``single`` is the best agent; ``cot`` and ``self_consistency`` are an agent with that
            strategy.
        encoder: Of ``gdesigner``: name of the text encoder.
        agent: Of the single-agent methods: name of the agent; None takes the best suitable one.
        samples: Of ``self_consistency``: ask the agent so many times, and take a vote; None asks an agent
            whose own strategy is self-consistency.
        density: Of ``random``: share of the complete graph's edges.
        size: Of the fixed methods: so many of the best agents take part; None all.
        steps: Of the learned methods: steps of training; None is the method's own number.
        batch: Of the learned methods: tasks a step; None is the method's own number.
        rollouts: Of the learned methods: graphs run a task and step; the papers run 1.
        lr: Of the learned methods: learning rate.
        price: Of the learned methods: what the dearest agent's mean cost is worth in score; the papers
            count the score alone.
        sample: Of the learned methods: draw edges by their probabilities, the same ones for the same task,
            instead of taking those above 1/2. None does as the method's released code does.
        low_rank: Of ``agentprune``: whether the low-rank penalty is used.
        rounds: Rounds of messages.
        join: Whose answers are joined, where no environment says: those that no other agent reads, or all.
        decision: Agent that merges the answers; None takes a vote.
        normalise: Name of the normaliser by which answers are compared.

    Raises:
        InvalidInput: a setting is out of its range.

    >>> TopologyRouter(method="star").settings["method"]
    'star'
    """

    name = "topology"

    def __init__(
        self,
        *,
        method: Method = "complete",
        encoder: str = "minilm",
        agent: str | None = None,
        samples: int | None = None,
        density: float = 0.5,
        size: int | None = None,
        steps: int | None = None,
        batch: int | None = None,
        rollouts: int = 1,
        lr: float = 0.1,
        price: float = 0.0,
        sample: bool | None = None,
        low_rank: bool = False,
        rounds: int = 1,
        join: Join = "sinks",
        decision: str | None = None,
        normalise: str = "default",
    ) -> None:
        super().__init__()
        check_choice(
            method=(method, METHODS), join=(join, ("sinks", "all")), normalise=(normalise, tuple(NORMALISERS))
        )
        check_at_least(
            samples=(samples, 1), size=(size, 1), steps=(steps, 1), batch=(batch, 1), rollouts=(rollouts, 1),
            lr=(lr, 1e-12), price=(price, 0), density=(density, 0), rounds=(rounds, 1),
        )  # fmt: skip
        if density > 1 or rounds > MAX_ROUNDS:
            raise InvalidInput(f"setting 'density' is at most 1 and 'rounds' at most {MAX_ROUNDS}.")
        self.method, self.encoder, self.agent, self.samples = method, encoder, agent, samples
        self.density, self.size, self.steps, self.batch = density, size, steps, batch
        self.rollouts, self.lr, self.price, self.sample = rollouts, lr, price, sample
        self.low_rank, self.rounds, self.join = low_rank, rounds, join
        self.decision, self.normalise = decision, normalise
        self._factory: EnvironmentFactory | None = None
        self._watch: TrainingOptions | None = None
        self._stats = AgentStats.empty()
        self._shape = Shape(join=join, decision=decision, normalise=normalise, rounds=rounds)
        self._learned: Learned | None = None
        self._seed = 0
        self._made: dict[tuple[bytes, ...], TaskGraph] = {}
        self._site: tuple[str, Site] | None = None

    def use_environment(self, factory: EnvironmentFactory) -> None:
        """Takes the maker of the environment that the next `fit` learns in; it is not saved."""
        self._factory = factory

    def use_training(self, options: TrainingOptions) -> None:
        """Takes progress, log and checkpoint for the next `fit`."""
        self._watch = options

    # -- learning ------------------------------------------------------------------------------
    def _fit(self, outcomes: Outcomes, pool: Pool, *, seed: int, device: str) -> FitReport:
        check_decision(self.decision, pool)
        rows = training_rows(outcomes, pool)
        self._stats, self._seed, self._learned = AgentStats.of(rows), seed, None
        self._made, self._site = {}, None
        self._shape = Shape(
            join=self.join, decision=self.decision, normalise=self.normalise, rounds=self.rounds
        )  # fmt: skip
        found, note = self._environment(rows, pool)
        if found is not None:
            env, tasks = found
            self._shape = Shape(
                messages=env.messages, join=env.join, decision=self.decision, normalise=self.normalise,
                rounds=self.rounds,
            )  # fmt: skip
            if self.method in LEARNED:
                self._learned = self._train(env, rows.take(tasks), pool, seed)
        chosen: dict[str, Any] = {"method": self.method}
        if self.method not in (*FIXED, *LEARNED) or (self.method in LEARNED and self._learned is None):
            chosen["agent"] = self._single(pool)
        split = rows.queries.split
        return FitReport(
            router=self.name,
            n_train=int((split == "train").sum()),
            n_val=int((split == "val").sum()),
            seconds=0.0,
            chosen=chosen,
            notes=(note,) if note else (),
        )

    def _train(self, env: Environment, tasks: Outcomes, pool: Pool, seed: int) -> Learned:
        """Learns a topology; on the CPU, for there are few numbers to it and many small steps."""
        lesson = Lesson(
            env=env, tasks=torch.arange(env.n), steps=self.steps, batch=self.batch, rollouts=self.rollouts,
            lr=self.lr, price=self.price / (env.unit or 1.0), seed=seed, options=self._watch,
        )  # fmt: skip
        if not self._reads:
            return learn(self.method, lesson, None, None, low_rank=self.low_rank)
        vectors = self._texts([task_text(task) for task in tasks.tasks()])
        return learn(self.method, lesson, vectors, self._texts([agent.profile for agent in pool]))

    def _environment(
        self, rows: Outcomes, pool: Pool
    ) -> tuple[tuple[Environment, NDArray[np.intp]] | None, str]:
        """The environment to learn in with the rows that are its tasks, and what the report says of it."""
        if self._factory is None and self.method not in LEARNED:
            return None, ""
        from agentnet.routers.topology.choose import environment_of

        found = environment_of(rows, pool, self._factory, normalise=self.normalise)
        if found is not None:
            return found, ""
        return None, (
            f"the best single agent: {self.method} needs an environment, or recorded answers of every agent "
            "to the same tasks"
        )

    @property
    def _reads(self) -> bool:
        """Whether decisions depend on the task's encoding."""
        return self.method == "gdesigner"

    def _encode(self, tasks: Sequence[Task], vectors: Vectors | None) -> Any:
        return super()._encode(tasks, vectors) if self._reads and self._learned is not None else vectors

    # -- deciding ------------------------------------------------------------------------------
    def score_batch(
        self, tasks: Sequence[Task], pool: Pool, *, vectors: NDArray[np.float32] | None = None
    ) -> Scores:
        """Every agent's mean, the same for all tasks; see `Router.score_batch`."""
        self._check_fitted()
        mean = np.broadcast_to(self._stats.mean(pool), (len(tasks), len(pool)))
        return Scores(
            agents=pool.names, raw=mean, calibrated=mean, cost=self._stats.cost(pool),
            known=self._stats.known(pool),
        )  # fmt: skip

    def _decide(
        self,
        tasks: Sequence[Task],
        pool: Pool,
        scores: Scores,
        options: RouteOptions,
        *,
        live: LiveState | None,
        seen: PartialRun | None,
        vectors: NDArray[np.float32] | None,
    ) -> list[Decision]:
        check_decision(self.decision, pool)
        made = self._topologies(tasks, pool, vectors)
        fits = good_enough(scores.calibrated, None, options.abstain_below)
        return [
            Decision(
                graph=made[i][0] if fits[i] else None,
                candidates=scores.agents,
                raw=scores.raw[i],
                calibrated=scores.calibrated[i],
                cost=scores.cost,
                propensity=1.0,
                router=self.name,
                version=self.version,
                evidence=partial(self._evidence, *made[i]),
            )
            for i in range(len(tasks))
        ]

    def _topologies(
        self, tasks: Sequence[Task], pool: Pool, vectors: Vectors | None
    ) -> list[tuple[TaskGraph, str]]:
        """Each task's graph, and where it comes from."""
        if self.method in FIXED:
            return self._fixed(tasks, pool)
        if self._learned is None:
            agent = self._single(pool)
            note = "the best agent" if self.agent is None else "the agent of the settings"
            return [(self._alone(agent), note)] * len(tasks)
        site = self._site_of(pool)
        if not site.names:
            return [(self._alone(self._single(pool)), "no agent of the training is here")] * len(tasks)
        n = len(site.names)
        uniform = None
        if self._samples:
            noise = [task_noise(task_text(task), self._seed, (n, n)) for task in tasks]
            uniform = torch.stack(noise)
        graphs, chances = site.graphs(len(tasks), vectors, uniform, self._shape.join)
        note = "drawn by learned probabilities" if self._samples else "learned edges above 1/2"
        return [
            (self._graph(site.names, site.weights, graphs, r, chances[r]), note) for r in range(len(tasks))
        ]

    @property
    def _samples(self) -> bool:
        return self.method != "gptswarm" if self.sample is None else self.sample

    def _fixed(self, tasks: Sequence[Task], pool: Pool) -> list[tuple[TaskGraph, str]]:
        ranked = self._ranked(pool)[: self.size]
        names = tuple(reversed(ranked))
        weights = vote_weights([float(self._stats.mean(pool)[pool.index(name)]) for name in names])
        n = len(names)
        kind: Fixed = self.method  # type: ignore[assignment]
        note = "drawn for this task" if kind == "random" else "fixed, the best agent last"
        found = []
        for task in tasks if kind == "random" else tasks[:1]:
            noise = None
            if kind == "random":
                noise = task_noise(task_text(task), self._seed, (n, n + 1))
            edges = fixed_edges(kind, n, density=self.density, noise=noise)
            keep = torch.ones(n, dtype=torch.bool)
            graphs = Graphs.joined(keep[None], edges[None], self._shape.join)
            found.append((self._graph(names, weights, graphs, 0, None), note))
        return found if kind == "random" else found * len(tasks)

    def _graph(
        self, names: tuple[str, ...], weights: list[float], graphs: Graphs, row: int, chances: Tensor | None
    ) -> TaskGraph:
        """The graph of one row; equal ones are made once."""
        keep, edges = graphs.keep[row], graphs.edges[row]
        told = torch.zeros(0) if chances is None else chances
        key = (
            "\n".join(names).encode("utf-8", "surrogatepass"),
            *(t.numpy().tobytes() for t in (keep, edges, told)),
        )
        graph = self._made.get(key)
        if graph is None:
            graph = self._shape.task_graph(names, keep, edges, weights=weights, edge_weights=chances)
            if len(self._made) < 10_000:
                self._made[key] = graph
        return graph

    def _site_of(self, pool: Pool) -> Site:
        """What was learned, for the agents of this pool; kept for the next call."""
        assert self._learned is not None
        if self._site is None or self._site[0] != pool.version:
            roles = self._texts([agent.profile for agent in pool]) if self._reads else None
            means = dict(zip(pool.names, self._stats.mean(pool).tolist(), strict=True))
            self._site = (pool.version, self._learned.site(pool.names, self._stats.names, means, roles))
        return self._site[1]

    # -- single agents -------------------------------------------------------------------------
    def _ranked(self, pool: Pool) -> list[str]:
        """The pool's agents, best first; one without outcomes comes after its equals."""
        order = priority(pool.names, self._stats.mean(pool) - 1e-9 * ~self._stats.known(pool))
        return [pool.names[i] for i in order.tolist()]

    def _single(self, pool: Pool) -> str:
        """The agent that answers alone."""
        if self.agent is not None and self.method not in LEARNED:
            if self.agent not in pool:
                raise InvalidInput(
                    f"setting 'agent' names {self.agent!r}, which is not in the pool: "
                    f"{', '.join(pool.names[:20])}."
                )
            return self.agent
        strategy = _STRATEGY.get(self.method)
        if strategy is None or (self.method == "self_consistency" and self.samples):
            return self._ranked(pool)[0]
        for name in self._ranked(pool):
            if pool[name].strategy == strategy:
                return name
        also = ", or 'samples'" if self.method == "self_consistency" else ""
        raise InvalidInput(
            f"no agent of the pool has the strategy {strategy!r} that method {self.method!r} asks for; name "
            f"one in setting 'agent'{also}."
        )

    def _alone(self, agent: str) -> TaskGraph:
        count = (self.samples or 1) if self.method == "self_consistency" else 1
        nodes = [Node(agent if i == 0 else f"{agent} {i + 1}", agent) for i in range(count)]
        return TaskGraph(nodes=tuple(nodes), aggregation=Aggregation("vote", normalise=self.normalise))

    def _evidence(self, graph: TaskGraph, note: str) -> TopologyEvidence:
        return TopologyEvidence.of(self.method, note, graph)

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        stats, arrays = self._stats.state()
        learned = {} if self._learned is None else self._learned.arrays()
        state = {
            "stats": stats,
            "seed": self._seed,
            "messages": self._shape.messages,
            "join": self._shape.join,
            "learned": self._learned is not None,
        }
        return state, arrays | {f"learned.{name}": array for name, array in learned.items()}

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._stats = AgentStats.restore(config["stats"], arrays)
        self._seed = int(config["seed"])
        self._shape = Shape(
            messages=bool(config["messages"]), join=config["join"], decision=self.decision,
            normalise=self.normalise, rounds=self.rounds,
        )  # fmt: skip
        self._made, self._site, self._learned = {}, None, None
        if config["learned"]:
            own = {n.removeprefix("learned."): a for n, a in arrays.items() if n.startswith("learned.")}
            self._learned = Learned.restore(own)
