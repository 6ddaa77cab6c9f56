"""`agent_router`: a graph network reads the task's entities and relations; the best agents vote.

AgentRouter (arXiv 2510.05445): a knowledge graph per task, a heterogeneous graph network over query,
entities, relations and agents, soft targets from measured scores, fusion of the answers weighted by the
predicted distribution. Recipe ``paper`` is a faithful reconstruction from secondary sources and the sister
paper's code; recipe ``agentnet`` is ours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.answers import NORMALISERS
from agentnet.graphs.builders import star
from agentnet.graphs.knowledge import GraphCache, KnowledgeGraph, make_extractor
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.encoders import Encoder
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions
from agentnet.routers.calibration import fit_calibration
from agentnet.routers.decision import Decision, Evidence, Floats, Scores
from agentnet.routers.encoding import Encodes, Vectors
from agentnet.routers.gnn import agent_training as training
from agentnet.routers.gnn.agent_evidence import KnowledgeEvidence, Voter, seen
from agentnet.routers.gnn.agent_inputs import AgentInputs, agent_inputs
from agentnet.routers.gnn.agent_method import Method, Recipe, Target
from agentnet.routers.gnn.fusion import Floats64, Fusion, FusionReplay, vote_weights
from agentnet.routers.gnn.knowledge_batch import Detail, KnowledgeSource
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.selection import (
    BELOW_BEST,
    FALSE_ALARMS,
    LOW_END,
    choose,
    fill_cost,
    good_enough,
    pick_threshold,
    priority,
    utility,
)
from agentnet.routers.settings import check_at_least, check_choice
from agentnet.routers.single import SingleRouter

DETAILS = ("full", "no_relations", "query_agent", "none")
_VIEWS = 8


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What does not change between the tasks of one pool."""

    inputs: AgentInputs
    prior: NDArray[np.float32]
    known: NDArray[np.bool_]
    cost: NDArray[np.float64]
    order: NDArray[np.intp]


