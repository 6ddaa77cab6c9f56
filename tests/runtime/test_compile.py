"""A compiled graph is an ordinary LangGraph graph, and does what the graph's semantics say."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agentnet import (
    Agent,
    Aggregation,
    Backend,
    Edge,
    Node,
    Pool,
    Runtime,
    StopCondition,
    Task,
    TaskGraph,
)
from agentnet.errors import BackendError, GraphError, PoolError
from agentnet.graphs.builders import cascade
from agentnet.graphs.replay import replay
from agentnet.runtime.client import Request
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.compile import compile_graph, node_labels
from agentnet.runtime.state import merge_steps, pack_step, unpack_step

BACKEND = Backend(name="b", model="m", price_in_per_mtok="1", price_out_per_mtok="1")
POOL = Pool(Agent(name=name, backend=BACKEND) for name in "abcdef")


def answers(state: dict[str, Any]) -> dict[tuple[int, str], str]:
    return {(s["round"], s["node"]): s.get("answer", "") for s in state["steps"] if not s.get("skipped")}


async def test_the_agents_of_a_layer_run_at_once() -> None:
    barrier = asyncio.Barrier(3)

    async def together(request: Request) -> str:
        # Whoever runs alone waits for the others for ever.
        async with asyncio.timeout(20):
            await barrier.wait()
        return "yes"

    graph = compile_graph(TaskGraph.of("abc"), POOL, ScriptedClient(together))
    assert (await graph.ainvoke({"task": "?"}))["answer"] == "yes"


def test_the_agents_of_a_layer_run_at_once_in_a_sync_program() -> None:
    barrier = asyncio.Barrier(3)

    async def together(request: Request) -> str:
        async with asyncio.timeout(20):
            await barrier.wait()
        return "yes"

    graph = compile_graph(TaskGraph.of("abc"), POOL, ScriptedClient(together))
    assert graph.invoke({"task": "?"})["answer"] == "yes"


async def test_it_is_a_langgraph_graph_with_one_node_a_place() -> None:
    graph = compile_graph(TaskGraph.of("ab", edges=[("a", "b")], rounds=2), POOL, ScriptedClient({"*": "x"}))
    assert isinstance(graph, CompiledStateGraph)
    assert set(graph.get_input_jsonschema()["properties"]) == {"task"}
    assert set(graph.get_graph().nodes) == {"__start__", "a", "b", "a#1", "b#1", "join", "__end__"}


async def test_messages_go_along_edges_that_carry_and_no_others() -> None:
    client = ScriptedClient(lambda request: f"answer of {request.agent}")
    graph = TaskGraph(
        nodes=tuple(Node(n, n) for n in "abc"),
        edges=(Edge("a", "c"), Edge("b", "c", carries=False), Edge("c", "a", kind="temporal")),
        rounds=2,
    )
    await compile_graph(graph, POOL, client).ainvoke({"task": "Q"})
    prompts = [(r.agent, r.messages[-1].content) for r in client.calls]
    assert sorted(prompts[:2]) == [("a", "Q"), ("b", "Q")]
    assert prompts[2] == ("c", "Q\n\nAnswers of other agents:\n[a] answer of a")
    assert sorted(prompts[3:5]) == [("a", "Q\n\nAnswers of other agents:\n[c] answer of c"), ("b", "Q")]
    assert len(prompts) == 6


async def test_the_same_agent_may_stand_twice_with_instructions_of_its_own() -> None:
    client = ScriptedClient(lambda request: "done")
    graph = TaskGraph(
        nodes=(Node("solve", "a", prompt="Solve it."), Node("check", "a", prompt="Check it.")),
        edges=(Edge("solve", "check"),),
    )
    await compile_graph(graph, POOL, client).ainvoke({"task": "Q"})
    assert client.calls[0].messages[-1].content == "Q\n\nSolve it."
    assert client.calls[1].messages[-1].content.endswith("[a] done\n\nCheck it.")


@pytest.mark.parametrize(
    ("script", "called", "answer"),
    [
        ({"a": "7", "b": "7.0", "c": "9"}, 2, "7"),
        ({"a": "7", "b": "8", "c": "8"}, 3, "8"),
        ({"a": "7", "b": BackendError("down"), "c": "9"}, 3, "7"),
    ],
)
async def test_a_stop_condition_saves_the_calls_after_it(
    script: dict[str, Any], called: int, answer: str
) -> None:
    client = ScriptedClient(script)
    graph = TaskGraph(
        nodes=tuple(Node(n, n) for n in "abc"),
        edges=tuple(
            Edge(n, "c", carries=False, stop=StopCondition("agreement", min_answers=2)) for n in "ab"
        ),
        outputs=("a", "b", "c"),
    )
    state = await compile_graph(graph, POOL, client).ainvoke({"task": "Q"})
    assert len(client.calls) == called
    assert state["answer"] == answer
    recorded = {n: (v if isinstance(v, str) else None) for n, v in script.items()}
    assert state["winner"] == replay(graph, recorded).winner


async def test_what_comes_after_a_skipped_node_is_skipped_too() -> None:
    client = ScriptedClient({"*": "x"})
    stop = StopCondition("answered")
    graph = TaskGraph(
        nodes=tuple(Node(n, n) for n in "abc"),
        edges=(Edge("a", "b", stop=stop), Edge("b", "c")),
        outputs=("a", "b", "c"),
    )
    state = await compile_graph(graph, POOL, client).ainvoke({"task": "Q"})
    assert [r.agent for r in client.calls] == ["a"]
    assert {s["node"]: s.get("skipped", False) for s in state["steps"]} == {"a": False, "b": True, "c": True}


async def test_a_round_that_is_skipped_whole_ends_the_run() -> None:
    client = ScriptedClient({"*": "x"})
    stop = StopCondition("agreement", min_answers=2)
    graph = TaskGraph(
        nodes=tuple(Node(n, n) for n in "ab"),
        edges=tuple(Edge(s, t, kind="temporal", stop=stop) for s in "ab" for t in "ab"),
        rounds=4,
    )
    state = await compile_graph(graph, POOL, client).ainvoke({"task": "Q"})
    assert len(client.calls) == 2
    assert state["answer"] == "x"
    assert {s["round"] for s in state["steps"]} == {0, 1}


async def test_a_built_cascade_escalates_only_on_disagreement() -> None:
    graph = cascade([["a", "b"], ["c"]])
    for script, calls in (({"*": "same"}, 2), ({"a": "1", "b": "2", "c": "2"}, 3)):
        client = ScriptedClient(script)
        await compile_graph(graph, POOL, client).ainvoke({"task": "Q"})
        assert len(client.calls) == calls


async def test_an_agents_failure_costs_its_own_node_only() -> None:
    client = ScriptedClient({"a": BackendError("the server is down"), "b": "4", "c": "4"})
    graph = TaskGraph.of("abc", edges=[("a", "c"), ("b", "c")])
    state = await compile_graph(graph, POOL, client).ainvoke({"task": "Q"})
    assert state["answer"] == "4" and state["error"] is None
    steps = {s["node"]: s for s in state["steps"]}
    assert steps["a"]["error"] == "BackendError: the server is down"
    assert client.calls[-1].messages[-1].content == "Q\n\nAnswers of other agents:\n[b] 4"


async def test_without_any_answer_the_run_says_why() -> None:
    client = ScriptedClient({"a": BackendError("no power"), "b": "   "})
    state = await compile_graph(TaskGraph.of("ab"), POOL, client).ainvoke({"task": "Q"})
    assert state["answer"] == ""
    assert "no power" in state["error"] and "EmptyResponse" in state["error"]


class TestAggregations:
    SCRIPT: dict[str, Any] = {"a": "7", "b": "8", "c": "8.0", "d": "merged"}  # noqa: RUF012

    async def run(self, aggregation: Aggregation, script: Any = None, **settings: Any) -> tuple[Any, int]:
        client = ScriptedClient(script or self.SCRIPT)
        graph = TaskGraph.of("abc", aggregation=aggregation)
        state = await compile_graph(graph, POOL, client, **settings).ainvoke({"task": "Q"})
        return state, len(client.calls)

    async def test_vote(self) -> None:
        state, _ = await self.run(Aggregation("vote"))
        assert (state["answer"], state["winner"]) == ("8", "b")

    async def test_concat(self) -> None:
        state, _ = await self.run(Aggregation("concat"))
        assert state["answer"] == "a:\n7\n\nb:\n8\n\nc:\n8.0"

    async def test_refine_asks_the_merging_agent_with_all_answers(self) -> None:
        client = ScriptedClient(self.SCRIPT)
        graph = TaskGraph.of("abc", aggregation=Aggregation("refine", agent="d"))
        state = await compile_graph(graph, POOL, client).ainvoke({"task": "Q"})
        assert (state["answer"], len(client.calls)) == ("merged", 4)
        assert "[a] 7\n[b] 8\n[c] 8.0" in client.calls[-1].messages[-1].content

    async def test_refine_is_left_out_when_one_answer_stands(self) -> None:
        script = {**self.SCRIPT, "a": BackendError("x"), "b": BackendError("x")}
        state, calls = await self.run(Aggregation("refine", agent="d"), script)
        assert (state["answer"], state["winner"], calls) == ("8.0", "c", 3)

    async def test_a_merger_that_fails_leaves_the_heaviest_answer(self) -> None:
        script = {**self.SCRIPT, "d": BackendError("x")}
        state, _ = await self.run(Aggregation("refine", agent="d"), script)
        assert (state["answer"], state["error"]) == ("7", None)

    @pytest.mark.parametrize("kind", ["sync", "async"])
    async def test_custom(self, kind: str) -> None:
        def longest(found: Any) -> str:
            return max((step.answer for _, step in found), key=len)

        async def later(found: Any) -> str:
            return longest(found)

        function = longest if kind == "sync" else later
        how = Aggregation("custom", options={"name": "longest"})
        state, _ = await self.run(how, aggregations={"longest": function})
        assert state["answer"] == "8.0"

    async def test_a_defect_in_a_custom_join_keeps_the_steps(self) -> None:
        how = Aggregation("custom", options={"name": "bad"})
        state, _ = await self.run(how, aggregations={"bad": lambda found: found.nonsense})
        assert "custom aggregation failed: AttributeError" in state["error"]
        assert len(state["steps"]) == 3


class TestBadInput:
    def test_unknown_agents(self) -> None:
        with pytest.raises(PoolError, match=r"not in the pool: nobody"):
            compile_graph(TaskGraph.of(["a", "nobody"]), POOL, ScriptedClient([]))
        how = Aggregation("refine", agent="ghost")
        with pytest.raises(PoolError, match="ghost"):
            compile_graph(TaskGraph.of("ab", aggregation=how), POOL, ScriptedClient([]))

    def test_unknown_aggregation_and_normaliser(self) -> None:
        how = Aggregation("custom", options={"name": "mine"})
        with pytest.raises(GraphError, match="Runtime\\(aggregations="):
            compile_graph(TaskGraph.of("a", aggregation=how), POOL, ScriptedClient([]))
        with pytest.raises(GraphError, match="no answer normaliser 'x'"):
            graph = TaskGraph.of("a", aggregation=Aggregation(normalise="x"))
            compile_graph(graph, POOL, ScriptedClient([]))

    def test_an_agent_that_cannot_be_run(self) -> None:
        pool = Pool([Agent(name="known only from a log")])
        with pytest.raises(PoolError, match="neither a backend nor a call"):
            compile_graph(TaskGraph.of(pool.names), pool, ScriptedClient([]))


def test_labels_are_unique_and_free_of_what_langgraph_keeps() -> None:
    nodes = tuple(Node(i, "a") for i in ("task", "x:y", "x|y", "join", "a#1", "a"))
    labels = node_labels(TaskGraph(nodes=nodes, rounds=2))
    assert len(set(labels.values())) == 12
    assert not any(c in label for label in labels.values() for c in ":|")
    graph = compile_graph(TaskGraph(nodes=nodes, rounds=2), POOL, ScriptedClient({"*": "x"}))
    assert graph.invoke({"task": "Q"})["answer"] == "x"


async def test_state_is_json_and_steps_survive_packing() -> None:
    client = ScriptedClient({"a": "1", "b": BackendError("x")})
    graph = compile_graph(TaskGraph.of("ab"), POOL, client)
    state = await graph.ainvoke({"task": Task("Q", context="C").to_dict()})
    assert json.loads(json.dumps(state)) == state
    for packed in state["steps"]:
        assert pack_step(unpack_step(packed)) == packed


def test_a_step_that_stands_already_starts_the_list_anew() -> None:
    a, b = {"round": 0, "node": "a"}, {"round": 0, "node": "b"}
    assert merge_steps([a], [b]) == [a, b]
    assert merge_steps([a, b], [{**a, "answer": "new"}]) == [{**a, "answer": "new"}]


@pytest.mark.parametrize("how", ["runnable", "async", "sync"])
async def test_a_compiled_graph_that_an_agent_runs_is_a_run_of_its_own(how: str) -> None:
    echo = Pool([Agent(name="echo", call=lambda text: f"saw {text}")])
    inner = compile_graph(TaskGraph.of(["echo"]), echo, ScriptedClient([]))

    async def later(text: str) -> str:
        return str((await inner.ainvoke({"task": f"derived {text}"}))["answer"])

    def now(text: str) -> str:
        return str(inner.invoke({"task": f"derived {text}"})["answer"])

    call: Any = {"runnable": inner, "async": later, "sync": now}[how]
    pool = Pool([Agent(name="first", call=lambda text: "FIRST"), Agent(name="team", call=call)])
    graph = TaskGraph.of(["first", "team"], edges=[("first", "team")])
    result = await Runtime(pool, client=ScriptedClient([])).arun("Q", graph)
    text = "Q\n\nAnswers of other agents:\n[first] FIRST"
    assert result.answer == f"saw {text if how == 'runnable' else f'derived {text}'}"
    assert [step.node for step in result.steps] == ["first", "team"]


class Outer(TypedDict, total=False):
    task: str
    answer: str
    log: Annotated[list[str], lambda old, new: old + new]


def outer(inner: Any, **settings: Any) -> Any:
    builder: Any = StateGraph(Outer)
    builder.add_node("before", lambda state: {"task": f"{state['task']} please", "log": ["before"]})
    builder.add_node("team", inner)
    builder.add_node("after", lambda state: {"answer": state["answer"].upper(), "log": ["after"]})
    for source, target in ((START, "before"), ("before", "team"), ("team", "after"), ("after", END)):
        builder.add_edge(source, target)
    return builder.compile(**settings)


async def test_it_is_a_sub_graph_of_a_users_own_graph() -> None:
    client = ScriptedClient(lambda request: f"echo {request.messages[-1].content}")
    graph = outer(compile_graph(TaskGraph.of("a"), POOL, client))
    assert (await graph.ainvoke({"task": "Q"}))["answer"] == "ECHO Q PLEASE"
    assert graph.invoke({"task": "R"}) == {
        "task": "R please",
        "answer": "ECHO R PLEASE",
        "log": ["before", "after"],
    }


async def test_a_users_context_does_not_disturb_a_sub_graph() -> None:
    graph = outer(compile_graph(TaskGraph.of("a"), POOL, ScriptedClient({"*": "fine"})))
    assert (await graph.ainvoke({"task": "Q"}, context={"user": "me"}))["answer"] == "FINE"


async def test_tokens_and_node_events_stream_through_a_sub_graph() -> None:
    inner = compile_graph(TaskGraph.of("ab"), POOL, ScriptedClient({"*": "one two"}), tokens=True)
    stream = outer(inner).astream({"task": "Q"}, stream_mode="custom", subgraphs=True)
    events = [event async for _, event in stream]
    assert [e["text"] for e in events if e["type"] == "token" and e["node"] == "a"] == ["one", " two"]
    assert sum(e["type"] == "node_started" for e in events) == 2
    finished = [e["step"] for e in events if e["type"] == "node_finished"]
    assert {s["node"]: s["answer"] for s in finished} == {"a": "one two", "b": "one two"}
    assert all(s["completion_tokens"] == 2 and s["cost"] for s in finished)


def test_events_stream_in_a_sync_program() -> None:
    graph = compile_graph(TaskGraph.of("a"), POOL, ScriptedClient({"*": "one two"}), tokens=True)
    events = list(graph.stream({"task": "Q"}, stream_mode="custom"))
    assert [e["type"] for e in events] == ["node_started", "token", "token", "node_finished"]
