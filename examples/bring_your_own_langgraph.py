"""LangGraph in both directions: your graph as an agent, and an agentnet graph as a node of yours.

Run it: python examples/bring_your_own_langgraph.py
"""

from __future__ import annotations

from typing import Any, TypedDict

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from agentnet import Agent, Backend, Pool, Runtime
from agentnet.graphs.builders import star, vote
from agentnet.testing import ScriptedClient


# -- 1. what you have already: a compiled LangGraph graph, and a plain function -----------------------------
def look_up(state: MessagesState) -> dict[str, Any]:
    question = str(state["messages"][-1].content)
    return {"messages": [AIMessage("Canberra" if "Australia" in question else "unknown")]}


builder = StateGraph(MessagesState)
builder.add_node("look_up", look_up)
builder.add_edge(START, "look_up")
builder.add_edge("look_up", END)
atlas = builder.compile()


def guess(question: str) -> str:
    """The largest city is often, but not always, the capital."""
    return "Sydney" if "Australia" in question else "unknown"


# With a real model: leave out client=... in main() and set the provider's key, such as OPENAI_API_KEY.
small = Backend(name="small", model="openai/gpt-4o-mini")
pool = Pool(
    [
        # Nothing passes through a model here, so the price is known: nothing.
        Agent(name="atlas", call=atlas, price_in_per_mtok=0, price_out_per_mtok=0),
        Agent(name="guess", call=guess, price_in_per_mtok=0, price_out_per_mtok=0),
        Agent(name="model", backend=small, system="Answer with the city's name only."),
    ]
)


# -- 2. your own program around an agentnet graph -----------------------------------------------------------
class Travel(TypedDict, total=False):
    """The state of the user's own graph; it shares task and answer with agentnet's."""

    task: str
    answer: str
    booking: str


def book(state: Travel) -> dict[str, str]:
    return {"booking": f"a train to {state['answer']}"}


def main() -> None:
    model = ScriptedClient({"*": "Canberra"})
    question = "What is the capital of Australia?"
    with Runtime(pool, client=model) as runtime:
        result = runtime.run(question, vote(["atlas", "guess", "model"])).raise_for_status()
        said = ", ".join(sorted(f"{step.agent}: {step.answer}" for step in result.steps))
        print(f"{said} -> {result.answer}")

        team = runtime.compile(star(["atlas", "model"]))  # an ordinary CompiledStateGraph
        mine = StateGraph(Travel)
        mine.add_node("team", team)
        mine.add_node("book", book)
        mine.add_edge(START, "team")
        mine.add_edge("team", "book")
        mine.add_edge("book", END)
        print(mine.compile().invoke({"task": question})["booking"])


if __name__ == "__main__":
    main()
