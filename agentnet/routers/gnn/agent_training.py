"""Training of ``agent_router``: faithful (one network, a validation split) and ours (one per fold)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from agentnet.errors import DataError
from agentnet.routers.gnn.agent_inputs import AgentInputs, Attention, Scorer
from agentnet.routers.gnn.agent_method import PAPER_K, Method
from agentnet.routers.gnn.fusion import Floats64, Fusion, FusionReplay, choose_fusion
from agentnet.routers.gnn.knowledge_batch import KnowledgeBatch, KnowledgeTable
from agentnet.routers.gnn.targets import hard_targets, router_loss, soft_targets
from agentnet.routers.gnn.training import (
    TrainingOptions,
    arrays_of,
    load_arrays,
    pick_device,
    seeded,
    train,
)

__all__ = [
    "Ask",
    "Job",
    "Learned",
    "arrays_of",
    "attend",
    "learn",
    "load_arrays",
    "pick_device",
    "predict",
    "sigmoid",
    "softmax",
]

SCALES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the networks' deviation from the agents' mean scores that are tried."""
CHUNK = 256
"""Most tasks in one pass when predicting."""
_HELD_BACK = 0.1
_FEWEST_PER_FOLD = 15
_FEWEST_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What there is to learn from: n rows, A agents.

    Attributes:
        table: The tasks' graphs.
        agents: The agents.
        score: [n, A] in [0, 1]; NaN unknown.
        validation: [n] bool, rows of the split ``val``.
        prior: [A] log-odds of the agents' mean scores.
        replay: Recorded answers, where there are.
        data: Fingerprint of the outcomes.
    """

    table: KnowledgeTable
    agents: AgentInputs
    score: NDArray[np.float32]
    validation: NDArray[np.bool_]
    prior: NDArray[np.float32]
    replay: FusionReplay | None
    data: str

    @property
    def dims(self) -> tuple[int, int, int]:
        """Length of the vectors, of the agents' features, and number of agents."""
        return self.table.query.shape[1], self.agents.features.shape[1], len(self.prior)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learned.

    Attributes:
        networks: The members, in evaluation mode.
        scale: Share of their deviation from the mean scores that counts.
        fusion: How many agents answer.
        rows: [m] rows that were predicted without having been learned from.
        raw: [m, A] these predictions.
        tried: Every setting with its score.
        epochs: Of each member.
    """

    networks: list[Scorer]
    scale: float
    fusion: Fusion
    rows: NDArray[np.intp]
    raw: Floats64
    tried: tuple[dict[str, Any], ...]
    epochs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """What of the fusion is set from outside: ``k`` agents, temperature ``tau``, even votes."""

    k: int | None = None
    tau: float | None = None
    uniform: bool = False


def learn(
    job: Job, method: Method, ask: Ask, *, seed: int, device: str, options: TrainingOptions | None
) -> Learned:
    """Trains the recipe's networks and chooses the fusion, all within the rows of the job.

    Raises:
        DataError: no row has two scored agents and nothing can be learned.
    """
    if not (~np.isnan(job.score)).any():
        raise DataError("there is nothing to learn from: no scored outcome in splits train and val.")
    trainer = _Trainer(job, method, device, options)
    return _faithful(trainer, ask, seed) if method.recipe == "paper" else _folded(trainer, ask, seed)


def predict(networks: Sequence[Scorer], table: KnowledgeTable, agents: AgentInputs, device: str) -> Floats64:
    """Returns the mean of the networks' logits, [n, A]."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(table), CHUNK):
            rows = None if len(table) <= CHUNK else np.arange(start, min(start + CHUNK, len(table)))
            batch = table.batch(rows, device)
            total = networks[0](batch, agents)
            for network in networks[1:]:
                total = total + network(batch, agents)
            parts.append((total / len(networks)).cpu().numpy().astype(np.float64))
    return np.concatenate(parts)


