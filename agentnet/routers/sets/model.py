"""`SetModel`: what was learned of narrow agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.agent import Agent, content_hash
from agentnet.routers.decision import Floats, Scores
from agentnet.routers.encoding import Vectors
from agentnet.routers.sets.linear import Columns
from agentnet.routers.sets.parts import Splitter
from agentnet.routers.sets.strangers import Rules

EXEMPLARS = 5
"""Queries kept of each agent, to show as evidence."""

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


def described(agent: Agent) -> str:
    """Returns the text that stands for an agent: its description, else its name in words.

    A name such as ``lost_card`` says the same as its description; both would only make the text longer.

    >>> described(Agent(name="lost_card")), described(Agent(name="a1", description="Lost cards."))
    ('lost card', 'Lost cards.')
    """
    text = agent.description.strip()
    return text or " ".join(agent.name.replace("_", " ").replace("-", " ").split())
