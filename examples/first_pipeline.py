"""A first pipeline: three agents on two models, one graph, one run.

Run it: python examples/first_pipeline.py
"""

from __future__ import annotations

from agentnet import Agent, Backend, Limits, Pool, Runtime
from agentnet.graphs.builders import layered
from agentnet.testing import ScriptedClient

# With a real model: leave out client=... below and set the provider's key, such as OPENAI_API_KEY.
small = Backend(name="small", model="openai/gpt-4o-mini", price_in_per_mtok="0.15", price_out_per_mtok="0.60")
large = Backend(name="large", model="openai/gpt-4o", price_in_per_mtok="2.50", price_out_per_mtok="10.00")

pool = Pool(
    [
        Agent(name="algebra", backend=small, system="Solve the problem with equations."),
        Agent(name="trial", backend=small, system="Solve the problem by trying numbers."),
        Agent(name="editor", backend=large, strategy="critic", description="Settles disagreements."),
    ]
)
# The first two answer at once; the editor sees both answers and has the last word.
graph = layered([["algebra", "trial"], ["editor"]])

model = ScriptedClient(
    {
        "algebra": "x + (x + 1) = 17, so x = 8.",
        "trial": "7 + 8 = 15, 8 + 9 = 17: they are 8 and 9.",
        "editor": "Both agree on the pair.\nAnswer: 8 and 9",
    }
)


def main() -> None:
    with Runtime(pool, client=model, limits=Limits(usd="0.01", seconds=30)) as runtime:
        result = runtime.run("Two consecutive numbers add up to 17. Which?", graph).raise_for_status()
    for step in result.steps:
        print(f"{step.agent:8} {step.prompt_tokens:3} + {step.completion_tokens:2} tokens  ${step.cost}")
    print(result.answer.splitlines()[-1])
    print(f"{result.calls} calls, {result.tokens} tokens, ${result.cost}")


if __name__ == "__main__":
    main()
