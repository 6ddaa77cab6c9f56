"""What agentnet adds to LangGraph: ten scripted agents in parallel and a join, against the same by hand.

Both sides ask the same scripted client ten times with the same messages and join by the same weighted
vote. Blocks of ten runs alternate in one process, so that a slow moment of the machine meets all sides.

    python benches/overhead.py [--blocks 60] [--out results.json]

The ratios are of medians over blocks: the compiled graph alone, ``Runtime.arun``, and ``Runtime.arun`` that
records every run, decision, step and message in SQLite (committed within the block's time), each over the
graph written by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import operator
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

from agentnet import Agent, Backend, Message, Pool, Runtime, TaskGraph, TraceStore
from agentnet.graphs.answers import weighted_vote
from agentnet.runtime.client import Request
from agentnet.runtime.clients.scripted import ScriptedClient

AGENTS = 10
BLOCK = 10
LIMITS = {"compiled": 1.25, "runtime": 1.25, "recorded": 1.6}
Seconds = dict[str, list[float]]
QUESTION = "What is six times seven?"


def make_pool() -> Pool:
    """Ten agents on one backend, each with a role."""
    backend = Backend(
        name="scripted", model="scripted/model", price_in_per_mtok=Decimal(1), price_out_per_mtok=Decimal(2)
    )
    return Pool(
        Agent(name=f"agent{i}", backend=backend, system=f"You are solver number {i}.") for i in range(AGENTS)
    )


def by_hand(pool: Pool, client: ScriptedClient) -> Any:
    """The same graph as a LangGraph program."""

    class State(TypedDict):
        question: str
        answers: Annotated[list[str], operator.add]
        answer: str

    class Question(TypedDict):
        question: str

    def make(agent: Agent) -> Any:
        async def node(state: Question) -> dict[str, Any]:
            assert agent.backend is not None
            messages = (Message("system", agent.system), Message("user", state["question"]))
            response = await client.complete(
                Request(backend=agent.backend, messages=messages, agent=agent.name)
            )
            return {"answers": [response.text.strip()]}

        return node

    async def join(state: State) -> dict[str, Any]:
        answers = state["answers"]
        vote = weighted_vote(answers, [1.0] * len(answers))
        assert vote is not None
        return {"answer": answers[vote.winner]}

    builder = StateGraph(State)
    for agent in pool:
        builder.add_node(agent.name, make(agent))
        builder.add_edge(START, agent.name)
    builder.add_node("join", join)
    builder.add_edge(list(pool.names), "join")
    builder.add_edge("join", END)
    return builder.compile()


async def measure(blocks: int, folder: Path) -> tuple[Seconds, Seconds]:
    """Returns seconds a run and processor seconds a run, by side, of every block.

    The order of the sides is shuffled block by block.
    """
    pool = make_pool()
    client = ScriptedClient(lambda request: "42" if request.agent != "agent3" else "41")
    graph = TaskGraph.of(pool.names)
    plain = by_hand(pool, client)
    runtime = Runtime(pool, client=client)
    compiled = runtime.compile(graph)
    store = TraceStore.open(folder / "traces.db")
    recording = Runtime(pool, client=client, store=store)

    async def hand() -> str:
        return str((await plain.ainvoke({"question": QUESTION}))["answer"])

    async def alone() -> str:
        return str((await compiled.ainvoke({"task": QUESTION}))["answer"])

    async def run() -> str:
        return (await runtime.arun(QUESTION, graph)).answer

    async def record() -> str:
        return (await recording.arun(QUESTION, graph)).answer

    sides: dict[str, Callable[[], Awaitable[str]]] = {
        "by_hand": hand, "compiled": alone, "runtime": run, "recorded": record,
    }  # fmt: skip
    seconds: Seconds = {name: [] for name in sides}
    processor: Seconds = {name: [] for name in sides}
    order = list(sides)
    rng = random.Random(0)
    for block in range(-2, blocks):
        rng.shuffle(order)
        for name in order:
            gc.collect()
            start, busy = time.perf_counter(), time.process_time()
            for _ in range(BLOCK):
                answer = await sides[name]()
                assert answer == "42", (name, answer)
            if name == "recorded":
                # What the writer's thread still has to do belongs to this side, not to the next.
                await store.aflush()
            if block >= 0:
                seconds[name].append((time.perf_counter() - start) / BLOCK)
                processor[name].append((time.process_time() - busy) / BLOCK)
            client.calls.clear()
    assert store.stats().runs.count == (blocks + 2) * BLOCK
    await recording.aclose()
    await runtime.aclose()
    store.close()
    return seconds, processor


def main() -> int:
    """Measures, prints and writes the results; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, processor = asyncio.run(measure(options.blocks, Path(folder)))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    busy = {name: statistics.median(values) for name, values in processor.items()}
    ratios = {name: medians[name] / medians["by_hand"] for name in LIMITS}
    busy_ratios = {name: busy[name] / busy["by_hand"] for name in LIMITS}
    print(f"by_hand   median {medians['by_hand'] * 1e3:7.3f} ms")
    for name, ratio in ratios.items():
        print(
            f"{name:9s} median {medians[name] * 1e3:7.3f} ms  ratio {ratio:.3f} (limit {LIMITS[name]}), "
            f"of processor time {busy_ratios[name]:.3f}"
        )
    result = {
        "command": " ".join(["python", "benches/overhead.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "agents": AGENTS,
        "blocks": options.blocks,
        "runs_a_block": BLOCK,
        "median_ms": {name: median * 1e3 for name, median in medians.items()},
        "ratio": ratios,
        "ratio_of_processor_time": busy_ratios,
        "limit": LIMITS,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(any(ratios[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