class AgentGraphRouter(Encodes, SingleRouter):
    """Reads each task's knowledge graph and lets the k best agents vote. See docs/routers/agent_router.md.

    Args:
        recipe: ``"agentnet"`` (ours): networks predict each agent's score as a deviation from its mean; size
            and weights of the vote are chosen on unseen rows. ``"paper"``: HGT, KL to soft targets, top 8.
        graph: What of the knowledge graph is used: ``"full"``, ``"no_relations"``, ``"query_agent"`` (neither
            entities nor relations) or ``"none"`` (no graph at all: a perceptron on query and agent).
        target: ``"soft"`` (A5) or ``"hard"`` (all weight on the best agents, ties shared).
        tau: Temperature of the target, and of ``agentnet``'s votes; None: 0.25, and chosen for the votes.
        top_k: Agents that answer; None: 8 for ``paper``, chosen for ``agentnet`` (1 where no text of the
            answers was recorded).
        fusion: ``"weighted"`` votes by predicted scores, ``"uniform"`` counts heads.
        epochs: Most epochs; None: 3 for ``paper``, 60 with early stopping for ``agentnet``.
        hidden: Width; None: 256 and 64.
        layers: Layers of message passing; None: 2 and 1.
        extractor: What finds entities and relations: ``rules``, ``spacy`` or ``spacy:MODEL``.
        encoder: Name of the text encoder.
        normalise: Name of the normaliser by which answers are compared.

    An agent without outcomes is scored by its text and price, from a low mean, and held below the best known
    agent of the task; in a label pack its text alone counts.
    """

    name = "agent_router"
    recipes = ("agentnet", "paper")

    def __init__(
        self,
        *,
        recipe: Recipe = "agentnet",
        graph: Detail = "full",
        target: Target = "soft",
        tau: float | None = None,
        top_k: int | None = None,
        fusion: Literal["weighted", "uniform"] = "weighted",
        epochs: int | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        extractor: str = "rules",
        encoder: str = "minilm",
        normalise: str = "default",
    ) -> None:
        super().__init__()
        check_choice(recipe=(recipe, self.recipes), graph=(graph, DETAILS), target=(target, ("soft", "hard")))
        check_choice(fusion=(fusion, ("weighted", "uniform")), normalise=(normalise, tuple(NORMALISERS)))
        check_at_least(tau=(tau, 1e-3), top_k=(top_k, 1), epochs=(epochs, 1), layers=(layers, 1))
        check_at_least(hidden=(hidden, 2))
        if hidden is not None and hidden % 2:
            raise InvalidInput(f"setting 'hidden' is an even number, for two heads; got {hidden!r}.")
        self.recipe, self.graph, self.target, self.tau, self.top_k = recipe, graph, target, tau, top_k
        self.fusion, self.epochs, self.hidden, self.layers = fusion, epochs, hidden, layers
        self.extractor, self.encoder, self.normalise = extractor, encoder, normalise
        self.method = Method.of(
            recipe, detail=graph, target=target, tau=tau, hidden=hidden, layers=layers, epochs=epochs
        )
        self._graphs_of: GraphCache | None = None
        self._source: KnowledgeSource | None = None
        self._training: TrainingOptions | None = None
        self._device = "cpu"
        self._names: tuple[str, ...] = ()
        self._networks: list[Any] = []
        self._scale, self._fusion = 1.0, Fusion()
        self._views: OrderedDict[str, _View] = OrderedDict()

    # -- what it is given ----------------------------------------------------------------------
    def use_encoder(self, encoder: Encoder) -> None:
        """Takes this encoder, for example one with a cache that several routers share."""
        super().use_encoder(encoder)
        self._source, self._views = None, OrderedDict()

    def use_graphs(self, graphs: GraphCache) -> None:
        """Takes this cache of knowledge graphs, for example one on disk or shared by several routers."""
        self._graphs_of, self.extractor, self._source = graphs, graphs.name, None

    def use_training(self, options: TrainingOptions) -> None:
        """Takes progress, log and checkpoint for the next `fit`."""
        self._training = options

    @property
    def source(self) -> KnowledgeSource:
        """Reads and encodes the graphs of tasks; keeps the latest."""
        if self._source is None:
            if self._graphs_of is None:
                self._graphs_of = GraphCache(make_extractor(self.extractor))
            typed = self.recipe == "paper"
            self._source = KnowledgeSource(self._graphs_of, self._texts, detail=self.graph, typed=typed)
        return self._source

    # -- learning ------------------------------------------------------------------------------
    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        tasks, pool = outcomes.tasks(), outcomes.pool
        self._names, self._views = pool.names, OrderedDict()
        self._device = training.pick_device(device)
        view = self._view(pool)
        job = training.Job(
            table=self.source.table(tasks, self._encode(tasks, None)),
            agents=view.inputs,
            score=outcomes.score,
            validation=outcomes.queries.split == "val",
            prior=view.prior,
            replay=FusionReplay.of(outcomes, self.normalise),
            data=outcomes.fingerprint,
        )
        ask = training.Ask(self.top_k, self.tau, self.fusion == "uniform")
        learned = training.learn(
            job, self.method, ask, seed=seed, device=self._device, options=self._training
        )
        self._networks, self._scale, self._fusion = learned.networks, learned.scale, learned.fusion
        self.calibration = fit_calibration(learned.raw, outcomes.score[learned.rows], seed=seed)
        top = self.calibration.apply(learned.raw).max(1)
        found = pick_threshold(top, outcomes.out_of_scope[learned.rows], false_alarms=FALSE_ALARMS)
        self.threshold = found[0] if found else None
        n_val = int(job.validation.sum())
        chosen = {
            "agents": self._fusion.k,
            "tau": self._fusion.tau,
            "scale": self._scale,
            "epochs": list(learned.epochs),
        }
        notes = () if job.replay else ("no recorded text of all agents: a vote could not be tried",)
        return FitReport(
            router=self.name, n_train=len(outcomes) - n_val, n_val=n_val, seconds=0.0, chosen=chosen,
            tried=learned.tried, notes=notes,
        )  # fmt: skip

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with further outcomes in the agents' mean scores; its networks stay."""
        import copy

        self._check_fitted()
        other = copy.copy(self)
        other.stats = self.stats.add(probes)
        other._views = OrderedDict()
        return other

    # -- predicting ----------------------------------------------------------------------------
    def _predict(self, tasks: Sequence[Task], pool: Pool, vectors: Vectors | None) -> tuple[Floats, Floats]:
        vectors = self._encode(tasks, vectors)
        view = self._view(pool)
        if not len(tasks):
            return np.zeros((0, len(pool))), view.cost
        table = self.source.table(tasks, vectors)
        with torch_threads(1 if len(tasks) <= 4 else None):
            logits = training.predict(self._networks, table, view.inputs, self._device)
        if not self.method.absolute:
            return training.softmax(logits), view.cost
        raw = training.sigmoid(view.prior + self._scale * logits)
        known = view.known
        if self.kind != "label" and not known.all() and known.any():
            highest = BELOW_BEST * raw[:, known].max(1, keepdims=True)
            raw[:, ~known] = np.minimum(raw[:, ~known], highest)
        return raw, view.cost

    def _view(self, pool: Pool) -> _View:
        found = self._views.get(pool.version)
        if found is None:
            found = self._views[pool.version] = self._prepared(pool)
            while len(self._views) > _VIEWS:
                self._views.popitem(last=False)
        return found

    def _prepared(self, pool: Pool) -> _View:
        known, mean = self.stats.known(pool), self.stats.mean(pool)
        trained = self.stats.trained & (self.stats.count > 0)
        if not known.all() and trained.any() and self.kind != "label":
            means = self.stats.total[trained] / self.stats.count[trained]
            mean = np.where(known, mean, np.percentile(means, LOW_END))
        held = np.clip(mean, 0.005, 0.995)
        inputs = agent_inputs(
            pool, self._names, self._texts, numbers=self.recipe == "agentnet", device=self._device
        )
        return _View(
            inputs=inputs,
            prior=np.log(held / (1 - held)).astype(np.float32),
            known=known,
            cost=self.stats.cost(pool),
            # An agent without outcomes loses every tie to one with outcomes.
            order=priority(pool.names, mean - ~known),
        )

    # -- deciding ------------------------------------------------------------------------------
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
        order = self._ranked(scores, self._view(pool), options)
        sizes = self._sizes(scores, order, options)
        weights = self._votes(np.asarray(scores.raw, np.float64))
        fits = good_enough(scores.calibrated, self.threshold, options.abstain_below)
        decisions = []
        for i, task in enumerate(tasks):
            members = order[i, : sizes[i]]
            graph: TaskGraph | partial[TaskGraph] | None = None
            if fits[i] and len(members) == 1:
                graph = self._graph(pool.names[members[0]])
            elif fits[i]:
                graph = partial(self._star, pool.names, members, weights[i])
            decisions.append(
                Decision(
                    graph=graph,
                    candidates=scores.agents,
                    raw=scores.raw[i],
                    calibrated=scores.calibrated[i],
                    cost=scores.cost,
                    propensity=1.0,
                    router=self.name,
                    version=self.version,
                    evidence=partial(
                        self._told, task, pool, members, weights[i], scores.calibrated[i], vectors, i
                    ),
                    calibration_id=scores.calibration_id,
                    expected_score=self._expected(scores.calibrated[i], members) if fits[i] else None,
                )
            )
        return decisions

    def _ranked(self, scores: Scores, view: _View, options: RouteOptions) -> NDArray[np.intp]:
        """[n, A] agents from the one of highest utility down."""
        dial, unit = options.cost_weight, self.stats.unit_cost
        first = choose(scores.calibrated, scores.cost, view.order, cost_weight=dial, unit_cost=unit)
        value = utility(scores.calibrated, scores.cost, cost_weight=dial, unit_cost=unit).copy()
        value[np.arange(len(first)), first] = np.inf
        sorted_ = np.argsort(-np.round(value[:, view.order], 9), axis=1, kind="stable")
        ranked: NDArray[np.intp] = view.order[sorted_]
        return ranked

    def _sizes(self, scores: Scores, order: NDArray[np.intp], options: RouteOptions) -> NDArray[np.intp]:
        """[n] agents that answer: as chosen, or where cost counts as many as are worth theirs."""
        n, count = order.shape
        fixed = min(self._fusion.k, count)
        dial = options.cost_weight
        if dial == 0 or self.top_k is not None or self.recipe == "paper" or len(self._fusion.gains) < 2:
            return np.full(n, fixed)
        most = min(count, len(self._fusion.gains))
        cost = np.broadcast_to(fill_cost(scores.cost), order.shape)
        spent = np.cumsum(np.take_along_axis(cost, order, 1), 1)[:, :most] / (self.stats.unit_cost or 1.0)
        value = (1 - dial) * np.array(self._fusion.gains[:most]) - dial * spent
        best: NDArray[np.intp] = np.round(value, 12).argmax(1) + 1
        return best

    def _votes(self, raw: Floats64) -> Floats64:
        if self.fusion == "uniform":
            return np.ones_like(raw)
        return vote_weights(raw, self._fusion.tau) if self.method.absolute else raw

    def _expected(self, calibrated: Floats, members: NDArray[np.intp]) -> float:
        at = min(len(members), len(self._fusion.gains)) - 1
        return float(np.clip(calibrated[members[0]] + self._fusion.gains[at], 0, 1))

    def _star(self, names: tuple[str, ...], members: NDArray[np.intp], weight: Floats64) -> TaskGraph:
        agents = [names[j] for j in members]
        weights = [max(round(float(weight[j]), 6), 1e-6) for j in members]
        return star(agents, weights, normalise=self.normalise)

    def _told(
        self, task: Task, pool: Pool, members: NDArray[np.intp], weight: Floats64, score: Floats,
        vectors: Vectors | None, row: int,
    ) -> Evidence:  # fmt: skip
        view = self._view(pool)
        graph: KnowledgeGraph = self.source.graphs([task])[0]
        query = self._encode([task], None if vectors is None else vectors[row : row + 1])
        batch = self.source.table([task], query).batch(None, self._device)
        entities, relations = seen(
            graph, training.attend(self._networks, batch, view.inputs), int(members[0])
        )
        voters = tuple(
            Voter(
                agent=pool.names[j], weight=round(float(weight[j]), 6), score=round(float(score[j]), 6),
                cost=None if np.isnan(view.cost[j]) else float(view.cost[j]),
            )
            for j in members
        )  # fmt: skip
        note = "" if self.graph == "full" else f"knowledge graph used: {self.graph}"
        return KnowledgeEvidence(
            query=task.text[:200], voters=voters, entities=entities, relations=relations, note=note
        )

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        dims = {"text": 0, "agent": 0}
        for i, network in enumerate(self._networks):
            dims = {"text": network.query_dim, "agent": network.agent_dim}
            arrays |= {f"network{i}.{name}": array for name, array in training.arrays_of(network).items()}
        state |= {
            "names": list(self._names), "scale": self._scale, "fusion": asdict(self._fusion), "dims": dims,
            "networks": len(self._networks),
        }  # fmt: skip
        return state, arrays

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._names, self._scale = tuple(config["names"]), float(config["scale"])
        kept = config["fusion"]
        self._fusion = Fusion(int(kept["k"]), float(kept["tau"]), tuple(float(g) for g in kept["gains"]))
        self._device, self._views, self._networks = "cpu", OrderedDict(), []
        for i in range(int(config["networks"])):
            own = f"network{i}."
            network = self.method.network(config["dims"]["text"], config["dims"]["agent"], len(self._names))
            training.load_arrays(
                network, {k.removeprefix(own): a for k, a in arrays.items() if k.startswith(own)}
            )
            self._networks.append(network.eval())
