"""A label pack whose queries, descriptions and examples share words; a model that says what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Message
from agentnet.outcomes.encoders import HashingEncoder
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.reasoning.model import Completion
from agentnet.routers.sets.fitting import Labelled

WORDS = {
    "cooking": "recipe oven flour butter simmer onion garlic saucepan",
    "travel": "flight hotel airport visa luggage passport island itinerary",
    "law": "contract court judge plaintiff statute appeal verdict clause",
    "algebra": "equation variable polynomial quadratic coefficient exponent matrix logarithm",
    "garden": "soil seedling fertilizer prune blossom compost shovel hedge",
    "music": "guitar chord melody rhythm concert violin orchestra lyrics",
    "medicine": "symptom fever dosage pharmacy vaccine allergy prescription headache",
    "finance": "mortgage interest dividend portfolio invoice overdraft budget pension",
    "football": "goalkeeper penalty striker midfield league stadium referee offside",
    "weather": "forecast rainfall thunder humidity sunshine blizzard temperature drought",
    "vehicles": "engine gearbox clutch radiator tyres brakes exhaust windscreen",
    "painting": "canvas brush acrylic sketch watercolour palette portrait varnish",
}
TOPICS = tuple(WORDS)
FILLER = tuple(["please", "about", "the", "my", "for", "some", "today", "need", "tell", "with"])
ENCODER = HashingEncoder(512)
UNHEARD = tuple(["qxv", "zzkw", "vvqj", "jxqz", "wkzx", "xqkj", "zvwq", "kqjx"])
"""Words of no topic."""


def ask(rng: np.random.Generator, topic: str, words: int = 3) -> str:
    """A query: words of the topic and two that say nothing."""
    picked = [*rng.choice(WORDS[topic].split(), words, replace=False), *rng.choice(FILLER, 2, replace=False)]
    return " ".join(rng.permutation(picked))


def gibberish(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(UNHEARD, 4, replace=False))


def agent(topic: str, *, examples: int = 0, seed: int = 99, described: bool = True) -> Agent:
    """An agent that is described by three words of its topic."""
    rng = np.random.default_rng([seed, TOPICS.index(topic)])
    return Agent(
        name=f"{topic}_desk",
        description=" ".join(WORDS[topic].split()[:3]) if described else "",
        examples=tuple(ask(rng, topic) for _ in range(examples)),
    )


def name(topic: str) -> str:
    return f"{topic}_desk"


def pool_of(topics: Sequence[str] = TOPICS) -> Pool:
    return Pool([agent(topic) for topic in topics])


def pack(
    *, each: int = 24, topics: Sequence[str] = TOPICS, outside: int = 40, seed: int = 0, shuffle: bool = False
) -> Outcomes:
    """Half of each agent's queries are test, a quarter of the rest val; gibberish is out of scope."""
    rng = np.random.default_rng([seed, 1])
    golds = [name(topic) for topic in topics for _ in range(each)] + ["oos"] * outside
    texts = [ask(rng, topic) for topic in topics for _ in range(each)]
    texts += [gibberish(rng) for _ in range(outside)]
    split = np.array((["train"] * 3 + ["val"] + ["test"] * 4) * (len(golds) // 8 + 1))[: len(golds)]
    if shuffle:
        order = rng.permutation(each * len(topics))
        golds[: len(order)] = [golds[i] for i in order]
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(len(golds))]),
        text=tuple(texts),
        split=split,
        gold=tuple(golds),
        metric=("label",) * len(golds),
    )
    return Outcomes.from_labels(queries, pool_of(topics))


def labelled_data(outcomes: Outcomes) -> Labelled:
    """What `fit_model` takes, made by hand."""
    rows = outcomes.without_split("test")
    out = rows.out_of_scope
    text = np.array(rows.queries.text, object)
    return Labelled(
        texts=tuple(text[~out]),
        labels=rows.score[~out].argmax(1),
        val=rows.queries.split[~out] == "val",
        outside=tuple(text[out]),
        pool=rows.pool,
    )


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    return ENCODER.encode(list(texts))


def hit(router: Any, rows: Outcomes, pool: Pool | None = None) -> float:
    """Share of the tasks in scope given to exactly the right agent."""
    rows = rows.take(~rows.out_of_scope)
    decisions = router.route_batch(rows.tasks(), pool or rows.pool)
    return float(np.mean([d.agents == (gold,) for d, gold in zip(decisions, rows.queries.gold, strict=True)]))


class Teller:
    """A `RouterModel` that answers with the ids of the agents it is told, or with a text as it stands."""

    name = "teller"

    def __init__(
        self, *agents: str, text: str | None = None, cost: Decimal | None = Decimal("0.002")
    ) -> None:
        self.agents, self.text, self.cost = agents, text, cost
        self.prompts: list[str] = []

    async def complete(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        json_schema: Mapping[str, Any] | None = None,
    ) -> Completion:
        await asyncio.sleep(0)
        prompt = messages[-1].content
        self.prompts.append(prompt)
        text = self.text
        if text is None:
            ids = []
            for one in self.agents:
                _, _, after = prompt.partition(f"<Name>{one}</Name>")
                assert after, f"{one} was not shown"
                ids.append(after.partition("<ID>")[2].partition("</ID>")[0])
            text = "<Reason>As it was told.</Reason>" + "".join(f"<ID>{i}</ID>" for i in ids)
        return Completion(text=text, prompt_tokens=7, completion_tokens=5, cost=self.cost)


class Forbidden:
    """A `RouterModel` that must not be asked."""

    name = "forbidden"

    async def complete(self, *_: Any, **__: Any) -> Completion:
        raise AssertionError("the model was asked")


def with_agents(outcomes: Outcomes, topics: Sequence[str]) -> Outcomes:
    """The rows of these topics and those out of scope; the pool holds only their agents."""
    names = {name(topic) for topic in topics}
    keep = np.array([gold in names or gold == "oos" for gold in outcomes.queries.gold])
    rows = outcomes.take(keep)
    return replace(rows.for_pool(rows.pool.subset([n for n in rows.pool.names if n in names])), kind="label")
