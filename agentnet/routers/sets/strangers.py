"""Agents without logged queries: known by description and examples, and how they compete with the others.

A stranger's logit is ``scale * cos(query, prototype) + offset``. Its prototype is the mean direction of its
encoded examples, with the description counted as ``weight`` examples. Scale, offset and weight depend on the
number of examples and are learned by acting it out: some training agents are taken for strangers, and of all
settings under which the remaining agents lose at most a bound of their queries to them, the one is kept with
which most of the strangers' queries reach them. The encoder must not have been trained on the agents that are
taken for strangers, or they are no such thing: see ``held`` in `agentnet.routers.sets.fitting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.encoding import Vectors

COUNTS = (0, 1, 3, 5, 10)
"""Numbers of examples for which a rule is learned."""
SCALES = (8.0, 10.0, 12.0, 15.0, 20.0)
WEIGHTS = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Rule:
    """How strangers with about ``count`` examples are scored."""

    count: int
    scale: float = 12.0
    offset: float = -3.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by number of examples."""

    rules: tuple[Rule, ...] = (Rule(0),)

    def of(self, count: int) -> Rule:
        """Returns the rule for an agent with ``count`` examples: that of the nearest count not above it.

        >>> Rules((Rule(0), Rule(5))).of(7).count
        5
        """
        return max((rule for rule in self.rules if rule.count <= count), key=lambda rule: rule.count)

    def column(self, description: Vectors, examples: Vectors) -> tuple[NDArray[np.float32], float]:
        """Returns a stranger's column [d] and bias.

        Args:
            description: [d] its encoded profile.
            examples: [m, d] its encoded examples.
        """
        rule = self.of(len(examples))
        return prototype(description, examples, rule.weight) * np.float32(rule.scale), rule.offset

    def to_list(self) -> list[list[float]]:
        """Returns JSON values."""
        return [[rule.count, rule.scale, rule.offset, rule.weight] for rule in self.rules]

    @classmethod
    def from_list(cls, data: Sequence[Sequence[float]]) -> Rules:
        """Builds the rules from `to_list`."""
        return cls(tuple(Rule(int(count), *rest) for count, *rest in data))


def prototype(description: Vectors, examples: Vectors, weight: float) -> Vectors:
    """Returns the unit vector [d] that stands for an agent."""
    total = description * np.float32(weight) + examples.sum(0) if len(examples) else description
    norm = float(np.linalg.norm(total))
    found: Vectors = (total / norm if norm else total).astype(np.float32)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """Training agents taken for strangers.

    Attributes:
        vectors: [n, d] held-back queries of all agents.
        labels: [n] agent of each.
        known: [n, K] logits of the agents that stay known, fitted without the strangers' queries.
        known_labels: [K] which agents they are.
        strangers: [S] which agents are taken for strangers.
        descriptions: [S, d] their encoded profiles.
        examples: S arrays [m, d]: their training queries, of which examples are drawn.
    """

    vectors: Vectors
    labels: NDArray[np.integer[Any]]
    known: NDArray[np.float32]
    known_labels: NDArray[np.integer[Any]]
    strangers: NDArray[np.integer[Any]]
    descriptions: Vectors
    examples: tuple[Vectors, ...]


def learn_rules(rehearsals: Sequence[Rehearsal], *, tax: float, seed: int) -> Rules:
    """Learns a rule for each number of examples.

    Args:
        rehearsals: One or more, pooled.
        tax: Most of the known agents' queries, as a share, that may be lost to strangers.
        seed: Draws the examples.
    """
    if not rehearsals:
        return Rules()
    rules = []
    for count in COUNTS:
        if any(len(rows) < count for rehearsal in rehearsals for rows in rehearsal.examples):
            break
        rules.append(_learn_rule(rehearsals, count, tax, seed))
    return Rules(tuple(rules)) if rules else Rules()


def _learn_rule(rehearsals: Sequence[Rehearsal], count: int, tax: float, seed: int) -> Rule:
    best: tuple[float, Rule] | None = None
    for weight in WEIGHTS if count else WEIGHTS[1:2]:
        cosines = [_cosines(rehearsal, count, weight, seed) for rehearsal in rehearsals]
        for scale in SCALES:
            tables = [_table(r, c * scale) for r, c in zip(rehearsals, cosines, strict=True)]
            reached, rule = _best_offset(tables, tax)
            if best is None or reached > best[0]:
                best = (reached, Rule(count, scale, rule, weight))
    assert best is not None
    return best[1]


def _cosines(rehearsal: Rehearsal, count: int, weight: float, seed: int) -> NDArray[np.float32]:
    """[n, S] cosines of the held-back queries with the strangers' prototypes."""
    rng = np.random.default_rng([seed, count])
    made = [
        prototype(description, rows[rng.permutation(len(rows))[:count]], weight)
        for description, rows in zip(rehearsal.descriptions, rehearsal.examples, strict=True)
    ]
    found: NDArray[np.float32] = rehearsal.vectors @ np.stack(made).T
    return found


def _table(rehearsal: Rehearsal, logits: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """Of every query: by how much its best stranger lacks to win, and whether either side would be right."""
    lack = rehearsal.known.max(1) - logits.max(1)
    known_right = rehearsal.known_labels[rehearsal.known.argmax(1)] == rehearsal.labels
    stranger_right = rehearsal.strangers[logits.argmax(1)] == rehearsal.labels
    is_stranger = np.isin(rehearsal.labels, rehearsal.strangers)
    return lack, known_right, stranger_right, is_stranger


def _best_offset(tables: Sequence[tuple[NDArray[Any], ...]], tax: float) -> tuple[float, float]:
    """The largest share of strangers' queries that reach them within the tax, and an offset that does it."""
    lack, known_right, stranger_right, is_stranger = (
        np.concatenate(parts) for parts in zip(*tables, strict=True)
    )
    others = ~is_stranger.astype(bool)
    # Losing grows with the offset, so that the largest one within the tax reaches the most strangers.
    at_stake = np.sort(lack[others & known_right.astype(bool)])
    allowed = int(tax * others.sum())
    limit = float(at_stake[allowed]) if allowed < len(at_stake) else float(lack.max()) + 1.0
    won = lack[(lack < limit) & stranger_right.astype(bool) & is_stranger.astype(bool)]
    if not len(won):
        return 0.0, limit
    # Any offset down to the dearest of these reaches as many; far above it a stranger would seem familiar
    # with every text, and nothing would be out of scope.
    return len(won) / max(1, int(is_stranger.sum())), (limit + float(won.max())) / 2
