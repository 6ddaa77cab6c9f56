"""Training prompts for a reasoning router: pools with the right agents, hard negatives and random ones.

TCAR's paper tells neither the size nor the making of its data. Ours follows the released code's utility,
which samples agents, forces the right one in and shuffles; hard negatives, joined queries and the share of
prompts that nobody can take are each a [default, not in paper].
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.task import Task
from agentnet.routers.reasoning.prompt import OUT_OF_SCOPE, Prompt, make_prompt
from agentnet.routers.reasoning.reasons import reason_for

JOINS = (
    "{a} and {b}",
    "{a}. {b}",
    "{a}, and also {b}",
    "{a}, then {b}",
    "first {a}, after that {b}",
    "two things: {a}; {b}",
)
"""Templates that join two requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolShape:
    """How prompts are sampled. All of it is [default, not in paper].

    Attributes:
        size: Agents in a prompt.
        hard: Share of the other agents that are the ones most like the first right one.
        nobody: Share of prompts that no agent of the pool fits: ``oos`` is the target.
        joined: Share of prompts whose query joins two requests.
        queries: Consecutive prompts that show the same pool in the same order: what they have in common is
            then computed once (`agentnet.routers.reasoning.packing`).
        joins: Templates for joined queries; hold ``{a}`` and ``{b}``.
    """

    size: int = 8
    hard: float = 0.5
    nobody: float = 0.1
    joined: float = 0.15
    queries: int = 1
    joins: tuple[str, ...] = JOINS

    def __post_init__(self) -> None:
        if self.size < 2 or self.queries < 1:
            raise InvalidInput("a pool has at least 2 agents, and at least 1 query.")
        shares = (self.hard, self.nobody, self.joined, self.nobody + self.joined)
        if not all(0 <= share <= 1 for share in shares):
            raise InvalidInput("hard, nobody, joined, and nobody and joined together, lie in [0, 1].")


@dataclass(frozen=True, slots=True)
class Example:
    """One training prompt.

    Attributes:
        query: What is asked.
        agents: Those shown, in order.
        gold: The right ones, in the order of the requests; none where nobody fits.
        reason: What the model is to say first.
    """

    query: str
    agents: tuple[Agent, ...]
    gold: tuple[str, ...]
    reason: str

    def prompt(self, *, compact: bool = True, most: int = 3) -> Prompt:
        """Returns the prompt."""
        return make_prompt(Task(self.query), self.agents, most=most, compact=compact)

    @property
    def answer(self) -> str:
        """What the model is to write."""
        number = {agent.name: f"A{at}" for at, agent in enumerate(self.agents, 1)}
        ids = [number[name] for name in self.gold] or [OUT_OF_SCOPE]
        return f"<Reason>{self.reason}</Reason>" + "".join(f"\n<ID>{one}</ID>" for one in ids)


