"""A router that starts from nothing and learns, while it serves, which agent is good at what.

Run it: python examples/learn_online.py [TASKS] [SEED]   (a small model on this CPU, one call a task)
"""

from __future__ import annotations

import sys

from agentnet import Pool, Runtime, Task
from agentnet.demo.specialists import specialists
from agentnet.demo.tasks import Verifier, make_tasks
from agentnet.learning.judges import ExactJudge
from agentnet.learning.learner import GatedLearner
from agentnet.outcomes.encoders import CachedEncoder, make_encoder
from agentnet.routers.amro_s import AmroSRouter
from agentnet.routers.intents.head import EncodedTypes
from agentnet.runtime.embedded.engine import EmbeddedEngine
from agentnet.runtime.embedded.provider import serving

# Three agents on one model of 135 million parameters: a role and a few worked examples each, nothing else.
# With a real model: Agent(name=..., backend=Backend(name="small", model="openai/gpt-4o-mini")), no engine.
pool = Pool(
    agent for agent in specialists() if agent.name in ("spell_backward", "count_bits", "triangle_angle")
)

# Two kinds of tasks. The router is told that there are two, but not who of the pool is good at which.
KINDS = {"spell_backward": "words", "count_bits": "numbers"}


def known_types(encoder: CachedEncoder) -> EncodedTypes:
    """Task types from a few labelled texts; without them there is one type, and one best agent for all."""
    examples = make_tasks(24, seed=999, families=KINDS)
    return EncodedTypes.fit(
        encoder.encode([item.task.text for item in examples]), [KINDS[item.family] for item in examples]
    )


def show(router: AmroSRouter) -> None:
    """Prints what the colony knows: one row of pheromones per task type."""
    if not router.snapshot_number:
        print("  nothing learned yet: every agent is as good as any other")
        return
    edges = {(row["type"], row["target"]): row["pheromone"] for row in router.colony.table()}
    print(f"  {'pheromone':10}" + "".join(f"{name:>16}" for name in pool.names))
    for kind in router.colony.types:
        cells = (f"{edges[kind, name]:.2f}" if (kind, name) in edges else "-" for name in pool.names)
        print(f"  {kind:10}" + "".join(f"{cell:>16}" for cell in cells))


def main(count: int = 66, seed: int = 0) -> None:
    verifier = Verifier()
    items = make_tasks(count, seed=seed, families=KINDS)
    by_id = {item.task.task_id: item for item in items}

    def right(task: Task, answer: str) -> bool:
        """The gate: a program knows whether an answer is right. Elsewhere: tests, users, an LLM judge."""
        return verifier.score(by_id[task.task_id], answer) == 1.0

    encoder = CachedEncoder(make_encoder("minilm"))
    # Never fitted. It must sample: who always takes the best so far never finds a better one.
    router = AmroSRouter(recipe="agentnet", layers=1, mode="sample", seed=seed)
    router.use_encoder(encoder)
    router.use_types(known_types(encoder))
    router.route(items[0].task, pool)  # loads what deciding needs, before the first task is served

    # Every run is judged (rate=1), and a lesson is learned at once (batch=1), as the stream is short.
    judge = ExactJudge(right, name="reasoning-gym")
    marks: list[bool] = []
    calls = 0
    print("before:")
    show(router)
    with (
        EmbeddedEngine(slots=len(pool) + 1) as engine,
        serving(engine),
        GatedLearner(router, judge, rate=1.0, batch=1) as learner,
        Runtime(pool, router, observers=[learner]) as runtime,
    ):
        for item in items:  # nobody waits for the learner: it judges and learns beside the next task
            result = runtime.run(item.task)
            # An agent's program may fail on a kind that is not its own: no answer, and nothing is learned.
            marks.append(result.status == "ok" and right(item.task, result.answer))
            calls += result.calls
        learner.drain()

    third = max(1, count // 3)
    print(f"after {len(marks)} tasks, {calls} calls of the model, {router.snapshot_number} updates:")
    show(router)
    first, last = sum(marks[:third]) / third, sum(marks[-third:]) / third
    print(f"right answers: first third {first:.2f}, last third {last:.2f}")
    print(router.route("Write the word garden from right to left.", pool).explain())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
