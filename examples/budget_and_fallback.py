"""Money and failures: a fallback backend, limits that hold, and why an unknown price stops a run.

Run it: python examples/budget_and_fallback.py   (two small servers on loopback stand for the providers)
"""

from __future__ import annotations

import asyncio
import os

from agentnet import Agent, Backend, Limits, Pool, Runtime
from agentnet.graphs.builders import vote
from agentnet.runtime.clients.litellm_client import LiteLLMClient
from agentnet.testing import ChatServer

# With a real model: name it (model="anthropic/...", "ollama/...") and leave out options={"api_base": ...}.
os.environ.setdefault("OPENAI_API_KEY", "none-needed-on-loopback")


async def main() -> None:
    async with ChatServer(failure_rate=1.0, failure=503) as broken, ChatServer(answer="Paris") as working:
        first = Backend(
            name="first",
            model="openai/first-choice",
            price_in_per_mtok="0.50",
            price_out_per_mtok="1.50",
            options={"api_base": broken.url},
            retries=0,  # attempts beyond the first; the one place in the program that retries
            fallbacks=("spare",),
        )
        spare = Backend(
            name="spare",
            model="openai/second-choice",
            price_in_per_mtok="1.00",
            price_out_per_mtok="3.00",
            options={"api_base": working.url},
        )
        unpriced = Backend(name="unpriced", model="openai/new-model", options={"api_base": working.url})
        pool = Pool(
            [
                Agent(name="main", backend=first),
                Agent(name="second", backend=spare),
                Agent(name="mystery", backend=unpriced),
            ]
        )
        client = LiteLLMClient(backends=pool.backends)
        question = "What is the capital of France?"
        async with Runtime(pool, client=client) as runtime:
            # 1. The first backend is down; its fallback answers, and the trace says so.
            result = await runtime.arun(question, vote(["main"]))
            print(f"fallback: {result.answer} from {result.steps[0].backend}, ${result.cost}")

            # 2. A limit on calls: the second agent is refused, what was paid for is kept.
            result = await runtime.arun(question, vote(["second", "main"]), limits=Limits(calls=1))
            print(f"limit: status {result.status} ({result.limit}), partial answer {result.answer!r}")

            # 3. A money limit and a model without a price: nothing is sent, for unknown is not zero.
            sent = len(working.requests)
            result = await runtime.arun(question, vote(["mystery"]), limits=Limits(usd="0.01"))
            sent = len(working.requests) - sent
            print(f"unknown price: status {result.status} ({result.limit}), sent {sent}")

            # 4. Without a money limit the same call runs, and its cost is None, never 0.
            result = await runtime.arun(question, vote(["mystery"]))
            print(f"no limit: {result.answer}, cost {result.cost}")


if __name__ == "__main__":
    asyncio.run(main())
