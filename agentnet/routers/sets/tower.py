"""Fine-tuning the sentence encoder so that queries lie near their agents, known or not.

Only the last layers learn; what the layers below say of a text never changes and is computed once. A step
sees a batch of queries and all agents. Each agent is represented by a vector: its *proxy*, which is learned,
or, for a random part of the agents drawn anew at every step, the encoding of its *description*. The loss is
the cross-entropy of cosines times a learned scale, once with proxies alone and once with the mixture, so that
descriptions learn to compete with agents that are known by many queries: that is what a new agent must do.

The proxies are those of Movshovitz-Attias et al., "No fuss distance metric learning using proxies" (2017);
the mixture is agentnet's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, normalize

from agentnet.graphs.agent import content_hash
from agentnet.outcomes.encoders.bert import HIDDEN, LAYERS, States, embed, mean_pool, run_layers
from agentnet.outcomes.encoders.minilm import MiniLMEncoder
from agentnet.outcomes.encoders.tuned import TunedEncoder
from agentnet.routers.gnn.plan import Plan, TrainingOptions
from agentnet.routers.gnn.training import pick_device, train
from agentnet.routers.intents.backbone import by_length

_CHUNK = 128
_BUCKET = 16
"""Batches whose rows are sorted by length together: little padding, and still a random order."""
_PROXY_PACE = 70.0
_STAIRS = 20
"""Parts of a training, each with a learning rate of its own; a checkpoint may follow each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerRecipe:
    """How the encoder is fine-tuned; chosen on training and validation rows of three intent packs.

    Attributes:
        layers: Last layers of the encoder that learn.
        epochs: Passes over the queries.
        least_steps: Fewest steps, where there are few queries.
        batch: Queries a step.
        rate: Learning rate of AdamW; proxies learn 70 times as fast.
        described: Share of the agents that stand by their description in a step.
        weight: Weight of the loss with descriptions.
        smoothing: Label smoothing.
        dropout: In the layers that learn.
    """

    layers: int = 3
    epochs: float = 2.0
    least_steps: int = 100
    batch: int = 64
    rate: float = 7e-5
    described: float = 0.3
    weight: float = 0.7
    smoothing: float = 0.05
    dropout: float = 0.1

    def steps(self, queries: int) -> int:
        """Returns the number of steps for so many queries, a multiple of the stairs."""
        wanted = max(self.least_steps, round(self.epochs * queries / self.batch))
        return _STAIRS * math.ceil(wanted / _STAIRS)


