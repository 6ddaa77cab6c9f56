"""Per-agent expected scores where the log holds scores instead of right agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.decision import Evidence, Floats, NoteEvidence
from agentnet.routers.encoded import EncodedRouter
from agentnet.routers.encoding import Vectors
from agentnet.routers.single import Choice

STRENGTHS = (0.3, 3.0)
_FOLDS = 4
_STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class ScoreHeads:
    """E[score | vector] = sigmoid(vector @ weight + bias), for each of A agents.

    Attributes:
        weight: [d, A] float32.
        bias: [A] float32.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def predict(self, vectors: Vectors) -> NDArray[np.float32]:
        """Returns [n, A] expected scores."""
        found: NDArray[np.float32] = 1 / (1 + np.exp(-(vectors @ self.weight + self.bias)))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class ScoreView:
    """Expected scores of one pool's agents, and their [A] costs in USD; NaN unknown."""

    heads: ScoreHeads
    cost: Floats


def fit_heads(
    vectors: Vectors, score: NDArray[np.float32], weight: NDArray[np.float32], *, strength: float
) -> ScoreHeads:
    """Fits all agents' logistic regressions at once; scores that are NaN do not count.

    Args:
        vectors: [n, d].
        score: [n, A] in [0, 1].
        weight: [n, A] of each score.
        strength: Inverse of the L2 penalty.
    """
    import torch

    seen = ~np.isnan(score)
    trust = np.where(seen, np.nan_to_num(weight, nan=1.0), 0).astype(np.float32)
    rows = max(float(trust.sum(0).max()), 1.0)
    base = np.clip((trust * np.nan_to_num(score)).sum(0) / np.maximum(trust.sum(0), 1e-9), 0.01, 0.99)
    start = np.log(base / (1 - base)).astype(np.float32)
    with torch_threads(1):
        x, y, w = (torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in
                   (vectors, np.nan_to_num(score), trust))  # fmt: skip
        theta = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)
        bias = torch.from_numpy(start).clone().requires_grad_(True)
        optimiser = torch.optim.LBFGS([theta, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            logits = x @ theta + bias
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, w, reduction="sum")
            loss = (loss + theta.square().sum() / (2 * strength)) / rows
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return ScoreHeads(theta.detach().numpy(), bias.detach().numpy())


def choose_heads(
    vectors: Vectors, score: NDArray[np.float32], weight: NDArray[np.float32], *, seed: int
) -> tuple[ScoreHeads, NDArray[np.float32], dict[str, Any]]:
    """Fits with the strength that predicts left-out scores best.

    Returns:
        The heads, [n, A] predictions for each row from heads that have not seen it, and what was chosen.
    """
    fold = np.random.default_rng(seed).permutation(len(vectors)) % min(_FOLDS, max(2, len(vectors)))
    seen = ~np.isnan(score)
    best: tuple[float, float, NDArray[np.float32]] | None = None
    for strength in STRENGTHS:
        raw = np.full(score.shape, 0.5, np.float32)
        for number in np.unique(fold):
            out = fold == number
            if (~out).any():
                heads = fit_heads(vectors[~out], score[~out], weight[~out], strength=strength)
                raw[out] = heads.predict(vectors[out])
        error = float(((raw - np.nan_to_num(score)) ** 2)[seen].mean())
        if best is None or error < best[0]:
            best = (error, strength, raw)
    assert best is not None
    return fit_heads(vectors, score, weight, strength=best[1]), best[2], {"strength": best[1]}


class LearnsScores(EncodedRouter[ScoreView]):
    """A router that can learn from a log of scores: one agent a task, by expected score."""

    _heads = ScoreHeads(np.zeros((0, 0), np.float32), np.zeros(0, np.float32))

    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        self._heads, raw, chosen = choose_heads(vectors, outcomes.score, outcomes.weight, seed=seed)
        split = outcomes.queries.split
        report = FitReport(
            router=self.name, n_train=int((split == "train").sum()), n_val=int((split == "val").sum()),
            seconds=0, chosen=chosen, notes=("a log of scores: one agent a task",),
        )  # fmt: skip
        return report, np.arange(len(outcomes)), raw

    def _view(self, pool: Pool) -> ScoreView:
        at = self.stats.columns(pool)
        heads = ScoreHeads(np.ascontiguousarray(self._heads.weight[:, at]), self._heads.bias[at])
        return ScoreView(heads, self.stats.cost(pool))

    def _predict_known(self, view: ScoreView, vectors: Vectors) -> tuple[Floats, Floats]:
        return view.heads.predict(vectors), view.cost

    def _explain(self, choice: Choice) -> Evidence:
        best = "nobody" if choice.agent is None else choice.pool.names[choice.agent]
        return NoteEvidence(f"{best} by expected score; the best is {float(np.max(choice.raw)):.3f}")
