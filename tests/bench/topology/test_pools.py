from __future__ import annotations

import re

from agentnet.bench.topology.layout import Conversation
from agentnet.bench.topology.pools import make_pool, math_pool, strings_pool, thinkers
from agentnet.bench.topology.strings import WORDS
from agentnet.bench.topology.tasks import POOLS
from agentnet.graphs.builders import chain, complete, single
from agentnet.graphs.task_graph import TaskGraph
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.runtime import Runtime


def test_worked_examples_are_of_no_task() -> None:
    for pool in (strings_pool(), thinkers("strings")):
        shown = " ".join(f"{shot.question} {shot.answer}" for agent in pool for shot in agent.shots)
        used = set(re.findall(r"[a-z]+", shown)) - {"mirror"}  # stands in a wording, too
        assert not used & {word for words in WORDS.values() for word in words}


def test_worked_examples_begin_and_end_as_answers_do() -> None:
    for name in POOLS:
        for agent in make_pool(name):
            for shot in agent.shots:
                assert shot.question.endswith(f"{agent.name.capitalize()}:")
                assert shot.answer.startswith(agent.options.get("begin", ""))


async def test_a_received_calculation_is_run(runtime: Runtime) -> None:
    result = await runtime.arun("3 red and 4 blue?", chain(["analyst", "programmer"]))
    assert result.answer == "7" and result.calls == 2
    alone = await runtime.arun("3 red and 4 blue?", single("programmer"))
    assert alone.answer == "1"


async def test_prompts_are_a_conversation(runtime: Runtime, script: ScriptedClient) -> None:
    await runtime.arun("3 and 4?", complete(["analyst", "programmer", "solver", "inspector"]))
    last = {}
    for request in script.calls:
        text = Conversation().render([message.to_dict() for message in request.messages])
        last[request.agent] = text.rpartition("\n\n")[2]
    assert last["analyst"] == "Question: 3 and 4?\nAnalyst:"
    # The programmer works from what it was given, and its answer is begun for it.
    assert last["programmer"] == "Analyst: 3 + 4\nProgrammer: print("
    assert last["inspector"] == "Question: 3 and 4?\nAnalyst: 3 + 4\nSolver: 1\nProgrammer: 7\nInspector:"


async def test_who_sent_first_does_not_matter(runtime: Runtime, script: ScriptedClient) -> None:
    for order in (["analyst", "solver"], ["solver", "analyst"]):
        edges = [(name, "inspector") for name in order]
        await runtime.arun("3 and 4?", TaskGraph.of([*order, "inspector"], edges))
    assert [request.agent for request in script.calls].count("inspector") == 1


def test_the_layout_shares_an_agents_beginning() -> None:
    agent = math_pool()["analyst"]
    head = [turn for shot in agent.shots for turn in (("user", shot.question), ("assistant", shot.answer))]
    messages = [{"role": role, "content": text} for role, text in head]
    layout = Conversation()
    prompts = [layout.render([*messages, {"role": "user", "content": text}]) for text in ("a", "b")]
    prefixes = [layout.prefix([*messages, {"role": "user", "content": text}]) for text in ("a", "b")]
    assert prefixes[0] == prefixes[1] and all(prompt.startswith(prefixes[0]) for prompt in prompts)
    assert prefixes[0].endswith(f"{agent.shots[-1].question} {agent.shots[-1].answer}\n\n")