def tune_encoder(
    base: MiniLMEncoder,
    texts: Sequence[str],
    labels: NDArray[np.integer[Any]],
    descriptions: Sequence[str],
    *,
    recipe: TowerRecipe | None = None,
    seed: int = 0,
    device: str = "auto",
    options: TrainingOptions | None = None,
) -> TunedEncoder:
    """Returns the encoder with its last layers fine-tuned.

    Deterministic under a seed on one kind of machine; with a checkpoint folder in ``options`` an interrupted
    training goes on to the same result.

    Args:
        base: The encoder to start from; it is left as it is.
        texts: [n] queries.
        labels: [n] agent of each, from 0.
        descriptions: [C] what is known of each agent in words.
        recipe: How; None is the default recipe.
        seed: Of batches, descriptions drawn and dropout.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint.
    """
    recipe = recipe or TowerRecipe()
    place = pick_device(device)
    tower = Tower(base, texts, descriptions, recipe, place)
    tower.start_proxies(np.asarray(labels, np.int64))
    steps = recipe.steps(len(texts))
    batches = _Batches(tower.lengths, recipe.batch, seed)

    def epoch(number: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        for step in range(number * steps // _STAIRS, (number + 1) * steps // _STAIRS):
            yield tower.loss(batches[step], generator)

    # Two threads that share busy cores are slower than one; on an idle machine they are faster.
    plan = Plan(epochs=_STAIRS, patience=None, lr=recipe.rate, weight_decay=0.01, schedule="linear",
                threads=None)  # fmt: skip
    train(
        tower, epoch=epoch, validate=None, plan=plan, seed=seed, device=place, options=options,
        label="encoder", identity=f"{recipe} {steps} {content_hash([*texts, *descriptions])}",
    )  # fmt: skip
    return TunedEncoder.of(base, tower.learned())


class Tower(torch.nn.Module):
    """The layers that learn, the proxies, and the queries as the layers below see them."""

    def __init__(
        self,
        base: MiniLMEncoder,
        texts: Sequence[str],
        descriptions: Sequence[str],
        recipe: TowerRecipe,
        device: str,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.cut = LAYERS - recipe.layers
        self._frozen: Mapping[str, torch.Tensor] = {
            name: tensor.to(device) for name, tensor in base.weights().items()
        }
        names = [name for name in self._frozen if _layer(name) >= self.cut]
        self.names = sorted(names)
        self.upper = torch.nn.ParameterList(
            torch.nn.Parameter(self._frozen[name].clone()) for name in self.names
        )
        ids = base.tokens([*texts, *descriptions])
        self.lengths = [len(row) for row in ids[: len(texts)]]
        self._lower = self._below(ids, device)
        self._first_description = len(texts)
        self.classes = len(descriptions)
        self.proxies = torch.nn.Parameter(torch.zeros(self.classes, HIDDEN))
        self.scales = torch.nn.Parameter(torch.tensor([20.0, 12.0]).log() / _PROXY_PACE)
        self.offset = torch.nn.Parameter(torch.zeros(1))
        self.labels = torch.zeros(0, dtype=torch.int64)
        self.eval()

    @torch.no_grad()
    def _below(self, ids: Sequence[list[int]], device: str) -> list[torch.Tensor]:
        """The states of each text below the layers that learn."""
        found: list[torch.Tensor] = [torch.empty(0)] * len(ids)
        for rows in by_length([len(row) for row in ids], _CHUNK):
            states = embed(self._frozen, [ids[row] for row in rows], device)
            hidden = run_layers(self._frozen, states, 0, self.cut).hidden
            for place, row in enumerate(rows):
                found[row] = hidden[place, : len(ids[row])].clone()
        return found

    @torch.no_grad()
    def start_proxies(self, labels: NDArray[np.int64]) -> None:
        """Puts each proxy where its queries lie before training."""
        self.labels = torch.from_numpy(labels)
        total = torch.zeros(self.classes, HIDDEN)
        for start in range(0, len(labels), _CHUNK):
            rows = list(range(start, min(start + _CHUNK, len(labels))))
            total.index_add_(0, self.labels[rows], self.encode(rows).cpu())
        # A parameter that is 70 times smaller and multiplied by 70 learns 70 times as fast under Adam.
        self.proxies.copy_(normalize(total, dim=1) / _PROXY_PACE)

    def encode(self, rows: Sequence[int]) -> torch.Tensor:
        """Returns [b, HIDDEN] unit vectors of texts, by their number; descriptions follow the queries."""
        hidden = torch.nn.utils.rnn.pad_sequence([self._lower[row] for row in rows], batch_first=True)
        lengths = torch.tensor([len(self._lower[row]) for row in rows], device=hidden.device)
        mask = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
        weights = {**self._frozen, **dict(zip(self.names, self.upper, strict=True))}
        drop = self.recipe.dropout if self.training else 0.0
        states = run_layers(weights, States(hidden, mask), self.cut, LAYERS, dropout=drop)
        return normalize(mean_pool(states), dim=1)

    def loss(self, rows: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        """The loss of a batch of queries."""
        queries = self.encode(rows)
        right = self.labels[list(rows)].to(queries.device)
        scales = (self.scales * _PROXY_PACE).exp()
        logits = queries @ normalize(self.proxies, dim=1).T * scales[0]
        smoothing = self.recipe.smoothing
        loss = cross_entropy(logits, right, label_smoothing=smoothing)
        drawn = torch.nonzero(torch.rand(self.classes, generator=generator) < self.recipe.described)[:, 0]
        if self.recipe.weight > 0 and len(drawn):
            described = self.encode([self._first_description + int(agent) for agent in drawn])
            instead = queries @ described.T * scales[1] + self.offset * _PROXY_PACE
            mixed = logits.index_copy(1, drawn.to(logits.device), instead)
            loss = loss + self.recipe.weight * cross_entropy(mixed, right, label_smoothing=smoothing)
        return loss

    def learned(self) -> dict[str, NDArray[Any]]:
        """Returns the weights of the layers that learned, by their names in the encoder."""
        return {
            name: parameter.detach().cpu().numpy()
            for name, parameter in zip(self.names, self.upper, strict=True)
        }


class _Batches:
    """The rows of each step: a new order every pass, rows of like length together."""

    def __init__(self, lengths: Sequence[int], size: int, seed: int) -> None:
        self.lengths, self.size, self.seed = np.asarray(lengths), size, seed
        self._passes: dict[int, list[list[int]]] = {}

    def __getitem__(self, step: int) -> list[int]:
        a_pass = max(1, len(self.lengths) // self.size)
        number, place = divmod(step, a_pass)
        if number not in self._passes:
            self._passes = {number: self._divide(number)}
        return self._passes[number][place]

    def _divide(self, number: int) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(len(self.lengths))
        batches = []
        for bucket in np.array_split(order, max(1, len(order) // (self.size * _BUCKET))):
            sorted_ = bucket[np.argsort(self.lengths[bucket], kind="stable")]
            batches += np.array_split(sorted_, max(1, len(sorted_) // self.size))
        a_pass = max(1, len(self.lengths) // self.size)
        # Rounding can leave a bucket more or less than its share of batches.
        chosen = [batches[i] for i in rng.permutation(len(batches))]
        while len(chosen) < a_pass:
            chosen.append(chosen[len(chosen) % len(batches)])
        return [batch.tolist() for batch in chosen]


def _layer(name: str) -> int:
    """The layer that a weight belongs to; -1 for those of the embeddings."""
    parts = name.split(".")
    return int(parts[2]) if parts[:2] == ["encoder", "layer"] else -1
