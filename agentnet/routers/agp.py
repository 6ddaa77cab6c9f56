"""`agp`: prunes agents and edges per task; learns from logged runs, recorded answers or a simulator.

Source: Li, Zhao, Lee and Wang, "Adaptive Graph Pruning for Multi-Agent Communication", arXiv 2506.02951
(ECAI 2025). ``recipe=paper`` follows it where its release is sound (`agentnet.routers.topology.paper_stages`
tells what is put right); ``recipe=agentnet`` is agentnet's own. Where they differ is told in
``docs/routers/agp.md``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.normalise import NORMALISERS
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions
from agentnet.routers.decision import Decision, Evidence, Floats, NoteEvidence, Scores
from agentnet.routers.encoded import EncodedRouter
from agentnet.routers.encoding import Vectors
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.gnn.training import arrays_of, load_arrays
from agentnet.routers.selection import exchange_rate, good_enough
from agentnet.routers.settings import check_at_least, check_choice
from agentnet.routers.single import Choice
from agentnet.routers.topology.choose import (
    agents_of,
    cost_unit,
    dearest,
    environment_of,
    logged_graphs,
    logged_join,
    shortlisted,
)
from agentnet.routers.topology.energy import EnergyPruner
from agentnet.routers.topology.environment import EnvironmentFactory
from agentnet.routers.topology.evidence import gather
from agentnet.routers.topology.graphs import Shape, check_decision
from agentnet.routers.topology.learning import Lesson, Recipe, Training, learn_topology
from agentnet.routers.topology.network import Agents, Decoder
from agentnet.routers.topology.paper import PaperPruner, PaperRecipe
from agentnet.routers.topology.paper_stages import StageOne, StageTwo
from agentnet.routers.topology.picked import Picked, Pruner
from agentnet.routers.topology.replay import CostIn, ReplayEnvironment
from agentnet.routers.topology.search import Effort, Pruning
from agentnet.routers.topology.solo import FEWEST_HELD_OUT, SoloNet, SoloSeats, learn_solo
from agentnet.routers.topology.wanted import wanted_rollouts

_WIDTH = 32


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A pool: what the networks know of its agents, the pruner seated for it, and graphs made for it."""

    solo: SoloSeats
    cost: Floats
    pruner: Pruner | None
    graphs: dict[Hashable, TaskGraph] = field(default_factory=dict)


