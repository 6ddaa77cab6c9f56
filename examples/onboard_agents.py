"""New agents while serving: the first request finds them, removed ones get none, and the store knows it all.

Run it: python examples/onboard_agents.py   (scripted answers stand for the models; a few seconds)
"""

from __future__ import annotations

import asyncio
import tempfile

import numpy as np

from agentnet import Agent, Backend, Pool, PoolHandle, Runtime, TraceStore
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.registry import make_router
from agentnet.runtime.clients.scripted import ScriptedClient

# With a real model: Backend(name="small", model="openai/gpt-4o-mini"), and no client= below.
MODEL = Backend(name="small", model="scripted")
ANSWERS = {
    "cards": "A blocked card is replaced within 5 days, and the new card costs 8 euros.",
    "parcels": "A parcel abroad takes 10 days.",
    "insurance": "Water damage is covered up to 20,000 euros.",
}
ASKED = {
    "cards": [
        "my card is blocked",
        "the bank card was stolen",
        "replace my credit card",
        "card declined at the till",
    ],
    "parcels": [
        "where is my parcel",
        "parcel sent abroad",
        "the parcel was damaged in the post",
        "track a parcel",
    ],
}


def log() -> Outcomes:
    """Requests that were answered before, each with the agent that was right."""
    rows = [(text, name) for name, texts in ASKED.items() for text in texts for _ in range(5)]
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(len(rows))]),
        text=tuple(f"{text} {i}" for i, (text, _) in enumerate(rows)),
        split=np.array(["val" if i % 5 == 0 else "train" for i in range(len(rows))]),
        gold=tuple(name for _, name in rows),
        metric=("label",) * len(rows),
    )
    pool = Pool(Agent(name=name, description=" ".join(texts)) for name, texts in ASKED.items())
    return Outcomes.from_labels(queries, pool)


async def main() -> None:
    history = log()
    # The hashing encoder keeps this example small; leave out both settings for real texts.
    router = make_router("tcar", encoder="hash:256", tune=False)
    router.fit(history, history.pool)
    handle = PoolHandle(Pool(agent.with_(backend=MODEL) for agent in history.pool))
    with tempfile.TemporaryDirectory() as folder, TraceStore.open(f"{folder}/traces.db") as store:
        async with Runtime(handle, router, client=ScriptedClient(ANSWERS), store=store) as runtime:
            stop = asyncio.Event()

            async def serve() -> int:
                """Requests that go on coming, whatever happens to the pool."""
                served = 0
                while not stop.is_set():
                    result = await runtime.arun("the bank card was stolen")
                    assert result.decisions[0].agents == ("cards",)
                    served += 1
                return served

            load = asyncio.create_task(serve())
            question = "is water damage in the kitchen insured"
            print("before:", (await runtime.arun(question)).status)

            # A description is enough; a few examples of what it should get are better.
            handle.add(
                Agent(
                    name="insurance",
                    description="insurance: is damage by water or fire insured",
                    examples=("is water damage insured", "kitchen fire insured"),
                    backend=MODEL,
                )
            )
            result = await runtime.arun(question)
            print(f"added:  {result.decisions[0].agents[0]}: {result.answer}")

            handle.remove("insurance")
            print("gone:  ", (await runtime.arun(question)).status)
            stop.set()
            print(f"served meanwhile without a break: {await load > 0}")
        for change in reversed(store.pool_changes()):
            came, went = list(change.added), list(change.removed)
            print(f"traced: revision {change.revision}, came {came}, went {went}, {change.size} agents")


if __name__ == "__main__":
    asyncio.run(main())
