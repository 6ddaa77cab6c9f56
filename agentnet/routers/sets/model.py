"""`SetModel`: what was learned of narrow agents, and `PoolView`: the same for one pool, ready to score."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.agent import Agent, content_hash
from agentnet.graphs.pool import Pool
from agentnet.routers.decision import Floats, Scores
from agentnet.routers.encoding import Vectors
from agentnet.routers.sets.linear import Columns, chances
from agentnet.routers.sets.parts import Splitter
from agentnet.routers.sets.strangers import Rules

EXEMPLARS = 5
"""Queries kept of each agent, to show as evidence."""
_COLUMNS = 20_000

Encode = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SetScores(Scores):
    """Scores with how familiar each task is: [n], low where no agent has anything to say."""

    familiarity: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SetModel:
    """What was learned.

    Attributes:
        columns: Agents with logged queries.
        rules: How agents without are scored.
        temperature: The logits are divided by it before the softmax.
        threshold: Familiarity below which no agent fits; None where it was not learned.
        splitter: Tells queries that join several requests.
        exemplars: A few queries of each known agent.
        probes: Queries of agents that came after training, by name.
    """

    columns: Columns = field(
        default_factory=lambda: Columns((), np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
    )
    rules: Rules = field(default_factory=Rules)
    temperature: float = 1.0
    threshold: float | None = None
    splitter: Splitter = field(default_factory=Splitter)
    exemplars: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    probes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def calibration_id(self) -> str:
        """Names the calibration: temperature and rules."""
        return content_hash([self.temperature, self.rules.to_list()])

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        config = {
            "names": list(self.columns.names),
            "rules": self.rules.to_list(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "splitter": self.splitter.to_dict(),
            "exemplars": {name: list(texts) for name, texts in self.exemplars.items()},
            "probes": {name: list(texts) for name, texts in self.probes.items()},
        }
        return config, {"columns": self.columns.weight, "bias": self.columns.bias}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> SetModel:
        """Builds the model from `state`."""
        return cls(
            columns=Columns(tuple(config["names"]), arrays["columns"], arrays["bias"]),
            rules=Rules.from_list(config["rules"]),
            temperature=float(config["temperature"]),
            threshold=config["threshold"],
            splitter=Splitter.from_dict(config["splitter"]),
            exemplars={name: tuple(texts) for name, texts in config["exemplars"].items()},
            probes={name: tuple(texts) for name, texts in config["probes"].items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class PoolView:
    """A model for one pool of P agents.

    Attributes:
        columns: The P agents, in the pool's order.
        known: [P] whether the agent has logged queries.
        temperature: As in the model.
    """

    columns: Columns
    known: NDArray[np.bool_]
    temperature: float

    def logits(self, vectors: Vectors) -> NDArray[np.float32]:
        """Returns [n, P]."""
        return self.columns.logits(vectors)

    def chances(self, vectors: Vectors) -> NDArray[np.float32]:
        """Returns [n, P] probabilities, given that one of the agents fits."""
        return chances(self.logits(vectors), self.temperature)[0]


class Views:
    """Makes views of pools, keeping the column of every agent it has met: adding one costs one encoding."""

    def __init__(self, model: SetModel, encode: Encode) -> None:
        """Takes a model.

        Args:
            model: What was learned.
            encode: Encodes profiles and examples, with the encoder the model was learned with.
        """
        self._model, self._encode = model, encode
        self._where = {name: i for i, name in enumerate(model.columns.names)}
        self._strangers: OrderedDict[tuple[str, ...], tuple[NDArray[np.float32], float]] = OrderedDict()

    def of(self, pool: Pool) -> PoolView:
        """Returns the view of a pool."""
        known = np.array([name in self._where for name in pool.names], bool)
        self._meet([agent for agent, seen in zip(pool, known, strict=True) if not seen])
        width = self._width(pool)
        weight = np.empty((len(pool), width), np.float32)
        bias = np.empty(len(pool), np.float32)
        mine = self._model.columns
        if known.any():
            at = [self._where[name] for name, seen in zip(pool.names, known, strict=True) if seen]
            weight[known], bias[known] = mine.weight.T[at], mine.bias[at]
        for place, agent in enumerate(pool):
            if not known[place]:
                weight[place], bias[place] = self._strangers[self._key(agent)]
        return PoolView(Columns(pool.names, weight.T, bias), known, self._model.temperature)

    def _width(self, pool: Pool) -> int:
        if len(self._model.columns.names):
            return int(self._model.columns.weight.shape[0])
        return len(self._strangers[self._key(pool.agents[0])][0])

    def _examples(self, agent: Agent) -> tuple[str, ...]:
        return (*agent.examples, *self._model.probes.get(agent.name, ()))

    def _key(self, agent: Agent) -> tuple[str, ...]:
        return (described(agent), *self._examples(agent))

    def _meet(self, agents: Sequence[Agent]) -> None:
        """Makes the columns of agents not met before, encoding all their texts at once."""
        new = [agent for agent in agents if self._key(agent) not in self._strangers]
        if not new:
            return
        texts = [text for agent in new for text in (described(agent), *self._examples(agent))]
        vectors = self._encode(texts)
        start = 0
        for agent in new:
            count = len(self._examples(agent))
            column = self._model.rules.column(vectors[start], vectors[start + 1 : start + 1 + count])
            self._strangers[self._key(agent)] = column
            start += 1 + count
        needed = {self._key(agent) for agent in agents}
        while len(self._strangers) > _COLUMNS:
            oldest = next(iter(self._strangers))
            if oldest in needed:
                break
            self._strangers.popitem(last=False)


def described(agent: Agent) -> str:
    """Returns the text that stands for an agent: its description, else its name in words.

    A name such as ``lost_card`` says the same as its description; both would only make the text longer.

    >>> described(Agent(name="lost_card")), described(Agent(name="a1", description="Lost cards."))
    ('lost card', 'Lost cards.')
    """
    text = agent.description.strip()
    return text or " ".join(agent.name.replace("_", " ").replace("-", " ").split())
