"""Tasks of a society: texts that tell domain and difficulty, and what each agent scores alone."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agentnet.bench.society.model import normal_cdf
from agentnet.bench.society.society import Society
from agentnet.bench.society.words import DIFFICULTY, DOMAINS, NOISE, OPENINGS
from agentnet.errors import DataError, InvalidInput
from agentnet.outcomes.table import SPLITS, Outcomes, Queries

Ints = NDArray[np.int64]
SHARES = (0.6, 0.2, 0.2)
"""Of tasks in train, val and test."""
_ID = re.compile(r"(?P<name>.+)/d(?P<domain>\d+)-l(?P<level>\d+)-(?P<number>\d+)")


def draw_outcomes(society: Society, n: int, seed: int = 0) -> Outcomes:
    """Draws n tasks, domains and difficulties in equal parts, and what every agent scores on them alone.

    A text holds 4 to 6 words of its domain, 2 of its difficulty, with probability 0.3 a word of another
    domain, and 5 to 9 words that tell nothing, in random order. Scores are draws (in a deterministic society
    the expectation). Costs are unknown: the society has no prices, tokens are what runs cost.

    Args:
        society: Whose tasks.
        n: Number of tasks.
        seed: The same seed, the same tasks; other seeds draw other texts.

    >>> outcomes = draw_outcomes(Society.draw(0), 10)
    >>> outcomes.score.shape, sorted(set(outcomes.queries.split.tolist()))
    ((10, 9), ['test', 'train', 'val'])
    """
    if n < 1:
        raise InvalidInput(f"a society's outcomes need at least one task; got {n!r}.")
    rng = np.random.default_rng([seed, 37])
    d, levels = len(society.domains), len(society.levels)
    condition = rng.permutation(np.resize(np.arange(d * levels), n))
    domain, level = condition // levels, condition % levels
    counts = np.round(np.cumsum((0.0, *SHARES)) * n).astype(int)
    split = rng.permutation(np.repeat(SPLITS, np.diff(counts)))
    rows = list(zip(domain.tolist(), level.tolist(), strict=True))
    queries = Queries(
        query_id=np.array([f"{society.name}/d{a}-l{b}-{i:06}" for i, (a, b) in enumerate(rows)]),
        text=tuple(_text(rng, society.domains, a, b / max(levels - 1, 1)) for a, b in rows),
        split=split,
        task=tuple(society.domains[a] for a in domain),
    )
    late = np.full(n, False) if society.turn is None else np.arange(n) >= society.turn[1]
    before, after = (np.asarray(_alone(one)) for one in (society, society.after))
    chance = np.where(late[:, None], after[condition], before[condition])
    shape = (n, len(society.agents))
    drawn = rng.random(shape) < chance
    return Outcomes(
        queries=queries,
        pool=society.pool,
        score=drawn.astype(np.float32),
        cost=np.full(shape, np.nan),
        propensity=np.ones(shape, np.float32),
        prompt_tokens=np.tile(society.prompt, (n, 1)),
        completion_tokens=np.tile(society.completion, (n, 1)),
        source=f"simulated society {society.name}",
    )


def locate(society: Society, outcomes: Outcomes) -> tuple[Ints, Ints, Ints]:
    """Returns [n] domains, [n] difficulties and [n] numbers of tasks, told by their ids.

    Raises:
        DataError: a task is not of this society.
    """
    found = np.zeros((len(outcomes), 3), np.int64)
    for row, query in enumerate(outcomes.queries.query_id.tolist()):
        match = _ID.fullmatch(query)
        if match is None or match["name"] != society.name:
            raise DataError(
                f"task {query!r} is not of society {society.name!r}; draw tasks by its `outcomes`."
            )
        found[row] = int(match["domain"]), int(match["level"]), int(match["number"])
    if (found[:, 0] >= len(society.domains)).any() or (found[:, 1] >= len(society.levels)).any():
        raise DataError(f"a task has a domain or a difficulty that society {society.name!r} lacks.")
    return found[:, 0], found[:, 1], found[:, 2]


def shuffled_texts(outcomes: Outcomes, seed: int = 0) -> Outcomes:
    """Returns the outcomes with texts exchanged between tasks at random: texts tell nothing any more.

    Texts stay within their split. Ids stay where they were, and with them what graphs score.
    """
    rng = np.random.default_rng([seed, 41])
    queries = outcomes.queries
    order = np.arange(len(queries))
    for name in SPLITS:
        rows = np.flatnonzero(queries.split == name)
        order[rows] = rng.permutation(rows)
    texts = tuple(queries.text[i] for i in order)
    return replace(outcomes, queries=replace(queries, text=texts))


def _alone(society: Society) -> Tensor:
    """[C, N] expected score of each agent alone."""
    accuracy = normal_cdf(society.dynamics.mean)
    bar = society.dynamics.bar
    return accuracy if bar is None else (accuracy >= bar[:, None]).to(accuracy.dtype)


def _text(rng: np.random.Generator, domains: tuple[str, ...], domain: int, difficulty: float) -> str:
    hard = DIFFICULTY[round(difficulty * (len(DIFFICULTY) - 1))]
    words = [
        *rng.choice(_words(domains[domain]), rng.integers(4, 7), replace=False),
        *rng.choice(hard, 2, replace=False),
        *rng.choice(NOISE, rng.integers(5, 10), replace=False),
    ]
    if len(domains) > 1 and rng.random() < 0.3:
        other = domains[(domain + rng.integers(1, len(domains))) % len(domains)]
        words.append(rng.choice(_words(other)))
    return f"{rng.choice(OPENINGS)} {' '.join(rng.permutation(words))}?"


def _words(domain: str) -> tuple[str, ...]:
    """A domain's words; a domain of one's own has its name and made-up endings."""
    return DOMAINS.get(domain) or tuple(f"{domain}{ending}" for ending in ("", "s", "ing", "ed", "er", "ist"))
