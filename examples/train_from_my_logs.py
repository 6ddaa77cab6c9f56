"""Train a router from your own logs: serve, record, judge, learn, serve better.

Run it: python examples/train_from_my_logs.py [FOLDER]   (databases, pack and router go there)
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from agentnet import Agent, Backend, Pool, Router, Runtime, Task, TraceStore, load_outcomes, make_router
from agentnet.bench.evaluate import evaluate
from agentnet.graphs.builders import vote
from agentnet.runtime.client import Request
from agentnet.testing import ScriptedClient
from agentnet.traces.export import export_pack
from agentnet.traces.records import OutcomeRecord

WORDS = ("apple", "river", "window", "garden", "silver", "planet", "basket", "mirror", "rocket", "candle")
# With a real model: leave out client=MODEL below and set the provider's key, such as OPENAI_API_KEY.
small = Backend(name="small", model="openai/gpt-4o-mini", price_in_per_mtok="0.15", price_out_per_mtok="0.60")
pool = Pool(
    [
        Agent(name="adder", backend=small, description="Adds numbers."),
        Agent(name="speller", backend=small, description="Spells words backwards."),
        Agent(name="counter", backend=small, description="Counts the letters of words."),
    ]
)


def make_tasks(n: int, seed: int) -> list[tuple[Task, str]]:
    """Questions of three kinds with their right answers. In your case: what your users asked."""
    rng = random.Random(seed)
    tasks: dict[str, str] = {}
    while len(tasks) < n:
        a, b, word = rng.randint(10, 999), rng.randint(10, 999), rng.choice(WORDS) + rng.choice(WORDS)
        kinds = {
            f"What is {a} plus {b}?": str(a + b),
            f"Spell the word {word} backwards.": word[::-1],
            f"How many letters has the word {word}?": str(len(word)),
        }
        text = rng.choice(list(kinds))
        tasks[text] = kinds[text]
    return [(Task(text), answer) for text, answer in tasks.items()]


GOLD = {task.text: answer for seed in (1, 2, 3) for task, answer in make_tasks(150, seed)}


def specialist(request: Request) -> str:
    """Stands for the models: each agent knows its own kind of question and guesses at the others."""
    text = request.messages[-1].content
    own = {"adder": "plus", "speller": "Spell", "counter": "How many"}[request.agent or ""]
    return GOLD[text] if own in text else "7"


MODEL = ScriptedClient(specialist)


def judge(store: TraceStore, run_ids: Iterable[str]) -> None:
    """Grades every step against the known answer. In your case: a verifier, a judge, or your users."""
    for run_id in run_ids:
        trace = store.run(run_id)
        for step in trace.steps:
            right = float(step.answer == GOLD[trace.run.task_text or ""])
            store.write(
                OutcomeRecord(
                    run_id=run_id,
                    step_seq=step.seq,
                    score=right,
                    judge="verifier:exact",
                    judged_at=time.time(),
                )
            )


def serve(
    router: Router, tasks: list[tuple[Task, str]], store: TraceStore | None = None
) -> tuple[float, list[str]]:
    """Returns the share of right answers, and the ids of the runs."""
    with Runtime(pool, router, client=MODEL, store=store) as runtime:
        results = runtime.batch(task for task, _ in tasks)
    right = [result.answer == gold for result, (_, gold) in zip(results, tasks, strict=True)]
    return sum(right) / len(right), [result.run_id for result in results]


def ask_everyone(tasks: list[tuple[Task, str]], url: str) -> None:
    """Lets every agent answer every task, and judges all: dear, but then everything is known."""
    with TraceStore.open(url) as store, Runtime(pool, client=MODEL, store=store) as runtime:
        results = runtime.batch((task for task, _ in tasks), vote(pool.names))
        judge(store, [result.run_id for result in results])


def main(folder: Path) -> None:
    logs, check = f"sqlite:///{folder}/logs.db", f"sqlite:///{folder}/check.db"

    # 1. Serve. Random routing explores; the log keeps the propensity (1/3) of each choice.
    ask_everyone(make_tasks(150, seed=1)[:12], logs)  # a few tasks, so that there is anything to start from
    explorer = make_router("random")
    explorer.fit(load_outcomes(logs), pool)
    with TraceStore.open(logs) as store:
        before, run_ids = serve(explorer, make_tasks(150, seed=1)[12:], store)
        judge(store, run_ids)  # 2. Judge: at once, or days later.
        outcomes = export_pack(store, folder / "pack")  # 3. Export: the log is a data pack now.
    print(f"log: {len(outcomes)} tasks, {int(outcomes.observed.sum())} judged answers")

    # 4. Learn. `agentnet train knn --data sqlite:///logs.db --out knn` does the same.
    learned = make_router("knn", encoder="hash")  # the default encoder, minilm, knows meaning, not just words
    report = learned.fit(outcomes, pool)
    learned.save(folder / "knn")
    print(f"knn: k = {report.chosen['k']}, version {learned.version}")

    # 5. Evaluate on tasks that are not in the log, with every agent's answer known.
    ask_everyone(make_tasks(150, seed=2)[:60], check)
    scored = evaluate(learned, load_outcomes(check), split="all").to_dict()
    best = scored["best_single"]
    print(f"evaluated: {scored['score']:.2f}, best single {best['agent']} {best['score']:.2f}")

    # 6. Serve with it.
    after, _ = serve(learned, make_tasks(150, seed=3)[:60])
    print(f"served: random {before:.2f}, learned {after:.2f}, gain {after - before:+.2f}")
    print(learned.route("Spell the word lantern backwards.", pool).explain(top=3))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