def attend(networks: Sequence[Scorer], batch: KnowledgeBatch, agents: AgentInputs) -> Attention:
    """Returns the mean of the networks' attention over one graph."""
    with torch.inference_mode():
        found = [network.attention(batch, agents) for network in networks]
        return Attention(
            torch.stack([one.entities for one in found]).mean(0),
            torch.stack([one.relations for one in found]).mean(0),
        )


def sigmoid(x: Floats64) -> Floats64:
    """Returns 1 / (1 + exp(-x))."""
    result: Floats64 = 1 / (1 + np.exp(-np.clip(x, -30, 30)))
    return result


def softmax(x: Floats64) -> Floats64:
    """Returns the distribution over the last axis."""
    power = np.exp(x - x.max(-1, keepdims=True))
    result: Floats64 = power / power.sum(-1, keepdims=True)
    return result


class _Trainer:
    """Trains one network of a method on some rows."""

    def __init__(self, job: Job, method: Method, device: str, options: TrainingOptions | None) -> None:
        self.job, self.method, self.options = job, method, options
        self.device = pick_device(device)
        self.score = torch.from_numpy(np.nan_to_num(job.score)).to(self.device)
        self.known = torch.from_numpy(~np.isnan(job.score)).to(self.device)
        self.prior = torch.from_numpy(job.prior).to(self.device)

    def run(
        self, learn_rows: NDArray[np.intp], judge_rows: NDArray[np.intp], seed: int, label: str
    ) -> tuple[Scorer, Floats64, int]:
        """Returns the network, its logits on the rows it was judged by, and its epochs."""
        job, method = self.job, self.method
        usable = learn_rows[(~np.isnan(job.score[learn_rows])).any(1)]
        judged = job.table.batch(judge_rows, self.device) if judge_rows.size else None
        with seeded(seed, self.device):
            network = method.network(*job.dims).to(self.device)

        size = min(method.batch, max(8, len(usable) // _FEWEST_STEPS))

        def epoch(number: int, generator: torch.Generator) -> Iterator[Tensor]:
            order = usable[torch.randperm(len(usable), generator=generator).numpy()]
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                yield self.loss(network(job.table.batch(rows, self.device), job.agents), rows)

        def validate() -> float:
            assert judged is not None
            logits = network(judged, job.agents)
            loss = float(self.loss(logits, judge_rows))
            if method.absolute:
                return -loss
            found = self.fused(logits.cpu().numpy().astype(np.float64), judge_rows)
            return -loss if found is None else found - 1e-4 * loss

        history = train(
            network,
            epoch=epoch,
            validate=validate if judge_rows.size else None,
            plan=method.plan,
            seed=seed,
            device=self.device,
            options=self.options,
            label=label,
            identity=f"{job.data} {method}",
        )
        if not judge_rows.size:
            return network, np.zeros((0, len(job.prior))), history.best + 1
        return (
            network,
            predict([network], job.table.take(judge_rows), job.agents, self.device),
            history.best + 1,
        )

    def loss(self, logits: Tensor, rows: NDArray[np.intp]) -> Tensor:
        """A6; where scores are predicted, of softmax(predicted / tau), plus their cross-entropy."""
        at = torch.from_numpy(rows).to(self.device)
        score, known, method = self.score[at], self.known[at], self.method
        if method.target == "soft":
            target = soft_targets(score, method.tau, known=known)
        else:
            target = hard_targets(score, known=known)
        if not method.absolute:
            return router_loss(logits, target, known)
        total = logits + self.prior
        ranks = router_loss(torch.sigmoid(total) / method.tau, target, known)
        return ranks + binary_cross_entropy_with_logits(total[known], score[known])

    def fused(self, logits: Floats64, rows: NDArray[np.intp]) -> float | None:
        """Mean score of the paper's fusion on these rows; None where no answers or scores are recorded."""
        p = softmax(logits)
        order = np.argsort(-np.round(p, 9), axis=1, kind="stable")
        replay = self.job.replay
        if replay is not None and (some := replay.within(rows)) is not None:
            at = np.searchsorted(rows, some.rows)
            return float(some.score(order[at], p[at], min(PAPER_K, p.shape[1])).mean())
        top = self.job.score[rows, order[:, 0]]
        return None if np.isnan(top).all() else float(np.nanmean(top))


def _faithful(trainer: _Trainer, ask: Ask, seed: int) -> Learned:
    job = trainer.job
    judge = np.flatnonzero(job.validation)
    if not judge.size or judge.size == len(job.score):
        judge = np.sort(
            np.random.default_rng(seed).permutation(len(job.score))[: int(len(job.score) * _HELD_BACK)]
        )
    rest = np.setdiff1d(np.arange(len(job.score)), judge)
    network, logits, epochs = trainer.run(rest, judge, seed, "agent_router")
    p = softmax(logits)
    fixed = Ask(ask.k if ask.k is not None else PAPER_K, None, ask.uniform)
    fusion = _fixed_fusion(job, judge, p, fixed)
    return Learned([network], 1.0, fusion, judge, p, (), (epochs,))


def _fixed_fusion(job: Job, rows: NDArray[np.intp], p: Floats64, ask: Ask) -> Fusion:
    """The paper's fusion, and what each of its sizes was worth on the validation rows."""
    most = p.shape[1]
    k = min(ask.k or 1, most)
    replay = job.replay.within(rows) if job.replay is not None else None
    if replay is None:
        # Without recorded answers nothing can be compared; the size is kept, for a run does have answers.
        return Fusion(k, _tau(ask), (0.0,) * most)
    at = np.searchsorted(rows, replay.rows)
    order = np.argsort(-np.round(p[at], 9), axis=1, kind="stable")
    weight = np.ones_like(p[at]) if ask.uniform else p[at]
    means = [float(replay.score(order, weight, size).mean()) for size in range(1, most + 1)]
    return Fusion(k, _tau(ask), tuple(round(mean - means[0], 6) for mean in means))


def _tau(ask: Ask) -> float:
    """Returns the temperature that is set, or the usual one."""
    return 0.25 if ask.tau is None else ask.tau


def _folded(trainer: _Trainer, ask: Ask, seed: int) -> Learned:
    job, method = trainer.job, trainer.method
    n = len(job.score)
    folds = int(np.clip(n // _FEWEST_PER_FOLD, 2, method.members)) if n >= 4 else 1
    order = np.random.default_rng(seed).permutation(n)
    parts = [np.sort(part) for part in np.array_split(order, folds)] if folds > 1 else [np.zeros(0, np.intp)]
    networks, epochs = [], []
    logits = np.zeros((n, len(job.prior)))
    for i, part in enumerate(parts):
        rest = np.setdiff1d(np.arange(n), part)
        label = f"agent_router {i + 1}/{folds}"
        network, found, best = trainer.run(rest, part, seed * 1000 + i, label)
        networks.append(network)
        epochs.append(best)
        logits[part] = found
    scale, tried = _scale(logits, job)
    raw = sigmoid(job.prior + scale * logits)
    fusion, also = choose_fusion(
        job.replay, raw, most=raw.shape[1], k=ask.k, tau=ask.tau, uniform=ask.uniform
    )
    return Learned(networks, scale, fusion, np.arange(n), raw, (*tried, *also), tuple(epochs))


def _scale(logits: Floats64, job: Job) -> tuple[float, list[dict[str, Any]]]:
    """The share of the deviations that predicts unseen scores best (cross-entropy)."""
    known = ~np.isnan(job.score)
    score = job.score[known].astype(np.float64)
    tried = []
    for scale in SCALES:
        x = (job.prior + scale * logits)[known]
        loss = float((np.logaddexp(0, x) - score * x).mean())
        tried.append({"scale": scale, "loss": round(loss, 6)})
    best = min(tried, key=lambda item: item["loss"])
    return float(best["scale"]), tried
