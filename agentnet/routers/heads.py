"""A linear softmax head on unit vectors: multinomial logistic regression by L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.encoders.threads import torch_threads

STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxHead:
    """P(class | x) = softmax(x W + b).

    Attributes:
        weight: [d, C] float32.
        bias: [C] float32.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def predict(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns [n, C] probabilities."""
        logits = vectors @ self.weight + self.bias
        logits -= logits.max(1, keepdims=True)
        powers = np.exp(logits)
        probabilities: NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
        return probabilities


def fit_head(
    vectors: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    classes: int,
    *,
    strength: float,
    steps: int = STEPS,
) -> SoftmaxHead:
    """Fits a head by maximum likelihood with an L2 penalty; deterministic.

    Args:
        vectors: [n, d] unit vectors.
        labels: [n] class of each.
        classes: C.
        strength: Inverse of the penalty: the penalty is |W|^2 / (2 * strength * n).
        steps: Most iterations of L-BFGS.
    """
    import torch

    x = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
    y = torch.from_numpy(np.asarray(labels, np.int64))
    weight = torch.zeros(x.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weight + bias, y)
        loss = loss + weight.square().sum() / (2 * strength * len(x))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch_threads(1):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return SoftmaxHead(weight.detach().numpy(), bias.detach().numpy())


def folds(labels: NDArray[np.integer[Any]], count: int, *, seed: int) -> NDArray[np.intp]:
    """[n] fold of each row, the rows of every label spread evenly."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(labels)), labels))
    fold = np.empty(len(labels), np.intp)
    fold[order] = np.arange(len(labels)) % count
    return fold
