"""`tcar`: gives a task to a set of narrow agents, by a fast predictor, a reasoning model, or both.

Source: TCAndon-Router, arXiv 2601.04544: a language model reasons over the agents' descriptions and names
every agent that a query needs; the chosen agents answer in parallel and a refining agent merges them.
The fast predictor, the hand-over between the two, the thresholds and the rules for new agents are agentnet's.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.encoders import CachedEncoder, Encoder, make_encoder
from agentnet.outcomes.encoders.minilm import MiniLMEncoder
from agentnet.outcomes.encoders.tuned import TunedEncoder
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions
from agentnet.routers.decision import Decision, Floats, Scores
from agentnet.routers.encoding import Vectors
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.selection import exchange_rate, fill_cost, good_enough
from agentnet.routers.sets.asking import Advised
from agentnet.routers.sets.decide import Bounds, Verdict, decide_all
from agentnet.routers.sets.evidence import set_evidence
from agentnet.routers.sets.fitting import Aims, Labelled, fit_model, held_agents, labelled
from agentnet.routers.sets.graph import star
from agentnet.routers.sets.model import SetModel, SetScores, described
from agentnet.routers.sets.scored import LearnsScores, ScoreHeads
from agentnet.routers.sets.views import PoolView, Views
from agentnet.routers.settings import check_at_least, check_choice

_TUNE_FROM = 300
"""Labelled queries from which the encoder is fine-tuned by default."""
_VIEWS = 8
_ENCODER = "encoder."


class TcarRouter(Advised, LearnsScores):
    """Chooses every agent that a task needs, at most ``max_agents``, or nobody.

    ``mode=fast`` asks no language model. Agents with logged queries are columns of a logistic regression on a
    fine-tuned encoder; others are known by description and examples; all compete in one softmax. Queries that
    join several requests are taken apart. The set of highest expected reward is taken, with TCAR's reward
    (`agentnet.routers.reasoning.reward`) and a price for every further agent. ``mode=reason`` shows the
    likeliest agents to a language model, which gives reasons and names. ``mode=hybrid`` asks it only where
    the fast side is unsure.

    From a log of scores instead of right agents it learns expected scores and takes one agent: such a log
    does not tell what a set is worth.

    Args:
        mode: ``fast``, ``reason`` or ``hybrid``.
        max_agents: Most agents of a set (TCAR: 3).
        agent_cost: What every agent after the first costs, in reward.
        encoder: Name of the text encoder.
        tune: Whether to fine-tune the encoder (``minilm`` only); None does where there are 300 queries.
        epochs: Passes of the fine-tuning.
        false_alarms: Share of the tasks in scope that may be turned away.
        false_accepts: Share of the tasks out of scope that may be let in; needs such tasks in training, and
            then decides instead of ``false_alarms``.
        tax: Share of the known agents' tasks that may be lost to agents without logged queries, where these
            are a fifth of all.
        joined_share: Share of the tasks that is expected to join several requests.
        refiner: Agent that merges the answers of several; None joins them under their agents' names.
        model: Language model to ask: a backend's or an agent's name in the pool, a LiteLLM model, or
            ``local`` for SmolLM2-135M in this process, which `fit` then trains.
        model_minutes: Most minutes of that training.
        shown: Most agents that are shown to it.
        hand_over: A hybrid router asks it where the chosen set is wrong with at least this probability.
    """

    name = "tcar"
    needs_fit = False

    def __init__(
        self,
        *,
        mode: Literal["fast", "reason", "hybrid"] = "fast",
        max_agents: int = 3,
        agent_cost: float = 0.15,
        encoder: str = "minilm",
        tune: bool | None = None,
        epochs: float = 2.0,
        false_alarms: float = 0.02,
        false_accepts: float | None = None,
        tax: float = 0.006,
        joined_share: float = 0.2,
        refiner: str | None = None,
        model: str | None = None,
        model_minutes: float = 60.0,
        shown: int = 20,
        hand_over: float = 0.5,
    ) -> None:
        super().__init__(encoder=encoder)
        check_choice(mode=(mode, ("fast", "reason", "hybrid")))
        check_at_least(max_agents=(max_agents, 1), shown=(shown, 1))
        check_at_least(agent_cost=(agent_cost, 0), epochs=(epochs, 0))
        shares = {"false_alarms": false_alarms, "false_accepts": false_accepts, "tax": tax,
                  "joined_share": joined_share, "hand_over": hand_over}  # fmt: skip
        if wrong := [what for what, v in shares.items() if v is not None and not 0 <= v < 1]:
            raise InvalidInput(f"settings that are shares, from 0 to below 1: {', '.join(wrong)}.")
        if tune and not encoder.startswith("minilm"):
            raise InvalidInput(f"only the encoder minilm can be fine-tuned, not {encoder!r}; leave out tune.")
        self.mode, self.max_agents, self.agent_cost = mode, max_agents, agent_cost
        self.tune, self.epochs = tune, epochs
        self.false_alarms, self.false_accepts = false_alarms, false_accepts
        self.tax, self.joined_share = tax, joined_share
        self.refiner, self.model, self.model_minutes = refiner, model, model_minutes
        self.shown, self.hand_over = shown, hand_over
        self.kind = "label"
        self.least: dict[str, float] = {}
        """Least probability at which an agent may be chosen; see `with_thresholds`."""
        self._tuned: TunedEncoder | None = None
        self._options = TrainingOptions()
        self._take(SetModel())

    def _take(self, model: SetModel) -> None:
        """Serves this model from now on."""
        self._sets = model
        self._maker = Views(model, self._texts)
        self._kept: OrderedDict[str, tuple[PoolView, Floats]] = OrderedDict()
        self._calibration = model.calibration_id
        self._lock = threading.Lock()

    # -- encoding --------------------------------------------------------------------------------
    def use_encoder(self, encoder: Encoder) -> None:
        """Takes this encoder; a fine-tuned router goes on with its own, in the cache of the given one."""
        super().use_encoder(encoder)
        self._serving = None
        self._take(self._sets)

    _serving: Encoder | None = None

    def _made_encoder(self) -> Encoder:
        if self._tuned is None:
            return super()._made_encoder()
        if self._serving is None:
            given = self._encoder or CachedEncoder(make_encoder(self.encoder))
            self._serving = given.beside(self._tuned) if isinstance(given, CachedEncoder) else self._tuned
        return self._serving

    # -- learning --------------------------------------------------------------------------------
    def use_training(self, options: TrainingOptions) -> None:
        """Takes progress, log and checkpoint for the fine-tuning."""
        self._options = options

    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        self._tuned, self._serving, self.least = None, None, {}
        self._take(SetModel())
        if outcomes.kind != "label":
            return super()._learn(outcomes, seed=seed, device=device)
        data = labelled(outcomes, seed)
        tune = self.tune
        if tune is None:
            tune = self.encoder.startswith("minilm") and int((~data.val).sum()) >= _TUNE_FROM
        held = held_agents(data, seed) if tune else np.zeros(0, np.intp)
        if tune:
            self._tune(data, held, seed, device)
        aims = Aims(
            false_alarms=self.false_alarms, false_accepts=self.false_accepts, tax=self.tax,
            joined_share=self.joined_share,
        )  # fmt: skip
        model, chosen, notes = fit_model(data, self._texts, held=held, aims=aims, seed=seed)
        self._take(model)
        self._train_own_model(data, self._texts, seed, device, self._options)
        return FitReport(
            router=self.name, n_train=int((~data.val).sum()), n_val=int(data.val.sum()), seconds=0,
            chosen={"tuned": bool(tune), **chosen}, notes=tuple(notes),
        )  # fmt: skip

    def _tune(self, data: Labelled, held: NDArray[np.intp], seed: int, device: str) -> None:
        from agentnet.routers.sets.tower import TowerRecipe, tune_encoder

        agents = np.setdiff1d(data.present, held)
        rows = np.flatnonzero(~data.val & np.isin(data.labels, agents))
        base = make_encoder(self.encoder)
        if not isinstance(base, MiniLMEncoder):
            raise InvalidInput(f"only the encoder minilm can be fine-tuned, not {self.encoder!r}.")
        self._tuned = tune_encoder(
            base,
            [data.texts[i] for i in rows],
            np.searchsorted(agents, data.labels[rows]),
            [described(data.pool.agents[i]) for i in agents],
            recipe=TowerRecipe(epochs=self.epochs),
            seed=seed,
            device=device,
            options=self._options,
        )

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with the probes as examples of agents that have no logged queries.

        Raises:
            RouterError: it learned from scores, not from right agents.
        """
        if self.kind != "label" or probes.kind != "label":
            return super().with_probes(probes)
        known = set(self._sets.columns.names)
        more = {name: list(texts) for name, texts in self._sets.probes.items()}
        for task, gold in zip(probes.tasks(), probes.queries.gold, strict=True):
            if gold is not None and gold in probes.pool and gold not in known:
                more.setdefault(gold, []).append(task.text)
        model = replace(self._sets, probes={name: tuple(texts) for name, texts in more.items()})
        other = self._copied(model)
        other.stats = self.stats.add(probes)
        return other._renamed()

    def with_thresholds(self, least: Mapping[str, float]) -> Self:
        """Returns this router with thresholds of single agents; nothing is fitted again.

        Args:
            least: Least probability at which an agent may be chosen, by name; 0 takes a threshold away.

        Raises:
            InvalidInput: a threshold is not from 0 to 1.
        """
        for name, value in least.items():
            if not 0 <= value <= 1:
                raise InvalidInput(f"the threshold of {name!r} is a number from 0 to 1; got {value!r}.")
        other = self._copied(self._sets)
        other.least = {name: v for name, v in {**self.least, **least}.items() if v > 0}
        return other._renamed()

    def _copied(self, model: SetModel) -> Self:
        other = self._copy()
        other._take(model)
        return other

    def _renamed(self) -> Self:
        from agentnet.routers.persist import fingerprint

        if self.version != "unfitted":
            self.version = fingerprint(self)
        return self

    # -- predicting ------------------------------------------------------------------------------
    def score_batch(self, tasks: Sequence[Task], pool: Pool, *, vectors: Vectors | None = None) -> Scores:
        """Predicts for every agent that the task needs it; see `Router.score_batch`."""
        if self.kind != "label":
            return super().score_batch(tasks, pool, vectors=vectors)
        view, cost = self._served(pool)
        found = view.predict(self._encode(tasks, vectors))
        return SetScores(
            agents=pool.names,
            raw=found.logits,
            calibrated=found.chances,
            cost=cost,
            known=view.known,
            calibration_id=self._calibration,
            familiarity=found.familiarity,
        )

    def view(self, pool: Pool) -> PoolView:
        """Returns what was learned as it stands for a pool."""
        return self._served(pool)[0]

    def _served(self, pool: Pool) -> tuple[PoolView, Floats]:
        """The view of a pool and its agents' costs; the latest few are kept."""
        with self._lock:
            found = self._kept.get(pool.version)
            if found is None:
                found = self._kept[pool.version] = (self._maker.of(pool), self.stats.cost(pool))
                while len(self._kept) > _VIEWS:
                    self._kept.popitem(last=False)
            return found

    # -- deciding --------------------------------------------------------------------------------
    def _decide(
        self,
        tasks: Sequence[Task],
        pool: Pool,
        scores: Scores,
        options: RouteOptions,
        *,
        live: LiveState | None,
        seen: PartialRun | None,
        vectors: Vectors | None,
    ) -> list[Decision]:
        if not isinstance(scores, SetScores):
            return super()._decide(tasks, pool, scores, options, live=live, seen=seen, vectors=vectors)
        return self._choose(tasks, pool, scores, options)

    def _choose(
        self, tasks: Sequence[Task], pool: Pool, scores: SetScores, options: RouteOptions
    ) -> list[Decision]:
        texts = [task.text for task in tasks]
        fits = tried = good_enough(scores.calibrated, None, options.abstain_below)
        least = self._sets.threshold if options.abstain_below is None else None
        if least is not None:
            fits = scores.familiarity >= least
            # A joined query is like no single one: its parts must be known instead.
            tried = fits | self._sets.splitter.looks_at(texts, scores.calibrated.max(1))
        rows = np.flatnonzero(tried).tolist()
        costs = None
        if options.cost_weight > 0:
            price = exchange_rate(options.cost_weight) / (self.stats.unit_cost or 1.0)
            costs = np.broadcast_to(np.nan_to_num(fill_cost(scores.cost)) * price, scores.calibrated.shape)
        view = self.view(pool)
        # The agent that merges answers is not there to give one.
        never = {self.refiner: math.inf} if self.refiner and len(pool) > 1 else {}
        verdicts = decide_all(
            [texts[i] for i in rows],
            pool.names,
            np.asarray(scores.calibrated[rows], np.float32),
            self._sets.splitter,
            Bounds(most=self.max_agents, agent_cost=self.agent_cost, least={**self.least, **never}),
            score=lambda parts: view.chances(self._texts(parts)),
            costs=None if costs is None else costs[rows],
        )
        kept = {
            i: verdict
            for i, verdict in zip(rows, verdicts, strict=True)
            if fits[i] or self._knows_parts(view, verdict)
        }
        return [self._decision(pool, view, scores, i, kept.get(i)) for i in range(len(tasks))]

    def _knows_parts(self, view: PoolView, verdict: Verdict) -> bool:
        """Whether a query that is unfamiliar as a whole is made of familiar parts."""
        parts = list(verdict.told.values())
        if len(parts) < len(verdict.parts) or not parts or self._sets.threshold is None:
            return False
        familiarity = view.predict(self._texts(parts)).familiarity
        return bool(familiarity.min() >= self._sets.threshold)

    def _decision(
        self, pool: Pool, view: PoolView, scores: SetScores, i: int, verdict: Verdict | None
    ) -> Decision:
        chosen = verdict.chosen if verdict else ()
        shares = verdict.chances if verdict else scores.calibrated[i]
        graph = None
        if chosen:
            weights = {name: float(shares[pool.index(name)]) for name in chosen}
            told = verdict.told if verdict else {}
            graph = partial(self._star, chosen, weights, told) if len(chosen) > 1 else self._graph(chosen[0])
        names, at = view.candidates(shares, chosen)
        return Decision(
            graph=graph,
            candidates=names,
            raw=scores.raw[i][at],
            calibrated=shares[at],
            cost=scores.cost[at],
            propensity=1.0,
            router=self.name,
            version=self.version,
            evidence=partial(
                set_evidence, self._sets, pool, shares, verdict, self.least, float(scores.familiarity[i])
            ),
            calibration_id=scores.calibration_id,
            expected_score=verdict.expected if verdict and len(chosen) > 1 else None,
        )

    def _star(
        self, names: Sequence[str], weights: Mapping[str, float], parts: Mapping[str, str] | None = None
    ) -> TaskGraph:
        return star(names, weights, refiner=self.refiner, parts=parts)

    def _logged(self) -> tuple[str, ...]:
        return self._sets.columns.names if self.kind == "label" else self.stats.names

    # -- disk ------------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        sets, own = self._sets.state()
        arrays |= {**own, "heads_weight": self._heads.weight, "heads_bias": self._heads.bias}
        if self._tuned is not None:
            arrays |= {_ENCODER + name: array for name, array in self._tuned.arrays.items()}
        model, adapters = self._adviser_state()
        state |= {"sets": sets, "least": dict(sorted(self.least.items())), "model": model}
        return state, arrays | adapters

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._heads = ScoreHeads(arrays["heads_weight"], arrays["heads_bias"])
        learned = {k.removeprefix(_ENCODER): v for k, v in arrays.items() if k.startswith(_ENCODER)}
        self._tuned = None
        if learned and isinstance(base := make_encoder(self.encoder), MiniLMEncoder):
            self._tuned = TunedEncoder.of(base, learned)
        self._serving = None
        self.least = {name: float(value) for name, value in config["least"].items()}
        self._take(SetModel.restore(config["sets"], arrays))
        self._restore_adviser(config.get("model"), arrays)
