"""`Strengths`: the learned numbers of the propagation between queries; few, so that few logs teach them.

An edge from logged query n to query q weighs exp(sum_r b_r (cos_r(q, n) - 1)) over the relations r: text,
form, type and entities. Its b_r, and how many edges' worth the prior counts for, are learned by gradient,
each logged query predicted from all others: once for what is common to all arms, once for what is an arm's
own. In the words of the field it is one layer of graph attention with a softmax over a sink.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from agentnet.routers.gnn.plan import TrainingOptions

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
RELATIONS = ("text", "form", "type", "entities")
_TARGETS = 320
_SOURCES = 3000
_EPOCHS = 40
_PATIENCE = 6
_ARMS = 24
"""Most arms the strengths are learned from: sets of agents repeat what single agents say."""


@dataclass(frozen=True, slots=True)
class Attention:
    """How edges weigh, for one kind of message.

    Attributes:
        weights_by_relation: b of each relation, at least 0.
        pull: What the prior counts for, in edges of weight 1.
        widths: Columns of each relation in the views laid side by side.
    """

    weights_by_relation: tuple[float, ...]
    pull: float
    widths: tuple[int, ...]

    def weights(self, queries: Vectors, logged: Vectors) -> Floats:
        """Returns [n, N] weights in (0, 1].

        Args:
            queries: [n, R] unit views side by side.
            logged: [N, R].
        """
        scale = np.repeat(np.asarray(self.weights_by_relation, np.float32), self.widths)
        logits = (queries * scale) @ logged.T - np.float32(sum(self.weights_by_relation))
        weights: Floats = np.exp(np.minimum(logits, 0.0))
        return weights

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"weights": list(self.weights_by_relation), "pull": self.pull, "widths": list(self.widths)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Makes it from JSON values."""
        return cls(tuple(data["weights"]), float(data["pull"]), tuple(data["widths"]))


@dataclass(frozen=True, slots=True)
class Strengths:
    """Attention for what all arms share, and for what is an arm's own."""

    common: Attention
    specific: Attention

    @classmethod
    def default(cls, widths: tuple[int, ...]) -> Self:
        """Returns what training starts from, and what stands where there are too few rows to learn."""
        weights = tuple(_START[name] if width else 0.0 for name, width in zip(RELATIONS, widths, strict=True))
        return cls(Attention(weights, 1.0, widths), Attention(weights, 10.0, widths))

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"common": self.common.to_dict(), "specific": self.specific.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Makes them from JSON values."""
        return cls(Attention.from_dict(data["common"]), Attention.from_dict(data["specific"]))


_START = {"text": 6.0, "form": 3.0, "type": 6.0, "entities": 2.0}


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What the strengths are learned from.

    Attributes:
        relations: [N, R] views of the logged queries.
        common: [N] and
        specific: [N, M] messages; see `Memory`.
        seen: [N, M] trust in each.
    """

    relations: Vectors
    common: Floats
    specific: Floats
    seen: Floats


def learn(
    lesson: Lesson,
    start: Strengths,
    *,
    seed: int,
    device: str,
    options: TrainingOptions | None,
    label: str,
) -> Strengths:
    """Returns the strengths that predict the logged queries best from one another.

    Half of the targets teach; on the other half training stops early.

    Args:
        lesson: N >= 2 logged queries.
        start: Where training starts.
        seed: Draws targets and sources.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint.
        label: Names the training.
    """
    from agentnet.routers.gnn.training import Plan, pick_device, train

    rng = np.random.default_rng(seed)
    n = len(lesson.relations)
    sources = np.sort(rng.permutation(n)[:_SOURCES])
    targets = rng.permutation(len(sources))[: 2 * _TARGETS]
    arms = np.sort(rng.permutation(lesson.specific.shape[1])[:_ARMS])
    share = len(sources) / n
    place = pick_device(device)
    net = _net(lesson, start, sources, targets, arms, share, place)
    teach, test = np.array_split(np.arange(len(targets)), 2)

    def epoch(number: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        yield net(teach)

    def validate() -> float:
        return -float(net(test if len(test) else teach))

    train(
        net, epoch=epoch, validate=validate, plan=Plan(epochs=_EPOCHS, patience=_PATIENCE, lr=0.15),
        seed=seed, device=place, options=options, label=label,
    )  # fmt: skip
    learned: Strengths = net.strengths()
    return learned


def _net(
    lesson: Lesson,
    start: Strengths,
    sources: NDArray[np.intp],
    targets: NDArray[np.intp],
    arms: NDArray[np.intp],
    share: float,
    device: str,
) -> Any:
    """The propagation as a torch module over fixed targets; distances are computed once."""
    import torch

    from agentnet.outcomes.encoders.threads import torch_threads

    def tensor(array: NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, np.float32), device=device)

    views = tensor(lesson.relations[sources])
    with torch_threads(1):
        pieces = torch.split(views, list(start.common.widths), dim=1)
        apart = torch.stack([1 - piece[targets] @ piece.T for piece in pieces if piece.shape[1]])
    used = [i for i, width in enumerate(start.common.widths) if width]
    common = tensor(lesson.common[sources, None])
    specific = tensor(lesson.specific[sources][:, arms])
    seen = tensor(lesson.seen[sources][:, arms])
    rows = (seen > 0).any(1, keepdim=True).float()
    other = torch.ones(len(targets), len(sources), device=device)
    other[torch.arange(len(targets)), torch.as_tensor(targets)] = 0.0

    class Propagation(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            both = (start.common, start.specific)
            self.relation = torch.nn.Parameter(
                torch.tensor([[_inverse_softplus(a.weights_by_relation[i]) for i in used] for a in both])
            )
            self.pull = torch.nn.Parameter(torch.tensor([np.log(a.pull * share) for a in both]).float())

        def forward(self, at: NDArray[np.intp]) -> torch.Tensor:
            rows_at = torch.as_tensor(at)
            where = torch.as_tensor(targets[at])
            told = self._told(0, rows_at, common * rows, rows)
            own = self._told(1, rows_at, specific * seen, seen)
            # The two are told apart by construction, so that their errors simply add up.
            hard = ((common[where] - told) ** 2 * seen[where]).sum()
            alone = ((specific[where] - own) ** 2 * seen[where]).sum()
            return (hard + alone) / seen[where].sum().clamp(min=1.0)

        def _told(
            self, kind: int, at: torch.Tensor, values: torch.Tensor, mass: torch.Tensor
        ) -> torch.Tensor:
            b = torch.nn.functional.softplus(self.relation[kind])
            distance = apart[:, at]
            logits = -(b @ distance.flatten(1)).view(distance.shape[1:])
            weights = torch.exp(logits) * other[at]
            return (weights @ values) / (weights @ mass + torch.exp(self.pull[kind]))

        def strengths(self) -> Strengths:
            relation = torch.nn.functional.softplus(self.relation).tolist()
            pulls = (torch.exp(self.pull) / share).tolist()
            made = []
            for kind in range(2):
                weights = [0.0] * len(RELATIONS)
                for place, value in zip(used, relation[kind], strict=True):
                    weights[place] = round(value, 5)
                made.append(Attention(tuple(weights), round(pulls[kind], 6), start.common.widths))
            return Strengths(*made)

    return Propagation().to(device)


def _inverse_softplus(value: float) -> float:
    return float(np.log(np.expm1(max(value, 1e-3))))
