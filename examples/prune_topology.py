"""Prune a team per task: log random topologies, learn from the log who is needed, and save the rest.

Run it: python examples/prune_topology.py [FOLDER]   (the database, the router and a drawing go there)
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
from pathlib import Path

import torch

from agentnet import (
    Agent,
    Backend,
    Pool,
    Router,
    Runtime,
    Task,
    TaskGraph,
    TraceStore,
    load_outcomes,
    make_router,
)
from agentnet.runtime.client import Request
from agentnet.testing import ScriptedClient
from agentnet.traces.records import OutcomeRecord

torch.set_num_threads(1)
WORDS = ("apple", "river", "window", "garden", "silver", "planet", "basket", "mirror", "rocket", "candle")
# With a real model: leave out client=MODEL below and set the provider's key, such as OPENAI_API_KEY.
small = Backend(name="small", model="openai/gpt-4o-mini", price_in_per_mtok="0.15", price_out_per_mtok="0.60")
pool = Pool(
    [
        Agent(name="reader", backend=small, description="Reads a story and says what has to be calculated."),
        Agent(name="calculator", backend=small, description="Calculates a sum that it is given."),
        Agent(name="speller", backend=small, description="Spells words backwards."),
        Agent(name="talker", backend=small, description="Has something to say about everything."),
    ]
)
COMPLETE = TaskGraph.of(
    pool.names, edges=[(a, b) for i, a in enumerate(pool.names) for b in pool.names[i + 1 :]]
)


def make_tasks(n: int, seed: int) -> list[tuple[Task, str]]:
    """Questions of two kinds with their right answers. In your case: what your users asked."""
    rng = random.Random(seed)
    tasks: dict[str, str] = {}
    while len(tasks) < n:
        a, b, word = rng.randint(10, 999), rng.randint(10, 999), "".join(rng.choices(WORDS, k=2))
        tasks[f"Ann owns {a} marbles and finds {b} more. How many marbles are there?"] = str(a + b)
        tasks[f"Spell the word {word} backwards."] = word[::-1]
    return [(Task(text), gold) for text, gold in list(tasks.items())[:n]]


def answer(request: Request) -> str:
    """Stands for the models: nobody who reads stories can add, and nobody who adds reads stories."""
    text = request.messages[-1].content
    story, told = re.search(r"owns (\d+) .* finds (\d+)", text), re.search(r"sum: (\d+) \+ (\d+)", text)
    word = re.search(r"the word (\w+) backwards", text)
    if request.agent == "reader":
        return f"sum: {story[1]} + {story[2]}" if story else "no story"
    if request.agent == "calculator":
        return str(int(told[1]) + int(told[2])) if told else "no sum"
    if request.agent == "speller":
        return word[1][::-1] if word else "no word"
    return "Well, that is a good question, and there is a lot to be said about it. " * 3


MODEL = ScriptedClient(answer)


def random_graph(rng: random.Random) -> TaskGraph:
    """Some agents in some order, each of which may read those before it."""
    names = rng.sample(pool.names, rng.randint(1, len(pool)))
    density = rng.choice((0.3, 0.6, 1.0))
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return TaskGraph.of(names, edges=[pair for pair in pairs if rng.random() < density])


def record(tasks: list[tuple[Task, str]], store: TraceStore, runs: int) -> None:
    """Serves every task with a few random graphs, and judges answers: at once, or days later."""
    rng = random.Random(0)
    with Runtime(pool, client=MODEL, store=store) as runtime:
        for task, gold in tasks:
            for _ in range(runs):
                result = runtime.run(task, random_graph(rng))
                judged: list[tuple[int | None, str]] = [(None, result.answer or "")]
                judged += [(step.seq, step.answer) for step in store.run(result.run_id).steps]
                for seq, said in judged:
                    store.write(
                        OutcomeRecord(
                            run_id=result.run_id,
                            step_seq=seq,
                            score=float(said == gold),
                            judge="verifier:exact",
                            judged_at=time.time(),
                        )
                    )


def serve(plan: Router | TaskGraph, tasks: list[tuple[Task, str]]) -> tuple[float, float]:
    """Returns the share of right answers, and tokens a task."""
    router = plan if isinstance(plan, Router) else None
    with Runtime(pool, router, client=MODEL) as runtime:
        results = runtime.batch((task for task, _ in tasks), None if router else plan)
    right = [result.answer == gold for result, (_, gold) in zip(results, tasks, strict=True)]
    tokens = sum((result.prompt_tokens or 0) + (result.completion_tokens or 0) for result in results)
    return sum(right) / len(right), tokens / len(right)


def main(folder: Path) -> None:
    # 1. Log. Random graphs explore; every run is recorded with its graph and what each agent said.
    url = f"sqlite:///{folder}/runs.db"
    with TraceStore.open(url) as store:
        record(make_tasks(120, seed=1), store, runs=8)
    log = load_outcomes(url)
    print(f"log: {len(log)} tasks, {len(log.runs)} runs of whole graphs")

    # 2. Learn, from the log alone. `agentnet train agp --data sqlite:///runs.db --out agp` does the same.
    router = make_router("agp", encoder="hash", generations=10)  # the default encoder, minilm, knows meaning
    learned = router.fit(log, pool).chosen
    router.save(folder / "agp")
    print(f"learned from {learned['graphs']}: {learned['graphs_kept']} graphs kept")

    # 3. Decide, and say why: what was cut, how likely it was to stay, and what the cut is expected to cost.
    router = router.with_options(cost_weight=0.1)
    check = make_tasks(40, seed=2)
    for task, _ in check[:2]:
        decision = router.route(task, pool)
        cut = [name for name in pool.names if name not in decision.agents]
        print(f"{task.text}\n  asked: {' -> '.join(decision.agents)}; cut: {', '.join(cut)}")
    print(decision.explain())
    (folder / "pruned.svg").write_text(router.route(check[0][0], pool).evidence.to_svg() or "", "utf-8")

    # 4. Serve: everybody, who reads everybody, against the pruned graphs.
    before, after = serve(COMPLETE, check), serve(router, check)
    print(f"complete: {before[0]:.2f} right, {before[1]:.0f} tokens a task")
    print(f"pruned: {after[0]:.2f} right, {after[1]:.0f} tokens a task")
    print(f"saved: {1 - after[1] / before[1]:.0%} of the tokens")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
