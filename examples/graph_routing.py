"""Route by a graph of queries and agents: learn from recorded outcomes, choose sets, onboard a new agent.

Run it: python examples/graph_routing.py
"""

from __future__ import annotations

import random
from collections import Counter
from zlib import crc32

import numpy as np

from agentnet import Agent, Backend, Outcomes, Pool, Router, Runtime, make_router
from agentnet.bench.evaluate import evaluate
from agentnet.outcomes.table import Queries
from agentnet.runtime.client import Request
from agentnet.testing import ScriptedClient

WORDS = ("apple", "river", "window", "garden", "silver", "planet", "basket", "mirror", "rocket", "candle")
# With a real model: leave out client=MODEL below and set the provider's key, such as OPENAI_API_KEY.
small = Backend(name="small", model="openai/gpt-4o-mini", price_in_per_mtok="0.15", price_out_per_mtok="0.60")
pool = Pool(Agent(name=name, backend=small) for name in ("ada", "ben", "cleo", "adder"))
newcomer = Agent(name="newcomer", backend=small)
COST = {"ada": 1e-4, "ben": 1e-4, "cleo": 1e-4, "adder": 3e-4, "newcomer": 2e-4}


def question(i: int) -> tuple[str, str, str]:
    """Returns the i-th question, its kind and its right answer. In your case: what your users asked."""
    rng = random.Random(i)
    a, b, word = rng.randint(10, 999), rng.randint(10, 999), "".join(rng.choices(WORDS, k=3))
    return (
        (f"What is {a} plus {b}?", "sums", str(a + b)),
        (f"Spell the word {word} backwards.", "spelling", word[::-1]),
        (f"How many letters has the word {word}?", "letters", str(len(word))),
    )[i % 3]


QUESTIONS = [question(i) for i in range(600)]
KEY = {text: (kind, right) for text, kind, right in QUESTIONS}
SKILL = {  # share of right answers
    "ada": {"sums": 0.6, "spelling": 0.75, "letters": 0.5},
    "ben": {"sums": 0.6, "spelling": 0.75, "letters": 0.3},
    "cleo": {"sums": 0.6, "spelling": 0.75, "letters": 0.1},
    "adder": {"sums": 0.97, "spelling": 0.2, "letters": 0.2},
    "newcomer": {"sums": 0.2, "spelling": 0.2, "letters": 0.95},
}


def answer(agent: str, text: str) -> str:
    """Stands for the models: three generalists whose mistakes differ, and specialists."""
    kind, right = KEY[text]
    luck = crc32(f"{agent}|{text}".encode()) / 2**32
    return right if luck < SKILL[agent][kind] else f"{agent} is not sure"


def scripted(request: Request) -> str:
    """Returns what the agent of a request says."""
    return answer(request.agent or "", request.messages[-1].content)


MODEL = ScriptedClient(scripted)


def record(rows: range, agents: Pool) -> Outcomes:
    """What these agents said and cost. `load_outcomes` reads the same from a pack or a trace database."""
    asked = [QUESTIONS[i] for i in rows]
    said = np.array([[answer(agent.name, text) for agent in agents] for text, _, _ in asked], object)
    right = np.array([gold for _, _, gold in asked], object)[:, None]
    queries = Queries(
        query_id=np.array([f"q{i}" for i in rows]), text=tuple(text for text, _, _ in asked),
        split=np.full(len(asked), "train"), task=tuple(kind for _, kind, _ in asked),
        gold=tuple(gold for _, _, gold in asked),
    )  # fmt: skip
    cost = np.tile([COST[agent.name] for agent in agents], (len(asked), 1))
    return Outcomes(
        queries=queries, pool=agents, score=(said == right).astype(np.float32), cost=cost, response=said
    )


def report(name: str, router: Router, check: Outcomes) -> None:
    """Prints score and cost on fresh questions, by replaying the recorded answers, and who was asked."""
    scored = evaluate(router, check, split="all").to_dict()
    asked = Counter(" + ".join(d.agents) for d in router.route_batch(check.tasks(), check.pool))
    most = ", ".join(f"{agents} {n}" for agents, n in asked.most_common(3))
    best = scored["best_single"]
    print(f"{name}: score {scored['score']:.2f}, best single {best['score']:.2f}; asked: {most}")


def main() -> None:
    # 1. Learn: queries, types and agents are one graph; votes and cascades are measured on recorded answers.
    router = make_router("collective", encoder="hash")  # the default encoder, minilm, knows meaning too
    learned = router.fit(record(range(240), pool), pool).chosen
    print(f"learned: {learned['task_types']} task types, {learned['plans']} plans")

    # 2. Decide: a specialist where there is one, several agents where their mistakes differ; and say why.
    router = router.with_options(cost_weight=0.02)
    task = QUESTIONS[301][0]
    print(router.route(task, pool).explain(top=3))

    # 3. Run what it chose.
    with Runtime(pool, router, client=MODEL) as runtime:
        result = runtime.run(task)
    print(f"{task} -> {result.answer}, {len(result.steps)} calls")

    # 4. Onboard a new agent: 60 probes on logged questions. Nothing is trained anew, nothing is forgotten.
    probed = router.with_probes(record(range(60), Pool([newcomer])))
    check = record(range(300, 450), pool.add(newcomer))
    report("known by name only", router, check)
    report("after 60 probes", probed, check)


if __name__ == "__main__":
    main()