class PoolSampler:
    """Samples training prompts from labelled queries; a function of its arguments.

    Args:
        texts: [n] queries.
        gold_sets: [n] names of the right agents of each; an empty set is out of scope.
        agents: All that may be shown.
        vectors: Unit vector by agent's name, which says how alike agents are; None is words in common.
        shape: How.
        seed: Of everything that is drawn.

    Raises:
        InvalidInput: there is nothing to sample from.
    """

    def __init__(
        self,
        texts: Sequence[str],
        gold_sets: Sequence[Collection[str]],
        agents: Sequence[Agent],
        *,
        vectors: Mapping[str, NDArray[np.floating]] | None = None,
        shape: PoolShape | None = None,
        seed: int = 0,
    ) -> None:
        self.shape, self.seed = shape or PoolShape(), seed
        self.texts, self.agents = list(texts), tuple(agents)
        index = {agent.name: at for at, agent in enumerate(self.agents)}
        if len(texts) != len(gold_sets) or len(index) < len(agents):
            raise InvalidInput("give each text its right agents, and each agent a name of its own.")
        if unknown := sorted({name for names in gold_sets for name in names} - set(index)):
            raise InvalidInput(f"right agents that are not in the pool: {', '.join(unknown[:5])}.")
        self.gold = [tuple(sorted(index[name] for name in names)) for names in gold_sets]
        self.rows: dict[int, list[int]] = {}
        for row, gold in enumerate(self.gold):
            if len(gold) == 1:
                self.rows.setdefault(gold[0], []).append(row)
        self.anchors = [row for row, gold in enumerate(self.gold) if gold]
        self.outside = [row for row, gold in enumerate(self.gold) if not gold]
        if not self.anchors or len(self.agents) < self.shape.size:
            raise InvalidInput(
                f"pools of {self.shape.size} need as many agents ({len(agents)} given), and queries with "
                "right agents."
            )
        self.alike = _likeness(self.agents, vectors)

    def examples(self, count: int) -> list[Example]:
        """Returns the first examples."""
        found: list[Example] = []
        number = 0
        while len(found) < count:
            found += self.group(number)
            number += 1
        return found[:count]

    def group(self, number: int) -> list[Example]:
        """Returns the examples of one pool, as many as the shape's ``queries``.

        Every query with right agents is the first of a pool once before any is again.
        """
        n = len(self.anchors)
        order = np.random.default_rng([self.seed, 1, number // n]).permutation(n)
        anchor = self.anchors[order[number % n]]
        rng = np.random.default_rng([self.seed, 2, number])
        gold = self.gold[anchor]
        if len(gold) > self.shape.size:
            raise InvalidInput(f"a query has {len(gold)} right agents, a pool {self.shape.size}.")
        pool = self._pool(gold, rng)
        found = []
        for which in range(self.shape.queries):
            kind = rng.random()
            if kind < self.shape.nobody:
                found.append(self._nobody(pool, gold if which == 0 else (), rng))
            elif kind < self.shape.nobody + self.shape.joined:
                found.append(self._joined(anchor if which == 0 else None, pool, rng))
            else:
                found.append(self._one(anchor if which == 0 else self._row_of(pool, rng), pool))
        return found

    # -- pools -----------------------------------------------------------------------------------
    def _pool(self, gold: Sequence[int], rng: np.random.Generator) -> list[int]:
        others = self.shape.size - len(gold)
        hard = round(self.shape.hard * others)
        near = [at for at in np.argsort(-self.alike[gold[0]], kind="stable").tolist() if at not in gold]
        chosen = near[:hard]
        rest = near[hard:]
        chosen += [rest[at] for at in rng.permutation(len(rest))[: others - hard]]
        pool = [*gold, *chosen]
        return [pool[at] for at in rng.permutation(len(pool))]

    def _row_of(self, pool: Sequence[int], rng: np.random.Generator, but: Collection[int] = ()) -> int | None:
        able = [agent for agent in pool if agent in self.rows and agent not in but]
        if not able:
            return None
        rows = self.rows[able[rng.integers(len(able))]]
        return rows[rng.integers(len(rows))]

    # -- examples --------------------------------------------------------------------------------
    def _example(self, query: str, pool: Sequence[int], parts: Sequence[tuple[str, int]]) -> Example:
        agents = tuple(self.agents[at] for at in pool)
        gold = tuple(dict.fromkeys(self.agents[at].name for _, at in parts))
        reason = reason_for(
            query, [(text, self.agents[at], f"A{1 + list(pool).index(at)}") for text, at in parts]
        )
        return Example(query, agents, gold, reason)

    def _one(self, row: int | None, pool: Sequence[int]) -> Example:
        assert row is not None  # the anchor's agents are in the pool
        return self._example(self.texts[row], pool, [(self.texts[row], at) for at in self.gold[row]])

    def _joined(self, row: int | None, pool: Sequence[int], rng: np.random.Generator) -> Example:
        first = self._row_of(pool, rng) if row is None else row
        if first is None or len(self.gold[first]) != 1:
            return self._one(first, pool)
        second = self._row_of(pool, rng, but=self.gold[first])
        if second is None:
            return self._one(first, pool)
        a, b = self.texts[first], self.texts[second]
        template = self.shape.joins[rng.integers(len(self.shape.joins))]
        query = template.replace("{a}", a.rstrip(" .?!")).replace("{b}", b)
        return self._example(query, pool, [(a, self.gold[first][0]), (b, self.gold[second][0])])

    def _nobody(self, pool: list[int], gold: Sequence[int], rng: np.random.Generator) -> Example:
        """The right agents are taken out; half of the time, where there are some, a row of nobody's."""
        if self.outside and rng.random() < 0.5:
            return self._example(self.texts[self.outside[rng.integers(len(self.outside))]], pool, [])
        absent = [at for at in range(len(self.agents)) if at not in pool]
        # The absent agent most like one of the pool's: its queries look as though someone could take them.
        like = pool[rng.integers(len(pool))] if not gold else gold[0]
        near = [at for at in np.argsort(-self.alike[like], kind="stable").tolist() if at in absent]
        row = self._row_of(near[: max(1, len(near) // 4)], rng)
        row = self._row_of(absent, rng) if row is None else row
        return (
            self._one(self._row_of(pool, rng), pool)
            if row is None
            else self._example(self.texts[row], pool, [])
        )


def _likeness(
    agents: Sequence[Agent], vectors: Mapping[str, NDArray[np.floating]] | None
) -> NDArray[np.float64]:
    """[A, A] how alike agents are."""
    if vectors is not None:
        if missing := [agent.name for agent in agents if agent.name not in vectors]:
            raise InvalidInput(f"agents without a vector: {', '.join(missing[:5])}.")
        rows = np.stack([np.asarray(vectors[agent.name], np.float64) for agent in agents])
        return np.asarray(rows @ rows.T)
    words = [set((agent.description or agent.name).lower().replace("_", " ").split()) for agent in agents]
    return np.array([[len(a & b) / max(1, len(a | b)) for b in words] for a in words])


@dataclass(frozen=True, slots=True)
class Split:
    """Rows by side; no text stands on two sides.

    Attributes:
        train: Rows to train on.
        val: Rows to choose on.
        test: Rows to measure on, of agents that train has.
        unseen: Rows to measure on whose agents no training prompt shows.
        held: The unseen agents' names.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    unseen: tuple[int, ...]
    held: tuple[str, ...]


def split_rows(
    texts: Sequence[str],
    gold_sets: Sequence[Collection[str]],
    *,
    val: float = 0.1,
    test: float = 0.2,
    unseen: float = 0.0,
    seed: int = 0,
) -> Split:
    """Splits labelled queries; equal texts, but for case and blanks, stay together.

    Args:
        texts: [n] queries.
        gold_sets: [n] names of the right agents of each.
        val: Share of the texts.
        test: Share of the texts.
        unseen: Share of the agents that are held out of train and val.
        seed: Of the draws.

    >>> split_rows(["a", "A ", "b"], [{"x"}, {"x"}, {"y"}], val=0, test=0.5).train in ((0, 1), (2,))
    True
    """
    if min(val, test, unseen) < 0 or val + test > 1 or unseen > 1:
        raise InvalidInput("val, test and unseen are shares, val and test together at most 1.")
    rng = np.random.default_rng(seed)
    names = sorted({name for gold in gold_sets for name in gold})
    held = {names[at] for at in rng.permutation(len(names))[: round(unseen * len(names))]}
    keys = [" ".join(text.lower().split()) for text in texts]
    hidden = {key for key, gold in zip(keys, gold_sets, strict=True) if held & set(gold)}
    order = sorted(set(keys) - hidden)
    order = [order[at] for at in rng.permutation(len(order))]
    a, b = round(test * len(order)), round((test + val) * len(order))
    side = dict.fromkeys(order[:a], "test") | dict.fromkeys(order[a:b], "val")
    found: dict[str, list[int]] = {"train": [], "val": [], "test": [], "unseen": []}
    for row, key in enumerate(keys):
        found["unseen" if key in hidden else side.get(key, "train")].append(row)
    return Split(
        train=tuple(found["train"]),
        val=tuple(found["val"]),
        test=tuple(found["test"]),
        unseen=tuple(found["unseen"]),
        held=tuple(sorted(held)),
    )