class AgpRouter(EncodedRouter[_View]):
    """Decides per task which agents take part, and who reads whose answer.

    It learns from whatever there is: the environment given by `use_environment`, logged runs of whole graphs
    (``outcomes.runs``), or recorded answers of all agents, which are replayed: there nobody reads another's
    answer, and an edge makes an agent wait and skips it where those before it agree. Where none of these is
    to be had, it prunes to one agent.

    Args:
        encoder: Name of the text encoder.
        recipe: ``agentnet`` or ``paper``.
        hard: Whether agents may be left out; of ``recipe="agentnet"``, as the next four.
        soft: Whether edges may be left out.
        stage_one: Whether good graphs are searched; without, they are drawn from a prior.
        decoder: ``directed``, or the paper's symmetric ``gram``.
        generations: Length of the search; None is 6 for every agent, and at most 60.
        epochs: Passes over the tasks in Stage II.
        steps: Of ``recipe="paper"``: steps of each stage.
        rollouts: Of ``recipe="paper"``: graphs a task and step of Stage I.
        shortlist: Most agents among which graphs are searched: those of the best mean scores.
        token_price: Score that a thousand tokens are worth to the user; added to the dial. For costs counted
            in tokens.
        decision: Agent that merges the answers; None takes a vote.
        rounds: Rounds of messages, see `agentnet.routers.topology.graphs.Shape`.
        normalise: Name of the normaliser by which answers are compared.

    Raises:
        InvalidInput: a setting is out of its range.
    """

    name = "agp"
    recipes: ClassVar[tuple[str, ...]] = ("agentnet", "paper")

    def __init__(
        self,
        *,
        encoder: str = "minilm",
        recipe: str = "agentnet",
        hard: bool = True,
        soft: bool = True,
        stage_one: bool = True,
        decoder: Decoder = "directed",
        generations: int | None = None,
        epochs: int = 60,
        steps: int = 10,
        rollouts: int = 1,
        shortlist: int = 16,
        token_price: float | None = None,
        decision: str | None = None,
        rounds: int = 1,
        normalise: str = "default",
    ) -> None:
        super().__init__(encoder=encoder)
        check_choice(
            recipe=(recipe, self.recipes),
            decoder=(decoder, ("directed", "gram")),
            normalise=(normalise, tuple(NORMALISERS)),
        )
        check_at_least(
            generations=(generations, 0), epochs=(epochs, 0), steps=(steps, 1), rollouts=(rollouts, 1),
            shortlist=(shortlist, 2), rounds=(rounds, 1), token_price=(token_price, 0),
        )  # fmt: skip
        self.recipe, self.hard, self.soft, self.stage_one = recipe, hard, soft, stage_one
        self.decoder, self.generations, self.epochs = decoder, generations, epochs
        self.steps, self.rollouts, self.shortlist, self.token_price = steps, rollouts, shortlist, token_price
        self.decision, self.rounds, self.normalise = decision, rounds, normalise
        self._factory: EnvironmentFactory | None = None
        self._watch: TrainingOptions | None = None
        self._device = "cpu"
        self._solo: SoloNet | None = None
        self._pruner: Pruner | None = None
        self._shape = Shape()
        self._votes: dict[str, float] = {}
        self._unit = 1.0
        self._cost_in: CostIn = "usd"

    def use_training(self, options: TrainingOptions) -> None:
        """Takes progress, log and checkpoint for the next `fit`."""
        self._watch = options

    def use_environment(self, factory: EnvironmentFactory) -> None:
        """Takes a place in which graphs are run for learning, for the next `fit`."""
        self._factory = factory

    # -- learning ------------------------------------------------------------------------------
    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        self._device = device
        with torch_threads(1):
            return super()._learn(outcomes, seed=seed, device=device)

    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        pool, split = outcomes.pool, outcomes.queries.split
        training = Training(seed, self._device, self._watch, self.name)
        train_rows, val_rows = np.flatnonzero(split == "train"), np.flatnonzero(split == "val")
        if not len(train_rows):
            train_rows = val_rows
        agents, tasks = self._agents(pool), torch.from_numpy(vectors)
        self._solo = learn_solo(
            tasks, agents, torch.from_numpy(outcomes.score), torch.from_numpy(train_rows),
            torch.from_numpy(val_rows), width=_WIDTH, seed=seed, device=self._device, options=self._watch,
            label=self.name,
        )  # fmt: skip
        self._pruner = None
        chosen, notes = self._learn_graphs(outcomes, tasks, training)
        report = FitReport(
            router=self.name, n_train=int((split == "train").sum()), n_val=int((split == "val").sum()),
            seconds=0, chosen=chosen, notes=notes,
        )  # fmt: skip
        rows = val_rows if len(val_rows) >= FEWEST_HELD_OUT else np.arange(len(outcomes))
        return report, rows, self._solo.scores(tasks[rows], self._solo.seats(agents))

    def _learn_graphs(
        self, outcomes: Outcomes, tasks: torch.Tensor, training: Training
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Learns which graphs to run; returns what the report tells."""
        check_decision(self.decision, outcomes.pool)
        pool = shortlisted(outcomes.pool, self.stats.mean(outcomes.pool), self.shortlist)
        some = outcomes.for_pool(pool)
        self._cost_in = cost_unit(outcomes)
        logged = logged_graphs(some, self._cost_in, normalise=self.normalise)
        found = None
        if self._factory is not None or logged is None:
            found = environment_of(some, pool, self._factory, normalise=self.normalise)
        if (found is None and logged is None) or len(pool) < 2:
            return {"graphs": "single agents"}, (
                "no runs of whole graphs and no recorded answers: prunes to one agent",
            )
        env, rows = found if found is not None else (None, np.arange(len(outcomes)))
        if found is not None and len(rows) < len(outcomes):
            logged = None  # the environment's tasks are not the log's
        split = outcomes.queries.split[rows]
        train = np.flatnonzero(split != "val") if (split != "val").any() else np.arange(len(rows))
        if env is not None:
            self._unit, join = env.unit, env.join
        else:
            assert logged is not None
            self._unit, join = dearest(logged.rollouts), logged_join(outcomes)
        self._votes = {}
        if isinstance(env, ReplayEnvironment):
            self._cost_in, self._votes = env.cost_in, dict(zip(env.agents, env.weights, strict=True))
        elif env is not None:
            self._cost_in = "tokens"
        lesson = Lesson(
            tasks=tasks[rows], agents=self._agents(pool), names=pool.names, train=torch.from_numpy(train),
            val=torch.from_numpy(np.flatnonzero(split == "val")), env=env, logged=logged,
            join=join, unit=self._unit, normalise=self.normalise,
        )  # fmt: skip
        self._shape = Shape(
            messages=lesson.messages, join=lesson.join, decision=self.decision, normalise=self.normalise,
            rounds=self.rounds,
        )  # fmt: skip
        where = "environment" if self._factory else "replayed answers" if env is not None else "logged runs"
        told: dict[str, Any] = {"graphs": where, "cost_in": self._cost_in}
        if self.recipe == "paper":
            one = StageOne(iterations=self.steps, rollouts=self.rollouts)
            recipe = PaperRecipe(one=one if self.stage_one else None, two=StageTwo(steps=self.steps))
            self._pruner, more = PaperPruner.learn(lesson, recipe, training)
            return told | more, ()
        learned = learn_topology(lesson, self._recipe(len(pool)), training)
        self._pruner = EnergyPruner.of(learned, lesson.agents, self._unit)
        told |= {
            "graphs_tried": learned.tried,
            "graphs_kept": len(learned.bank),
            "rollouts": learned.rollouts,
            "epochs": learned.history.epochs,
            "best_epoch": learned.history.best,
            "pseudo_tasks": learned.bank.pseudo,
        }
        return told, ("weights and groups chosen on held-out tasks",)

    def _recipe(self, agents: int) -> Recipe:
        generations = min(60, 6 * agents) if self.generations is None else self.generations
        pruning = Pruning(hard=self.hard, soft=self.soft)
        effort = Effort(generations=generations, children=min(192, 12 * agents), pruning=pruning)
        return Recipe(
            effort=effort, stage_one=self.stage_one, epochs=self.epochs, decoder=self.decoder, width=_WIDTH
        )

    def _agents(self, pool: Pool) -> Agents:
        return agents_of(self.stats, pool, self._texts([agent.profile for agent in pool]))

    def wanted_rollouts(self, log: Outcomes, *, top: int = 2) -> list[tuple[str, TaskGraph]]:
        """Returns (query id, graph): what to run before the next fit, because the log does not know it.

        Of ``recipe="agentnet"`` learned from logged runs. Only graphs that may be decided for are asked for.

        Args:
            log: What it was fitted on.
            top: Graphs a task and price.
        """
        self._check_fitted()
        rows = log.without_split("test")
        view, _ = self._prepared(rows.pool)
        if not isinstance(view.pruner, EnergyPruner) or not self._shape.messages:
            return []
        some = rows.for_pool(rows.pool.subset(view.pruner.names))
        tasks = torch.from_numpy(self._encode(rows.tasks(), None))
        wanted = wanted_rollouts(view.pruner, some, tasks, top=top, normalise=self.normalise)
        ids = rows.queries.query_id.tolist()
        names = view.pruner.names
        return [(ids[row], self._shape.task_graph(names, g.keep[0], g.edges[0])) for row, g in wanted]

    # -- predicting ----------------------------------------------------------------------------
    @torch.no_grad()
    def _view(self, pool: Pool) -> _View:
        assert self._solo is not None
        agents = self._agents(pool)
        pruner = self._pruner
        if pruner is not None:
            pruner = pruner.seated(pool.names, agents.roles)
        return _View(self._solo.seats(agents), self.stats.cost(pool), pruner)

    def _predict_known(self, view: _View, vectors: Vectors) -> tuple[Floats, Floats]:
        assert self._solo is not None
        return self._solo.scores(torch.from_numpy(np.ascontiguousarray(vectors)), view.solo), view.cost

    def _knows(self, pool: Pool) -> NDArray[np.bool_]:
        return self.stats.known(pool)

    # -- deciding ------------------------------------------------------------------------------
    def rate(self, options: RouteOptions) -> float:
        """Returns what the unit of cost is worth in score: the dial's, and the price of tokens."""
        tokens = 0.0
        if self.token_price and self._cost_in == "tokens":
            tokens = self.token_price / 1000 * self._unit
        return exchange_rate(options.cost_weight) + tokens

    def forward_once(self, vectors: Vectors, pool: Pool) -> None:
        """One bare pass of the deciding network over encoded tasks: the reference of benchmarks."""
        view, _ = self._prepared(pool)
        if view.pruner is not None:
            view.pruner.forward(torch.from_numpy(vectors), 0.1)

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
        view, _ = self._prepared(pool)
        if view.pruner is None:
            return super()._decide(
                tasks, pool, scores, options, live=live, seen=seen, vectors=vectors
            )  # fmt: skip
        assert vectors is not None  # `route_batch` encodes
        check_decision(self.decision, pool)
        rate = self.rate(options)
        encoded = torch.from_numpy(np.ascontiguousarray(vectors))
        picked = view.pruner.pick(encoded, rate)
        fits = good_enough(scores.calibrated, self.threshold, options.abstain_below)
        costs = scores.cost if scores.cost.ndim == 2 else [scores.cost] * len(tasks)
        expected = picked.score.tolist()
        decisions = []
        for i in range(len(tasks)):
            graph = self._graph_of(view, picked, i) if fits[i] else None
            decisions.append(
                Decision(
                    graph=graph, candidates=scores.agents, raw=scores.raw[i], calibrated=scores.calibrated[i],
                    cost=costs[i], propensity=1.0, router=self.name, version=self.version,
                    evidence=partial(self._gather, view.pruner, picked, i, encoded[i], graph, rate),
                    calibration_id=scores.calibration_id,
                    expected_score=expected[i] if graph is not None and expected[i] == expected[i] else None,
                )
            )  # fmt: skip
        return decisions

    def _graph_of(self, view: _View, picked: Picked, row: int) -> TaskGraph:
        """The graph of a row; made once, because most decisions share it."""
        graph = view.graphs.get(picked.keys[row])
        if graph is None:
            assert view.pruner is not None
            names, at = view.pruner.names, picked.at[row]
            graph = self._shape.task_graph(
                names, picked.among.keep[at], picked.among.edges[at],
                weights=[self._votes.get(name, 1.0) for name in names],
            )  # fmt: skip
            graph = view.graphs.setdefault(picked.keys[row], graph)
        return graph

    def _gather(
        self, pruner: Pruner, picked: Picked, row: int, task: torch.Tensor, graph: TaskGraph | None, r: float
    ) -> Evidence:
        return gather(
            pruner, self._shape, task, picked.graphs.take(slice(row, row + 1)), picked.evidence[row],
            graph=graph, score=float(picked.score[row]), cost=float(picked.cost[row]), unit=self._cost_in,
            rate=r,
        )  # fmt: skip

    def _explain(self, choice: Choice) -> Evidence:
        return NoteEvidence(
            "one agent alone, by its predicted score: no runs of whole graphs were learned from"
        )

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        assert self._solo is not None
        arrays |= {f"solo.{name}": array for name, array in arrays_of(self._solo).items()}
        state |= {"unit": self._unit, "cost_in": self._cost_in, "votes": self._votes, "pruner": None}
        state["shape"] = {"messages": self._shape.messages, "join": self._shape.join}
        if self._pruner is not None:
            state["pruner"], more = self._pruner.state()
            arrays |= {f"pruner.{name}": array for name, array in more.items()}
        return state, arrays

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        solo = {k.removeprefix("solo."): a for k, a in arrays.items() if k.startswith("solo.")}
        self._solo = SoloNet(solo["role.weight"].shape[1], width=_WIDTH)
        load_arrays(self._solo, solo)
        self._unit, self._cost_in = float(config["unit"]), config["cost_in"]
        self._votes = {str(name): float(weight) for name, weight in config["votes"].items()}
        self._shape = Shape(
            messages=config["shape"]["messages"], join=config["shape"]["join"], decision=self.decision,
            normalise=self.normalise, rounds=self.rounds,
        )  # fmt: skip
        self._pruner = None
        if config["pruner"] is not None:
            mine = {k.removeprefix("pruner."): a for k, a in arrays.items() if k.startswith("pruner.")}
            kind = PaperPruner if self.recipe == "paper" else EnergyPruner
            self._pruner = kind.restore(config["pruner"], mine)
