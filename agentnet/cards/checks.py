"""Checks of single agents: descriptions and names that say too little, and agents that no query reaches."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentnet.cards.findings import Finding, Level
from agentnet.cards.terms import content_words
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import OUT_OF_SCOPE

if TYPE_CHECKING:
    from agentnet.outcomes.encoders import Encoder

LEAST_WORDS = 3
"""Content words below which a description is short."""
ALIKE = 0.95
"""Cosine from which two descriptions count as nearly the same."""
LEAST_OWN = 3
"""Own queries of an agent from which it is told that none of them reaches it."""
LEAST_FIT = 5
"""Queries of an agent from which its description is compared with them."""
LEAST_AWAY = 0.3
"""Share of an agent's examples from which it is told that they go to others."""

_NO_NAME = re.compile(
    r"(?:agent|bot|assistant|model|expert|worker|node|tool|helper|test|tmp|temp|foo|bar|baz|new|untitled|default"
    r"|unnamed|copy)?[\W_]*\d*",
    re.IGNORECASE,
)


def check_agents(pool: Pool, encoder: Encoder | None) -> Iterator[Finding]:
    """Yields what descriptions, names and examples show by themselves.

    Args:
        pool: The agents.
        encoder: Finds descriptions that say nearly the same in other words; None leaves that out.
    """
    for agent in pool:
        count = len(content_words(agent.description))
        if not agent.description.strip():
            yield _finding(agent.name, "empty-description", "error", "it has no description to be chosen by")
        elif count < LEAST_WORDS:
            message = f"its description says little ({count} words of content): {agent.description!r}"
            yield _finding(agent.name, "short-description", "warning", message)
        if agent.name == OUT_OF_SCOPE:
            message = f"{OUT_OF_SCOPE!r} stands for queries that no agent should take; rename it"
            yield _finding(agent.name, "reserved-name", "error", message)
        elif len(agent.name) == 1 or _NO_NAME.fullmatch(agent.name):
            yield _finding(agent.name, "meaningless-name", "warning", "its name says nothing of what it does")
    yield from _same_descriptions(pool, encoder)
    yield from _shared_examples(pool)


def check_reach(
    pool: Pool, first: NDArray[np.intp], owner: NDArray[np.intp], example: NDArray[np.intp]
) -> Iterator[Finding]:
    """Yields agents that no query reaches, and examples that are nearer to another agent.

    Args:
        pool: A agents.
        first: [n] position of the agent that scores highest.
        owner: [n] position of the agent that should; -1 unknown.
        example: [n] number among the owner's examples; -1 for other queries.
    """
    reached = np.bincount(first, minlength=len(pool))
    for j, agent in enumerate(pool):
        own = owner == j
        if reached[j] == 0 and own.sum() >= LEAST_OWN:
            message = f"none of its {own.sum()} queries goes to it, nor any other"
            yield _finding(agent.name, "unreached", "warning", message)
        elif reached[j] == 0 and not own.any() and len(first) >= 10 * len(pool):
            yield _finding(agent.name, "unreached", "warning", f"none of {len(first):,} queries goes to it")
        away = own & (example >= 0) & (first != j)
        if away.sum() >= LEAST_AWAY * (own & (example >= 0)).sum() > 0:
            to, times = Counter(first[away].tolist()).most_common(1)[0]
            message = (
                f"{away.sum()} of its {(own & (example >= 0)).sum()} examples go to other agents, {times} of "
                f"them to {pool.names[to]!r}"
            )
            yield _finding(agent.name, "example-elsewhere", "warning", message)


def check_fit(pool: Pool, encoder: Encoder, texts: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Yields agents whose description fits another agent's queries better than their own.

    Args:
        pool: The agents.
        encoder: Compares descriptions with the mean of an agent's queries.
        texts: Examples and queries by agent; agents with fewer than `LEAST_FIT` are left out.
    """
    told = [agent for agent in pool if len(texts.get(agent.name, ())) >= LEAST_FIT]
    if len(told) < 2:
        return
    means = np.stack([encoder.encode(list(texts[agent.name])).mean(axis=0) for agent in told])
    # Means are compared at equal length: one of varied queries is shorter and no less meant.
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    for j, agent in enumerate(told):
        if not agent.description.strip():
            continue
        cosine = means @ encoder.encode([agent.description])[0]
        best = int(cosine.argmax())
        if best != j:
            message = (
                f"its description fits the queries of {told[best].name!r} better than its own (cosine "
                f"{cosine[best]:.2f} against {cosine[j]:.2f})"
            )
            yield _finding(agent.name, "misleading-description", "warning", message)


def _same_descriptions(pool: Pool, encoder: Encoder | None) -> Iterator[Finding]:
    groups = defaultdict(list)
    for agent in pool:
        if text := " ".join(agent.description.lower().split()):
            groups[text].append(agent.name)
    for names in groups.values():
        for name in names[1:]:
            message = f"its description is that of {names[0]!r}"
            yield _finding(name, "same-description", "error", message)
    if encoder is None or len(groups) < 2:
        return
    texts, names = list(groups), [group[0] for group in groups.values()]
    vectors = encoder.encode(texts)
    cosine = np.triu(vectors @ vectors.T, 1)
    for one, two in np.argwhere(cosine >= ALIKE).tolist():
        message = f"its description is nearly that of {names[one]!r} (cosine {cosine[one, two]:.2f})"
        yield _finding(names[two], "similar-description", "warning", message)


def _shared_examples(pool: Pool) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for agent in pool:
        for text in agent.examples:
            key = " ".join(text.lower().split())
            if key and seen.setdefault(key, agent.name) != agent.name:
                message = f"its example {text[:80]!r} is one of {seen[key]!r} too"
                yield _finding(agent.name, "shared-example", "error", message)


def _finding(agent: str, kind: str, level: Level, message: str) -> Finding:
    return Finding(agent=agent, kind=kind, level=level, message=message)
